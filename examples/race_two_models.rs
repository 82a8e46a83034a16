//! Races two models, then hedges one call: plain futures, no tower, no network.
//!
//! The small model starts a quarter of a second after the large one; all is over after a second.

#![expect(clippy::print_stdout, reason = "a program that says what it does")]

use std::time::Duration;

use hedgerow::{
    Attempt, BoxError, Candidate, RaceError, RaceErrorKind, Won, accept_if, hedge, race,
};
use tokio::time::sleep;

/// A model that thinks for a while.
async fn ask(model: &str, ms: u64, answer: &str) -> Result<String, BoxError> {
    sleep(Duration::from_millis(ms)).await;
    if answer.is_empty() {
        return Err(format!("{model} is overloaded").into());
    }
    Ok(format!("{model}: {answer}"))
}

/// Each model by the milliseconds it takes and by what it says.
async fn both(
    [large, small]: [(u64, &str); 2],
) -> Result<Won<String>, RaceError<String, BoxError>> {
    race([
        Candidate::new(ask("large", large.0, large.1)),
        Candidate::new(ask("small", small.0, small.1)).after(Duration::from_millis(250)),
    ])
    .accept(accept_if(|answer: &String| answer.len() > 10))
    .timeout(Duration::from_secs(1))
    .on_losers(|lost| {
        for l in lost.losers {
            println!("  {} {} at {:?}", l.attempt, l.outcome, l.elapsed);
        }
    })
    .await
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    println!("a good day");
    let won = both([(100, "forty-two"), (50, "forty-one")])
        .await
        .map_err(RaceError::boxed)?;
    println!("  {} after {:?}", won.value, won.info.elapsed);
    assert_eq!((won.info.index, won.info.attempts.len()), (0, 1));

    println!("a slow day");
    let won = both([(900, "forty-two"), (50, "forty-one")])
        .await
        .map_err(RaceError::boxed)?;
    println!("  {} after {:?}", won.value, won.info.elapsed);
    assert_eq!(won.value, "small: forty-one");
    assert!(won.info.started >= Duration::from_millis(250));

    println!("a bad day: the small model starts as soon as the large one has failed");
    let error = both([(20, ""), (20, "hm")])
        .await
        .expect_err("neither is good");
    println!("  {error}");
    assert_eq!(*error.kind(), RaceErrorKind::AllLost);
    assert_eq!(
        error.losses()[1].refused().map(String::as_str),
        Some("small: hm")
    );

    println!("one call, hedged: the primary is slow, its copy is not");
    let call = |attempt: Attempt| ask("large", if attempt.is_extra() { 50 } else { 1_000 }, "yes");
    let won = hedge(call, [100, 300].map(Duration::from_millis))
        .await
        .map_err(RaceError::boxed)?;
    println!("  copy {} won after {:?}", won.info.index, won.info.elapsed);
    assert!(won.info.hedge_won, "the copy was faster");
    Ok(())
}

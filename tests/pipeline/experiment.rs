//! An experiment as one writes it: one thing after the other.

use futures::future::{try_join, try_join_all};
use hedgerow::BoxError;
use parking_lot::Mutex;
use tower::ServiceExt;

use crate::layers::{Ask, Pipeline};
use crate::model::Prompt;

/// Puzzles, and candidates for the solution of each.
pub(crate) const PUZZLES: usize = 4;
pub(crate) const CANDIDATES: usize = 3;
const VOTES: u32 = 3;
/// Answers that a candidate asks for.
const OF_ONE: usize = 2 + VOTES as usize;
/// Answers that all of it takes.
pub(crate) const ALL: usize = PUZZLES * CANDIDATES * OF_ONE;

/// Who asks.
pub(crate) struct Asker<'a> {
    pub(crate) pipeline: Pipeline,
    pub(crate) namespace: &'a str,
    /// Everything is asked for twice at the same time, under the same number.
    pub(crate) twice: bool,
    /// Answers that were given, with what they answer and which of its answers they are.
    pub(crate) given: Mutex<Vec<(String, u32, String)>>,
}

impl<'a> Asker<'a> {
    pub(crate) fn new(pipeline: Pipeline, namespace: &'a str) -> Self {
        Self {
            pipeline,
            namespace,
            twice: false,
            given: Mutex::default(),
        }
    }

    async fn ask(&self, n: u32, text: String, id: u64) -> Result<Vec<String>, BoxError> {
        let prompt = Prompt {
            text: text.clone(),
            id,
        };
        let ask = Ask::new(prompt).n(n).namespace(self.namespace);
        let call = || self.pipeline.clone().oneshot(ask.clone());
        let answers = if self.twice {
            let (one, other) = try_join(call(), call()).await?;
            assert!(one.values().eq(other.values()), "{one:?} {other:?}");
            one
        } else {
            call().await?
        };
        let mut given = self.given.lock();
        for sample in &answers.samples {
            given.push((text.clone(), sample.index, sample.value.clone()));
        }
        Ok(answers.values().cloned().collect())
    }

    async fn one(&self, text: String, id: u64) -> Result<String, BoxError> {
        self.ask(1, text, id).await.map(|mut one| one.remove(0))
    }

    /// A plan, a draft that follows it, and votes on the draft.
    async fn candidate(&self, puzzle: usize, candidate: usize) -> Result<Vec<String>, BoxError> {
        let id = 10 * (puzzle * CANDIDATES + candidate) as u64;
        let plan = self.one(format!("plan {puzzle}"), id).await?;
        let draft = self.one(format!("draft: {plan}"), id + 1).await?;
        let votes = self.ask(VOTES, format!("vote: {draft}"), id + 2).await?;
        Ok([vec![plan, draft], votes].concat())
    }

    /// All candidates for all puzzles at the same time; their answers in the order of the program.
    pub(crate) async fn run(&self) -> Result<Vec<Vec<String>>, BoxError> {
        let all =
            (0..PUZZLES * CANDIDATES).map(|at| self.candidate(at / CANDIDATES, at % CANDIDATES));
        try_join_all(all).await
    }
}

//! A batching layer as a file of its own.

use hedgerow::BatchLayer;
use hedgerow::batch::{Adaptive, Linger};
use hedgerow::config::{BatchConfig, BatchStrategy, ConfigErrors, Describe};
use std::time::Duration;

fn shown(config: &BatchConfig) -> String {
    format!("{:?}", config.build::<u64, u64>().expect("it can be built"))
}

fn of(layer: &BatchLayer<u64, u64>) -> String {
    format!("{layer:?}")
}

fn mistakes(errors: &ConfigErrors) -> Vec<(String, Option<usize>)> {
    let mistakes = errors.mistakes().iter();
    mistakes
        .map(|mistake| (mistake.key().to_owned(), mistake.line()))
        .collect()
}

#[test]
fn a_default_batch_is_the_plain_constructor_and_what_is_set_the_setters() {
    assert_eq!(shown(&BatchConfig::default()), of(&BatchLayer::idle()));
    let adaptive = BatchConfig::new(BatchStrategy::Adaptive);
    assert_eq!(shown(&adaptive), of(&BatchLayer::adaptive()));
    let off = BatchConfig::new(BatchStrategy::Off);
    assert_eq!(shown(&off), of(&BatchLayer::idle().max_size(1)));
    let written = BatchConfig::from_toml(
        r#"
        strategy = "linger"
        linger = "5ms"
        always_linger = true
        max_size = 64
        prefer = [8, 16]
        max_in_flight = 2
        max_queued = 500
        timeout = "3s"
        "#,
    );
    let linger = Linger::new(Duration::from_millis(5)).strict();
    let coded = BatchLayer::new(linger)
        .max_size(64)
        .prefer([8, 16])
        .max_in_flight(2)
        .max_queued(500)
        .timeout(Duration::from_secs(3));
    assert_eq!(shown(&written.unwrap()), of(&coded));
    let dear = BatchConfig::from_toml("strategy = \"adaptive\"\ncost = \"10ms\"").unwrap();
    let coded = Adaptive::new().cost(Duration::from_millis(10));
    assert_eq!(shown(&dear), of(&BatchLayer::new(coded)));
}

#[test]
fn every_mistake_is_told_at_once_with_its_line_and_what_to_write() {
    let errors = BatchConfig::from_toml(
        r#"strategy = "adaptive"
linger = "5ms"
always_linger = true
cost = "2h"
max_size = 0
max_weight = 0
prefer = [0]
max_in_flight = 0
max_queued = 0
timeout = "0s"
"#,
    )
    .unwrap_err();
    let keys = [
        "linger",
        "always_linger",
        "cost",
        "max_size",
        "max_weight",
        "prefer",
        "max_in_flight",
        "max_queued",
        "timeout",
    ];
    let wanted: Vec<_> = keys
        .iter()
        .zip(2..)
        .map(|(key, line)| ((*key).to_owned(), Some(line)))
        .collect();
    assert_eq!(mistakes(&errors), wanted, "{errors}");
    assert!(
        errors
            .mistakes()
            .iter()
            .all(|mistake| mistake.problem().contains("write")
                || mistake.problem().contains("leave it out"))
    );
}

#[test]
fn unknown_keys_and_a_missing_linger_are_refused() {
    let errors = BatchConfig::from_toml("strategy = \"linger\"\nmax_sizes = 4").unwrap_err();
    let text = errors.to_string();
    assert!(
        text.contains("max_sizes") && text.contains("max_size"),
        "{text}"
    );
    let errors = BatchConfig::from_toml("strategy = \"linger\"").unwrap_err();
    assert!(errors.to_string().contains("like \"5ms\""), "{errors}");
    let errors = BatchConfig::from_toml("strategy = \"off\"\nmax_size = 8").unwrap_err();
    assert!(
        errors.to_string().contains("sends each item alone"),
        "{errors}"
    );
}

#[test]
fn a_weight_needs_code_that_says_how_heavy_a_request_is() {
    let config = BatchConfig::from_toml("max_weight = 100").unwrap();
    let errors = config.build::<u64, u64>().unwrap_err();
    assert!(errors.to_string().contains("build_weighed"), "{errors}");
    let weighed = config.build_weighed::<u64, u64>(|n| *n).unwrap();
    assert_eq!(
        of(&weighed),
        of(&BatchLayer::idle().max_weight(100, |n: &u64| *n))
    );
}

#[test]
fn it_is_written_as_it_is_read_and_describes_every_key() {
    let text = "strategy = \"adaptive\"\ncost = \"10ms\"\nmax_weight = 9\nprefer = [4]";
    let config = BatchConfig::from_toml(text).unwrap();
    assert_eq!(
        BatchConfig::from_toml(&config.to_toml().unwrap()).unwrap(),
        config
    );
    let json = serde_json::to_string(&config).unwrap();
    assert_eq!(BatchConfig::from_json(&json).unwrap(), config);
    let described = BatchConfig::describe();
    assert_eq!(described.name, "batch");
    assert_eq!(described.required().count(), 0);
    assert_eq!(described.keys.len(), 10);
    let timeout = described
        .key("timeout")
        .and_then(|key| key.default.as_deref());
    assert_eq!(timeout, Some("\"60s\""));
    let never = BatchConfig::from_toml("timeout = \"none\"")
        .unwrap()
        .build::<u64, u64>()
        .unwrap();
    assert_eq!(of(&never), of(&BatchLayer::idle().no_timeout()));
    assert!(described.keys.iter().all(|key| !key.description.is_empty()));
    assert_eq!(
        described
            .key("max_size")
            .and_then(|key| key.default.as_deref()),
        Some("100")
    );
}

//! A configured stack in the lab's virtual time.

use hedgerow::config::{ConfigDuration, ConfigErrors, Stack, StackConfig};
use serde_json::{Map, Value};

use super::stack::scaled;

/// The layers, built.
pub(super) fn built(config: &StackConfig) -> Stack {
    const CHECKED: &str = "longer durations are as valid, and it was built once when it was read";
    let in_virtual_time = in_virtual_time(config).expect(CHECKED);
    in_virtual_time.build().expect(CHECKED)
}

/// The same stack with every duration scaled, those too that hold because nothing is written.
///
/// What holds is asked of `explain()`, so a new kind of layer needs nothing here.
fn in_virtual_time(config: &StackConfig) -> Result<StackConfig, ConfigErrors> {
    let mut tree = serde_json::to_value(config).unwrap_or_default();
    let mut explained = config.explain().layers.into_iter();
    let whole = explained.next();
    let options = whole.into_iter().flat_map(|whole| whole.options);
    for option in options {
        put(tree.as_object_mut(), &option.key, &option.value);
    }
    let layers = tree.get_mut("layer").and_then(Value::as_array_mut);
    for (layer, explained) in layers.into_iter().flatten().zip(explained) {
        for option in explained.options {
            put(layer.as_object_mut(), &option.key, &option.value);
        }
    }
    StackConfig::from_json(&tree.to_string())
}

/// Writes an option of a layer into its table, if it is a duration or a list of them.
fn put(table: Option<&mut Map<String, Value>>, key: &str, holds: &str) {
    let value = serde_json::from_str(holds).ok();
    if let (Some(table), Some(longer)) = (table, value.as_ref().and_then(longer)) {
        table.insert(key.to_owned(), longer);
    }
}

fn longer(value: &Value) -> Option<Value> {
    match value {
        Value::String(text) => {
            let duration: ConfigDuration = text.parse().ok()?;
            let longer = ConfigDuration::from(scaled(duration.get()));
            Some(Value::String(longer.to_string()))
        }
        Value::Array(items) if !items.is_empty() => items.iter().map(longer).collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str, layer: usize) -> Vec<String> {
        let config = StackConfig::from_toml(text).expect("a good stack");
        let scaled = in_virtual_time(&config).expect("it stays one");
        let explained = scaled.explain();
        let options = &explained.layers[layer].options;
        let options = options.iter().map(|o| format!("{} = {}", o.key, o.value));
        options.collect()
    }

    #[track_caller]
    fn assert_holds(text: &str, layer: usize, wanted: &[&str]) {
        let holds = holds(text, layer);
        for wanted in wanted {
            assert!(holds.iter().any(|one| one == wanted), "{wanted}: {holds:?}");
        }
    }

    #[test]
    fn what_is_written_and_what_is_not_is_a_hundred_times_as_long() {
        assert_holds("", 0, &["total_timeout = \"3000s\""]);
        assert_holds("total_timeout = \"none\"", 0, &["total_timeout = \"none\""]);
        let file = "[[layer]]\nkind = \"hedge\"\npercentile = 90\nmax = \"1s\"\n\
                    [[layer]]\nkind = \"drain\"\npatience = \"250us\"\nat_most = 3\n\
                    [[layer]]\nkind = \"timeout\"\nafter = \"1.5s\"\n";
        let hedge = [
            "percentile = 90.0",
            "initial = \"10s\"",
            "min = \"100ms\"",
            "max = \"100s\"",
        ];
        assert_holds(file, 1, &hedge);
        assert_holds(file, 2, &["patience = \"25ms\"", "at_most = 3"]);
        assert_holds(file, 3, &["after = \"150s\""]);
    }

    #[test]
    fn every_strategy_has_its_own_durations_scaled() {
        let hedge = |rest: &str| format!("[[layer]]\nkind = \"hedge\"\n{rest}");
        for (rest, wanted) in [
            ("strategy = \"fixed\"", &["delay = \"10s\""][..]),
            (
                "strategy = \"fixed\"\ndelay = \"7ms\"",
                &["delay = \"700ms\""],
            ),
            (
                "strategy = \"schedule\"\ndelays = [\"5ms\", \"1s\"]",
                &["delays = [\"500ms\",\"100s\"]"],
            ),
            ("strategy = \"adaptive\"", &["price = \"5s\""]),
            (
                "strategy = \"backoff\"",
                &["base = \"10s\"", "min = \"1s\"", "max = \"500s\""],
            ),
            ("strategy = \"off\"", &["strategy = \"off\""]),
        ] {
            assert_holds(&hedge(rest), 1, wanted);
        }
        let adaptive = holds(&hedge("strategy = \"adaptive\""), 1);
        let delays = adaptive.iter().find(|one| one.starts_with("delays"));
        let whole = hedge("strategy = \"adaptive\"");
        let plain = StackConfig::from_toml(&whole).expect("a good stack");
        assert!(!plain.to_toml().expect("it can be built").contains("delays"));
        assert!(
            delays.is_some_and(|delays| delays.contains('s')),
            "{adaptive:?}"
        );
    }
}

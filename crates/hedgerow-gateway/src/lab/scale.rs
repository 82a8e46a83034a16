//! A configured stack in the lab's virtual time.

use hedgerow::config::{ConfigDuration, Stack, StackConfig};
use serde_json::{Map, Value};

use super::refuse::LONGEST;
use super::stack::{SCALE, scaled};

/// The layers, built.
pub(super) fn built(config: &StackConfig) -> Stack {
    const CHECKED: &str = "it was refused before if its durations cannot be longer";
    let in_virtual_time = in_virtual_time(config).expect(CHECKED);
    in_virtual_time.build().expect(CHECKED)
}

/// The same stack with every duration scaled, those too that hold because nothing is written.
///
/// What holds is asked of `explain()`, so a new kind of layer needs nothing here.
///
/// # Errors
///
/// What is too long then, and what to write.
pub(super) fn in_virtual_time(config: &StackConfig) -> Result<StackConfig, String> {
    let mut tree = serde_json::to_value(config).unwrap_or_default();
    let mut explained = config.explain().layers.into_iter();
    let whole = explained.next();
    let options = whole.into_iter().flat_map(|whole| whole.options);
    for option in options {
        put(tree.as_object_mut(), &option.key, &option.value)?;
    }
    let layers = tree.get_mut("layer").and_then(Value::as_array_mut);
    for (at, (layer, explained)) in layers.into_iter().flatten().zip(explained).enumerate() {
        for option in explained.options {
            put(layer.as_object_mut(), &option.key, &option.value)
                .map_err(|problem| format!("layer[{at}].{problem}"))?;
        }
    }
    StackConfig::from_json(&tree.to_string()).map_err(|errors| {
        format!("in the lab, whose time is {SCALE} times as long, it would be refused: {errors}")
    })
}

/// Writes an option of a layer into its table, if there are durations in it, however deep.
fn put(table: Option<&mut Map<String, Value>>, key: &str, holds: &str) -> Result<(), String> {
    let (Some(table), Some(value)) = (table, read(holds)) else {
        return Ok(());
    };
    let mut longer = value.clone();
    if !stretch(&mut longer) {
        let at_most = ConfigDuration::from(LONGEST);
        return Err(format!(
            "{key} = {holds} is too long for the lab, whose time is {SCALE} times as long: write at most \
             \"{at_most}\""
        ));
    }
    if longer != value {
        table.insert(key.to_owned(), longer);
    }
    Ok(())
}

/// A value as `explain()` writes it: JSON, or a table of TOML.
fn read(holds: &str) -> Option<Value> {
    let table = || -> Option<Value> {
        let mut read: Map<String, Value> = toml::from_str(&format!("value = {holds}")).ok()?;
        read.remove("value")
    };
    serde_json::from_str(holds).ok().or_else(table)
}

/// Makes every duration in it as long as the lab's time is; `false` if one would be too long.
fn stretch(value: &mut Value) -> bool {
    match value {
        Value::Array(items) => items.iter_mut().all(stretch),
        Value::Object(table) => table.values_mut().all(stretch),
        Value::String(text) => {
            let Ok(duration) = text.parse::<ConfigDuration>() else {
                return true;
            };
            let fits = duration.get() <= LONGEST;
            if fits {
                *text = ConfigDuration::from(scaled(duration.get())).to_string();
            }
            fits
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
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
    fn what_stands_deep_in_a_layer_is_scaled_too() {
        let file = "[[layer]]\nkind = \"retry\"\nattempt_timeout = \"250ms\"\n\
                    [[layer]]\nkind = \"admission\"\nconcurrency = 8\nmax_wait = \"2s\"\n\
                    queue = { order = \"adaptive_lifo\", drop = \"codel\" }\n\
                    rates = [{ requests = 500, per = \"1s\" }]\n";
        assert_holds(file, 1, &["attempt_timeout = \"25s\""]);
        assert_holds(file, 2, &["max_wait = \"200s\"", "concurrency = 8"]);
        let admission = holds(file, 2).join("\n");
        for wanted in [
            "target = \"500ms\"",
            "interval = \"10s\"",
            "after = \"1s\"",
            "\"100s\"",
        ] {
            assert!(admission.contains(wanted), "{wanted}: {admission}");
        }
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

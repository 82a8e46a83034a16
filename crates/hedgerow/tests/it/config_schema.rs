//! The schema and the description are those of the structs, and complete.

use hedgerow::config::{
    BatchConfig, CascadeConfig, Describe, Description, HedgeConfig, LayerConfig, StackConfig,
    TierConfig, VERSION,
};
use serde_json::Value;

/// Every object with properties in the schema, with its place.
fn objects<'a>(schema: &'a Value, place: &str, all: &mut Vec<(String, &'a Value)>) {
    match schema {
        Value::Object(keys) => {
            if keys.contains_key("properties") {
                all.push((place.to_owned(), schema));
            }
            for (key, value) in keys {
                objects(value, &format!("{place}/{key}"), all);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                objects(item, &format!("{place}/{at}"), all);
            }
        }
        _ => {}
    }
}

#[test]
fn every_key_has_a_description_and_a_default_or_is_required() {
    // The stack, fourteen kinds of layers, the tables of three budgets, two keys, a store, a limit, a rate and a
    // queue.
    complete(&StackConfig::schema(), 24);
    // The cascade, its spend cap, the tier, its latency, its hedge with the budget's table.
    complete(&CascadeConfig::schema(), 6);
    complete(&BatchConfig::schema(), 1);
}

fn complete(schema: &Value, objects_within: usize) {
    let mut all = Vec::new();
    objects(schema, "", &mut all);
    let places: Vec<_> = all.iter().map(|(place, _)| place).collect();
    assert_eq!(all.len(), objects_within, "{places:?}");
    for (place, object) in all {
        assert_eq!(
            object["additionalProperties"], false,
            "{place} refuses unknown keys"
        );
        let required: Vec<_> = object["required"]
            .as_array()
            .into_iter()
            .flatten()
            .collect();
        for (key, schema) in object["properties"].as_object().unwrap() {
            if key == "kind" {
                assert!(schema["const"].is_string(), "{place}");
                continue;
            }
            let described = schema["description"]
                .as_str()
                .is_some_and(|text| text.len() > 10);
            assert!(described, "{place}/{key} has no description");
            let has_default = !schema["default"].is_null() || schema["x-default"].is_string();
            let is_required = required.iter().any(|name| *name == key);
            assert!(
                has_default != is_required,
                "{place}/{key}: a default or required"
            );
        }
    }
}

#[test]
fn the_schema_stands_alone_and_knows_no_null() {
    for schema in [StackConfig::schema(), CascadeConfig::schema()] {
        let text = schema.to_string();
        assert!(!text.contains("$ref"), "{text}");
        assert!(
            !text.contains("\"null\"") && !text.contains(":null"),
            "{text}"
        );
        assert!(text.contains("https://json-schema.org/draft/2020-12/schema"));
    }
}

#[test]
fn the_description_of_a_layer_is_that_of_its_variant() {
    let schema = StackConfig::schema();
    let variants = schema["properties"]["layer"]["items"]["oneOf"]
        .as_array()
        .unwrap();
    let all = LayerConfig::describe_all();
    assert_eq!(all.len(), variants.len());
    for (description, variant) in all.iter().zip(variants) {
        let Description {
            version,
            name,
            description,
            keys,
            ..
        } = description;
        assert_eq!(*version, VERSION);
        assert_eq!(variant["properties"]["kind"]["const"], *name);
        let text = variant["description"].as_str().unwrap().replace('\n', " ");
        assert_eq!(text, *description);
        let mut names: Vec<_> = keys.iter().map(|key| key.key.as_str()).collect();
        names.push("kind");
        names.sort_unstable();
        let of_variant: Vec<_> = variant["properties"].as_object().unwrap().keys().collect();
        assert_eq!(names, of_variant, "{name}");
    }
}

#[test]
fn a_description_parts_required_from_optional_and_names_types() {
    let drain = &LayerConfig::describe_all()[10];
    assert_eq!(drain.name, "drain");
    let required: Vec<_> = drain.required().map(|key| key.key.as_str()).collect();
    assert_eq!(required, ["at_most", "patience"]);
    assert_eq!(drain.key("patience").unwrap().types, "duration");
    assert_eq!(drain.key("at_most").unwrap().types, "whole number");
    let hedge = HedgeConfig::describe();
    assert_eq!(hedge.required().count(), 0);
    assert_eq!(hedge.keys[0].key, "strategy");
    for (key, types) in [
        ("percentile", "number"),
        ("delays", "list of durations"),
        ("observe_only", "true or false"),
        ("ready", "\"wait\", \"now_only\""),
        ("key", "text"),
        (
            "budget",
            "\"unlimited\", \"shared\" or table of depth, percent",
        ),
    ] {
        assert_eq!(hedge.key(key).unwrap().types, types);
    }
}

#[test]
fn the_description_of_a_tier_is_that_of_the_cascades_items() {
    let schema = CascadeConfig::schema();
    let item = &schema["properties"]["tier"]["items"];
    let tier = TierConfig::describe();
    assert_eq!(item["description"], tier.description.as_str());
    let keys: Vec<_> = tier.keys.iter().map(|key| key.key.as_str()).collect();
    let of_item: Vec<_> = item["properties"].as_object().unwrap().keys().collect();
    assert_eq!(keys, of_item);
    let required: Vec<_> = tier.required().map(|key| key.key.as_str()).collect();
    assert_eq!(required, ["name"]);
    for (key, types) in [
        ("after", "duration"),
        ("cost", "number"),
        ("name", "text"),
        ("hedge", "table"),
        ("latency", "table of window"),
    ] {
        assert_eq!(tier.key(key).unwrap().types, types);
    }
    let cascade = CascadeConfig::describe();
    let cap = cascade.key("spend_cap").unwrap();
    assert_eq!(cap.types, "table of depth, per_100_calls");
    assert_eq!(cascade.key("tier").unwrap().types, "list of tables");
}

/// The struct's own keys, as serde writes them, are the schema's.
#[test]
fn the_keys_of_the_schema_are_those_that_serde_writes() {
    let full = r#"{
        "strategy": "percentile", "percentile": 95.0, "initial": "1ms", "min": "1ms", "max": "1s",
        "base": "1ms", "delay": "1ms", "delays": ["1ms"], "price": "1ms", "forgetting": 0.1,
        "copies": 2, "max_hedges": 1, "window": 5, "latency": "own", "ready": "wait",
        "observe_only": false, "protocol": "http", "key": "host", "max_keys": 5,
        "budget": "unlimited"
    }"#;
    let config: HedgeConfig = serde_json::from_str(full).unwrap();
    let written = serde_json::to_value(&config).unwrap();
    let mut written: Vec<_> = written.as_object().unwrap().keys().cloned().collect();
    let mut described: Vec<_> = HedgeConfig::describe()
        .keys
        .into_iter()
        .map(|k| k.key)
        .collect();
    written.sort_unstable();
    described.sort_unstable();
    assert_eq!(written, described);
}

//! Limits that adapt: what they reach, what moves them, and what does not.

mod sim;
mod reach;
mod calm;
mod down;
mod settings;
mod sequences;

use std::time::Duration;

use hedgerow_admission::{
    Aimd, AimdConfig, Elasticity, ElasticityConfig, Gradient, GradientConfig, LimitPolicy, Vegas,
    VegasConfig,
};

type Policy = Box<dyn LimitPolicy>;

const NAMES: [&str; 4] = ["Aimd", "Vegas", "Gradient", "Elasticity"];

/// Every adaptive policy, from a limit of its own.
fn policy(name: &str, initial: usize) -> Policy {
    let max = 5_000;
    match name {
        "Aimd" => {
            let config = AimdConfig::default().slow_after(Duration::from_millis(40));
            Box::new(Aimd::new(config.initial(initial).max(max)))
        }
        "Vegas" => Box::new(Vegas::new(VegasConfig::default().initial(initial).max(max))),
        "Gradient" => {
            let config = GradientConfig::default();
            Box::new(Gradient::new(config.initial(initial).max(max)))
        }
        "Elasticity" => {
            let config = ElasticityConfig::default();
            Box::new(Elasticity::new(config.initial(initial).max(max)))
        }
        _ => unreachable!("no such policy"),
    }
}

/// Eight seeds, or a hundred when `HEDGEROW_LONG` is set.
fn seeds() -> std::ops::Range<u64> {
    let long = std::env::var_os("HEDGEROW_LONG").is_some();
    0..if long { 100 } else { 8 }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

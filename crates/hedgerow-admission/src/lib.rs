//! One queue in front of any service: it decides when a request may start.

mod limit;

pub use crate::limit::{
    Aimd, AimdConfig, Dynamic, Elasticity, ElasticityConfig, Fixed, Gradient, GradientConfig,
    LimitError, LimitPolicy, Outcome, Sample, Vegas, VegasConfig,
};

//! The percentiles that one looks at, off whatever holds latencies.

/// Gives a struct with a field `latency` its percentiles.
macro_rules! percentiles {
    ($of:ty, $what:literal) => {
        impl $of {
            percentiles!(@ p50, 0.5, concat!("The median of ", $what, "."));
            percentiles!(@ p90, 0.9, concat!("The 90th percentile of ", $what, "."));
            percentiles!(@ p95, 0.95, concat!("The 95th percentile of ", $what, "."));
            percentiles!(@ p99, 0.99, concat!("The 99th percentile of ", $what, "."));
            percentiles!(@ p999, 0.999, concat!("The 99.9th percentile of ", $what, "."));
        }
    };
    (@ $name:ident, $share:literal, $doc:expr) => {
        #[doc = $doc]
        #[must_use]
        pub fn $name(&self) -> Option<std::time::Duration> {
            self.latency.quantile($share)
        }
    };
}

pub(crate) use percentiles;

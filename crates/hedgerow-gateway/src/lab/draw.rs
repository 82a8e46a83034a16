//! The lab's pictures: percentile curves with the limit, and extra load against p99.

use std::fs;
use std::path::Path;
use std::time::Duration;

use hedgerow_sim::{Curve, Latencies, Picture, Tradeoff, Workload};

use super::LabError;
use super::measure::Row;
use super::pool::side_by_side;
use super::report::{Figures, limit};

/// Where a limit is computed: this often in each nine.
const A_NINE: u32 = 8;
/// And where it is one of many laws, which takes long.
const A_NINE_OF_PARTS: u32 = 3;
/// The samples that stand for a limit's curve.
const SAMPLES: u32 = 20_000;
/// The loads, in percent, at which the limit of the p99 is drawn.
const LOADS: [f64; 14] = [
    0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 13.0, 17.0, 25.0,
];

/// Draws two pictures a workload into `folder`; says where they are.
pub(super) fn all(
    folder: &Path,
    workloads: &[&Workload],
    rows: &[Row<'_>],
    figures: &[Figures],
) -> Result<String, LabError> {
    let failed = |source| LabError::Picture {
        path: folder.to_owned(),
        source,
    };
    fs::create_dir_all(folder).map_err(failed)?;
    let mut text = String::new();
    for workload in workloads {
        let name = workload.name();
        let mine: Vec<&Row<'_>> = rows
            .iter()
            .filter(|row| row.plan.workload.name() == name)
            .collect();
        let calls = mine.first().map_or(0, |row| row.plan.calls);
        for (file, svg) in [
            (
                format!("lab-{name}-percentiles.svg"),
                percentiles(workload, &mine),
            ),
            (
                format!("lab-{name}-load.svg"),
                tradeoff(workload, calls, figures),
            ),
        ] {
            let path = folder.join(file);
            fs::write(&path, svg).map_err(failed)?;
            text.push_str(&format!("picture: {}\n", path.display()));
        }
    }
    Ok(text)
}

fn percentiles(workload: &Workload, rows: &[&Row<'_>]) -> String {
    let extra = rows
        .iter()
        .map(|row| row.extra_percent)
        .find(|percent| *percent > 0.0);
    let calls = rows.first().map_or(0, |row| row.plan.calls);
    // Of classes the limit is one of slowdowns, and the curves are latencies.
    let limit = extra
        .filter(|_| workload.classes().is_empty())
        .and_then(|percent| limit_curve((workload, calls), percent / 100.0));
    let mut picture = Picture::new(format!("Latency by policy: {}", workload.name()))
        .subtitle(workload.description());
    for row in rows {
        let note = match row.extra_percent {
            0.0 => String::new(),
            percent => format!("{percent:.1} % extra attempts"),
        };
        picture = picture.curve(Curve::new(label(row), &row.latencies).note(note));
    }
    if let (Some(limit), Some(percent)) = (&limit, extra) {
        let note = format!("at {percent:.1} %, for each percentile");
        picture = picture.curve(Curve::new("limit", limit).note(note));
    }
    picture.to_svg()
}

/// The policy, and its budget if it was given one.
fn label(row: &Row<'_>) -> String {
    let policy = row.plan.policy.written();
    match row.plan.allowance {
        crate::cli::Allowance::Own => policy.to_owned(),
        crate::cli::Allowance::Percent(percent) => format!("{policy} within {percent} %"),
    }
}

/// The limit of every percentile, as the samples of a curve.
fn limit_curve(of: (&Workload, u64), extra: f64) -> Option<Latencies> {
    let a_nine = f64::from(if of.0.is_steady() {
        A_NINE
    } else {
        A_NINE_OF_PARTS
    });
    let last = (f64::from(SAMPLES).log10() * a_nine).ceil() as u32;
    // The body of the law needs no more than a few.
    let body = [0.01, 0.03, 0.06, 0.1, 0.2].into_iter();
    let knots: Vec<f64> = body
        .filter(|place| *place < 1.0 / a_nine)
        .chain((1..=last).map(|knot| f64::from(knot) / a_nine))
        .collect();
    let limits = side_by_side(&knots, |place| {
        limit(of, 1.0 - 10_f64.powf(-place), extra, 2)
    });
    let limits: Vec<f64> = limits.into_iter().collect::<Option<_>>()?;
    let between = |place: f64| {
        let after = knots.partition_point(|knot| *knot < place);
        let after = after.clamp(1, knots.len() - 1);
        let (from, to) = (knots[after - 1], knots[after]);
        let part = ((place - from) / (to - from)).clamp(0.0, 1.0);
        let value = |at: usize| limits[at].max(1e-6).ln();
        (value(after - 1) * (1.0 - part) + value(after) * part).exp()
    };
    let samples = (0..SAMPLES).map(|n| {
        let left = f64::from(SAMPLES - n) / f64::from(SAMPLES);
        duration(between(-left.log10()))
    });
    Some(samples.collect())
}

fn tradeoff(workload: &Workload, calls: u64, figures: &[Figures]) -> String {
    let mut picture = Tradeoff::new(format!("p99 against extra load: {}", workload.name()))
        .subtitle(workload.description())
        .limit(LOADS.into_iter().filter_map(|percent| {
            let ms = limit((workload, calls), 0.99, percent / 100.0, 1)?;
            Some((percent, duration(ms)))
        }));
    if !workload.classes().is_empty() {
        picture = picture.multiples();
    }
    for row in figures.iter().filter(|row| row.workload == workload.name()) {
        if let Some(ms) = row.p99_ms {
            let name = match row.budget_percent {
                None => row.policy.clone(),
                Some(percent) => format!("{} within {percent} %", row.policy),
            };
            picture = picture.point(name, row.extra_percent, duration(ms));
        }
    }
    picture.to_svg()
}

/// Of a number of ms that was computed. What a duration cannot say is drawn at the longest that is.
fn duration(ms: f64) -> Duration {
    const LONGEST: Duration = Duration::from_secs(1_000_000_000);
    let duration = Duration::try_from_secs_f64(ms.max(0.0) / 1e3);
    duration.map_or(LONGEST, |duration| duration.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_beyond_all_durations_is_drawn_at_the_edge() {
        let edge = Duration::from_secs(1_000_000_000);
        for ms in [1e13, 1e300, f64::INFINITY] {
            assert_eq!(duration(ms), edge, "{ms}");
        }
        for ms in [-1.0, 0.0, f64::NAN] {
            assert_eq!(duration(ms), Duration::ZERO, "{ms}");
        }
        assert_eq!(duration(1.5), Duration::from_micros(1_500));
    }
}

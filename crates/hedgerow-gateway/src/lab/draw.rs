//! The lab's pictures.
use super::LabError;
use super::measure::Row;
use super::report::Figures;
use hedgerow_sim::Workload;
use std::path::Path;
pub(super) fn all(
    _: &Path,
    _: &[Workload],
    _: &[Row<'_>],
    _: &[Figures],
) -> Result<String, LabError> {
    Ok(String::new())
}

//! Every bar that is set for workloads and policies.
use super::LabError;
pub(super) fn run() -> Result<(), LabError> {
    Ok(())
}

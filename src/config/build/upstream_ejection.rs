//! Outlier ejection.

use super::Build;
use crate::config::model::{Ejection, UpstreamNginx};
use crate::config::tree::Table;

/// What makes a backend an outlier, if that is asked for.
pub(super) fn ejection(
    b: &mut Build<'_>,
    upstream: &Table,
    nginx: UpstreamNginx,
) -> Option<Ejection> {
    let table = upstream.table("ejection")?;
    if nginx.failures {
        let help = "leave `ejection` out, or `nginx.failures`";
        b.error(table.place, "failures that are counted as in nginx eject nobody", help);
    }
    compare(b, table);
    let number = |key| table.integer(key).unwrap_or_default();
    Some(Ejection {
        dry_run: table.bool("dry_run"),
        window: table.duration("window").unwrap_or_default(),
        consecutive: number("consecutive"),
        failure_percent: number("failure_percent"),
        min_requests: number("min_requests"),
        deviations: table.float("deviations").unwrap_or_default(),
        deviation_min_backends: number("deviation_min_backends"),
        deviation_min_requests: number("deviation_min_requests"),
        max_ejected: number("max_ejected"),
    })
}

/// Warns of success rates that are compared among so few backends that none can stand out: one of `n` is
/// at most `√(n - 1)` standard deviations below the mean.
fn compare(b: &mut Build<'_>, table: &Table) {
    let Some((place, _)) = table.written("deviation_min_backends") else { return };
    let backends: u32 = table.integer("deviation_min_backends").unwrap_or_default();
    let asked = table.float("deviations").unwrap_or_default();
    let most = f64::from(backends.saturating_sub(1)).sqrt();
    if asked > 0.0 && most <= asked {
        let message = format!(
            "one of {backends} backends is never {asked} standard deviations below the mean"
        );
        let help = format!("it is {most:.1} at most: lower `deviations`");
        b.warning(place, message, help);
    }
}

//! Hedging, adaptive concurrency and admission control.

use super::Build;
use crate::config::model::{Adaptive, Admission, Hedge, UpstreamNginx};
use crate::config::tree::Table;

/// When a second backend is asked, if that is asked for.
pub(super) fn hedge(b: &mut Build<'_>, upstream: &Table, nginx: UpstreamNginx) -> Option<Hedge> {
    let table = upstream.table("hedge")?;
    if nginx.failures {
        let help = "leave `hedge` out, or `nginx.failures`";
        b.error(table.place, "where failures are those of nginx, nothing is hedged", help);
    }
    if let (Some((at, _)), Some(_)) = (table.written("percentile"), table.written("after")) {
        b.error(at, "`after` says when the second backend is asked", "leave one of the two out");
    }
    Some(Hedge {
        after: table.duration("after"),
        part: table.float("percentile").unwrap_or(95.0) / 100.0,
        budget: table.integer("budget").unwrap_or_default(),
    })
}

/// The limit that adapts itself, if that is asked for.
pub(super) fn adaptive(b: &mut Build<'_>, upstream: &Table) -> Option<Adaptive> {
    let table = upstream.table("adaptive")?;
    let number = |key| table.integer(key).unwrap_or(1);
    let rules = Adaptive {
        initial: number("initial"),
        least: number("min"),
        most: number("max"),
        smoothing: table.float("smoothing").unwrap_or(1.0),
        tolerance: table.float("tolerance").unwrap_or(1.0),
        long_window: number("long_window"),
    };
    if let Some((at, _)) = upstream.written("max_in_flight")
        && upstream.integer::<u32>("max_in_flight").is_some_and(|most| most > 0)
    {
        let help = "leave one of the two out; `max` of `adaptive` bounds it too";
        b.error(at, "with `adaptive`, the limit adapts itself", help);
    }
    if rules.least > rules.most || !(rules.least..=rules.most).contains(&rules.initial) {
        let (least, most) = (rules.least, rules.most);
        let message =
            format!("`initial` is {}, which is not from {least} to {most}", rules.initial);
        b.error(
            table.place,
            message,
            "let `min` be the smallest and `max` the largest of the three",
        );
    }
    Some(rules)
}

/// When requests are refused, if that is asked for.
pub(super) fn admission(
    b: &mut Build<'_>,
    upstream: &Table,
    nginx: UpstreamNginx,
) -> Option<Admission> {
    let table = upstream.table("admission")?;
    if nginx.failures {
        let help = "leave `admission` out, or `nginx.failures`";
        b.error(table.place, "failures that are counted as in nginx refuse nobody", help);
    }
    let number = |key| table.integer(key).unwrap_or_default();
    Some(Admission {
        window: table.duration("window").unwrap_or_default(),
        success_percent: number("success_percent"),
        min_requests: number("min_requests"),
        max_percent: number("max_percent"),
        aggression: table.float("aggression").unwrap_or(1.0),
    })
}

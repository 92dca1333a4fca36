//! Settings of `[upstream.NAME.failover]`, `.panic` and `.breaker`.

use std::time::Duration;

use super::upstream_ejection::LOOK_BACK;
use crate::config::table::{Kind, Section, Setting, TIMEOUT};

/// A wait that may be none.
const DELAY: Kind =
    Kind::Duration { min: Duration::ZERO, max: Duration::from_hours(24), off: false };

pub(super) static FAILOVER: Section = Section {
    title: "[upstream.NAME.failover]",
    doc: "How tiers of backends share the work. Without this section a tier serves what those before it \
          have nobody for, as nginx's backups do; with `zone` or `region` it is `multi_active`.",
    settings: &[
        Setting::with_default(
            "strategy",
            Kind::Word(&["active_passive", "active_active", "multi_active", "manual"]),
            r#""active_passive""#,
            "`active_passive`: one tier serves; when it has nobody, the next one does at once. \
             `active_active`: all serve by weight. `multi_active`: the first serves, and from less than 72 % \
             of its backends on, each tier carries 1.4 times its part of eligible ones, and the next one \
             the rest. `manual`: nobody moves; what should be done is told.",
            r#""multi_active""#,
        ),
        Setting::with_default(
            "min_healthy",
            Kind::Integer { min: 1, max: 1_000_000 },
            "1",
            "`active_passive`, `manual`: eligible backends below which a tier is not well.",
            "2",
        ),
        Setting::with_default(
            "detection_timeout",
            DELAY,
            r#""10s""#,
            "How long a tier that still has somebody may be below `min_healthy` before another one takes \
             over.",
            r#""3s""#,
        ),
        Setting::with_default(
            "failback",
            Kind::Word(&["auto", "manual", "never"]),
            r#""auto""#,
            "`active_passive`: how the load returns to an earlier tier: by itself, by 10, 25, 50 and \
             100 %; when the operator pins it, which is recommended in the events; or when he does, or \
             the tier that serves fails.",
            r#""manual""#,
        ),
        Setting::with_default(
            "failback_delay",
            DELAY,
            r#""5m""#,
            "How long an earlier tier has to be well before the load returns.",
            r#""1m""#,
        ),
        Setting::with_default(
            "refill_interval",
            DELAY,
            r#""30s""#,
            "Between two steps of the return.",
            r#""10s""#,
        ),
        Setting::optional(
            "load",
            Kind::Integer { min: 1, max: 1_000_000_000 },
            "not known",
            "Requests in a second that come at the busiest hour. `plimsoll check` warns when a tier may not be \
             lost because the others, by their `capacity`, are good for less.",
            "1200",
        ),
        Setting::optional(
            "pin",
            Kind::Integer { min: 0, max: 9 },
            "no tier is held",
            "The only tier that serves, whatever happens.",
            "1",
        ),
    ],
};

pub(super) static PANIC: Section = Section {
    title: "[upstream.NAME.panic]",
    doc: "What happens when so few backends are able to serve that they would drown: below `threshold`, \
          and if those of all tiers together, at 1.4 times their part, cannot carry all requests. It is \
          told in the log, the events, the status and `plimsoll_upstream_panic`. What happens when nobody \
          is left is said by `when_none_eligible`.",
    settings: &[
        Setting::with_default(
            "threshold",
            Kind::Integer { min: 0, max: 100 },
            "50",
            "Part of the enabled backends, in percent, below which it begins; 0 is never.",
            "30",
        ),
        Setting::with_default(
            "action",
            Kind::Word(&["use_all", "reject"]),
            r#""use_all""#,
            "Use all that the operator has not taken out, or answer 503.",
            r#""reject""#,
        ),
        Setting::optional(
            "header",
            Kind::Text,
            "responses do not tell",
            "A header field of responses while all backends are used, by this section or by \
             `when_none_eligible`: it names the upstream and tells how many backends are able to serve.",
            r#""Plimsoll-Panic""#,
        ),
    ],
};

pub(super) static BREAKER: Section = Section {
    title: "[upstream.NAME.breaker]",
    doc: "A circuit breaker of the upstream as a whole: when too many requests to all backends together \
          fail, requests are answered with 503 and `Retry-After` at once, and after a while a few try. What \
          is a failure is said in `passive`. (A single backend is parked: see `passive` and `ejection`.)",
    settings: &[
        Setting::with_default(
            "window",
            LOOK_BACK,
            r#""10s""#,
            "The time that is looked back on, in ten steps.",
            r#""30s""#,
        ),
        Setting::with_default(
            "failure_percent",
            Kind::Integer { min: 1, max: 100 },
            "50",
            "Part of the requests of the window that failed, in percent, at which it opens.",
            "80",
        ),
        Setting::with_default(
            "min_requests",
            Kind::Integer { min: 1, max: 1_000_000 },
            "20",
            "Requests in the window below which it does not open.",
            "100",
        ),
        Setting::with_default(
            "open_for",
            TIMEOUT,
            r#""10s""#,
            "How long it is open the first time; then twice, three times, … as long. Each `open_for` that \
             it is closed takes one off.",
            r#""30s""#,
        ),
        Setting::with_default(
            "max_open",
            TIMEOUT,
            r#""1m""#,
            "How long it is open at most.",
            r#""5m""#,
        ),
        Setting::with_default(
            "trials",
            Kind::Integer { min: 1, max: 1_000 },
            "3",
            "Requests that pass when it was open, and have to succeed before it closes; one that fails \
             opens it again.",
            "10",
        ),
    ],
};

//! Settings of `[upstream.NAME.passive]`.

use crate::config::table::{Kind, Section, Setting, TIMEOUT, TIMEOUT_OR_OFF};

/// A status that tells of a failure.
pub(super) const FAILURE_STATUS: Kind = Kind::Integer { min: 400, max: 599 };

/// Failures that are too many.
pub(super) const MAX_FAILS: Kind = Kind::Integer { min: 0, max: 1_000_000 };

pub(super) static PASSIVE: Section = Section {
    title: "[upstream.NAME.passive]",
    doc: "Judging backends by real requests. Failures to connect, time-outs and invalid responses \
          count. The last backend that is left is never parked.",
    settings: &[
        Setting::with_default(
            "max_fails",
            MAX_FAILS,
            "5",
            "Failures within `fail_timeout` that park a backend; 0 never parks.",
            "3",
        ),
        Setting::with_default(
            "fail_timeout",
            TIMEOUT,
            r#""10s""#,
            "The time in which failures count, and how long a backend is parked the first time.",
            r#""30s""#,
        ),
        Setting::with_default(
            "max_pause",
            TIMEOUT,
            r#""1m""#,
            "A backend that is parked again is out for twice, three times, … `fail_timeout`, but no \
             longer than this. Each `fail_timeout` in service takes one off. Not more than \
             `fail_timeout`: all pauses are alike.",
            r#""10s""#,
        ),
        Setting::with_default(
            "trials",
            Kind::Integer { min: 1, max: 1_000 },
            "1",
            "Requests, one after the other, that have to succeed after the pause before a backend is \
             back in service; the first that fails parks it again.",
            "3",
        ),
        Setting::with_default(
            "retry_after",
            TIMEOUT_OR_OFF,
            r#""off""#,
            "A backend that answers 503 with `Retry-After` is left alone for as long as it says, but not \
             longer than this, as long as not half of the backends are out already; the last one that is left \
             never is.",
            r#""1m""#,
        ),
        Setting::with_default(
            "statuses",
            Kind::List(&FAILURE_STATUS),
            "[]",
            "Statuses that count as failures.",
            "[502, 503, 504]",
        ),
        Setting::with_default(
            "hung_factor",
            Kind::Integer { min: 0, max: 1_000 },
            "10",
            "A backend that is asked, and gives no answer for so many times what 99 of 100 of its own answers \
             took in the last minutes, while other backends answer, is hung: it is parked before the requests \
             that it has time out, is back as soon as it answers them, and else by a trial. So who answers long \
             polls is given the time. That clients gave up before counts as the time that they waited. While a backend has given less than a hundred answers, it is not less \
             than what 99 of 100 answers of the upstream took in the last minute, or of the last hundred where few \
             come. At most half of the backends are out when one is taken out, and where all fall silent at once \
             nobody is. 0 is never; it is so too with `nginx.failures`, and before the upstream has given a \
             hundred answers.",
            "20",
        ),
        Setting::with_default(
            "hung_time",
            TIMEOUT,
            r#""1s""#,
            "A backend is not hung before it has given no answer for so long.",
            r#""3s""#,
        ),
        Setting::with_default(
            "hung_requests",
            Kind::Integer { min: 1, max: 1_000_000 },
            "3",
            "A backend is not hung as long as it got fewer requests since it last began to answer one. A request \
             whose body still comes is among them, and so is one that its client gave up. Where `strategy` gives \
             who is busy fewer than that, such as `least_connections` under little load, it is not found to hang.",
            "10",
        ),
    ],
};

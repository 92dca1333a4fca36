//! Settings of `[upstream.NAME.hedge]`, `.adaptive` and `.admission`.

use super::upstream_ejection::LOOK_BACK;
use crate::config::table::{Kind, Section, Setting, TIMEOUT};

/// As many requests as may be in flight.
const LIMIT: Kind = Kind::Integer { min: 1, max: 1_000_000 };

pub(super) static HEDGE: Section = Section {
    title: "[upstream.NAME.hedge]",
    doc: "A request that takes longer than is usual is sent to a second backend too, and what answers first is \
          passed on; the other attempt is given up, and is `cancelled` in the metrics and the access log. \
          Only the first attempt of a request without a body whose method is idempotent (RFC 9110 §9.2.2) is \
          hedged, no POST ever, and none whose client is bound to its backend (`sticky`). Not with `nginx.failures`.",
    settings: &[
        Setting::with_default(
            "percentile",
            Kind::Float { min: 50.0, max: 99.9 },
            "95.0",
            "What is usual: so many percent of the upstream's response heads of the last minute came within \
             it, or of the last hundred where few come. Before there were so many, nothing is hedged.",
            "99.0",
        ),
        Setting::optional(
            "after",
            TIMEOUT,
            "when `percentile` says",
            "The time after which the second backend is asked, whatever is usual.",
            r#""50ms""#,
        ),
        Setting::with_default(
            "budget",
            Kind::Integer { min: 1, max: 100 },
            "5",
            "Most second requests, in percent of the upstream's other attempts within the last 10 s, per \
             worker; one is allowed in any case.",
            "10",
        ),
    ],
};

pub(super) static ADAPTIVE: Section = Section {
    title: "[upstream.NAME.adaptive]",
    doc: "A limit of the requests in flight at all backends together, over all workers, that adapts itself: once \
          a second it is compared how long response heads took with how long they take in the long run, and \
          where they take longer fewer requests are let in (after Gradient2 of Netflix). What is more waits in \
          the `queue`, or is answered with 503 and `Retry-After`. In place of `max_in_flight`.",
    settings: &[
        Setting::with_default("initial", LIMIT, "20", "The limit at the start.", "50"),
        Setting::with_default("min", LIMIT, "20", "It does not fall below.", "10"),
        Setting::with_default("max", LIMIT, "200", "It does not rise above.", "1000"),
        Setting::with_default(
            "smoothing",
            Kind::Float { min: 0.01, max: 1.0 },
            "0.2",
            "The part of a new limit that is taken up at once.",
            "0.5",
        ),
        Setting::with_default(
            "tolerance",
            Kind::Float { min: 1.0, max: 10.0 },
            "1.5",
            "How many times as long as in the long run response heads may take before the limit falls.",
            "2.0",
        ),
        Setting::with_default(
            "long_window",
            Kind::Integer { min: 10, max: 100_000 },
            "600",
            "Seconds that make the long run.",
            "3600",
        ),
    ],
};

pub(super) static ADMISSION: Section = Section {
    title: "[upstream.NAME.admission]",
    doc: "When too many requests to all backends together fail, a part of those that come is answered with 503 \
          and `Retry-After` at once, so that the rest can be served: of n requests of the window of which `ok` \
          succeeded, (n - ok / target) / (n + 1), after Envoy. What is a failure is said in `passive`. (A \
          `breaker` refuses all for a while; this one refuses what is too much.)",
    settings: &[
        Setting::with_default(
            "window",
            LOOK_BACK,
            r#""30s""#,
            "The time that is looked back on, in ten steps.",
            r#""10s""#,
        ),
        Setting::with_default(
            "success_percent",
            Kind::Integer { min: 1, max: 100 },
            "95",
            "Part of the requests that have to succeed, in percent: below it some are refused.",
            "90",
        ),
        Setting::with_default(
            "min_requests",
            Kind::Integer { min: 1, max: 1_000_000 },
            "20",
            "Requests in the window below which nothing is refused.",
            "100",
        ),
        Setting::with_default(
            "max_percent",
            Kind::Integer { min: 1, max: 99 },
            "80",
            "At most this part of the requests is refused, in percent.",
            "50",
        ),
        Setting::with_default(
            "aggression",
            Kind::Float { min: 0.1, max: 10.0 },
            "1.0",
            "How steeply the refused part rises: above 1 sooner, below 1 later.",
            "2.0",
        ),
    ],
};

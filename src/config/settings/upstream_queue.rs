//! Settings of `[upstream.NAME.queue]`.

use crate::config::table::{Kind, Section, Setting, TIMEOUT};

pub(super) static QUEUE: Section = Section {
    title: "[upstream.NAME.queue]",
    doc: "Requests for which every backend is full (`max_connections`), or the upstream is \
          (`max_in_flight`), or out, wait for their turn instead of being answered with 503. There is \
          one line for all workers: who has the higher priority goes first, and among equals who came \
          first. Whoever comes while others wait goes behind them. Only the first attempt of a request \
          waits. A client that leaves gives up its turn. When a `breaker` opens, whoever waits is answered \
          at once as those who come then.",
    settings: &[
        Setting::with_default(
            "depth",
            Kind::Integer { min: 1, max: 1_000_000 },
            "1024",
            "Requests that wait at once, over all workers; one more is answered with 503.",
            "100",
        ),
        Setting::with_default(
            "timeout",
            TIMEOUT,
            r#""3s""#,
            "How long a request waits; then it is answered with 503. The `total` of `timeouts` goes on \
             meanwhile.",
            r#""10s""#,
        ),
        Setting::with_default(
            "priority",
            Kind::Text,
            r#""5""#,
            "From 0, who goes first, to 9: a number, or a text with `${variables}` that gives one \
             (anything else counts as 5). Lower priorities have a turn only when nobody of a higher one \
             waits.",
            r#""${header.x-priority}""#,
        ),
    ],
};

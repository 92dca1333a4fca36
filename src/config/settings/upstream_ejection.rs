//! Settings of `[upstream.NAME.ejection]`.

use std::time::Duration;

use crate::config::table::{Kind, Section, Setting};

/// A time that is looked back on.
pub(super) const LOOK_BACK: Kind =
    Kind::Duration { min: Duration::from_secs(1), max: Duration::from_hours(1), off: false };

/// Requests or failures, of which 0 switches a rule off.
const NUMBER: Kind = Kind::Integer { min: 0, max: 1_000_000 };

/// A part of a whole, of which 0 switches a rule off.
pub(super) const PERCENT: Kind = Kind::Integer { min: 0, max: 100 };

pub(super) static EJECTION: Section = Section {
    title: "[upstream.NAME.ejection]",
    doc: "Parks backends that stand out by their failures, beside `passive.max_fails`: by failures in a \
          row, by the part of requests that failed, or by a success rate far below that of the others. \
          What is a failure, how long a backend is out and how it comes back is said in `passive`; list \
          there the `statuses` that shall count. The last backend that is left is never ejected.",
    settings: &[
        Setting::with_default(
            "dry_run",
            Kind::Bool,
            "false",
            "Outliers are told of in the log, the events and the metrics, and stay in service.",
            "true",
        ),
        Setting::with_default(
            "window",
            LOOK_BACK,
            r#""10s""#,
            "The time that is looked back on, in ten steps: outliers are looked for after each.",
            r#""30s""#,
        ),
        Setting::with_default(
            "consecutive",
            NUMBER,
            "5",
            "Failures with no success between them, at whatever rate they come; 0 is off.",
            "3",
        ),
        Setting::with_default(
            "failure_percent",
            PERCENT,
            "50",
            "Part of the requests of the window that failed, in percent; 0 is off.",
            "85",
        ),
        Setting::with_default(
            "min_requests",
            NUMBER,
            "20",
            "Requests to a backend in the window below which `failure_percent` is not looked at.",
            "50",
        ),
        Setting::with_default(
            "deviations",
            Kind::Float { min: 0.0, max: 10.0 },
            "1.9",
            "By how many standard deviations a backend's success rate may be below the mean of all. One \
             less than 5 points below it never stands out. 0 is off. Of n backends one alone is never more \
             than √(n - 1) deviations below: of three 1.4, of five 2.",
            "2.5",
        ),
        Setting::with_default(
            "deviation_min_backends",
            Kind::Integer { min: 2, max: 1_000_000 },
            "5",
            "Backends with enough requests below which success rates are not compared.",
            "10",
        ),
        Setting::with_default(
            "deviation_min_requests",
            NUMBER,
            "100",
            "Requests to a backend in the window below which its success rate is not compared.",
            "50",
        ),
        Setting::with_default(
            "max_ejected",
            PERCENT,
            "50",
            "How many of the backends that the operator has in service may be parked when one is \
             ejected, in percent, rounded down; but one of at least two, and never all. 0 is nobody.",
            "10",
        ),
    ],
};

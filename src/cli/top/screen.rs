//! What is shown: two readings, and what has come between them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::reading::{Histogram, Reading};
use crate::cli::operate::{list, text};
use crate::model::Outcome;

/// The process at a moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Screen {
    pub(super) version: String,
    pub(super) phase: String,
    pub(super) status: String,
    pub(super) generation: u64,
    /// Of the configuration in force.
    pub(super) revision: u64,
    /// Whether it goes back unless it proves itself.
    pub(super) is_on_probation: bool,
    pub(super) uptime_seconds: f64,
    /// Requests of clients that ended.
    pub(super) requests_per_second: f64,
    /// Of those, answered with 5xx.
    pub(super) errors_per_second: f64,
    /// Requests of clients under way.
    pub(super) in_flight: u64,
    /// Connections of clients.
    pub(super) connections: u64,
    pub(super) upstreams: Vec<UpstreamRow>,
    /// The last things that happened, the newest first.
    pub(super) events: Vec<EventRow>,
}

/// An upstream.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct UpstreamRow {
    pub(super) name: String,
    pub(super) status: String,
    pub(super) strategy: String,
    pub(super) eligible: u64,
    pub(super) in_flight: u64,
    pub(super) waiting: u64,
    /// Attempts at its backends that ended.
    pub(super) attempts_per_second: f64,
    /// Of those, failed ones.
    pub(super) failures_per_second: f64,
    /// The time to the first byte that half of the attempts stay below; `None`: there were none.
    pub(super) p50_seconds: Option<f64>,
    /// The same of 99 in a hundred.
    pub(super) p99_seconds: Option<f64>,
    pub(super) backends: Vec<BackendRow>,
}

/// A backend.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct BackendRow {
    pub(super) name: String,
    /// One word: what the operator says if that is not `enabled`, else what probes or traffic say.
    pub(super) state: String,
    /// How long it has been so, or the process has run; `None`: longer than events are kept.
    pub(super) state_seconds: Option<f64>,
    pub(super) eligible: bool,
    pub(super) why: String,
    pub(super) weight: u64,
    pub(super) in_flight: u64,
    pub(super) attempts_per_second: f64,
    pub(super) failures_per_second: f64,
    /// Of late, by its moving average; `None`: not asked yet.
    pub(super) response_seconds: Option<f64>,
}

/// Something that happened.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct EventRow {
    pub(super) at: String,
    pub(super) kind: String,
    pub(super) upstream: Option<String>,
    pub(super) backend: Option<String>,
    pub(super) actor: String,
    pub(super) cause: String,
}

/// What has come in the time between two readings.
struct Growth<'a> {
    before: Option<&'a Reading>,
    seconds: f64,
    /// What was counted before, by name.
    counted: BTreeMap<String, u64>,
}

impl Growth<'_> {
    /// By how much a count has grown each second; 0 where it is not known, or counts anew.
    fn of(&self, name: &str, now: u64) -> f64 {
        let grown = self.counted.get(name).and_then(|before| now.checked_sub(*before));
        grown.filter(|_| self.seconds > 0.0).map_or(0.0, |grown| grown as f64 / self.seconds)
    }
}

impl Screen {
    /// What is to be told of `now`, and of what has come since `before`.
    pub(super) fn of(before: Option<&Reading>, now: &Reading) -> Self {
        let growth = Growth {
            before,
            seconds: before.map_or(0.0, |before| now.at.saturating_sub(before.at).as_secs_f64()),
            counted: before.map(|before| counted(before).collect()).unwrap_or_default(),
        };
        let counts: BTreeMap<_, _> = counted(now).collect();
        let rate = |name: &str| growth.of(name, counts.get(name).copied().unwrap_or(0));
        let routes = || list(&now.stats["listeners"]).iter().flat_map(|one| list(&one["routes"]));
        let status = &now.status;
        let uptime = status["uptime_seconds"].as_f64().unwrap_or(0.0);
        Self {
            version: text(status, "version").to_owned(),
            phase: text(status, "phase").to_owned(),
            status: text(status, "status").to_owned(),
            generation: status["generation"].as_u64().unwrap_or(0),
            revision: status["revision"].as_u64().unwrap_or(0),
            is_on_probation: !status["probation"].is_null(),
            uptime_seconds: uptime,
            requests_per_second: rate(REQUESTS),
            errors_per_second: rate(ERRORS),
            in_flight: routes().map(|one| number(one, "in_flight")).sum(),
            connections: sum(list(&status["listeners"]), "connections_active"),
            upstreams: list(&now.stats["upstreams"])
                .iter()
                .map(|one| UpstreamRow::of(one, now, &growth, uptime))
                .collect(),
            events: now.events.iter().rev().map(EventRow::of).collect(),
        }
    }

    /// The backend of that upstream and name.
    pub(super) fn backend(&self, upstream: &str, name: &str) -> Option<&BackendRow> {
        let upstream = self.upstreams.iter().find(|one| one.name == upstream)?;
        upstream.backends.iter().find(|one| one.name == name)
    }
}

impl UpstreamRow {
    fn of(told: &Value, now: &Reading, growth: &Growth<'_>, uptime: f64) -> Self {
        let name = text(told, "name");
        let health = list(&now.status["upstreams"]).iter().find(|one| one["upstream"] == name);
        let before = growth.before.and_then(|before| before.first_byte.get(name));
        let empty = Histogram::default();
        let all = now.first_byte.get(name).unwrap_or(&empty);
        let times = all.since(before.unwrap_or(&empty));
        let of_it = now.backends.iter().filter(|one| one["upstream"] == name);
        let backends: Vec<_> = of_it.map(|one| BackendRow::of(one, now, growth, uptime)).collect();
        Self {
            name: name.to_owned(),
            status: health.map_or("", |one| text(one, "status")).to_owned(),
            strategy: text(told, "strategy").to_owned(),
            eligible: number(told, "eligible"),
            in_flight: number(told, "in_flight"),
            waiting: number(told, "waiting"),
            attempts_per_second: backends.iter().map(|one| one.attempts_per_second).sum(),
            failures_per_second: backends.iter().map(|one| one.failures_per_second).sum(),
            p50_seconds: times.quantile(0.5),
            p99_seconds: times.quantile(0.99),
            backends,
        }
    }
}

impl BackendRow {
    fn of(told: &Value, now: &Reading, growth: &Growth<'_>, uptime: f64) -> Self {
        let (upstream, name) = (text(told, "upstream"), text(told, "backend"));
        let (attempts, failures) = attempts(told);
        let asked = attempts > 0;
        let [attempts, failures] = [("attempts", attempts), ("failures", failures)]
            .map(|(what, count)| growth.of(&format!("{what} {upstream}/{name}"), count));
        Self {
            name: name.to_owned(),
            state: state(told).to_owned(),
            state_seconds: since(told, now, uptime),
            eligible: told["eligible"] == true,
            why: text(told, "why").to_owned(),
            weight: number(told, "weight"),
            in_flight: number(told, "in_flight"),
            attempts_per_second: attempts,
            failures_per_second: failures,
            response_seconds: told["response_time_seconds"].as_f64().filter(|_| asked),
        }
    }
}

impl EventRow {
    fn of(told: &Value) -> Self {
        let owned = |key: &str| told[key].as_str().map(str::to_owned);
        Self {
            at: text(told, "at").to_owned(),
            kind: text(told, "kind").to_owned(),
            upstream: owned("upstream"),
            backend: owned("backend"),
            actor: text(told, "actor").to_owned(),
            cause: text(told, "cause").to_owned(),
        }
    }
}

const REQUESTS: &str = "requests";
const ERRORS: &str = "errors";

/// Every count of which the growth is told, by its name.
fn counted(reading: &Reading) -> impl Iterator<Item = (String, u64)> {
    let routes = || list(&reading.stats["listeners"]).iter().flat_map(|one| list(&one["routes"]));
    let of = |wanted: fn(&str) -> bool| {
        let codes = routes().filter_map(|route| route["requests"].as_object()).flatten();
        codes.filter(|(code, _)| wanted(code)).filter_map(|(_, count)| count.as_u64()).sum()
    };
    let process = [
        (REQUESTS.to_owned(), of(|_| true)),
        (ERRORS.to_owned(), of(|code| code.starts_with('5'))),
    ];
    let backends = reading.backends.iter().flat_map(|one| {
        let name = format!("{}/{}", text(one, "upstream"), text(one, "backend"));
        let (all, failed) = attempts(one);
        [(format!("attempts {name}"), all), (format!("failures {name}"), failed)]
    });
    process.into_iter().chain(backends)
}

/// How many attempts at a backend have ended, and how many failed.
fn attempts(backend: &Value) -> (u64, u64) {
    let count = |outcome: Outcome| backend["attempts"][outcome.name()].as_u64().unwrap_or(0);
    let all = Outcome::ALL.into_iter().map(count).sum();
    (all, Outcome::ALL.into_iter().filter(|one| one.is_failure()).map(count).sum())
}

/// The one word that says most of a backend.
fn state(told: &Value) -> &str {
    let [admin, probed, passive] =
        ["admin_state", "probed_state", "passive_state"].map(|key| text(told, key));
    match (admin, probed, passive) {
        ("enabled", "unprobed" | "up", "ok") => "up",
        ("enabled", "unprobed" | "up", passive) => passive,
        ("enabled", probed, _) => probed,
        (admin, ..) => admin,
    }
}

/// For how long a backend has been what it is: since the last event that made it so, else since the
/// process started; `None` if events of before may be forgotten.
fn since(told: &Value, now: &Reading, uptime: f64) -> Option<f64> {
    let is_of = |event: &&Value| {
        let kind = text(event, "kind");
        let changed = kind.starts_with("backend.") && !UNCHANGED.contains(&kind);
        changed && event["upstream"] == told["upstream"] && event["backend"] == told["backend"]
    };
    let Some(event) = now.events.iter().rfind(is_of) else {
        let none_is_forgotten = now.events.first().is_none_or(|first| first["number"] == 1);
        return none_is_forgotten.then_some(uptime);
    };
    let at = text(event, "at").parse::<Timestamp>().ok()?;
    Some(now.clock.duration_since(at).as_secs_f64().max(0.0))
}

/// Kinds of events that leave a backend what it is.
const UNCHANGED: [&str; 3] =
    ["backend.not_parked", "backend.not_ejected", "backend.would_be_ejected"];

fn number(told: &Value, key: &str) -> u64 {
    told[key].as_u64().unwrap_or(0)
}

fn sum(all: &[Value], key: &str) -> u64 {
    all.iter().map(|one| number(one, key)).sum()
}

//! Who comes when.

use std::time::Duration;

/// Who comes when, and how long serving takes.
#[derive(Debug, Clone, PartialEq)]
pub enum Load {
    /// At the scenario's rate, as if clients knew nothing of each other, with its service times.
    MadeUp,
    /// As it was, once, in this order.
    Recorded(Vec<Arrival>),
}

/// A request that was.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    /// Since the first one.
    pub at: Duration,
    /// How long it took.
    pub took: Duration,
    /// Who asked.
    pub client: String,
}

/// Reads an access log in JSON, as `access_log.format = "json"` writes it. `upstream`: only what went
/// there. Lines that are none of it are passed over.
pub fn recorded(log: &str, upstream: Option<&str>) -> Vec<Arrival> {
    let mut arrivals: Vec<(f64, Arrival)> =
        log.lines().filter_map(|line| read(line, upstream)).collect();
    arrivals.sort_by(|a, b| a.0.total_cmp(&b.0));
    let first = arrivals.first().map_or(0.0, |(at, _)| *at);
    let since = |(at, arrival)| Arrival { at: Duration::from_secs_f64(at - first), ..arrival };
    arrivals.into_iter().map(since).collect()
}

fn read(line: &str, upstream: Option<&str>) -> Option<(f64, Arrival)> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let took = line["duration_seconds"].as_f64().filter(|took| (0.0..1e6).contains(took))?;
    if upstream.is_some_and(|name| line["upstream"] != name) || line["upstream"].is_null() {
        return None;
    }
    let ended: jiff::Timestamp = line["time"].as_str()?.parse().ok()?;
    // A line is written when the request has ended.
    let at = ended.as_microsecond() as f64 / 1e6 - took;
    let client = line["client"].as_str().unwrap_or_default().to_owned();
    Some((at, Arrival { at: Duration::ZERO, took: Duration::from_secs_f64(took), client }))
}

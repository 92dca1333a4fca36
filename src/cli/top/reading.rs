//! What the admin listener tells at one moment.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;

use crate::cli::admin::Place;
use crate::telemetry::names::UPSTREAM_FIRST_BYTE;

/// What was told.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    /// When, since some moment that all readings have in common.
    pub(super) at: Duration,
    /// When, by the clock.
    pub(super) clock: Timestamp,
    /// `/api/v1/ha/status`.
    pub(super) status: Value,
    /// `/api/v1/ha/load-balancer/stats`.
    pub(super) stats: Value,
    /// The backends of `/api/v1/ha/load-balancer/backends`.
    pub(super) backends: Vec<Value>,
    /// The events of `/api/v1/ha/events`, oldest first.
    pub(super) events: Vec<Value>,
    /// The time to the first byte, by upstream.
    pub(super) first_byte: BTreeMap<String, Histogram>,
}

/// Counts by upper bound, each with those of all bounds below it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Histogram(pub(super) Vec<(f64, f64)>);

impl Reading {
    /// Asks for all of it; `begun`: the moment that all readings have in common.
    ///
    /// # Errors
    /// The admin listener does not answer, or refuses.
    pub(super) fn take(place: &Place, begun: Instant) -> io::Result<Self> {
        let list = |mut told: Value, key: &str| match told[key].take() {
            Value::Array(all) => all,
            _ => Vec::new(),
        };
        Ok(Self {
            status: place.get("/api/v1/ha/status")?,
            stats: place.get("/api/v1/ha/load-balancer/stats")?,
            backends: list(place.get("/api/v1/ha/load-balancer/backends")?, "backends"),
            events: list(place.get("/api/v1/ha/events")?, "events"),
            first_byte: histograms(&place.text("/metrics")?, UPSTREAM_FIRST_BYTE.name),
            at: begun.elapsed(),
            clock: Timestamp::now(),
        })
    }
}

/// The histograms of a family in Prometheus's text, by upstream.
fn histograms(metrics: &str, family: &str) -> BTreeMap<String, Histogram> {
    let mut found: BTreeMap<String, Histogram> = BTreeMap::new();
    let buckets = metrics.lines().filter_map(|line| {
        let labels = line.strip_prefix(family)?.strip_prefix("_bucket{")?;
        let (labels, count) = labels.rsplit_once("} ")?;
        // The text of a label may hold anything, a quote only behind a backslash; names of upstreams do not.
        let of = |name: &str| Some(labels.split_once(&format!("{name}=\""))?.1.split_once('"')?.0);
        Some((of("upstream")?, of("le")?.parse().ok()?, count.parse().ok()?))
    });
    for (upstream, bound, count) in buckets {
        found.entry(upstream.to_owned()).or_default().0.push((bound, count));
    }
    found
}

impl Histogram {
    /// What has come since `before`; all of it, if that is of another process.
    pub(super) fn since(&self, before: &Self) -> Self {
        let fits = before.0.len() == self.0.len()
            && before
                .0
                .iter()
                .zip(&self.0)
                .all(|(old, new)| old.0.total_cmp(&new.0).is_eq() && old.1 <= new.1);
        if !fits {
            return self.clone();
        }
        Self(before.0.iter().zip(&self.0).map(|(old, new)| (new.0, new.1 - old.1)).collect())
    }

    /// The value that this part of all is not above, as Prometheus's `histogram_quantile` reckons it:
    /// evenly spread within a bucket. Above the last bound it is that bound. `None` of nothing.
    pub(super) fn quantile(&self, part: f64) -> Option<f64> {
        let all = self.0.last()?.1;
        let rank = part * all;
        let (mut bound_below, mut count_below) = (0.0, 0.0);
        for &(bound, count) in &self.0 {
            if count >= rank && all > 0.0 {
                if !bound.is_finite() || count <= count_below {
                    return Some(bound_below);
                }
                let within = (rank - count_below) / (count - count_below);
                return Some(bound_below + (bound - bound_below) * within);
            }
            (bound_below, count_below) = (bound, count);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = "# HELP x y
plimsoll_upstream_first_byte_seconds_bucket{upstream=\"api\",le=\"0.1\"} 10
plimsoll_upstream_first_byte_seconds_bucket{upstream=\"api\",le=\"0.2\"} 20
plimsoll_upstream_first_byte_seconds_bucket{upstream=\"api\",le=\"+Inf\"} 21
plimsoll_upstream_first_byte_seconds_sum{upstream=\"api\"} 3
plimsoll_upstream_first_byte_seconds_bucket{upstream=\"web\",le=\"+Inf\"} 0
plimsoll_other_seconds_bucket{upstream=\"api\",le=\"1\"} 5
";

    #[test]
    fn quantiles_are_those_of_prometheus() {
        let all = histograms(METRICS, UPSTREAM_FIRST_BYTE.name);
        assert_eq!(all.keys().collect::<Vec<_>>(), ["api", "web"]);
        let api = &all["api"];
        let near = |found: Option<f64>, wanted: f64| (found.unwrap() - wanted).abs() < 1e-9;
        assert!(near(api.quantile(0.5), 0.105), "{:?}", api.quantile(0.5));
        assert!(near(api.quantile(0.99), 0.2), "above the last bound: {:?}", api.quantile(0.99));
        assert_eq!(all["web"].quantile(0.5), None);
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    #[test]
    fn what_has_come_since_is_told_and_a_new_process_begins_anew() {
        let (old, new) = ([(0.1, 4.0), (0.2, 6.0)], [(0.1, 4.0), (0.2, 9.0)]);
        let (old, new) = (Histogram(old.to_vec()), Histogram(new.to_vec()));
        assert_eq!(new.since(&old), Histogram(vec![(0.1, 0.0), (0.2, 3.0)]));
        assert_eq!(old.since(&new), old);
        assert_eq!(new.since(&Histogram::default()), new);
    }
}

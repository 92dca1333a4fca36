//! What came of a simulation.

use std::time::Duration;

use crate::model::Tick;

/// What came of a simulation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Figures {
    /// Requests that were answered or failed.
    pub requests: u64,
    /// Those that failed, after all their attempts.
    pub failed: u64,
    /// Attempts beyond the first ones.
    pub retries: u64,
    /// Second attempts, at another backend, for requests that took long.
    pub hedges: u64,
    /// Requests that were refused before a backend was asked.
    pub shed: u64,
    /// Requests that waited for one, whether they got it or not.
    pub waited: u64,
    /// How often a backend was parked for its failures.
    pub parked: u64,
    /// Of these, how often because it stood out from the others.
    pub ejected: u64,
    /// And how often because it gave no answers.
    pub hung: u64,
    /// How often a backend was found down by probes.
    pub down: u64,
    /// How often requests went to other tiers, or back.
    pub moves: u64,
    /// How often the circuit breaker opened.
    pub opened: u64,
    /// How long after the first change of the scenario the first backend was taken out.
    pub noticed: Option<Duration>,
    /// Attempts by backend, in the order of the file.
    pub attempts: Vec<u64>,
    /// The most that a backend got, as a multiple of the share that its weight gives it.
    pub unevenness: f64,
    /// What happened in each second.
    pub seconds: Vec<Second>,
    /// Of answered requests, in microseconds, the shortest first.
    latencies: Vec<u64>,
}

/// What happened in one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Second {
    /// Requests that ended in it.
    pub requests: u64,
    /// Those that failed.
    pub failed: u64,
    /// The 99th percentile of those that were answered.
    pub p99: Duration,
}

impl Figures {
    /// The time within which this part of the answered requests, 0 to 1, was answered.
    pub fn quantile(&self, part: f64) -> Duration {
        quantile(&self.latencies, part)
    }
}

fn quantile(sorted: &[u64], part: f64) -> Duration {
    let place = (sorted.len() as f64 * part).ceil() as usize;
    Duration::from_micros(sorted.get(place.saturating_sub(1)).copied().unwrap_or(0))
}

/// Takes figures while a simulation runs.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) figures: Figures,
    /// Latencies by second.
    seconds: Vec<(Vec<u64>, u64)>,
}

impl Taken {
    /// A request has ended; `took` if it was answered.
    pub(super) fn ended(&mut self, at: Tick, took: Option<Duration>) {
        let second = (at.0 / 1_000_000) as usize;
        if self.seconds.len() <= second {
            self.seconds.resize_with(second + 1, Default::default);
        }
        let (latencies, failed) = &mut self.seconds[second];
        self.figures.requests += 1;
        if let Some(took) = took {
            latencies.push(took.as_micros() as u64);
        } else {
            *failed += 1;
            self.figures.failed += 1;
        }
    }

    /// All of it, given the backends' weights.
    pub(super) fn finish(mut self, weights: &[u32]) -> Figures {
        for (latencies, failed) in &mut self.seconds {
            latencies.sort_unstable();
            let requests = latencies.len() as u64 + *failed;
            let second = Second { requests, failed: *failed, p99: quantile(latencies, 0.99) };
            self.figures.seconds.push(second);
        }
        let mut all: Vec<u64> =
            self.seconds.into_iter().flat_map(|(latencies, _)| latencies).collect();
        all.sort_unstable();
        self.figures.latencies = all;
        let attempts = &self.figures.attempts;
        let (made, weight) = (attempts.iter().sum::<u64>(), weights.iter().sum::<u32>());
        let shares = attempts.iter().zip(weights).map(|(attempts, own)| {
            *attempts as f64 * f64::from(weight) / (made.max(1) as f64 * f64::from(*own))
        });
        self.figures.unevenness = shares.fold(0.0, f64::max);
        self.figures
    }
}

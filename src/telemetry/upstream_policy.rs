//! Series of what is decided for an upstream as a whole: tiers, circuit breaker, panic.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::names;
use super::text::Text;
use super::upstream::UpstreamSeries;

/// What is decided for an upstream. Written by control, read by a scrape.
#[derive(Debug, Default)]
pub struct PolicySeries(Mutex<Decided>);

#[derive(Debug, Default)]
struct Decided {
    /// What each tier gets of the requests, in percent.
    shares: Vec<u32>,
    /// 0 closed, 1 half-open, 2 open; `None` without one.
    breaker: Option<u8>,
    panic: bool,
    /// Requests that may be in flight; `None`: no limit adapts itself.
    limit: Option<u32>,
    /// The part of the requests that is refused; `None`: none ever is.
    refused: Option<f64>,
    /// Requests in a second that those that serve are good for, and that are asked; `None`: not known.
    room: Option<(f64, f64)>,
    events: BTreeMap<&'static str, u64>,
}

impl PolicySeries {
    /// Notes what each tier gets of the requests, where the circuit breaker stands (0 closed, 1 half-open,
    /// 2 open; `None`: there is none), and whether there is a panic.
    pub fn set(&self, shares: &[u32], breaker: Option<u8>, panic: bool) {
        let mut decided = self.lock();
        shares.clone_into(&mut decided.shares);
        decided.breaker = breaker;
        decided.panic = panic;
    }

    /// Notes how many requests may be in flight by a limit that adapts itself; `None`: there is none.
    pub fn set_limit(&self, limit: Option<u32>) {
        self.lock().limit = limit;
    }

    /// Notes which part of the requests is refused by admission control; `None`: there is none.
    pub fn set_refused(&self, refused: Option<f64>) {
        self.lock().refused = refused;
    }

    /// Notes how many requests in a second those that serve are good for, and how many are asked; `None`:
    /// it is not known.
    pub fn set_room(&self, room: Option<(f64, f64)>) {
        self.lock().room = room;
    }

    /// How many requests in a second those that serve are good for, and how many are asked.
    pub fn room(&self) -> Option<(f64, f64)> {
        self.lock().room
    }

    /// Something was decided, of this kind.
    pub fn event(&self, kind: &'static str) {
        *self.lock().events.entry(kind).or_default() += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Decided> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn encode(all: &[Arc<UpstreamSeries>], text: &mut Text) {
        text.family(&names::UPSTREAM_TIER_SHARE, |samples| {
            for series in all {
                for (tier, share) in series.policy().lock().shares.iter().enumerate() {
                    samples.value(&[series.name(), &tier.to_string()], f64::from(*share) / 100.0);
                }
            }
        });
        text.family(&names::UPSTREAM_BREAKER, |samples| {
            for series in all {
                if let Some(state) = series.policy().lock().breaker {
                    samples.count(&[series.name()], state.into());
                }
            }
        });
        text.family(&names::UPSTREAM_CONCURRENCY_LIMIT, |samples| {
            for series in all {
                if let Some(limit) = series.policy().lock().limit {
                    samples.count(&[series.name()], limit.into());
                }
            }
        });
        text.family(&names::UPSTREAM_REFUSED, |samples| {
            for series in all {
                if let Some(refused) = series.policy().lock().refused {
                    samples.value(&[series.name()], refused);
                }
            }
        });
        let room = |family, of: fn((f64, f64)) -> f64, text: &mut Text| {
            text.family(family, |samples| {
                for series in all {
                    if let Some(room) = series.policy().room() {
                        samples.value(&[series.name()], of(room));
                    }
                }
            });
        };
        room(&names::UPSTREAM_ROOM, |(room, _)| room, text);
        room(&names::UPSTREAM_DEMAND, |(_, demand)| demand, text);
        text.family(&names::UPSTREAM_PANIC, |samples| {
            for series in all {
                samples.count(&[series.name()], series.policy().lock().panic.into());
            }
        });
        text.family(&names::UPSTREAM_POLICY_EVENTS, |samples| {
            for series in all {
                for (kind, count) in &series.policy().lock().events {
                    samples.count(&[series.name(), kind], *count);
                }
            }
        });
    }
}

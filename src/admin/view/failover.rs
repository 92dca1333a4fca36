//! `/api/v1/ha/failover/status`: which tiers serve, and what would change that.

use serde::Serialize;

use super::hash;
use crate::snapshot::{Barrier, Snapshot, Upstream};

/// `/api/v1/ha/failover/status`.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct Failover<'a> {
    generation: u64,
    config_hash: String,
    upstreams: Vec<Group<'a>>,
}

#[derive(Debug, Serialize)]
struct Group<'a> {
    upstream: &'a str,
    /// `null`: a tier serves what those before it cannot.
    strategy: Option<&'static str>,
    /// Where the group stands; `null` without one.
    state: Option<&'static str>,
    /// The tier that the operator holds.
    pin: Option<usize>,
    tiers: Vec<TierView>,
    panic: bool,
    /// Where the circuit breaker stands; `null` without one.
    breaker: Option<&'static str>,
    /// What those that serve are good for; `null` where that is not said.
    room: Option<Room>,
}

#[derive(Debug, Serialize)]
struct Room {
    /// Requests in a second that they are good for.
    capacity: f64,
    /// Requests in a second that come.
    demand: f64,
    /// The part of them that gets 503 for want of room, 0 to 1.
    refused: f64,
}

#[derive(Debug, Serialize)]
struct TierView {
    tier: usize,
    /// Backends that nothing is known to speak against.
    able: usize,
    /// Backends that the operator has in service.
    backends: usize,
    /// What it gets of the requests, in percent; `null`: what those before it cannot serve.
    share: Option<u32>,
}

impl<'a> Failover<'a> {
    pub(in crate::admin) fn of(snapshot: &'a Snapshot) -> Self {
        Self {
            generation: snapshot.generation.0,
            config_hash: hash(snapshot),
            upstreams: snapshot.upstreams.iter().map(|one| Group::of(one)).collect(),
        }
    }
}

impl<'a> Group<'a> {
    fn of(upstream: &'a Upstream) -> Self {
        let course = &upstream.course;
        let share = |tier: usize| Some(course.shares.as_ref()?.get(tier).copied().unwrap_or(0));
        let tiers = (0..).zip(upstream.tiers_by(|_| None));
        Self {
            upstream: &upstream.name,
            strategy: upstream.failover().map(|rules| rules.strategy.name()),
            state: Some(course.group).filter(|group| !group.is_empty()),
            pin: upstream.failover().and_then(|rules| rules.pin),
            tiers: tiers
                .map(|(tier, counted)| TierView {
                    tier,
                    able: counted.eligible,
                    backends: counted.total,
                    share: share(tier),
                })
                .collect(),
            panic: upstream.panic,
            room: upstream.series.policy().room().map(|(capacity, demand)| {
                let beyond = upstream.line.as_ref().map_or(0, |line| line.beyond());
                Room { capacity, demand, refused: f64::from(beyond) / 10_000.0 }
            }),
            breaker: upstream
                .breaker()
                .map(|_| course.barrier.as_ref().map_or("closed", Barrier::name)),
        }
    }
}

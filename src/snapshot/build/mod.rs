//! Configuration and what is known of the backends → [`Snapshot`].
//!
//! `control` calls [`build`] when the configuration changes and [`rebuild`] when only what is known
//! of some upstreams' backends does. Both are pure but for the series they take from the registry
//! and for new identities. What did not change is shared with the snapshot before: an `Arc` that
//! compares equal by pointer is the promise that nothing in it is different.

mod backends;
mod identities;
mod limits;
mod routes;
mod secured;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::balance::{Candidate, Lives, Plan, Settings, Standing, eligible};
use crate::config::model as config;
use crate::model::{
    Address, BackendId, BackendIx, BackendState, Generation, PassiveState, UpstreamIx,
};
use crate::snapshot::{Backend, Snapshot, Sticky, Upstream};
use crate::telemetry::Registry;

use backends::{Gathered, gather};

pub use identities::Identities;

/// Who serves each backend name, sorted. A name that is missing has nobody yet.
pub type Addresses = BTreeMap<config::Query, Vec<Endpoint>>;

/// A server of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// It is not of the first priority.
    pub backup: bool,
    /// Its address.
    pub ip: IpAddr,
    /// Its port, where the answer says.
    pub port: Option<u16>,
    /// Its weight, where the answer says.
    pub weight: Option<u16>,
}

impl Endpoint {
    /// An address without more.
    pub fn plain(ip: IpAddr) -> Self {
        Self { backup: false, ip, port: None, weight: None }
    }
}

/// What is known beside the configuration.
pub struct Known<'a> {
    /// The states of the backends that are known already.
    pub states: &'a dyn Fn(BackendId) -> Option<BackendState>,
    /// What the backend names resolve to.
    pub addresses: &'a Addresses,
    /// Gives ids; the same one for the life of the process.
    pub identities: &'a mut Identities,
    /// Gives series by name.
    pub registry: &'a Registry,
}

/// What a snapshot is built from.
pub struct Input<'a> {
    /// The configuration.
    pub config: &'a config::Config,
    /// Its hash.
    pub hash: u64,
    /// The number that the snapshot gets.
    pub generation: Generation,
    /// The snapshot before; parts of it are used again.
    pub previous: Option<&'a Snapshot>,
    /// All else.
    pub known: Known<'a>,
}

/// Builds the snapshot of a configuration.
pub fn build(input: Input<'_>) -> Snapshot {
    let Input { config, hash, generation, previous, mut known } = input;
    let upstreams: Box<[_]> = config
        .upstreams
        .values()
        .map(|section| {
            match previous.and_then(|snapshot| snapshot.upstream_by_name(&section.name)) {
                Some(before) if *before.source == *section => {
                    upstream(Arc::clone(&before.source), Some(before), &mut known)
                }
                before => upstream(Arc::new(section.clone()), before, &mut known),
            }
        })
        .collect();
    let limits = limits::limits(config, previous, known.registry);
    Snapshot {
        generation,
        config_hash: hash,
        listeners: routes::listeners(config, &limits, previous, known.registry),
        upstreams,
        max_connections: config.process.max_connections,
        limits: limits.into_values().map(|(_, limit)| limit).collect(),
        access_log: config.process.access_log.format.clone(),
        log_when: config.process.access_log.when.clone().map(Arc::new),
        asked: config.asked,
    }
}

/// Builds the snapshot after `previous` when only what is known of the backends in `changed` is
/// new. Costs the plans of those upstreams and one pointer for each of the others.
pub fn rebuild(
    previous: &Snapshot,
    changed: &BTreeSet<UpstreamIx>,
    generation: Generation,
    mut known: Known<'_>,
) -> Snapshot {
    let mut upstreams = previous.upstreams.clone();
    for ix in changed {
        let before = previous.upstream(*ix);
        upstreams[ix.index()] = upstream(Arc::clone(&before.source), Some(before), &mut known);
    }
    Snapshot {
        generation,
        config_hash: previous.config_hash,
        listeners: previous.listeners.clone(),
        upstreams,
        max_connections: previous.max_connections,
        limits: previous.limits.clone(),
        access_log: previous.access_log.clone(),
        log_when: previous.log_when.clone(),
        asked: previous.asked,
    }
}

/// Builds one upstream, or gives `before` again when nothing in it changes.
fn upstream(
    source: Arc<config::Upstream>,
    before: Option<&Arc<Upstream>>,
    known: &mut Known<'_>,
) -> Arc<Upstream> {
    let Gathered { backends, live, entries } =
        gather(&source, before.map(|before| &**before), known);
    if let Some(before) = before
        && Arc::ptr_eq(&before.source, &source)
        && before.backends.len() == backends.len()
        && before.backends.iter().zip(&backends).all(|(old, new)| Arc::ptr_eq(old, new))
    {
        return Arc::clone(before);
    }
    let standings: Vec<_> = backends.iter().map(|backend| standing(backend)).collect();
    let fail_open_allowed = source.when_none_eligible == config::WhenNoneEligible::FailOpen;
    let judged = eligible(&standings, fail_open_allowed);
    let tier = |before: Option<&Plan>, belongs: fn(&Backend) -> bool| {
        plan(&source, &backends, &judged.eligible, belongs, before)
    };
    let tallies = tallies(&source, &backends);
    let sticky = source.sticky.as_ref().map(|by| {
        let route = |number: &u32| source.backends[*number as usize].route.as_deref();
        Box::new(Sticky::new(by, &backends, entries.iter().map(route)))
    });
    Arc::new(Upstream {
        id: known.identities.upstream(&source.name),
        name: source.name.clone(),
        strategy: source.strategy,
        key: source.key.clone(),
        protocol: source.protocol,
        primary: tier(before.map(|before| &before.primary), |backend| !backend.backup),
        backup: tier(before.map(|before| &before.backup), |backend| backend.backup),
        backends: backends.into(),
        live: Lives::succeed(live),
        entries: entries.into(),
        eligible: judged.eligible.into(),
        trials: judged.trials.into(),
        fail_open: judged.fail_open,
        pool: source.pool.clone(),
        passive: source.passive.clone(),
        sticky,
        source_address: source.source,
        send_proxy: source.send_proxy,
        nginx: source.nginx,
        tallies,
        series: known.registry.upstream(&source.name),
        source,
    })
}

/// Whether failures are counted as in nginx, which does not count those of a single server.
fn tallies(source: &config::Upstream, backends: &[Arc<Backend>]) -> bool {
    source.nginx.failures && backends.len() > 1
}

fn standing(backend: &Backend) -> Standing {
    Standing { state: backend.state, backup: backend.backup }
}

fn plan(
    source: &config::Upstream,
    backends: &[Arc<Backend>],
    eligible: &[bool],
    belongs: fn(&Backend) -> bool,
    before: Option<&Plan>,
) -> Plan {
    let settings = Settings {
        strategy: source.strategy,
        choices: source.choices,
        bounded_load: source.bounded_load,
        second_of_equals: source.nginx.turns,
    };
    let tallies = tallies(source, backends);
    let candidates: Vec<_> = (0..)
        .zip(backends)
        .zip(eligible)
        .filter(|((_, backend), _)| belongs(backend))
        .map(|((ix, backend), eligible)| Candidate {
            ix: BackendIx(ix),
            id: backend.id,
            label: written(backend),
            weight: backend.weight,
            eligible: *eligible,
            max_connections: backend.max_connections,
            failures: tallies.then_some(backend.limits),
        })
        .collect();
    match before {
        // What does not depend on health, above all a ring, is taken over.
        Some(before) => before.rebuild(&settings, &candidates),
        None => Plan::build(&settings, &candidates),
    }
}

/// The address as it is written, of which a ring is made: a name keeps its place whatever it resolves
/// to, and its addresses share it.
fn written(backend: &Backend) -> &str {
    match backend.address {
        Address::Ip(_) => &backend.authority,
        Address::Unix(_) => &backend.label,
    }
}

impl Upstream {
    /// Whether any backend could still be picked if `parked` were parked, all others being in the
    /// states that `states` tells.
    pub fn stands_without(
        &self,
        parked: BackendId,
        states: impl Fn(BackendId) -> Option<BackendState>,
    ) -> bool {
        let standings: Vec<_> = self
            .backends
            .iter()
            .map(|backend| {
                let mut standing = standing(backend);
                standing.state = states(backend.id).unwrap_or(backend.state);
                if backend.id == parked {
                    standing.state.passive = PassiveState::Trial;
                }
                standing
            })
            .collect();
        eligible(&standings, false).eligible.contains(&true)
    }
}

#[cfg(test)]
mod tests;

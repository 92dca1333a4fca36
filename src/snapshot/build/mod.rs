//! Configuration and what is known of the backends → [`Snapshot`].
//!
//! `control` calls [`build`] when the configuration changes and [`rebuild`] when only what is known
//! of some upstreams' backends does. Both are pure but for the series they take from the registry
//! and for new identities. What did not change is shared with the snapshot before: an `Arc` that
//! compares equal by pointer is the promise that nothing in it is different.

mod identities;
mod routes;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ahash::AHashMap;

use crate::balance::{Candidate, Lives, Plan, Settings, Standing, eligible};
use crate::config::model as config;
use crate::model::{
    Address, AdminState, BackendId, BackendIx, BackendState, Generation, PassiveState, ProbedState,
    UpstreamIx,
};
use crate::snapshot::{Backend, Snapshot, Upstream};
use crate::telemetry::Registry;

pub use identities::Identities;

/// The addresses of each backend name, sorted. A name that is missing has none yet.
pub type Addresses = BTreeMap<String, Vec<IpAddr>>;

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
    Snapshot {
        generation,
        config_hash: hash,
        listeners: routes::listeners(config, known.registry),
        upstreams,
        access_log: config.process.access_log.format,
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
        access_log: previous.access_log,
    }
}

/// Builds one upstream, or gives `before` again when nothing in it changes.
fn upstream(
    source: Arc<config::Upstream>,
    before: Option<&Arc<Upstream>>,
    known: &mut Known<'_>,
) -> Arc<Upstream> {
    let (backends, live) = backends(&source, before, known);
    if let Some(before) = before
        && Arc::ptr_eq(&before.source, &source)
        && before.backends.iter().map(identity).eq(backends.iter().map(identity))
    {
        return Arc::clone(before);
    }
    let standings: Vec<_> = backends.iter().map(standing).collect();
    let fail_open_allowed = source.when_none_eligible == config::WhenNoneEligible::FailOpen;
    let judged = eligible(&standings, fail_open_allowed);
    let tier = |before: Option<&Plan>, belongs: fn(&Backend) -> bool| {
        plan(&source, &backends, &judged.eligible, belongs, before)
    };
    Arc::new(Upstream {
        id: known.identities.upstream(&source.name),
        name: source.name.clone(),
        strategy: source.strategy,
        key: source.key.clone(),
        protocol: source.protocol,
        primary: tier(before.map(|before| &before.primary), |backend| !backend.backup),
        backup: tier(before.map(|before| &before.backup), |backend| backend.backup),
        backends,
        live,
        eligible: judged.eligible.into(),
        trials: judged.trials.into(),
        fail_open: judged.fail_open,
        pool: source.pool.clone(),
        passive: source.passive.clone(),
        series: known.registry.upstream(&source.name),
        source,
    })
}

/// With the same section, the same id stands for the same label, address and settings.
fn identity(backend: &Backend) -> (BackendId, BackendState) {
    (backend.id, backend.state)
}

fn standing(backend: &Backend) -> Standing {
    Standing { state: backend.state, backup: backend.backup }
}

fn plan(
    source: &config::Upstream,
    backends: &[Backend],
    eligible: &[bool],
    belongs: fn(&Backend) -> bool,
    before: Option<&Plan>,
) -> Plan {
    let settings = Settings {
        strategy: source.strategy,
        choices: source.choices,
        bounded_load: source.bounded_load,
    };
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

/// The backends of a section, one for each address of a name, with their counters.
fn backends(
    source: &config::Upstream,
    before: Option<&Arc<Upstream>>,
    known: &mut Known<'_>,
) -> (Box<[Backend]>, Lives) {
    let handles: AHashMap<BackendId, _> = before
        .into_iter()
        .flat_map(|before| before.backends.iter().zip(before.live.iter()))
        .map(|(backend, live)| (backend.id, (&backend.series, live)))
        .collect();
    let mut backends = Vec::with_capacity(source.backends.len());
    let mut counters = Vec::with_capacity(source.backends.len());
    for entry in &source.backends {
        for (label, address) in places(&entry.address, known.addresses) {
            let id = known.identities.backend(&source.name, &label);
            let state = state((known.states)(id), entry.state, source.health.is_some());
            let (series, live) = match handles.get(&id) {
                Some((series, live)) => (Arc::clone(series), Some(Arc::clone(live))),
                None => (known.registry.backend(&source.name, &label), None),
            };
            counters.push(live);
            backends.push(Backend {
                id,
                label,
                address,
                authority: authority(&entry.address),
                weight: entry.weight,
                backup: entry.backup,
                max_connections: entry.max_connections,
                state,
                series,
            });
        }
    }
    (backends.into(), Lives::succeed(counters))
}

/// The `Host` of a backend. A socket's path is none; it is on this machine.
fn authority(written: &config::BackendAddress) -> String {
    match written {
        config::BackendAddress::Unix(_) => "localhost".to_owned(),
        address => address.to_string(),
    }
}

/// Label and address of each place that a written address stands for.
fn places(written: &config::BackendAddress, addresses: &Addresses) -> Vec<(String, Address)> {
    match written {
        config::BackendAddress::Ip(address) => vec![(written.to_string(), Address::Ip(*address))],
        config::BackendAddress::Unix(path) => {
            vec![(written.to_string(), Address::Unix(path.clone()))]
        }
        config::BackendAddress::Name(name, port) => addresses
            .get(name)
            .into_iter()
            .flatten()
            .map(|ip| (format!("{written}/{ip}"), Address::Ip(SocketAddr::new(*ip, *port))))
            .collect(),
    }
}

/// What was known, as far as it still applies. The operator's word is the configuration's.
fn state(known: Option<BackendState>, admin: AdminState, probed: bool) -> BackendState {
    let known = known.unwrap_or_default();
    let probed = match (probed, known.probed) {
        (false, _) => ProbedState::Unprobed,
        (true, ProbedState::Unprobed) => ProbedState::Checking,
        (true, verdict) => verdict,
    };
    BackendState { admin, probed, passive: known.passive }
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

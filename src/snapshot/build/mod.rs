//! Configuration and what is known of the backends → [`Snapshot`].
//!
//! `control` calls [`build`] when the configuration changes and [`rebuild`] when only what is known
//! of some upstreams' backends does. Both are pure but for the series they take from the registry
//! and for new identities. What did not change is shared with the snapshot before: an `Arc` that
//! compares equal by pointer is the promise that nothing in it is different.

mod backends;
mod identities;
mod limits;
mod offline;
mod plans;
mod routes;
mod secured;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::balance::{Eligibility, Lives, Policy, Standing, Subset, eligible, tiers};
use crate::config::model as config;
use crate::limit::Line;
use crate::model::{
    AdminState, BackendId, BackendIx, BackendState, Generation, ProbedState, UpstreamIx, Weight,
};
use crate::policy::spill::Tier;
use crate::snapshot::upstream::panic_of;
use crate::snapshot::{Backend, Course, Snapshot, Sticky, Upstream, places, room};
use crate::telemetry::Registry;
use crate::tls::Challenges;

use backends::{Gathered, gather};
use plans::{open, plans, tallies};

pub use backends::known_as;
pub use identities::Identities;
pub use offline::Offline;

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

/// What the operator says of a backend, in place of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Order {
    /// Its weight.
    pub weight: Option<Weight>,
    /// Its admin state.
    pub admin: Option<AdminState>,
}

/// What the operator says, by the upstream's name and the backend's label.
pub type Orders = BTreeMap<String, BTreeMap<String, Order>>;

/// What is known beside the configuration.
pub struct Known<'a> {
    /// The states of the backends that are known already.
    pub states: &'a dyn Fn(BackendId) -> Option<BackendState>,
    /// What the operator says of backends beside the configuration.
    pub orders: &'a Orders,
    /// What is decided for the upstream of that name as a whole.
    pub courses: &'a dyn Fn(&str) -> Course,
    /// What the backend names resolve to.
    pub addresses: &'a Addresses,
    /// Gives ids; the same one for the life of the process.
    pub identities: &'a mut Identities,
    /// Gives series by name.
    pub registry: &'a Registry,
    /// Where answers for authorities of certificates stand; the same for the life of the process.
    pub challenges: &'a Arc<Challenges>,
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
        listeners: routes::listeners(config, &limits, previous, (known.registry, known.challenges)),
        rules: config.routes.clone().into(),
        upstreams,
        max_connections: config.process.max_connections,
        memory_limit: config.process.memory_limit,
        limits: limits.into_values().map(|(_, limit)| limit).collect(),
        tracing: config.tracing.clone(),
        access_log: config.process.access_log.format.clone(),
        log_when: config.process.access_log.when.clone().map(Arc::new),
        asked: config.asked,
        admin_tls: secured::admin(config, previous, known.challenges),
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
        rules: Arc::clone(&previous.rules),
        upstreams,
        max_connections: previous.max_connections,
        memory_limit: previous.memory_limit,
        limits: previous.limits.clone(),
        tracing: previous.tracing.clone(),
        access_log: previous.access_log.clone(),
        log_when: previous.log_when.clone(),
        asked: previous.asked,
        admin_tls: previous.admin_tls.clone(),
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
    let course = (known.courses)(&source.name);
    if let Some(before) = before
        && Arc::ptr_eq(&before.source, &source)
        && before.course == course
        && before.backends.len() == backends.len()
        && before.backends.iter().zip(&backends).all(|(old, new)| Arc::ptr_eq(old, new))
    {
        return Arc::clone(before);
    }
    let standings: Vec<_> = backends.iter().map(|backend| backend.standing()).collect();
    let mut judged = eligible(&standings, &policy(&source, &course));
    narrow(&source, &backends, &mut judged);
    let plans = |eligible: &[bool], shares: Option<&[u32]>| {
        plans(&source, &backends, (eligible, shares), before)
    };
    let open = open(&judged, &backends, course.shares.as_deref(), plans);
    let (tiers, behind) = match course.barrier {
        Some(_) => (plans(&vec![false; backends.len()], None), Some(Box::new(open))),
        None => (open, None),
    };
    let trials = if behind.is_some() { Vec::new() } else { judged.trials };
    let tallies = tallies(&source, &backends);
    let sticky = source.sticky.as_ref().map(|by| {
        let route = |number: &u32| source.backends[*number as usize].route.as_deref();
        let before = before.and_then(|before| before.sticky.as_deref());
        Box::new(Sticky::new((by, before), &backends, entries.iter().map(route)))
    });
    Arc::new(Upstream {
        id: known.identities.upstream(&source.name),
        name: source.name.clone(),
        strategy: source.strategy,
        key: source.key.clone(),
        protocol: source.protocol,
        tiers,
        course,
        behind,
        panic: judged.panic,
        announcement: announcement(&source, &standings, judged.fail_open),
        backends: backends.into(),
        live: Lives::succeed(live),
        entries: entries.into(),
        eligible: judged.eligible.into(),
        trials: trials.into(),
        fail_open: judged.fail_open,
        line: line(&source, before.map(|before| &**before)),
        hedge: source.hedge.clone(),
        queue: source.queue.clone(),
        pool: source.pool.clone(),
        passive: source.passive.clone(),
        sticky,
        source_address: source.source.clone(),
        transparent: source.transparent,
        measures_whole: source.measures_whole,
        tls_name: source.tls_name.clone(),
        own_files: source.own_files.clone(),
        send_proxy: source.send_proxy,
        nginx: source.nginx,
        tallies,
        placed: places::are_told(&source),
        series: known.registry.upstream(&source.name),
        source,
    })
}

/// Leaves of the eligible those that this node uses, of the degraded beside the others apart: else a node might
/// be left with degraded ones alone. Where backends are used that are not known to work, all are: who of them
/// works is what is to be found.
fn narrow(source: &config::Upstream, backends: &[Arc<Backend>], judged: &mut Eligibility) {
    if let Some(config::Subset { size, node }) = &source.subset
        && !judged.fail_open
    {
        let subset = Subset { node, size: *size };
        let group = |one: &Backend| (one.tier, one.state.probed == ProbedState::Degraded);
        let backends = backends.iter().map(|backend| (group(backend), &*backend.label));
        subset.narrow(&mut judged.eligible, backends.clone());
        subset.narrow(&mut judged.unproven, backends);
    }
}

/// What is declared and decided for all backends together.
fn policy<'a>(source: &config::Upstream, course: &'a Course) -> Policy<'a> {
    Policy {
        fail_open: source.when_none_eligible == config::WhenNoneEligible::FailOpen,
        panic: source.panic.as_ref().map(panic_of),
        shares: course.shares.as_deref(),
        strict: course.strict,
    }
}

/// The line in responses while backends are used that are not known to work, if it is asked for.
fn announcement(
    source: &config::Upstream,
    standings: &[Standing],
    fail_open: bool,
) -> Option<Box<[u8]>> {
    let header = source.panic.as_ref()?.header.as_ref().filter(|_| fail_open)?;
    let tiers = tiers(standings);
    let able: usize = tiers.iter().map(|tier| tier.eligible).sum();
    let all: usize = tiers.iter().map(|tier| tier.total).sum();
    let line = format!("{header}: upstream={}; able={able}/{all}\r\n", source.name);
    Some(line.into_bytes().into())
}

/// Where requests are counted and wait, if they do: the same as before.
fn line(source: &config::Upstream, before: Option<&Upstream>) -> Option<Arc<Line>> {
    let (adaptive, admission) = (&source.adaptive, &source.admission);
    let is_limited = source.max_in_flight > 0 || adaptive.is_some() || admission.is_some();
    if !is_limited && source.queue.is_none() && !room::is_told(source) {
        return None;
    }
    let known = before.and_then(|before| before.line.clone().zip(Some(before)));
    let line = known.as_ref().map(|(line, _)| Arc::clone(line)).unwrap_or_default();
    match adaptive {
        None => line.set_most(source.max_in_flight),
        // Where it goes on adapting itself, it stays where it is.
        Some(rules) if known.is_none_or(|(_, before)| before.source.adaptive != *adaptive) => {
            line.set_most(rules.initial);
        }
        Some(_) => {}
    }
    if admission.is_none() {
        line.set_refused(0);
    }
    if !room::is_told(source) {
        line.set_beyond(0);
    }
    Some(line)
}

impl Upstream {
    /// How many backends of each tier are in service, and able to serve, in the states that `states`
    /// tells.
    pub fn tiers_by(&self, states: impl Fn(BackendId) -> Option<BackendState>) -> Vec<Tier> {
        let standing = |backend: &Arc<Backend>| Standing {
            state: states(backend.id).unwrap_or(backend.state),
            ..backend.standing()
        };
        tiers(&self.backends.iter().map(standing).collect::<Vec<_>>())
    }

    /// Whether any backend could still be picked, for its health, if `gone` were out, all others being
    /// in the states that `states` tells.
    pub fn stands_without(
        &self,
        gone: BackendId,
        states: impl Fn(BackendId) -> Option<BackendState>,
    ) -> bool {
        self.stands_but_for(|ix| self.backends[ix.index()].id == gone, states, false)
    }

    /// The same if all of whom `gone` says so were out; with `fail_open` whoever is used for want of
    /// a healthy one counts too.
    pub fn stands_but_for(
        &self,
        gone: impl Fn(BackendIx) -> bool,
        states: impl Fn(BackendId) -> Option<BackendState>,
        fail_open: bool,
    ) -> bool {
        let standings: Vec<_> = (0..)
            .map(BackendIx)
            .zip(&self.backends)
            .map(|(ix, backend)| {
                let mut standing = backend.standing();
                standing.state = states(backend.id).unwrap_or(backend.state);
                if gone(ix) {
                    // Whatever else is said of it, that it is forced up too.
                    standing.state.admin = AdminState::Disabled;
                }
                standing
            })
            .collect();
        let policy = policy(&self.source, &self.course);
        let policy = Policy { fail_open, panic: None, ..policy };
        eligible(&standings, &policy).eligible.contains(&true)
    }
}

#[cfg(test)]
mod tests;

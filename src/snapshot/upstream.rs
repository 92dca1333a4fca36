//! An upstream as the data plane sees it: backends, plans, handles.

use std::sync::Arc;
use std::time::Duration;

use crate::balance::{Cursors, Limits, Lives, Panic, Pick, Standing, Strategy, Tiers};
use crate::config::model as config;
use crate::limit::Line;
use crate::model::{
    Address, AdminState, BackendId, BackendIx, BackendState, Tick, UpstreamId, Weight, WorkerIx,
};
use crate::snapshot::settings::{
    Hedge, OwnFiles, Passive, Pool, Protocol, ProxyVersion, Queue, Source, Template, UpstreamNginx,
};
use crate::snapshot::{Barrier, Course, Sticky};
use crate::telemetry::{BackendSeries, UpstreamSeries};
use crate::tls::{BackendTerms, ToBackend};

/// A named group of backends with everything an attempt needs.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each asked for by name")]
#[derive(Debug)]
pub struct Upstream {
    /// Identity across reloads.
    pub id: UpstreamId,
    /// The name.
    pub name: String,
    /// The strategy's name, for status and logs.
    pub strategy: Strategy,
    /// Hash input; only strategies that need a key read it.
    pub key: Template,
    /// Protocol towards the backends.
    pub protocol: Protocol,
    /// The backends; `BackendIx` is a place in here. Shared with the generations before, as far as
    /// they are the same.
    pub backends: Box<[Arc<Backend>]>,
    /// The backends' shared counters in the same order, as the plans want them.
    pub live: Lives,
    /// Picks among the backends, tier by tier. While a circuit breaker keeps requests out, nobody can be
    /// picked.
    pub tiers: Tiers,
    /// What control has decided for all backends together.
    pub course: Course,
    /// Picks for the trials of a circuit breaker that is not closed.
    pub(super) behind: Option<Box<Tiers>>,
    /// Which backends the plans pick from, in the same order; with `fail_open` those are the ones
    /// that are tried all the same.
    pub eligible: Box<[bool]>,
    /// Parked backends whose trial request is due. Usually empty.
    pub trials: Box<[BackendIx]>,
    /// No backend is eligible by its health, or too few are, and all of them are tried all the same.
    pub fail_open: bool,
    /// Too few backends are able to serve: the declared panic is in force.
    pub panic: bool,
    /// A line in the head of responses that tells of that, complete.
    pub announcement: Option<Box<[u8]>>,
    /// Its requests under way and those that wait, if either is limited or some are refused; the same over
    /// reloads.
    pub line: Option<Arc<Line>>,
    /// How requests wait; `None`: they do not.
    pub queue: Option<Queue>,
    /// When a second backend is asked.
    pub hedge: Option<Hedge>,
    /// Idle connections.
    pub pool: Pool,
    /// What counts as a failure.
    pub passive: Passive,
    /// What binds clients to backends.
    pub sticky: Option<Box<Sticky>>,
    /// The address that connections leave from.
    pub source_address: Option<Source>,
    /// That address may be another machine's.
    pub transparent: bool,
    /// The time until a response's last byte counts, not until its head.
    pub measures_whole: bool,
    /// The text that gives the name by which each request's backend is known in TLS.
    pub tls_name: Option<Template>,
    /// The files of our own certificate, where each request says which.
    pub own_files: Option<Arc<OwnFiles>>,
    /// The header of the PROXY protocol that connections begin with.
    pub send_proxy: Option<ProxyVersion>,
    /// What is done as nginx does it.
    pub nginx: UpstreamNginx,
    /// Failures are counted as in nginx; of a single backend they are not.
    pub tallies: bool,
    /// It is said in which zones or regions its backends stand.
    pub(super) placed: bool,
    /// Counters.
    pub series: Arc<UpstreamSeries>,
    /// The place in the section of the entry that each backend comes from.
    pub(super) entries: Box<[u32]>,
    /// The section it was built from: compared at a reload, read again at a rebuild.
    pub(super) source: Arc<config::Upstream>,
}

/// What keeps requests from a backend beside what the operator, probes and traffic say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hindrance {
    /// It failed too often, as nginx counts.
    Failed,
    /// As many requests are under way there as may be.
    Full,
}

impl Upstream {
    /// Fresh cursors for a worker; `seed` staggers them.
    pub fn cursors(&self, worker: WorkerIx, seed: u64) -> Cursors {
        let (worker, seed) = if self.nginx.turns { (WorkerIx(0), 0) } else { (worker, seed) };
        self.plans().cursors(worker, seed)
    }

    /// Carries cursors of an older generation of this upstream over to its present plans.
    pub fn refit(&self, cursors: &mut Cursors) {
        self.plans().refit(cursors);
    }

    /// The plans by which backends are picked, be it only for trials.
    pub(super) fn plans(&self) -> &Tiers {
        self.behind.as_deref().unwrap_or(&self.tiers)
    }

    /// Whether a request that comes now has to wait, or perhaps cannot be served, whoever is free: as many
    /// as allowed are under way, others wait, or a part of the requests is refused.
    #[inline]
    pub fn is_crowded(&self) -> bool {
        let refuses = |line: &Line| line.refused() > 0 || line.beyond() > 0;
        let crowded = |line: &Line| line.is_awaited() || line.is_full() || refuses(line);
        self.line.as_deref().is_some_and(crowded)
    }

    /// How its backends are probed.
    pub fn checks(&self) -> &[config::Check] {
        &self.source.checks
    }

    /// How who goes down again and again is kept down; `None`: nobody is.
    pub fn flap(&self) -> Option<&config::FlapDamping> {
        self.source.flap.as_ref()
    }

    /// How long a backend that joins takes to get its whole weight.
    pub fn slow_start(&self) -> Option<Duration> {
        self.source.slow_start
    }

    /// What makes a backend an outlier; `None`: nobody looks for outliers.
    pub fn ejection(&self) -> Option<&config::Ejection> {
        self.source.ejection.as_ref()
    }

    /// Whether this node uses a few of the backends only.
    pub fn is_subset(&self) -> bool {
        self.source.subset.is_some()
    }

    /// How its limit of requests in flight adapts itself.
    pub fn adaptive(&self) -> Option<&config::Adaptive> {
        self.source.adaptive.as_ref()
    }

    /// When a part of its requests is refused.
    pub fn admission(&self) -> Option<&config::Admission> {
        self.source.admission.as_ref()
    }

    /// On what terms its connections are secured, if they are.
    pub fn tls(&self) -> Option<&Arc<BackendTerms>> {
        self.source.tls.as_ref()
    }

    /// Whether this is asked for a backend.
    pub fn asks(&self, query: &config::Query) -> bool {
        let mut queries = self.source.backends.iter().filter_map(|one| self.source.query(one));
        queries.any(|asked| asked == *query)
    }

    /// How many backends the operator has in service: as many tries as nginx allows.
    pub fn in_service(&self) -> usize {
        self.backends.iter().filter(|one| one.state.admin != AdminState::Disabled).count()
    }

    /// What the configuration says of a backend; those of one name share it.
    pub fn declared(&self, ix: BackendIx) -> &config::Backend {
        &self.source.backends[self.entries[ix.index()] as usize]
    }

    /// What the configuration has, in its order: of a name one entry, whatever it resolves to.
    pub fn written(&self) -> &[config::Backend] {
        &self.source.backends
    }

    /// The place of the backend of that id.
    pub fn place_of(&self, id: BackendId) -> Option<BackendIx> {
        let place = self.backends.iter().position(|one| one.id == id)?;
        u32::try_from(place).ok().map(BackendIx)
    }

    /// Picks a backend for one attempt, or none.
    #[inline]
    pub fn pick(&self, cursors: &mut Cursors, pick: &mut Pick<'_>) -> Option<BackendIx> {
        self.tiers.pick(cursors, pick).or_else(|| self.pick_behind(cursors, pick))
    }

    /// Whom [`Upstream::pick`] would pick; no permit of a circuit breaker is spent.
    pub fn preview(&self, cursors: &mut Cursors, pick: &mut Pick<'_>) -> Option<BackendIx> {
        let passes = self.course.barrier.as_ref().is_some_and(|barrier| barrier.permits() > 0);
        let behind = self.behind.as_deref().filter(|_| passes);
        behind.unwrap_or(&self.tiers).pick(cursors, pick)
    }

    /// What keeps requests from a backend beside its states, at this moment.
    pub fn keeps_from(&self, ix: BackendIx, now: Tick) -> Option<Hindrance> {
        let (backend, live) = (&self.backends[ix.index()], &self.live[ix.index()]);
        let most = backend.max_connections;
        if self.tallies && live.is_out(&backend.limits, now) {
            Some(Hindrance::Failed)
        } else if most > 0 && live.in_flight() >= most {
            Some(Hindrance::Full)
        } else {
            None
        }
    }

    /// Picks a backend for a trial, where a circuit breaker keeps all other requests out.
    #[cold]
    fn pick_behind(&self, cursors: &mut Cursors, pick: &mut Pick<'_>) -> Option<BackendIx> {
        let (barrier, tiers) = (self.course.barrier.as_ref()?, self.behind.as_ref()?);
        if let Barrier::Open { .. } = barrier {
            return None;
        }
        // A permit is for who has a backend: it is not spent where all of them are full.
        let ix = tiers.pick(cursors, pick)?;
        barrier.lets_pass().then_some(ix)
    }

    /// How its tiers share the work; `None`: each serves what those before it cannot.
    pub fn failover(&self) -> Option<&config::Failover> {
        self.source.failover.as_ref()
    }

    /// Its circuit breaker.
    pub fn breaker(&self) -> Option<&config::Breaker> {
        self.source.breaker.as_ref()
    }

    /// How many backends have to be able to serve for a panic to end.
    pub fn least_able(&self) -> usize {
        let enabled = self.in_rotation();
        self.source.panic.as_ref().map_or(1, |panic| panic_of(panic).least(enabled))
    }

    /// How many backends the operator has in rotation.
    fn in_rotation(&self) -> usize {
        self.backends.iter().filter(|one| one.state.admin.in_rotation()).count()
    }

    /// How many backends nothing is known to speak against, and how many the operator has in rotation.
    pub fn able(&self) -> (usize, usize) {
        let standings: Vec<_> = self.backends.iter().map(|one| one.standing()).collect();
        let tiers = crate::balance::tiers(&standings);
        (tiers.iter().map(|tier| tier.eligible).sum(), tiers.iter().map(|tier| tier.total).sum())
    }
}

/// A panic as the rule of eligibility knows it.
pub(super) fn panic_of(panic: &config::Panic) -> Panic {
    Panic { threshold: panic.threshold, use_all: panic.use_all }
}

impl Backend {
    /// What the rule of eligibility looks at.
    pub(super) fn standing(&self) -> Standing {
        Standing { state: self.state, tier: self.tier }
    }
}

/// One backend at one address.
#[derive(Debug, Clone)]
pub struct Backend {
    /// Identity across reloads.
    pub id: BackendId,
    /// The name in metrics, logs and hashes: the address as written, or for one of the addresses
    /// of a DNS name `name:port/address`.
    pub label: String,
    /// Where to connect.
    pub address: Address,
    /// `Host` for the policy `backend`: the address as written, without what resolving added.
    pub authority: String,
    /// Its share.
    pub weight: Weight,
    /// Its tier: 0 are the primaries.
    pub tier: u8,
    /// Requests in flight per process; 0 is no limit.
    pub max_connections: u32,
    /// How many failures take it out, and for how long.
    pub limits: Limits,
    /// What is known of it.
    pub state: BackendState,
    /// How it is met; `None`: connections are plain.
    pub tls: Option<Arc<ToBackend>>,
    /// Counters.
    pub series: Arc<BackendSeries>,
}

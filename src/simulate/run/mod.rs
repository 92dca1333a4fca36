//! The loop: what is due next happens next.

mod hedge;
mod line;
mod serving;
mod watch;

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::balance::{Key, Need, OwnedInFlight, Pick, Rng, Tried};
use crate::config::model::Config;
use crate::model::{BackendIx, Found, Outcome, Tick, WorkerIx};
use crate::policy::admission::ALL;
use crate::proxy::budget::{Budget, Counted};
use crate::proxy::retry::{Decision, Facts, decide, longest_pause};
use crate::simulate::backend::{Chance, Queue};
use crate::simulate::figures::{Figures, Taken};
use crate::simulate::keeper::Keeper;
use crate::simulate::load::{Arrival, Load};
use crate::simulate::scenario::{Effect, Scenario};
use crate::snapshot::Cursors;
use crate::snapshot::build::Offline;
use hedge::Hedging;
use line::Line;

/// Workers of the process.
const WORKERS: usize = 2;

/// From us to a backend and back; also how long a refused connection takes.
const ROUND_TRIP: Duration = Duration::from_micros(200);

/// After which a budget of retries takes a new mark.
const SECOND: Duration = Duration::from_secs(1);

/// When a broken request breaks off.
const BREAKS_AFTER: Duration = Duration::from_millis(1);

/// Clients, each with a key of its own.
const CLIENTS: u32 = 1_000;

/// Why an upstream cannot be simulated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It is not in the configuration.
    #[error("there is no upstream `{0}`")]
    Unknown(String),
    /// Failures are counted as in nginx.
    #[error("failures of `{0}` are counted as in nginx (`nginx.failures`), which is not simulated")]
    Tallies(String),
}

/// Runs a scenario over an upstream of a configuration.
///
/// # Errors
/// See [`Unfit`].
pub fn simulate(
    config: &Config,
    upstream: &str,
    scenario: &Scenario,
    load: &Load,
    seed: u64,
) -> Result<Figures, Unfit> {
    let unknown = || Unfit::Unknown(upstream.to_owned());
    let section = config.upstreams.get(upstream).ok_or_else(unknown)?;
    if section.nginx.failures {
        return Err(Unfit::Tallies(upstream.to_owned()));
    }
    let keeper = Keeper::new(Offline::new(config), upstream).ok_or_else(unknown)?;
    let policy = &section.retry;
    let patience = Patience {
        connect: section.timeouts.connect,
        read: section.timeouts.read,
        total: section.timeouts.total,
    };
    let backends = keeper.upstream().backends.len();
    let seeds = 0..WORKERS as u64;
    let cursors = seeds.map(|n| keeper.upstream().cursors(WorkerIx(n as u16), n * 7 + seed));
    let mut run = Run {
        cursors: cursors.collect(),
        queues: (0..backends).map(|_| Queue::default()).collect(),
        keeper,
        scenario,
        policy,
        patience,
        now: Tick(0),
        due: BinaryHeap::new(),
        regular: 0,
        numbered: 0,
        budgets: vec![(Counted::default(), Budget::new(Counted::default())); WORKERS],
        requests: Vec::new(),
        attempts: Vec::new(),
        chance: Chance::new(seed),
        picks: Rng::new(seed ^ 0x5eed),
        taken: Taken::default(),
        steers: None,
        hedging: section.hedge.as_ref().map(|terms| Hedging::of(terms, WORKERS)),
        line: Line::default(),
    };
    run.taken.figures.attempts = vec![0; backends];
    run.all(load);
    (run.taken.figures.moves, run.taken.figures.opened) = (run.keeper.moves, run.keeper.opened);
    let weights = run.keeper.upstream().backends.iter().map(|one| one.weight.value());
    let weights: Vec<u32> = weights.collect();
    Ok(run.taken.finish(&weights))
}

/// How long is waited for backends.
#[derive(Debug, Clone, Copy)]
struct Patience {
    connect: Duration,
    read: Duration,
    total: Option<Duration>,
}

/// What happens at some time.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// A request comes; the place of a recorded one.
    Comes(usize),
    /// An attempt ends.
    Ends(usize, Outcome),
    /// A backend has served an attempt.
    Served(usize),
    /// A pause is over.
    PauseOver(BackendIx),
    /// Outliers are looked for.
    Look,
    /// Hung backends are looked for.
    Listen,
    /// A second is over.
    Second,
    /// A request is sent again.
    Again(usize),
    /// A backend is probed.
    Probe(BackendIx),
    /// A probe ends that began then.
    Probed(BackendIx, Found, Tick),
    /// The tiers are looked at again.
    Steer,
    /// A step of the circuit breaker's window is over.
    Breaker,
    /// A step of admission control is over.
    Gate,
    /// A backend warms up, or was kept down.
    LookAgain(BackendIx),
    /// An attempt may take long.
    Hedge(usize),
    /// A request may still wait, and no longer.
    Late(usize),
}

impl Event {
    /// It comes again and again, whatever happens.
    fn is_regular(self) -> bool {
        matches!(
            self,
            Self::Look
                | Self::Listen
                | Self::Second
                | Self::Probe(_)
                | Self::Probed(..)
                | Self::Steer
                | Self::Breaker
                | Self::Gate
        )
    }
}

/// What is due when; what was put down first goes first.
struct Due(Tick, u64, Event);

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.0, other.1).cmp(&(self.0, self.1))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Due {}

struct Request {
    began: Tick,
    tries: u32,
    tried: Tried,
    worker: usize,
    client: u32,
    service: Option<Duration>,
    /// Two attempts beside each other.
    pair: Option<(usize, usize)>,
}

struct Attempt {
    request: usize,
    backend: BackendIx,
    began: Tick,
    trial: bool,
    /// The circuit breaker let it pass to try.
    tries: bool,
    /// Counts it as long as it is under way.
    held: Option<OwnedInFlight>,
}

struct Run<'c> {
    keeper: Keeper<'c>,
    scenario: &'c Scenario,
    policy: &'c crate::snapshot::settings::Retry,
    patience: Patience,
    cursors: Vec<Cursors>,
    queues: Vec<Queue>,
    now: Tick,
    due: BinaryHeap<Due>,
    /// How many of these come again and again.
    regular: usize,
    numbered: u64,
    /// What each worker has counted, and its budget of retries.
    budgets: Vec<(Counted, Budget)>,
    requests: Vec<Request>,
    attempts: Vec<Attempt>,
    chance: Chance,
    picks: Rng,
    taken: Taken,
    /// When the tiers are looked at again.
    steers: Option<Tick>,
    hedging: Option<Hedging<'c>>,
    line: Line,
}

impl Run<'_> {
    fn at(&mut self, after: Duration, event: Event) {
        self.numbered += 1;
        self.regular += usize::from(event.is_regular());
        self.due.push(Due(self.now.after(after), self.numbered, event));
    }

    /// The same as long as anything happens that does not come by itself.
    fn at_regularly(&mut self, after: Option<Duration>, event: Event) {
        if let Some(after) = after
            && self.due.len() > self.regular
        {
            self.at(after, event);
        }
    }

    /// Everything that happens, until nothing is due any more.
    fn all(&mut self, load: &Load) {
        self.at(Duration::ZERO, Event::Comes(0));
        self.at_regularly(self.keeper.look(), Event::Look);
        self.at_regularly(self.keeper.listen(), Event::Listen);
        self.at_regularly(Some(SECOND), Event::Second);
        self.at_regularly(self.keeper.breaker_step(), Event::Breaker);
        self.at_regularly(self.keeper.guards.gate_step(), Event::Gate);
        if self.keeper.check().is_some() {
            for ix in (0..self.queues.len() as u32).map(BackendIx) {
                let draw = self.chance.even();
                self.at_regularly(self.keeper.first_probe(draw), Event::Probe(ix));
            }
        }
        self.refit();
        while let Some(Due(at, _, event)) = self.due.pop() {
            self.now = at;
            self.regular -= usize::from(event.is_regular());
            match event {
                Event::Comes(place) => self.comes(load, place),
                Event::Ends(attempt, outcome) => self.ends(attempt, outcome),
                Event::Served(attempt) => self.served(attempt),
                Event::PauseOver(ix) => {
                    self.keeper.pause_ended(ix, at);
                    self.refit();
                }
                Event::Look => self.look(),
                Event::Listen => self.listen(),
                Event::Second => {
                    for (counted, budget) in &mut self.budgets {
                        budget.mark(*counted);
                    }
                    self.look_at_usual();
                    if self.keeper.guards.adapts() {
                        self.keeper.sample_load(at);
                    }
                    self.at_regularly(Some(SECOND), Event::Second);
                }
                Event::Again(request) => self.attempt(request),
                Event::Probe(ix) => self.probe(ix),
                Event::Probed(ix, found, began) => self.probed(ix, found, began),
                Event::Steer => self.refit(),
                Event::Breaker => self.look_at_breaker(),
                Event::Gate => {
                    self.keeper.look_at_gate();
                    self.at_regularly(self.keeper.guards.gate_step(), Event::Gate);
                }
                Event::LookAgain(ix) => {
                    self.keeper.look_again(ix, at);
                    self.refit();
                }
                Event::Hedge(attempt) => self.hedge(attempt),
                Event::Late(request) => self.late(request),
            }
            self.call();
        }
    }

    fn time(&self) -> Duration {
        self.now.since(Tick(0))
    }

    /// How the effects of that kind, at this time, multiply.
    fn factor(&self, to: Option<BackendIx>, of: fn(Effect, f64) -> Option<f64>) -> Option<f64> {
        let now = self.time();
        let under_way = self
            .scenario
            .changes
            .iter()
            .filter(|change| to.is_none_or(|ix| change.to.contains(&ix.index())));
        let factors = under_way.filter_map(|change| of(change.effect, change.progress(now)?));
        factors.fold(None, |product, factor| Some(product.unwrap_or(1.0) * factor))
    }

    fn comes(&mut self, load: &Load, place: usize) {
        let (client, service) = match load {
            Load::MadeUp => {
                let rush = self.factor(None, |effect, _| match effect {
                    Effect::Rush(times) => Some(times),
                    _ => None,
                });
                let gap = self.chance.gap(self.scenario.rate * rush.unwrap_or(1.0));
                if self.time() + gap < self.scenario.time {
                    self.at(gap, Event::Comes(0));
                }
                (self.chance.below(CLIENTS), None)
            }
            Load::Recorded(arrivals) => {
                let Some(arrival) = arrivals.get(place) else { return };
                if let Some(next) = arrivals.get(place + 1) {
                    self.at(next.at.saturating_sub(arrival.at), Event::Comes(place + 1));
                }
                (number(arrival), Some(arrival.took))
            }
        };
        let worker = self.requests.len() % WORKERS;
        let (began, tried) = (self.now, Tried::new());
        let pair = None;
        self.requests.push(Request { began, tries: 0, tried, worker, client, service, pair });
        if self.sheds() {
            self.taken.figures.shed += 1;
            return self.taken.ended(self.now, None);
        }
        let place = self.requests.len() - 1;
        let found = if self.is_crowded() { None } else { self.choose(place) };
        match found {
            Some(found) => self.ask(place, found),
            None => self.join(place),
        }
    }

    /// Whether a request is refused before a backend is asked.
    fn sheds(&mut self) -> bool {
        let (guards, upstream) = (&self.keeper.guards, self.keeper.upstream());
        let is_beyond = guards.adapts() && upstream.queue.is_none() && guards.is_full(upstream);
        let refused = guards.refused();
        is_beyond || (refused > 0 && self.chance.below(ALL) < refused)
    }

    /// Begins another attempt for a request, or ends it where nobody is left.
    fn attempt(&mut self, place: usize) {
        match self.choose(place) {
            Some(found) => self.ask(place, found),
            None => self.taken.ended(self.now, None),
        }
    }

    /// Asks a backend that was picked.
    fn ask(&mut self, place: usize, (backend, trial): (BackendIx, bool)) {
        let request = &mut self.requests[place];
        request.tries += 1;
        let is_first = request.tries == 1;
        self.taken.figures.retries += u64::from(!is_first);
        let number = self.begin(place, backend, trial);
        if is_first {
            self.hedge_later(number);
        }
    }

    /// Sends a request to a backend; gives the attempt's number.
    fn begin(&mut self, place: usize, backend: BackendIx, trial: bool) -> usize {
        self.requests[place].tried.insert(backend);
        self.taken.figures.attempts[backend.index()] += 1;
        let held = Some(self.keeper.upstream().live[backend.index()].enter_owned());
        let number = self.attempts.len();
        let began = self.now;
        let tries = self.keeper.upstream().course.barrier.is_some();
        self.attempts.push(Attempt { request: place, backend, began, trial, tries, held });
        self.send(number, backend);
        number
    }

    fn ends(&mut self, number: usize, outcome: Outcome) {
        let attempt = &mut self.attempts[number];
        if attempt.held.take().is_none() {
            // It was given up, or has been answered.
            return;
        }
        let Attempt { request: place, backend, trial, tries, .. } = *attempt;
        let (now, took) = (self.now, self.now.since(attempt.began));
        let failed = outcome.is_failure();
        let upstream = self.keeper.upstream();
        let (live, limits) =
            (&upstream.live[backend.index()], upstream.backends[backend.index()].limits);
        upstream.backends[backend.index()].series.worker(WorkerIx(0)).attempt(outcome, took);
        if failed {
            live.observe_failure(took, now);
        } else {
            upstream.series.worker(WorkerIx(0)).first_byte(took);
            live.observe(took, now);
        }
        let worker = self.requests[place].worker;
        self.budgets[worker].0.attempts += 1;
        let crossed =
            failed && !trial && live.record_failure(now, limits.fail_timeout, limits.max_fails);
        self.keeper.count(backend, failed, tries);
        let news = match (trial, crossed) {
            (true, _) => self.keeper.trial_ended(backend, !failed, now),
            (false, true) => self.keeper.crossed(backend, now),
            (false, false) => None,
        };
        self.heard(backend, news);
        let other = self.beside(number);
        if !failed {
            if let Some(other) = other {
                self.give_up(other);
            }
            let whole = now.since(self.requests[place].began);
            return self.taken.ended(now, Some(whole));
        }
        if other.is_some() {
            // The other one may still answer.
            return;
        }
        self.again(place, outcome);
    }

    /// Another attempt, if there may be one.
    fn again(&mut self, place: usize, outcome: Outcome) {
        let request = &self.requests[place];
        let elapsed = self.now.since(request.began);
        let (counted, budget) = &self.budgets[request.worker];
        let sent = outcome != Outcome::ConnectFailed;
        let decision = decide(&Facts {
            outcome,
            status: None,
            sent,
            stale: false,
            shown: false,
            idempotent: true,
            replayable: true,
            elsewhere: false,
            within_budget: budget.allows((self.policy.budget, self.policy.budget_min), *counted),
            tries: request.tries,
            elapsed,
            policy: self.policy,
        });
        let late = self.patience.total.is_some_and(|total| elapsed >= total);
        if decision != Decision::AnotherBackend || late {
            return self.taken.ended(self.now, None);
        }
        let Request { worker, tries, .. } = self.requests[place];
        self.budgets[worker].0.retries += u64::from(sent);
        match self.policy.backoff.filter(|_| sent) {
            None => self.attempt(place),
            Some(first) => {
                let pause = longest_pause(first, tries).mul_f64(self.chance.even());
                self.at(pause, Event::Again(place));
            }
        }
    }

    fn choose(&mut self, place: usize) -> Option<(BackendIx, bool)> {
        let Self { keeper, cursors, requests, picks, now, .. } = self;
        let (upstream, request) = (keeper.upstream(), &requests[place]);
        let due = upstream
            .trials
            .iter()
            .find(|ix| !request.tried.contains(**ix) && upstream.live[ix.index()].begin_trial());
        if let Some(ix) = due {
            return Some((*ix, true));
        }
        let bytes = request.client.to_be_bytes();
        let key = match upstream.strategy.needs() {
            Need::ClientAddress => {
                // Networks of clients, for the hash leaves out the last part of an address.
                let address = Ipv4Addr::from((10 << 24) | (request.client << 8) | 1);
                Key::Address(IpAddr::V4(address))
            }
            Need::Key => Key::Bytes(&bytes),
            Need::Nothing => Key::None,
        };
        let live = &upstream.live;
        let mut pick = Pick { key, live, tried: &request.tried, now: *now, rng: picks };
        upstream.pick(&mut cursors[request.worker], &mut pick).map(|ix| (ix, false))
    }
}

/// A number for the client of a recorded request.
fn number(arrival: &Arrival) -> u32 {
    // FNV-1a: the same on every machine.
    let hash = arrival
        .client
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash % CLIENTS
}

//! The loop: what is due next happens next.

mod asking;
mod event;
mod hedge;
mod line;
mod serving;
mod watch;

use std::collections::BinaryHeap;
use std::time::Duration;

use crate::balance::{OwnedInFlight, Rng, Tried};
use crate::config::model::Config;
use crate::model::{BackendIx, Tick, WorkerIx};
use crate::proxy::budget::{Budget, Counted};
use crate::simulate::backend::{Chance, Queue};
use crate::simulate::figures::{Figures, Taken};
use crate::simulate::keeper::Keeper;
use crate::simulate::load::Load;
use crate::simulate::scenario::{Effect, Scenario};
use crate::snapshot::Cursors;
use crate::snapshot::build::Offline;
use event::{Due, Event};
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
                Event::Again(request) => {
                    self.line.pausing -= 1;
                    self.attempt(request);
                }
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
}

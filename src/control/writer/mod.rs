//! The loop: takes commands, events and what falls due, one after the other, and publishes.
//!
//! All news that waits at one moment goes into one snapshot. Nothing here waits for I/O: loading
//! and resolving run beside it and come back as one more piece of news.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::acme::Keeper;
use crate::config::model::Query;
use crate::config::{Loaded, model as config};
use crate::control::backends::{Backends, Change};
use crate::control::course::Courses;
use crate::control::ejection::Windows;
use crate::control::history::Told;
use crate::control::hung::Silences;
use crate::control::journal::Journal;
use crate::control::keep;
use crate::control::learned::{Learned, Recalled};
use crate::control::ledger::{self, Ledger};
use crate::control::load::Loads;
use crate::control::meter::Meter;
use crate::control::names::Names;
use crate::control::prepare::{Command, Prepared};
use crate::control::room::Rooms;
use crate::control::said::{By, Said};
use crate::control::tell;
use crate::control::timers::Timers;
use crate::control::watch::Watch;
use crate::control::{Origin, Stage};
use crate::dns::{Answer, Dns};
use crate::model::{BackendId, Clock, Event, UpstreamId, UpstreamIx};
use crate::snapshot::build::{self, Identities, Known, Orders};
use crate::snapshot::{Cell, Reader, Snapshot};
use crate::telemetry::Registry;
use crate::tls::Challenges;

mod reload;

/// Events that are taken up together at most.
const BATCH: usize = 1024;

/// How long the loop sleeps when nothing is due.
const LONG: Duration = Duration::from_hours(1);

/// What can fall due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// The next probe of a backend by the check of this number.
    Probe(BackendId, u64),
    /// The end of the time that a backend is kept down.
    Settle(BackendId),
    /// The next step in which a backend gets more of its weight.
    Warm(BackendId),
    /// The end of a backend's pause, or of the patience with its trial.
    Passive(BackendId),
    /// Outliers of an upstream are to be looked for.
    Outliers(UpstreamId),
    /// Hung backends are to be looked for.
    Silence,
    /// An upstream's tiers are to be looked at again.
    Steer(UpstreamId),
    /// A step of a circuit breaker's window is over.
    Breaker(UpstreamId),
    /// A limit that adapts itself takes a sample.
    Concurrency(UpstreamId),
    /// A step of the window of admission control is over.
    Admission(UpstreamId),
    /// What was asked of an upstream is counted.
    Room(UpstreamId),
    /// A name is to be resolved again.
    Resolve(Query),
    /// Something that operators said ends.
    Words,
    /// What is counted of requests is to be noted.
    Mark,
    /// The configuration on probation is to be looked at.
    Probation,
}

/// How the loop is reached: with commands and with news.
type Senders = (mpsc::WeakSender<Command>, mpsc::Sender<Event>);

/// Where it tells what operators say, and which configurations came into force.
type Tells = (watch::Sender<keep::Now>, watch::Sender<ledger::Now>);

/// The loop's own world.
pub(super) struct Control {
    cell: Cell,
    /// What `cell` holds.
    pub(super) snapshot: Arc<Snapshot>,
    /// What the process before this one knew, until the first configuration is in force.
    recalled: Recalled,
    identities: Identities,
    pub(super) registry: Arc<Registry>,
    challenges: Arc<Challenges>,
    keeper: Keeper,
    stage: Box<dyn Stage>,
    journal: Journal,
    /// What is known of each backend in `snapshot`.
    pub(super) backends: Backends,
    /// What happened to backends since the last snapshot.
    pub(super) changes: Vec<Change>,
    /// What was counted lately where outliers are looked for.
    pub(super) windows: Windows,
    /// What was seen where hung backends are looked for.
    pub(super) silences: Silences,
    /// What was seen where the load of upstreams is watched.
    pub(super) loads: Loads,
    /// What is asked where it is said what backends are good for.
    pub(super) rooms: Rooms,
    /// What is decided for upstreams as a whole.
    pub(super) courses: Courses,
    /// Those for which that changed since the last snapshot.
    pub(super) steered: BTreeSet<UpstreamIx>,
    /// Upstreams whose names resolve to other addresses since the last snapshot, and which names.
    moved: BTreeMap<UpstreamIx, String>,
    /// Upstreams with backends that have another part of their weight since the last snapshot.
    pub(super) reweighed: BTreeSet<UpstreamIx>,
    /// Checks that were begun since the process started.
    pub(super) checks_begun: u64,
    pub(super) timers: Timers<Due>,
    pub(super) random: fastrand::Rng,
    /// For probes to report to.
    pub(super) events: mpsc::Sender<Event>,
    pub(super) commands: mpsc::WeakSender<Command>,
    preparation: JoinSet<Option<Prepared>>,
    names: Names,
    pub(super) file: Option<PathBuf>,
    watch: Watch,
    fingerprint: u64,
    watch_interval: Option<Duration>,
    /// The configuration in force as it was loaded, without what operators say beside it.
    pub(super) loaded: Loaded,
    /// What they say.
    pub(super) said: Arc<Said>,
    /// The same, as snapshots are built with it.
    pub(super) orders: Orders,
    /// Where it is told.
    pub(super) told_said: watch::Sender<keep::Now>,
    /// The configurations that came into force, and what is on probation.
    pub(super) ledger: Arc<Ledger>,
    /// Where it is told.
    pub(super) told_ledger: watch::Sender<ledger::Now>,
    /// Where all that is written down; `None`: it is not.
    pub(super) folder: Option<PathBuf>,
    /// What is counted to judge a configuration by.
    pub(super) meter: Meter,
    /// What the process was started with, and keeps until its end.
    pub(super) started: (config::Process, Option<config::Admin>),
    /// What was told of the files' configuration that was refused last, so that it is not told again until it
    /// differs; `None`: the files hold what is in force.
    refused: Option<String>,
}

impl Control {
    /// Builds the first snapshot.
    pub(super) fn new(
        (loaded, answers, learned): (Loaded, Vec<Answer>, Vec<Learned>),
        file: Option<PathBuf>,
        registry: Arc<Registry>,
        stage: Box<dyn Stage>,
        dns: Dns,
        ((commands, events), (told_said, told_ledger)): (Senders, Tells),
    ) -> Self {
        let cell = Cell::new(Snapshot::empty());
        let ledger = Arc::clone(&told_ledger.borrow().1);
        let (mut identities, now) = (Identities::default(), Clock::now());
        let mut control = Self {
            snapshot: cell.load(),
            cell,
            recalled: Recalled::new(learned, &mut identities, now),
            identities,
            keeper: Keeper::default(),
            challenges: Arc::default(),
            registry,
            stage,
            journal: Journal::default(),
            backends: Backends::default(),
            changes: Vec::new(),
            windows: Windows::default(),
            silences: Silences::default(),
            loads: Loads::default(),
            rooms: Rooms::default(),
            courses: Courses::default(),
            steered: BTreeSet::new(),
            moved: BTreeMap::new(),
            reweighed: BTreeSet::new(),
            checks_begun: 0,
            timers: Timers::default(),
            random: fastrand::Rng::new(),
            events,
            commands,
            preparation: JoinSet::new(),
            names: Names::new(dns),
            file,
            watch: Watch::default(),
            fingerprint: loaded.fingerprint,
            watch_interval: loaded.config.process.watch_interval,
            started: (loaded.config.process.clone(), loaded.config.admin.clone()),
            refused: None,
            ledger,
            told_ledger,
            folder: loaded.config.admin.as_ref().and_then(|admin| admin.state.clone()),
            meter: Meter::default(),
            loaded: loaded.clone(),
            said: Arc::default(),
            orders: Orders::new(),
            told_said,
        };
        let ended = control.recall_said();
        let by = By::of(Origin::Start);
        control.apply((loaded, answers), Origin::Start, &by, None, true);
        control.count_loaded();
        control.tell_ended(&ended);
        control.resume_probation();
        control.begin_to_count();
        let recalled = mem::take(&mut control.recalled);
        control.resume_pauses(&recalled, now);
        control
    }

    pub(super) fn reader(&self) -> Reader {
        self.cell.reader()
    }

    /// Whether a change is under way, or held back.
    pub(super) fn is_busy(&self) -> bool {
        !self.preparation.is_empty()
    }

    pub(super) fn journal(&self) -> Journal {
        self.journal.clone()
    }

    /// Runs until every handle is gone.
    pub(super) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut events: mpsc::Receiver<Event>,
    ) {
        let mut heard = Vec::with_capacity(BATCH);
        loop {
            let pause = self.timers.next().map_or(LONG, |at| at.since(Clock::now()));
            tokio::select! {
                // One at a time: a later command must not overtake an earlier one.
                command = commands.recv(), if self.preparation.is_empty() => match command {
                    Some(command) => self.prepare(command),
                    None => return,
                },
                Some(prepared) = self.preparation.join_next() => self.prepared(prepared),
                Some(answer) = self.names.next() => self.resolved(answer),
                _ = events.recv_many(&mut heard, BATCH) => {
                    heard.drain(..).for_each(|event| self.hear(event));
                }
                () = tokio::time::sleep(pause) => {}
            }
            let now = Clock::now();
            while let Some(due) = self.timers.pop(now) {
                match due {
                    Due::Probe(id, check) => self.probe(id, check),
                    Due::Settle(id) => self.let_go(id, now),
                    Due::Warm(id) => self.weigh(id, now),
                    Due::Passive(id) => self.pause_ended(id, now),
                    Due::Outliers(id) => self.look_for_outliers(id, now),
                    Due::Silence => self.listen_for_silence(now),
                    Due::Steer(id) => self.steer_again(id, now),
                    Due::Breaker(id) => self.look_at_breaker(id, now),
                    Due::Concurrency(id) => self.sample_load(id, now),
                    Due::Admission(id) => self.look_at_gate(id, now),
                    Due::Room(id) => self.count_asked(id, now),
                    Due::Resolve(query) => self.names.ask(query),
                    Due::Words => self.words_ended(),
                    Due::Mark => self.mark_figures(),
                    Due::Probation => self.look_at_probation(),
                }
            }
            self.publish_changes();
        }
    }

    /// A certificate that was stored is taken up as any file that changed.
    pub(super) fn take_up_certificate(&self) {
        let Some(commands) = self.commands.upgrade() else { return };
        let (reply, _) = oneshot::channel();
        // Where there is no room, a reload is on its way that takes it up too.
        let by = By::of(Origin::Acme);
        let _ = commands.try_send(Command::Reload { origin: Origin::Acme, by, reply });
    }

    /// The answer to a name that was asked for again.
    fn resolved(&mut self, answer: Answer) {
        let query = answer.query.clone();
        let heard = self.names.answered(answer, &mut self.timers, self.registry.process());
        for (ix, upstream) in (0..).zip(&self.snapshot.upstreams) {
            if !upstream.asks(&query) {
                continue;
            }
            if heard.differs {
                self.moved.insert(UpstreamIx(ix), query.to_string());
            }
        }
        if let Some(told) = heard.told {
            self.tell_of_name(&query, &told);
        }
    }

    /// Tells something of a name to all upstreams that ask for it.
    pub(super) fn tell_of_name(&self, query: &Query, told: &Told) {
        let upstreams = (0..).map(UpstreamIx).zip(&self.snapshot.upstreams);
        for (place, _) in upstreams.filter(|(_, upstream)| upstream.asks(query)) {
            self.note_now((place, None), told.clone());
        }
    }

    /// Publishes what was heard since the last snapshot, if anything.
    pub(super) fn publish_changes(&mut self) {
        let touched = self.changes.iter().map(|change| change.upstream).collect();
        self.steer_all(&touched, Clock::now());
        if self.changes.is_empty()
            && self.moved.is_empty()
            && self.steered.is_empty()
            && self.reweighed.is_empty()
        {
            return;
        }
        let (changes, moved) = (mem::take(&mut self.changes), mem::take(&mut self.moved));
        let steered = mem::take(&mut self.steered);
        let mut touched = touched;
        touched.extend(moved.keys().chain(&steered).chain(&mem::take(&mut self.reweighed)));
        let next =
            self.built(|known, now| build::rebuild(now, &touched, now.generation.next(), known));
        for change in &changes {
            let (place, told) = change.happened();
            self.note(place, told);
        }
        let (origin, cause) = tell::cause(&self.snapshot, &changes, &moved, &steered);
        let before = self.publish(next, origin, cause);
        for change in &changes {
            change.tell(&before, &self.snapshot);
        }
        self.look_at_rooms(&touched);
        if !moved.is_empty() {
            self.track(&before);
            // Their backends are others now.
            self.steer_all(&moved.into_keys().collect(), Clock::now());
            if !self.steered.is_empty() {
                self.publish_changes();
            }
        }
    }

    /// Has the next snapshot built by what is known, and by the present one.
    fn built(&mut self, build: impl FnOnce(Known<'_>, &Arc<Snapshot>) -> Snapshot) -> Snapshot {
        let known = Known {
            // Before the first configuration is in force nothing else is known of them.
            states: &|id| self.backends.state(id).or_else(|| self.recalled.state(id)),
            orders: &self.orders,
            courses: &|name| self.courses.course(name),
            addresses: self.names.addresses(),
            identities: &mut self.identities,
            registry: &self.registry,
            challenges: &self.challenges,
        };
        build(known, &self.snapshot)
    }

    /// Makes `next` the world. Gives the world before.
    fn publish(&mut self, next: Snapshot, origin: Origin, cause: String) -> Arc<Snapshot> {
        let generation = self.cell.publish(next);
        self.journal.note(generation, origin, cause);
        let before = mem::replace(&mut self.snapshot, self.cell.load());
        let mut happened = Vec::new();
        for (place, upstream) in self.snapshot.upstreams.iter().enumerate() {
            if before.upstreams.get(place).is_some_and(|old| Arc::ptr_eq(old, upstream)) {
                continue;
            }
            let old = before.upstream_by_name(&upstream.name).map(|old| tell::Service::of(old));
            tell::measure(upstream);
            if let Some(told) = tell::service(old, upstream) {
                happened.push((UpstreamIx(place as u32), told));
            }
        }
        for (place, told) in happened {
            self.note_now((place, None), told);
        }
        before
    }
}

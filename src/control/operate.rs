//! Puts in force what operators ask for: words on backends, backends added or taken away, checks run.

use std::fmt;
use std::sync::Arc;

use tracing::info;

use crate::config::Loaded;
use crate::control::backends::Change;
use crate::control::history::Told;
use crate::control::said::{Added, By, Kind, Override, Removed, Said, Word, unix_ms};
use crate::control::writer::{Control, Due};
use crate::model::{AdminState, BackendIx, Clock, Generation, UpstreamIx, Weight};
use crate::snapshot::Upstream;
use crate::telemetry::{Cause, Happened, Status};

/// The rule that keeps an upstream from losing the last backend that may be picked.
pub const KEEP_ONE: &str = "keep_one";

/// What an operator wants changed of one backend.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The upstream's name.
    pub upstream: String,
    /// The backend's label, or the address of one to be added.
    pub backend: String,
    /// What.
    pub what: What,
    /// Who says so.
    pub by: By,
    /// Rules that the operator knows of and overrules.
    pub bypass: Vec<String>,
    /// Only to be told whether it would be done.
    pub dry_run: bool,
}

/// What can be wanted of a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// These words hold, and what was said of those kinds before does not.
    Say(Vec<Word>, Vec<Kind>),
    /// It joins.
    Join {
        /// Its weight.
        weight: Weight,
        /// Its tier.
        tier: u8,
        /// Requests in flight per process; 0 is no limit.
        max_connections: u32,
    },
    /// It leaves.
    Leave,
    /// It was taken away by hand, and is back as the file has it.
    Return,
    /// Its checks are run at once.
    Check,
}

/// Why a wish is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is no upstream of that name.
    NoUpstream(String),
    /// There is no such backend.
    NoBackend(String),
    /// There is one already.
    Exists(String),
    /// The address cannot be read: why, and what to do.
    Address(String, String),
    /// It would leave nobody who may be picked.
    KeepOne(String),
    /// It is the only one that is written.
    OnlyOne(String),
    /// It is one of the addresses of a name, which is written as this.
    OneOfAName(String),
    /// It has no checks.
    NoChecks(String),
}

impl Refusal {
    /// A word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoUpstream(_) => "no_upstream",
            Self::NoBackend(_) => "no_backend",
            Self::Exists(_) => "exists",
            Self::Address(..) => "address",
            Self::KeepOne(_) => KEEP_ONE,
            Self::OnlyOne(_) => "only_one",
            Self::OneOfAName(_) => "one_of_a_name",
            Self::NoChecks(_) => "no_checks",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoUpstream(name) => write!(f, "there is no upstream {name}"),
            Self::NoBackend(name) => write!(f, "there is no backend {name}"),
            Self::Exists(name) => write!(f, "{name} is there already"),
            Self::Address(fault, help) => write!(f, "{fault}: {help}"),
            Self::KeepOne(name) => write!(
                f,
                "without {name} no backend of its upstream may be picked; to do it all the same, \
                 bypass the rule {KEEP_ONE}"
            ),
            Self::OnlyOne(name) => write!(
                f,
                "{name} is the only backend of its upstream; disable it, or take the upstream out \
                 of the file"
            ),
            Self::OneOfAName(entry) => write!(
                f,
                "it is one of the addresses of {entry}, which is taken away as a whole; to take \
                 this one out, disable it"
            ),
            Self::NoChecks(name) => write!(f, "{name} has no checks to run"),
        }
    }
}

impl Control {
    /// Does what can be done at once.
    pub(super) fn wish(&mut self, wish: &Wish) -> Result<Generation, Refusal> {
        let (place, ix) = self.find(&wish.upstream, &wish.backend)?;
        let upstream = Arc::clone(self.snapshot.upstream(place));
        match &wish.what {
            What::Say(words, lifted) => {
                self.may(&upstream, ix, words, wish)?;
                if !wish.dry_run {
                    self.say(wish, words, lifted);
                }
            }
            What::Check => {
                let id = upstream.backends[ix.index()].id;
                let dues: Vec<_> = match self.backends.get(id) {
                    Some(tracked) => tracked.checks.dues(id).collect(),
                    None => Vec::new(),
                };
                let probes = dues.into_iter().filter(|due| matches!(due, Due::Probe(..)));
                let probes: Vec<_> = probes.filter(|due| self.timers.contains(due)).collect();
                if upstream.checks().is_empty() {
                    return Err(Refusal::NoChecks(wish.backend.clone()));
                }
                // One that is being asked now answers soon enough.
                for due in probes.into_iter().filter(|_| !wish.dry_run) {
                    self.timers.set(due, Clock::now());
                }
            }
            What::Join { .. } | What::Leave | What::Return => {}
        }
        Ok(self.snapshot.generation)
    }

    /// What is said once a backend has joined or left, and the configuration that it is put in force
    /// with.
    pub(super) fn alter(&self, wish: &Wish) -> Result<(Said, Loaded), Refusal> {
        let name = &wish.upstream;
        let found = self.snapshot.upstream_by_name(name);
        let upstream = found.ok_or_else(|| Refusal::NoUpstream(name.clone()))?;
        let mut said = Said::clone(&self.said);
        match &wish.what {
            What::Join { weight, tier, max_connections } => {
                let address = crate::config::backend_address(&wish.backend)
                    .map_err(|(fault, help)| Refusal::Address(fault, help))?
                    .to_string();
                if upstream.written().iter().any(|entry| entry.called() == address) {
                    return Err(Refusal::Exists(format!("{name}/{address}")));
                }
                said.added.retain(|one| one.upstream != *name || one.address != address);
                said.added.push(Added {
                    upstream: name.clone(),
                    address,
                    weight: *weight,
                    tier: *tier,
                    max_connections: *max_connections,
                    by: wish.by.clone(),
                });
            }
            What::Return => {
                let is = |one: &mut Removed| one.upstream == *name && one.backend == wish.backend;
                if said.removed.extract_if(.., is).next().is_none() {
                    return Err(Refusal::NoBackend(format!("{name}/{}", wish.backend)));
                }
            }
            _ => self.take_away(&mut said, upstream, wish)?,
        }
        Ok((said, self.loaded.clone()))
    }

    fn take_away(&self, said: &mut Said, upstream: &Upstream, wish: &Wish) -> Result<(), Refusal> {
        let (name, label) = (&wish.upstream, &wish.backend);
        let full = format!("{name}/{label}");
        let is_written = upstream.written().iter().any(|entry| entry.called() == *label);
        if !is_written {
            let (_, ix) = self.find(name, label)?;
            return Err(Refusal::OneOfAName(upstream.declared(ix).called()));
        }
        if upstream.written().len() == 1 {
            return Err(Refusal::OnlyOne(full));
        }
        // Of a name, all its addresses go.
        let goes = |ix: BackendIx| upstream.declared(ix).called() == *label;
        self.keeps_one(upstream, goes, wish)?;
        let was_added = said.added.len();
        said.added.retain(|one| one.upstream != *name || one.address != *label);
        said.lift(name, label, &[Kind::Weight, Kind::State]);
        if said.added.len() == was_added {
            let (upstream, backend, by) = (name.clone(), label.clone(), wish.by.clone());
            said.removed.push(Removed { upstream, backend, by });
        }
        Ok(())
    }

    /// Takes up what is said once it is in force, and tells that a backend has joined or left.
    pub(super) fn altered(&mut self, wish: &Wish, said: Said) {
        self.take_up_said(said);
        let (kind, what) = match wish.what {
            What::Join { .. } => ("backend.added", "added"),
            What::Return => ("backend.added", "back, as the file has it"),
            _ => ("backend.removed", "removed"),
        };
        let (upstream, backend) = (&wish.upstream, &wish.backend);
        info!(upstream, backend, by = wish.by.actor, cause = wish.by.reason, "backend {what}");
        self.registry.history().note(Happened {
            number: 0,
            at: std::time::SystemTime::now(),
            generation: self.snapshot.generation,
            upstream: Some(upstream.clone()),
            backend: Some(backend.clone()),
            kind,
            actor: actor(&wish.by).into(),
            cause: because(what.to_owned(), &wish.by),
            next: String::new(),
        });
    }

    /// The time of some words is over.
    pub(super) fn words_ended(&mut self) {
        let mut said = Said::clone(&self.said);
        let ended = said.expire(unix_ms());
        self.take_up_said(said);
        for word in ended {
            let Ok(place) = self.find(&word.upstream, &word.backend) else { continue };
            self.obey(place, EXPIRED, (actor(&word.by), has_ended(&word)), String::new());
        }
    }

    /// Takes up what was said before the process began. Gives those words whose time is over since.
    pub(super) fn recall_said(&mut self) -> Vec<Override> {
        let mut said = Said::clone(&self.told_said.borrow().1);
        let ended = said.expire(unix_ms());
        self.take_up_said(said);
        ended
    }

    /// Tells that words ended while no process was there.
    pub(super) fn tell_ended(&self, ended: &[Override]) {
        for word in ended {
            let Ok((place, ix)) = self.find(&word.upstream, &word.backend) else { continue };
            let (actor, cause) = (actor(&word.by), has_ended(word));
            let (upstream, backend) = (&word.upstream, &word.backend);
            info!(upstream, backend, by = word.by.actor, cause, "what an operator said has ended");
            let told = Told { kind: EXPIRED, actor: actor.into(), cause, next: String::new() };
            self.note_now((place, Some(ix)), told);
        }
    }

    /// Keeps what is said at present, and sees to its ends.
    pub(super) fn take_up_said(&mut self, said: Said) {
        match said.next_end(unix_ms()) {
            Some(left) => self.timers.set(Due::Words, Clock::now().after(left)),
            None => self.timers.clear(&Due::Words),
        }
        self.orders = said.orders();
        self.said = Arc::new(said);
        let said = Arc::clone(&self.said);
        self.told_said.send_modify(|(number, now)| {
            *number += 1;
            *now = said;
        });
    }

    fn find(&self, upstream: &str, backend: &str) -> Result<(UpstreamIx, BackendIx), Refusal> {
        let mut upstreams = (0..).map(UpstreamIx).zip(&self.snapshot.upstreams);
        let (place, found) = upstreams
            .find(|(_, one)| one.name == upstream)
            .ok_or_else(|| Refusal::NoUpstream(upstream.to_owned()))?;
        let mut backends = (0..).map(BackendIx).zip(&found.backends);
        let (ix, _) = backends
            .find(|(_, one)| one.label == backend)
            .ok_or_else(|| Refusal::NoBackend(format!("{upstream}/{backend}")))?;
        Ok((place, ix))
    }

    /// Whether words may be said: not, if they took the last one out.
    fn may(
        &self,
        upstream: &Upstream,
        ix: BackendIx,
        words: &[Word],
        wish: &Wish,
    ) -> Result<(), Refusal> {
        let takes_out = words.iter().any(|word| match word {
            Word::State(state) => !state.in_rotation() || *state == AdminState::ForcedDown,
            Word::Weight(_) => false,
        });
        if takes_out { self.keeps_one(upstream, |one| one == ix, wish) } else { Ok(()) }
    }

    /// Whether somebody may be picked without those that `goes` tells; where backends are used for want
    /// of a healthy one, one of these.
    fn keeps_one(
        &self,
        upstream: &Upstream,
        goes: impl Fn(BackendIx) -> bool,
        wish: &Wish,
    ) -> Result<(), Refusal> {
        let mut places = (0..).map(BackendIx).zip(&upstream.eligible);
        let serves = places.any(|(ix, eligible)| *eligible && goes(ix));
        let states = |id| self.backends.state(id);
        let others = || upstream.stands_but_for(goes, states, upstream.fail_open);
        if serves && !wish.bypass.iter().any(|rule| rule == KEEP_ONE) && !others() {
            return Err(Refusal::KeepOne(format!("{}/{}", upstream.name, wish.backend)));
        }
        Ok(())
    }

    fn say(&mut self, wish: &Wish, words: &[Word], lifted: &[Kind]) {
        let Ok(place) = self.find(&wish.upstream, &wish.backend) else { return };
        let mut said = Said::clone(&self.said);
        let (upstream, backend) = (&wish.upstream, &wish.backend);
        let mut tells = Vec::new();
        for word in said.lift(upstream, backend, lifted) {
            let what = format!("{} is taken back", word.word.words());
            tells.push(("override.lifted", what, String::new()));
        }
        for word in words {
            let by = wish.by.clone();
            let (upstream, backend) = (upstream.clone(), backend.clone());
            said.say(Override { upstream, backend, word: *word, by });
            tells.push(("override.set", word.words(), until(&wish.by)));
        }
        self.take_up_said(said);
        for (kind, what, next) in tells {
            self.obey(place, kind, (actor(&wish.by), because(what, &wish.by)), next);
        }
        self.publish_changes();
    }

    /// Puts a backend into the state that file and operator say together.
    fn obey(
        &mut self,
        (place, ix): (UpstreamIx, BackendIx),
        kind: &'static str,
        (actor, why): (String, String),
        next: String,
    ) {
        let upstream = Arc::clone(self.snapshot.upstream(place));
        let backend = &upstream.backends[ix.index()];
        let order = self.orders.get(&upstream.name).and_then(|all| all.get(&backend.label));
        let declared = upstream.declared(ix);
        let admin = order.and_then(|order| order.admin).unwrap_or(declared.state);
        let Some(tracked) = self.backends.get_mut(backend.id) else { return };
        let was = tracked.state;
        tracked.state.admin = admin;
        let is_now = if admin == was.admin { "changed" } else { admin.name() };
        if Status::of(was) != Status::of(tracked.state) {
            backend.series.state_change(Status::of(tracked.state), Cause::Operator);
        }
        self.changes.push(Change {
            upstream: place,
            ix,
            is_now,
            kind,
            actor: actor.into(),
            why,
            next,
        });
        if !was.admin.in_rotation() && admin == AdminState::Enabled {
            self.warm_up(backend.id, Clock::now());
        }
    }
}

/// What is told of words whose time is over.
const EXPIRED: &str = "override.expired";

fn has_ended(word: &Override) -> String {
    because(format!("{} has ended", word.word.words()), &word.by)
}

/// Who, as events name them.
fn actor(by: &By) -> String {
    format!("operator:{}", by.actor)
}

/// What was done, with the operator's reason.
fn because(what: String, by: &By) -> String {
    if by.reason.is_empty() { what } else { format!("{what}: {}", by.reason) }
}

/// What comes next of a word that ends by itself.
fn until(by: &By) -> String {
    let lasts = by.until.map(|until| until.saturating_sub(by.since));
    lasts.map_or_else(String::new, |ms| {
        let lasts = crate::config::show_duration(std::time::Duration::from_millis(ms));
        format!("ends by itself {lasts} after it was said")
    })
}

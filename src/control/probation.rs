//! A configuration on probation: it goes back by itself unless it is confirmed in time, or when it does
//! harm.
//!
//! `policy::probation` judges harm by what `meter` has counted; what follows is done here. It outlives
//! the process where `admin.state` names a folder.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use crate::control::meter::grown;
use crate::control::prepare::Command;
use crate::control::propose::{Objection, Proposal};
use crate::control::said::{By, unix_ms};
use crate::control::writer::{Control, Due};
use crate::control::{Origin, ReloadError};
use crate::model::{Clock, Generation};
use crate::policy::probation::{Figures, Rules, judge};
use crate::telemetry::Happened;

/// Between two looks at what was counted since.
const LOOK: Duration = Duration::from_secs(1);

/// Between two notes of what was counted, for the time before.
const MARK: Duration = Duration::from_secs(15);

/// Before going back is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// What a configuration has to prove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probation {
    /// The revision on probation.
    pub revision: u64,
    /// Its hash: of another configuration it says nothing.
    pub hash: String,
    /// The revision that it goes back to.
    pub back_to: u64,
    /// Until when it has to be confirmed, in milliseconds of Unix time; `None`: it need not be.
    pub confirm_until: Option<u64>,
    /// Until when it is watched, in the same; `None`: it is not.
    pub guard_until: Option<u64>,
    /// Who put it in force, and why.
    pub by: By,
    /// What was counted before.
    pub(super) before: Option<Before>,
}

/// [`Figures`], as they are written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Before {
    requests: (u64, u64),
    #[serde(default)]
    unrouted: u64,
    #[serde(default)]
    client_errors: u64,
    attempts: (u64, u64),
    /// By bounds, in microseconds.
    took: Vec<(Option<u64>, u64)>,
}

impl From<Figures> for Before {
    fn from(figures: Figures) -> Self {
        let micros = |bound: Duration| bound.as_micros() as u64;
        Self {
            requests: (figures.requests, figures.failed),
            unrouted: figures.unrouted,
            client_errors: figures.client_errors,
            attempts: (figures.attempts, figures.failed_attempts),
            took: figures.took.into_iter().map(|(to, count)| (to.map(micros), count)).collect(),
        }
    }
}

impl From<&Before> for Figures {
    fn from(before: &Before) -> Self {
        let took = before.took.iter();
        Self {
            requests: before.requests.0,
            failed: before.requests.1,
            unrouted: before.unrouted,
            client_errors: before.client_errors,
            attempts: before.attempts.0,
            failed_attempts: before.attempts.1,
            took: took.map(|(to, count)| (to.map(Duration::from_micros), *count)).collect(),
        }
    }
}

impl Control {
    /// Begins to count, where somebody may want to know: by the admin listener a configuration can be put
    /// on probation.
    pub(super) fn begin_to_count(&mut self) {
        if self.started.1.is_some() {
            self.mark_figures();
        }
    }

    /// Notes what was counted until now.
    pub(super) fn mark_figures(&mut self) {
        self.meter.mark(&self.snapshot);
        self.timers.set(Due::Mark, Clock::now().after(MARK));
    }

    /// What was counted in the last minutes.
    pub(super) fn figures_before(&mut self) -> Figures {
        self.meter.lately(&self.snapshot)
    }

    /// Puts what is in force on probation, or takes up a probation of before a restart.
    pub(super) fn put_on_probation(&mut self, probation: Probation) {
        self.meter.begun = self.meter.count(&self.snapshot);
        let (now, ms, since) = (Clock::now(), unix_ms(), probation.by.since);
        let at = |until: Option<u64>| Some(now.after(left(until?, since, ms)));
        self.meter.guard_until = at(probation.guard_until);
        self.meter.confirm_until = at(probation.confirm_until);
        let ledger = Arc::make_mut(&mut self.ledger);
        ledger.probation = Some(Arc::new(probation));
        self.timers.set(Due::Probation, now);
    }

    /// What was put on probation before the process ended goes on, if it is what is in force.
    pub(super) fn resume_probation(&mut self) {
        let Some(probation) = self.ledger.probation.clone() else { return };
        let is_it = self.ledger.running().is_some_and(|one| one.hash == probation.hash);
        if is_it && self.ledger.revision(probation.back_to).is_some() {
            self.put_on_probation((*probation).clone());
        } else {
            self.end_probation();
            self.tell_ledger();
        }
    }

    /// Nothing has to prove itself any more.
    pub(super) fn end_probation(&mut self) -> Option<Arc<Probation>> {
        self.timers.clear(&Due::Probation);
        let ledger = Arc::make_mut(&mut self.ledger);
        ledger.not_reverted = None;
        ledger.probation.take()
    }

    /// Looks whether what is on probation has to go back.
    pub(super) fn look_at_probation(&mut self) {
        let Some(probation) = self.ledger.probation.clone() else { return };
        // What is under way may end it. After an upgrade that is for ever, and the next process sees to it.
        if self.is_busy() {
            return self.timers.set(Due::Probation, Clock::now().after(LOOK));
        }
        let (now, mut left) = (Clock::now(), Vec::new());
        if let Some(until) = self.meter.guard_until {
            let since = grown(&self.meter.count(&self.snapshot), &self.meter.begun);
            let before = probation.before.as_ref().map(Figures::from).unwrap_or_default();
            let rules = self.started.1.as_ref().map_or_else(Rules::default, |admin| admin.guard);
            if let Some(worse) = judge(&before, &since, &rules) {
                return self.go_back(&probation, worse.to_string());
            }
            if until <= now {
                self.guard_passed(&probation, since.requests);
            } else {
                left.extend([LOOK, until.since(now)]);
            }
        }
        if let Some(until) = self.meter.confirm_until {
            if until <= now {
                return self.go_back(&probation, "nobody confirmed it in time".to_owned());
            }
            left.push(until.since(now));
        }
        if let Some(left) = left.into_iter().min() {
            self.timers.set(Due::Probation, Clock::now().after(left));
        }
    }

    /// Nothing spoke against it for as long as it was watched.
    fn guard_passed(&mut self, probation: &Probation, requests: u64) {
        let told = format!("nothing is worse than before, by {requests} requests since");
        let next = match probation.confirm_until {
            Some(_) => "it has to be confirmed",
            None => "it stays in force",
        };
        self.note_config("config.guard_passed", "policy".to_owned(), told, next.to_owned());
        self.meter.guard_until = None;
        let left = Probation { guard_until: None, ..probation.clone() };
        let left = left.confirm_until.is_some().then(|| Arc::new(left));
        let ledger = Arc::make_mut(&mut self.ledger);
        (ledger.probation, ledger.not_reverted) = (left, None);
        self.tell_ledger();
    }

    /// Asks for the revision before. It goes the way of any proposal, and is asked for again until it is
    /// there.
    fn go_back(&mut self, probation: &Probation, why: String) {
        let (from, to) = (probation.revision, probation.back_to);
        warn!(revision = from, to, why, "the configuration goes back");
        let proposal = Box::new(Proposal::back(to, self.ledger.tag(), why));
        if let Some(commands) = self.commands.upgrade() {
            let (reply, _) = oneshot::channel();
            // Where there is no room it is asked for again.
            let _ = commands.try_send(Command::Propose { proposal, reply });
        }
        self.timers.set(Due::Probation, Clock::now().after(AGAIN));
    }

    /// What it shall go back to is not to be had. It is told once, until it is for another reason.
    pub(super) fn note_not_reverted(&mut self, why: &str) {
        let Some(probation) = self.ledger.probation.clone() else { return };
        let first = why.lines().next().unwrap_or_default();
        if self.ledger.not_reverted.as_deref() == Some(first) {
            return;
        }
        let (from, to) = (probation.revision, probation.back_to);
        error!(revision = from, to, "the configuration does not go back:\n{why}");
        let cause = format!("revision {from} does not go back to {to}: {first}");
        let next =
            "it is tried again every 5 s; confirm it, or roll back to another one".to_owned();
        self.note_config("config.not_reverted", "policy".to_owned(), cause, next);
        Arc::make_mut(&mut self.ledger).not_reverted = Some(first.to_owned());
        self.tell_ledger();
    }

    /// The files hold a configuration that cannot be taken.
    pub(super) fn note_refused(&self, why: String, origin: Origin, by: &By) {
        let running = self.ledger.running().map_or(0, |one| one.number);
        let next = format!("revision {running} stays in force");
        self.note_config("config.refused", actor(origin, by), with_reason(why, by), next);
    }

    /// It went back, but the file did not.
    pub(super) fn note_left(&self, why: String) {
        error!(why, "the configuration went back, but its file did not");
        let next = "a restart or a reload brings back what the file holds".to_owned();
        self.note_config("config.file_left", "policy".to_owned(), why, next);
    }

    /// An operator says that it shall stay.
    pub(super) fn confirm(
        &mut self,
        by: &By,
        based_on: Option<&str>,
    ) -> Result<Generation, ReloadError> {
        self.ledger.is_at(based_on).map_err(ReloadError::Objected)?;
        if self.end_probation().is_none() {
            return Err(ReloadError::Objected(Objection::NothingToConfirm));
        }
        let running = self.ledger.running().map_or(0, |one| one.number);
        info!(revision = running, by = by.actor, cause = by.reason, "configuration confirmed");
        let cause = with_reason(format!("revision {running} stays in force"), by);
        self.note_config("config.confirmed", actor(Origin::Api, by), cause, String::new());
        self.tell_ledger();
        Ok(self.snapshot.generation)
    }

    /// Takes down what came into force, and from whom.
    pub(super) fn enter_in_ledger(
        &mut self,
        origin: Origin,
        by: &By,
        probation: Option<Probation>,
    ) {
        let number = Arc::make_mut(&mut self.ledger).take_up(&self.loaded, origin, by);
        if let Some(number) = number.filter(|_| origin != Origin::Start) {
            let before = self.end_probation();
            let (kind, next) = match (&before, &probation) {
                (Some(_), _) if origin == Origin::Policy => ("config.reverted", String::new()),
                (_, Some(probation)) => ("config.applied", until(probation)),
                _ => ("config.applied", String::new()),
            };
            let what = match before.filter(|_| origin != Origin::Policy) {
                Some(before) => {
                    format!("revision {number}, in place of {} on probation", before.revision)
                }
                None => format!("revision {number}"),
            };
            self.note_config(kind, actor(origin, by), with_reason(what, by), next);
            if let Some(probation) = probation {
                self.put_on_probation(probation);
            }
        } else if origin == Origin::Policy {
            // It went back to what is in force anyhow.
            self.end_probation();
        }
        self.tell_ledger();
    }

    /// Tells what is known of configurations.
    pub(super) fn tell_ledger(&mut self) {
        let ledger = Arc::clone(&self.ledger);
        let number = ledger.running().map_or(0, |one| one.number);
        let (is_on_probation, is_stuck) =
            (ledger.probation.is_some(), ledger.not_reverted.is_some());
        self.registry.process().revision(number, is_on_probation, is_stuck);
        self.told_ledger.send_modify(|(number, now)| {
            *number += 1;
            *now = ledger;
        });
    }

    fn note_config(&self, kind: &'static str, actor: String, cause: String, next: String) {
        self.registry.history().note(Happened {
            number: 0,
            at: SystemTime::now(),
            generation: self.snapshot.generation,
            upstream: None,
            backend: None,
            kind,
            actor: actor.into(),
            cause,
            next,
        });
    }
}

/// How long it is until then. Where the clock was set back meanwhile it is what it was at first, and no more.
fn left(until: u64, since: u64, now: u64) -> Duration {
    Duration::from_millis(until.saturating_sub(now.max(since)))
}

/// Who, as events name them.
fn actor(origin: Origin, by: &By) -> String {
    if origin == Origin::Api { format!("operator:{}", by.actor) } else { by.actor.clone() }
}

fn with_reason(what: String, by: &By) -> String {
    if by.reason.is_empty() { what } else { format!("{what}: {}", by.reason) }
}

/// What comes next of it.
fn until(probation: &Probation) -> String {
    let back = format!("it goes back to revision {}", probation.back_to);
    let lasts = |until: u64| {
        let left = Duration::from_millis(until.saturating_sub(probation.by.since));
        crate::config::show_duration(Duration::from_secs(left.as_secs_f64().round() as u64))
    };
    let mut ways = Vec::new();
    if let Some(until) = probation.guard_until {
        ways.push(format!("if it does harm within {}", lasts(until)));
    }
    if let Some(until) = probation.confirm_until {
        ways.push(format!("unless it is confirmed within {}", lasts(until)));
    }
    format!("{back} {}", ways.join(", and "))
}

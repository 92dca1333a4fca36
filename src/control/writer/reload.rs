//! Configurations: prepared beside the loop, taken or refused by it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::task::JoinError;
use tracing::{error, info, warn};

use super::Control;
use crate::config::{Loaded, Severity, model as config};
use crate::control::operate::What;
use crate::control::prepare::{Command, Prepared, Ready, Task, prepare};
use crate::control::probation::Probation;
use crate::control::propose::Accepted;
use crate::control::said::{By, Override};
use crate::control::{Origin, ReloadError};
use crate::dns::Answer;
use crate::model::{Clock, Generation};
use crate::snapshot::build::{self, Input};

impl Control {
    pub(super) fn prepare(&mut self, command: Command) {
        let (task, (origin, by), reply, altered) = match command {
            Command::Hold { holds, released } => {
                self.preparation.spawn(async move {
                    if holds.send(()).is_ok() {
                        // It ends when the sender is dropped.
                        let _ = released.await;
                    }
                    None
                });
                return;
            }
            Command::Reload { origin, by, reply } => {
                (Task::Load(self.file.clone()), (origin, by), reply, None)
            }
            Command::Apply { loaded, origin, reply } => {
                (Task::Take(loaded), (origin, By::of(origin)), reply, None)
            }
            Command::Propose { mut proposal, reply } => match self.accept(&mut proposal) {
                Ok(draft) => {
                    let origin = proposal.origin();
                    (Task::Draft(Box::new(draft)), (origin, proposal.by), reply, None)
                }
                Err(error) => {
                    let _ = reply.send(Err(error));
                    return;
                }
            },
            Command::Confirm { by, based_on, reply } => {
                let _ = reply.send(self.confirm(&by, based_on.as_deref()));
                return;
            }
            Command::Wish { wish, reply } => match &wish.what {
                What::Join { .. } | What::Leave | What::Return => match self.alter(&wish) {
                    Ok((said, loaded)) if !wish.dry_run => {
                        let (task, by) = (Task::Take(Box::new(loaded)), wish.by.clone());
                        let altered = Box::new((said, *wish));
                        (task, (Origin::Api, by), reply, Some(altered))
                    }
                    told => {
                        let told = told.map(|_| self.snapshot.generation);
                        let _ = reply.send(told.map_err(ReloadError::Refused));
                        return;
                    }
                },
                _ => {
                    // Who asked may have gone away; the change stands all the same.
                    let _ = reply.send(self.wish(&wish).map_err(ReloadError::Refused));
                    return;
                }
            },
        };
        let (names, dns) = (self.names.addresses().clone(), self.names.dns());
        let said = match &altered {
            Some(altered) => Arc::new(altered.0.clone()),
            None => Arc::clone(&self.said),
        };
        let of_files = matches!(task, Task::Load(_));
        self.preparation.spawn(async move {
            let result = prepare(task, said, names, dns).await;
            Some(Prepared { result, of_files, origin, by, reply, altered })
        });
    }

    pub(super) fn prepared(&mut self, prepared: Result<Option<Prepared>, JoinError>) {
        let Prepared { result, of_files, origin, by, reply, mut altered } = match prepared {
            Ok(Some(prepared)) => prepared,
            Ok(None) => return,
            Err(error) => return error!(%error, "a reload broke off; nothing has changed"),
        };
        let mut replacement = None;
        let answer = match result {
            // The watch found another time on a file, but no other content.
            Ok(ready)
                if matches!(origin, Origin::FileWatch | Origin::Acme)
                    && ready.loaded.fingerprint == self.fingerprint
                    && self.refused.is_none() =>
            {
                Ok(self.snapshot.generation)
            }
            Ok(Ready { accepted: Some(Accepted { dry_run: true, .. }), .. }) => {
                Ok(self.snapshot.generation)
            }
            Ok(Ready { loaded, answers, accepted }) => {
                match self.stage(&loaded.config, accepted.as_ref()) {
                    Ok(()) => {
                        if let Some(altered) = &mut altered {
                            // What ended while this was prepared is over.
                            let holds = |one: &Override| self.said.overrides.contains(one);
                            altered.0.overrides.retain(holds);
                            self.orders = altered.0.orders();
                            self.said = Arc::new(altered.0.clone());
                        }
                        let parts = |one: Accepted| (one.replacement, one.left, one.probation);
                        let on_disk = of_files || accepted.as_ref().is_some_and(|one| one.on_disk);
                        let (put, left, probation) = accepted.map(parts).unwrap_or_default();
                        replacement = put;
                        let from = (loaded, answers);
                        let generation = self.apply(from, origin, &by, probation, on_disk);
                        if let Some(why) = left {
                            self.note_left(why);
                        }
                        match altered {
                            Some(altered) => {
                                let (said, wish) = *altered;
                                self.altered(&wish, said);
                            }
                            None => self.count_loaded(),
                        }
                        Ok(generation)
                    }
                    Err(why) => {
                        // What was written down of a probation is taken back.
                        self.tell_ledger();
                        let error = ReloadError::Unavailable(why);
                        self.refuse(&error, of_files, origin, &by);
                        Err(error)
                    }
                }
            }
            Err(error) => {
                self.refuse(&error, of_files, origin, &by);
                if let (ReloadError::Invalid(report), true) = (&error, of_files) {
                    self.watch_files(report.watched().map(Into::into).collect());
                }
                Err(error)
            }
        };
        // Who asked may have gone away; the change stands all the same.
        match replacement {
            None => drop(reply.send(answer)),
            Some(replacement) => drop(tokio::task::spawn_blocking(move || {
                let settled = replacement.settle();
                let told = |error: std::io::Error| ReloadError::NotKept(error.to_string());
                let _ = reply.send(answer.and_then(|it| settled.map_err(told).map(|()| it)));
            })),
        }
    }

    /// Gets what a configuration needs outside, its file before all else; if something is not to be had,
    /// the file is what it was.
    fn stage(
        &mut self,
        config: &config::Config,
        accepted: Option<&Accepted>,
    ) -> Result<(), String> {
        let replacement = accepted.and_then(|one| one.replacement.as_ref());
        if let Some(replacement) = replacement {
            replacement.put().map_err(|error| format!("the file cannot be replaced: {error}"))?;
        }
        let staged = self.stage.prepare(config);
        if let (Err(_), Some(replacement)) = (&staged, replacement)
            && let Err(error) = replacement.put_back()
        {
            error!(%error, "the file holds a configuration that was refused");
        }
        staged
    }

    /// Watches the files that a load has read. What may mend a bad configuration can lie in one that another
    /// load has read: as long as what the files hold is refused, none is let go.
    fn watch_files(&mut self, read: Vec<PathBuf>) {
        if self.file.is_none() {
            return;
        }
        let mut paths = BTreeSet::from_iter(read);
        if self.refused.is_some() {
            paths.extend(self.watch.watched().iter().cloned());
        }
        self.watch.set(paths.into_iter().collect(), self.watch_interval, &self.commands);
    }

    /// A configuration that cannot be taken changes nothing and explains itself. Who has proposed one is told;
    /// of what the files hold, and of what does not go back, everybody is.
    fn refuse(&mut self, error: &ReloadError, of_files: bool, origin: Origin, by: &By) {
        let (why, short) = (error.to_string(), in_short(error));
        if origin == Origin::Policy {
            return self.note_not_reverted(&why);
        }
        let is_bad = matches!(error, ReloadError::Invalid(_) | ReloadError::Unavailable(_));
        if !(is_bad && of_files) {
            return warn!(origin = origin.name(), why = short, "nothing is put in force");
        }
        // The watch tries again by itself.
        if origin == Origin::FileWatch && self.refused.as_ref() == Some(&why) {
            return;
        }
        self.note_refused(short, origin, by);
        self.registry.process().reload_refused();
        error!(
            origin = origin.name(),
            generation = self.snapshot.generation.0,
            "configuration refused, the one before stays in force:\n{why}",
        );
        self.refused = Some(why);
    }

    /// Counts a configuration that came into force. What operators say of backends is none.
    pub(super) fn count_loaded(&self) {
        let (generation, hash) = (self.snapshot.generation, self.loaded.hash);
        self.registry.process().reloaded(SystemTime::now(), generation, hash);
    }

    /// Puts a configuration in force. `on_disk`: it is what the files hold by now. Else nothing is known of
    /// them that was not known before: what was refused there is bad still.
    pub(super) fn apply(
        &mut self,
        (loaded, answers): (Loaded, Vec<Answer>),
        origin: Origin,
        by: &By,
        probation: Option<Probation>,
        on_disk: bool,
    ) -> Generation {
        for warning in &loaded.warnings {
            warn!("configuration: {}", warning.render(false));
        }
        let (hash, fingerprint, watched) =
            (loaded.hash, loaded.fingerprint, loaded.watched.clone());
        let config = self.said.patch(&loaded.config);
        self.loaded = Loaded { warnings: Vec::new(), ..loaded };
        let told = self.names.take_up(&config, answers, &mut self.timers, self.registry.process());
        let next = self.built(|known, now| {
            let (generation, previous) = (now.generation.next(), Some(&**now));
            build::build(Input { config: &config, hash, generation, previous, known })
        });
        let cause = format!("configuration {hash:016x}");
        let before = self.publish(next, origin, cause);
        for (query, told) in told {
            self.tell_of_name(&query, &told);
        }
        self.track(&before);
        self.take_courses(Clock::now());
        self.publish_changes();
        self.enter_in_ledger(origin, by, probation);
        let generation = self.snapshot.generation;
        self.stage.applied(&config);
        let (challenges, events) = (&self.challenges, &self.events);
        self.keeper.keep(config.acme.as_ref(), challenges, &self.registry, events);
        info!(
            origin = origin.name(),
            generation = generation.0,
            hash = format_args!("{hash:016x}"),
            revision = self.ledger.running().map_or(0, |one| one.number),
            listeners = config.listeners.len(),
            routes = config.routes.len(),
            upstreams = config.upstreams.len(),
            "configuration applied",
        );
        let (process, admin) = &self.started;
        for setting in config.needs_restart((process, admin.as_ref())) {
            warn!(setting, "this change takes effect after a restart");
        }
        self.watch_interval = config.process.watch_interval;
        self.fingerprint = fingerprint;
        if on_disk {
            self.refused = None;
            self.registry.process().files_taken();
        }
        self.watch_files(watched);
        generation
    }
}

/// Why something is refused, in a line without what stands in the files, which may be a secret.
fn in_short(error: &ReloadError) -> String {
    let ReloadError::Invalid(report) = error else {
        return error.to_string().lines().next().unwrap_or_default().to_owned();
    };
    let mut errors = report.diagnostics().iter().filter(|one| one.severity == Severity::Error);
    let place = errors.next().map(|one| format!("{}:{}", one.file, one.line)).unwrap_or_default();
    let more = match errors.count() {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    format!("an error at {place}{more}: `plimsoll check` and the log tell it")
}

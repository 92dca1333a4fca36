//! Configurations: prepared beside the loop, taken or refused by it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::task::JoinError;
use tracing::{error, info, warn};

use super::Control;
use crate::config::{Loaded, Report, model as config};
use crate::control::operate::What;
use crate::control::prepare::{Command, Prepared, Task, prepare};
use crate::control::said::Override;
use crate::control::{Origin, ReloadError};
use crate::dns::Answer;
use crate::model::{Clock, Generation};
use crate::snapshot::build::{self, Input, Known};

impl Control {
    pub(super) fn prepare(&mut self, command: Command) {
        let (task, origin, reply, altered) = match command {
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
            Command::Reload { origin, reply } => {
                (Task::Load(self.file.clone()), origin, reply, None)
            }
            Command::Apply { loaded, origin, reply } => (Task::Take(loaded), origin, reply, None),
            Command::Wish { wish, reply } => match &wish.what {
                What::Join { .. } | What::Leave => match self.alter(&wish) {
                    Ok((said, loaded)) if !wish.dry_run => {
                        let altered = Box::new((said, *wish));
                        (Task::Take(Box::new(loaded)), Origin::Api, reply, Some(altered))
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
        self.preparation.spawn(async move {
            let result = prepare(task, said, names, dns).await;
            Some(Prepared { result, origin, reply, altered })
        });
    }

    pub(super) fn prepared(&mut self, prepared: Result<Option<Prepared>, JoinError>) {
        let Prepared { result, origin, reply, mut altered } = match prepared {
            Ok(Some(prepared)) => prepared,
            Ok(None) => return,
            Err(error) => return error!(%error, "a reload broke off; nothing has changed"),
        };
        let answer = match result {
            // The watch found another time on a file, but no other content.
            Ok((loaded, _))
                if matches!(origin, Origin::FileWatch | Origin::Acme)
                    && loaded.fingerprint == self.fingerprint
                    && self.refused.is_none() =>
            {
                Ok(self.snapshot.generation)
            }
            Ok((loaded, answers)) => match self.stage.prepare(&loaded.config) {
                Ok(()) => {
                    if let Some(altered) = &mut altered {
                        // What ended while this was prepared is over.
                        let holds = |one: &Override| self.said.overrides.contains(one);
                        altered.0.overrides.retain(holds);
                        self.orders = altered.0.orders();
                        self.said = Arc::new(altered.0.clone());
                    }
                    let generation = self.apply(loaded, answers, origin);
                    if let Some(altered) = altered {
                        let (said, wish) = *altered;
                        self.altered(&wish, said);
                    }
                    Ok(generation)
                }
                Err(why) => {
                    self.refuse(&why, origin);
                    Err(ReloadError::Unavailable(why))
                }
            },
            Err(ReloadError::Invalid(report)) => {
                self.watch_too(&report);
                self.refuse(&report.render(false), origin);
                Err(ReloadError::Invalid(report))
            }
            Err(error) => {
                warn!(origin = origin.name(), %error, "nothing is reloaded");
                Err(error)
            }
        };
        // Who asked may have gone away; the change stands all the same.
        let _ = reply.send(answer);
    }

    /// What may mend a bad configuration can lie in a file that was not read before.
    fn watch_too(&mut self, report: &Report) {
        let paths: BTreeSet<_> =
            self.watch.watched().iter().cloned().chain(report.watched().map(Into::into)).collect();
        self.watch.set(paths.into_iter().collect(), self.watch_interval, &self.commands);
    }

    /// A configuration that cannot be taken changes nothing and explains itself.
    fn refuse(&mut self, why: &str, origin: Origin) {
        if origin == Origin::FileWatch && self.refused.as_deref() == Some(why) {
            return;
        }
        self.registry.process().reload_refused();
        error!(
            origin = origin.name(),
            generation = self.snapshot.generation.0,
            "configuration refused, the one before stays in force:\n{why}",
        );
        self.refused = Some(why.to_owned());
    }

    pub(super) fn apply(
        &mut self,
        loaded: Loaded,
        answers: Vec<Answer>,
        origin: Origin,
    ) -> Generation {
        for warning in &loaded.warnings {
            warn!("configuration: {}", warning.render(false));
        }
        let (hash, fingerprint, watched) =
            (loaded.hash, loaded.fingerprint, loaded.watched.clone());
        let config = self.said.patch(&loaded.config);
        self.loaded = Loaded { warnings: Vec::new(), ..loaded };
        self.names.take_up(&config, answers, &mut self.timers, self.registry.process());
        let next = build::build(Input {
            config: &config,
            hash,
            generation: self.snapshot.generation.next(),
            previous: Some(&*self.snapshot),
            known: Known {
                states: &|id| self.backends.state(id).or_else(|| self.recalled.state(id)),
                orders: &self.orders,
                courses: &|name| self.courses.course(name),
                addresses: self.names.addresses(),
                identities: &mut self.identities,
                registry: &self.registry,
                challenges: &self.challenges,
            },
        });
        let cause = format!("configuration {hash:016x}");
        let before = self.publish(next, origin, cause);
        self.track(&before);
        self.take_courses(Clock::now());
        self.publish_changes();
        let generation = self.snapshot.generation;
        self.registry.process().reloaded(SystemTime::now(), generation, hash);
        self.stage.applied(&config);
        let (challenges, events) = (&self.challenges, &self.events);
        self.keeper.keep(config.acme.as_ref(), challenges, &self.registry, events);
        info!(
            origin = origin.name(),
            generation = generation.0,
            hash = format_args!("{hash:016x}"),
            listeners = config.listeners.len(),
            routes = config.routes.len(),
            upstreams = config.upstreams.len(),
            "configuration applied",
        );
        for setting in self.needs_restart(&config) {
            warn!(setting, "this change takes effect after a restart");
        }
        self.watch_interval = config.process.watch_interval;
        self.fingerprint = fingerprint;
        self.refused = None;
        if self.file.is_some() {
            self.watch.set(watched, self.watch_interval, &self.commands);
        }
        generation
    }

    /// Settings that are read once, when the process starts, and that are others in `config`.
    fn needs_restart(&self, config: &config::Config) -> impl Iterator<Item = &'static str> {
        let ((old, admin), new) = (&self.started, &config.process);
        [
            ("workers", old.workers != new.workers),
            ("log.format", old.log.format != new.log.format),
            ("pid_file", old.pid_file != new.pid_file),
            ("admin", but_for_tls(admin.as_ref()) != but_for_tls(config.admin.as_ref())),
        ]
        .into_iter()
        .filter_map(|(setting, differs)| differs.then_some(setting))
    }
}

/// What of it is read once: its certificates are those of the snapshot.
fn but_for_tls(admin: Option<&config::Admin>) -> Option<config::Admin> {
    admin.map(|admin| config::Admin { tls: None, ..admin.clone() })
}

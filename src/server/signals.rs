//! Signals → what the server does.
//!
//! | signal | effect |
//! |---|---|
//! | `HUP` | reads the configuration again |
//! | `USR1` | opens the access log anew |
//! | `USR2` | has another program take the place of this one |
//! | `TERM`, `INT`, `QUIT` | drains; a second one stops at once |
//!
//! The end of the control loop, which only a panic can bring about, drains too: without it nothing
//! is probed or reloaded any more, and a supervisor shall start the process anew.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::control::Origin;
use crate::server::desk::{Asker, Desk};
use crate::server::{Program, Server, Successor, Supervisor};

/// For a process that is about to say that it serves, when this one is told to stop: who upgrades as nginx is
/// upgraded does so as soon as the pid file tells of the new one.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// The signals that the process listens to, from the moment this is made: one that comes before
/// the server is up waits for it.
#[derive(Debug)]
pub struct Signals {
    term: Signal,
    int: Signal,
    quit: Signal,
    hangup: Signal,
    reopen: Signal,
    upgrade: Signal,
    program: Option<Program>,
    supervisor: Supervisor,
}

/// Why the process comes to its end.
enum Ending {
    /// It was told to.
    Told,
    /// Another one has its place.
    Replaced,
    /// Something is broken.
    Broken(io::Error),
}

impl Signals {
    /// Begins to listen. To be called on a runtime, before [`Server::start`].
    ///
    /// # Errors
    /// When the system does not allow it.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
            reopen: signal(SignalKind::user_defined1())?,
            upgrade: signal(SignalKind::user_defined2())?,
            program: None,
            supervisor: Supervisor::default(),
        })
    }

    /// Says what takes the place of this process when that is asked for. Without it, nothing does.
    #[must_use]
    pub fn upgraded_to(self, program: Program) -> Self {
        Self { program: Some(program), ..self }
    }

    /// Says who is to hear how the process fares.
    #[must_use]
    pub fn supervised_by(self, supervisor: Supervisor) -> Self {
        Self { supervisor, ..self }
    }

    /// Serves until a signal ends it or another process has its place, and has drained by then.
    ///
    /// # Errors
    /// When the control loop has broken off.
    pub async fn serve(mut self, mut server: Server) -> io::Result<()> {
        self.supervisor.ready();
        let (why, successor) = self.until_ending(&server).await;
        let (outcome, mut is_told) = match why {
            Ending::Told => (Ok(()), true),
            Ending::Replaced => (Ok(()), false),
            Ending::Broken(error) => (Err(error), false),
        };
        // With a process in its place, nothing is broken that has to be started anew.
        let outcome = if successor.is_some() { Ok(()) } else { outcome };
        if let Some(successor) = successor {
            self.supervisor.replaced_by(successor.pid);
            server.replaced(successor);
        } else if is_told {
            self.supervisor.stopping();
        }
        server.drain();
        let stop = server.stopper();
        let mut drained = tokio::task::spawn_blocking(move || server.wait());
        loop {
            tokio::select! {
                _ = &mut drained => return outcome,
                name = ending(&mut self.term, &mut self.int, &mut self.quit) => {
                    if is_told {
                        tracing::warn!(signal = name, "stopping at once");
                        break;
                    }
                    // Who drains of itself is told for the first time: systemd tells every process of a
                    // service that it stops, the one that was replaced too.
                    is_told = true;
                    tracing::info!(signal = name, "stopping");
                }
            }
        }
        stop();
        let _ = drained.await;
        outcome
    }

    /// Does what the other signals ask for until the process has to end. Gives who has its place by then.
    async fn until_ending(&mut self, server: &Server) -> (Ending, Option<Successor>) {
        let (mut reloading, mut pulses) = (JoinSet::new(), JoinSet::new());
        let mut upgrades = Upgrades::new(self.program.take());
        let pulse = self.supervisor.pulse();
        let mut beat = interval(pulse.unwrap_or(Duration::MAX / 4));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                name = ending(&mut self.term, &mut self.int, &mut self.quit) => {
                    tracing::info!(signal = name, "stopping");
                    return (Ending::Told, upgrades.break_off().await);
                }
                () = server.control().ended() => {
                    let why = "the control loop has broken off";
                    tracing::error!("{why}: stopping, to be started anew");
                    let broken = Ending::Broken(io::Error::other(why));
                    return (broken, upgrades.break_off().await);
                }
                // Signals that come during a reload are one together, and make the next one.
                _ = self.hangup.recv(), if reloading.is_empty() => {
                    self.supervisor.reloading();
                    let control = server.control().clone();
                    reloading.spawn(async move { control.reload(Origin::Signal).await });
                }
                // The control loop has logged what came of it.
                Some(_) = reloading.join_next() => self.supervisor.ready(),
                _ = self.reopen.recv() => server.reopen_logs(),
                _ = self.upgrade.recv() => upgrades.begin(server, None),
                Some(asker) = upgrades.asked.recv() => upgrades.begin(server, Some(asker)),
                Some(outcome) = upgrades.running.join_next() => {
                    if let Some(successor) = upgrades.ended(outcome).await {
                        return (Ending::Replaced, Some(successor));
                    }
                }
                _ = beat.tick(), if pulse.is_some() && pulses.is_empty() => {
                    pulses.spawn(server.alive());
                }
                // A worker that hangs gives no answer, and nobody a sign of life then.
                Some(Ok(true)) = pulses.join_next() => self.supervisor.alive(),
            }
        }
    }
}

/// Attempts to have another process take the place of this one; one at a time.
struct Upgrades {
    program: Option<Program>,
    running: JoinSet<Result<Successor, String>>,
    /// Who asks for one, and who waits for what comes of it.
    asked: mpsc::Receiver<Asker>,
    waiting: Vec<Asker>,
}

impl Upgrades {
    fn new(program: Option<Program>) -> Self {
        let (asks, asked) = mpsc::channel(1);
        if program.is_some() {
            match Desk::open() {
                Ok(desk) => drop(tokio::spawn(desk.serve(asks))),
                Err(error) => tracing::warn!(%error, "only USR2 can ask for an upgrade"),
            }
        }
        Self { program, running: JoinSet::new(), asked, waiting: Vec::new() }
    }

    fn begin(&mut self, server: &Server, asker: Option<Asker>) {
        self.waiting.extend(asker);
        let Some(program) = &self.program else {
            tracing::warn!("nothing is upgraded: only `plimsoll run` can be");
            return;
        };
        if self.running.is_empty() {
            tracing::info!("starting a process to take the place of this one");
            self.running.spawn(server.upgrade(program.clone()));
        }
    }

    /// Ends an attempt under way, unless the new process serves within a moment: it may do so already, and what
    /// is listened on is not to be closed with this one then.
    async fn break_off(&mut self) -> Option<Successor> {
        let in_time = timeout(LAST_MOMENT, self.running.join_next()).await;
        let outcome = if let Ok(outcome) = in_time {
            outcome?
        } else {
            self.running.abort_all();
            self.running.join_next().await?
        };
        while let Ok(asker) = self.asked.try_recv() {
            self.waiting.push(asker);
        }
        let too_late = || "this process stops before the new one is ready".to_owned();
        let outcome = outcome.unwrap_or_else(|_| Err(too_late()));
        if let Err(why) = &outcome {
            tracing::warn!(why, "not upgraded, this process stops");
        }
        self.tell(outcome).await
    }

    /// What came of it: the new process, or none.
    async fn ended(
        &mut self,
        outcome: Result<Result<Successor, String>, JoinError>,
    ) -> Option<Successor> {
        let outcome = outcome.unwrap_or_else(|error| Err(error.to_string()));
        if let Err(why) = &outcome {
            tracing::error!(why, "not upgraded, this process goes on");
        }
        self.tell(outcome).await
    }

    /// Tells who waits for it.
    async fn tell(&mut self, outcome: Result<Successor, String>) -> Option<Successor> {
        if let Ok(Successor { pid, version, .. }) = &outcome {
            tracing::info!(pid, version, "another process has taken the place of this one");
        }
        for asker in self.waiting.drain(..) {
            let told = outcome.as_ref().map_err(String::as_str);
            asker
                .answer(told.map(|new| format!("process {} (version {})", new.pid, new.version)))
                .await;
        }
        outcome.ok()
    }
}

/// Waits for a signal that ends the process, and gives its name.
async fn ending(term: &mut Signal, int: &mut Signal, quit: &mut Signal) -> &'static str {
    tokio::select! {
        _ = term.recv() => "TERM",
        _ = int.recv() => "INT",
        _ = quit.recv() => "QUIT",
    }
}

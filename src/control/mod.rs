//! The control loop: the one writer of snapshots.
//!
//! Whoever wants something changed sends a command through the [`Handle`]; whoever has news of a
//! backend sends an [`Event`]. One task takes them in order, decides, builds the next snapshot and
//! publishes it, so that probes, traffic, name servers and reloads cannot overwrite each other and
//! each change has an order, an origin and a generation.
//!
//! | file | what |
//! |---|---|
//! | `writer` | the loop itself, applying configurations, publishing |
//! | `backends` | what is known of each backend; parking, trials |
//! | `checks` | what probes find, and what follows from it |
//! | `ejection` | backends that stand out by their failures |
//! | `hung` | backends that owe answers and give none |
//! | `course` | tiers, failover, circuit breakers: what is decided for an upstream as a whole |
//! | `names` | what backend names resolve to |
//! | `prepare` | loading and resolving for a reload, beside the loop |
//! | `watch` | looks at the files for a change |
//! | `timers` | what is due when |
//! | `tell`, `journal`, `history` | what was changed and why, for log, metrics and status |

mod backends;
mod checks;
mod course;
mod ejection;
mod history;
mod hung;
mod journal;
mod names;
mod prepare;
mod tell;
mod timers;
mod watch;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::config::{Config, Loaded, Report};
use crate::dns::Dns;
use crate::model::{Event, Generation};
use crate::snapshot::Reader;
use crate::telemetry::Registry;

use journal::Journal;
use prepare::Command;
use writer::Control;

pub use journal::Entry;

/// Commands that wait for their turn. Senders wait when it is full.
const COMMANDS: usize = 16;

/// Events that wait for their turn. Workers never wait: what finds no room is dropped and counted,
/// and the next crossing of the limit tells the same again.
const EVENTS: usize = 1024;

/// Where a change comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The start of the process.
    Start,
    /// A signal.
    Signal,
    /// The admin API.
    Api,
    /// The program that embeds the balancer.
    Embedder,
    /// A file of the configuration changed.
    FileWatch,
    /// Probes, or the outcomes of requests.
    Health,
    /// Which tier serves, or whether a circuit breaker is open.
    Policy,
    /// A backend name resolves to other addresses.
    Dns,
    /// A certificate came from its authority.
    Acme,
}

impl Origin {
    /// The word in logs and in the admin API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Signal => "signal",
            Self::Api => "api",
            Self::Embedder => "embedder",
            Self::FileWatch => "file_watch",
            Self::Health => "health",
            Self::Policy => "policy",
            Self::Dns => "dns",
            Self::Acme => "acme",
        }
    }
}

/// Why a configuration was not applied; the one before stays in force.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// It has faults.
    #[error("{0}")]
    Invalid(Report),
    /// It is good in itself, but what it needs of the system is not to be had.
    #[error("{0}")]
    Unavailable(String),
    /// The configuration in force did not come from a file.
    #[error("there is no configuration file to load again")]
    NoFile,
    /// The control loop has ended.
    #[error("the control loop has ended")]
    Ended,
}

/// What a configuration needs outside of the snapshot: sockets, bound before it is published.
pub trait Stage: Send {
    /// Gets what `config` needs beyond what is there.
    ///
    /// # Errors
    /// What cannot be had; then the configuration is refused and nothing has changed.
    fn prepare(&mut self, config: &Config) -> Result<(), String>;

    /// `config` is published; what it does not need may go.
    fn applied(&mut self, config: &Config);
}

/// The way to the control loop. It ends when the last handle is dropped.
#[derive(Debug, Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    events: mpsc::Sender<Event>,
    reader: Reader,
    journal: Journal,
}

/// Starts the control loop with a first configuration, loaded from `file` if it came from one.
///
/// Returns once the first snapshot is there: names of backends have been asked for, for at most 5 s.
/// To be called on the runtime that shall run the loop and its probes.
pub async fn start(
    loaded: Loaded,
    file: Option<PathBuf>,
    registry: Arc<Registry>,
    stage: Box<dyn Stage>,
) -> Handle {
    start_with(loaded, file, registry, stage, Dns::system()).await
}

async fn start_with(
    loaded: Loaded,
    file: Option<PathBuf>,
    registry: Arc<Registry>,
    stage: Box<dyn Stage>,
    dns: Dns,
) -> Handle {
    let (commands, commanded) = mpsc::channel(COMMANDS);
    let (events, heard) = mpsc::channel(EVENTS);
    let answers = dns.resolve(names::names(&loaded.config).into_keys()).await;
    let senders = (commands.downgrade(), events.clone());
    let control = Control::new(loaded, answers, file, registry, stage, dns, senders);
    let (reader, journal) = (control.reader(), control.journal());
    tokio::spawn(control.run(commanded, heard));
    Handle { commands, events, reader, journal }
}

impl Handle {
    /// Loads the configuration's files again and applies them.
    ///
    /// # Errors
    /// Every fault of the files; then nothing has changed.
    pub async fn reload(&self, origin: Origin) -> Result<Generation, ReloadError> {
        self.order(|reply| Command::Reload { origin, reply }).await
    }

    /// Applies a configuration that did not come from the files.
    ///
    /// # Errors
    /// Only [`ReloadError::Ended`].
    pub async fn apply(&self, loaded: Loaded, origin: Origin) -> Result<Generation, ReloadError> {
        self.order(|reply| Command::Apply { loaded: Box::new(loaded), origin, reply }).await
    }

    async fn order(
        &self,
        command: impl FnOnce(Reply) -> Command,
    ) -> Result<Generation, ReloadError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| ReloadError::Ended)?;
        answer.await.unwrap_or(Err(ReloadError::Ended))
    }

    /// Waits for the end of the control loop. As long as there is a handle, only a panic ends it.
    pub async fn ended(&self) {
        self.commands.closed().await;
    }

    /// Where workers report to; with `try_send`, for they must not wait.
    pub fn events(&self) -> mpsc::Sender<Event> {
        self.events.clone()
    }

    /// A reader of the published snapshots.
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// The last 256 published generations, the latest one last.
    pub fn journal(&self) -> Vec<Entry> {
        self.journal.entries()
    }
}

/// Where the outcome of a command goes.
type Reply = oneshot::Sender<Result<Generation, ReloadError>>;

#[cfg(test)]
mod tests;

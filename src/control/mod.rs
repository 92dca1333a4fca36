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
//! | `learned` | what a process before this one knew |
//! | `load` | how many requests an upstream is let have |
//! | `names` | what backend names resolve to |
//! | `said`, `operate`, `keep` | what operators say beside the files; doing it; writing it down |
//! | `propose`, `replace` | configurations that operators propose; writing them to the file |
//! | `probation` | those that go back by themselves unless they prove themselves |
//! | `meter` | what is counted to judge them by |
//! | `ledger` | the configurations that came into force, by their numbers |
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
mod keep;
mod learned;
mod ledger;
mod load;
mod meter;
mod names;
mod operate;
mod origin;
mod prepare;
mod probation;
mod propose;
mod replace;
mod room;
mod said;
mod tell;
mod timers;
mod watch;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch as latest};

use crate::config::{Config, FileText, Loaded, Report};
use crate::dns::Dns;
use crate::model::{Event, Generation};
use crate::snapshot::Reader;
use crate::telemetry::Registry;

use journal::Journal;
use prepare::Command;
use writer::Control;

pub use journal::Entry;
pub use learned::{Learned, learned};
pub use ledger::{Ledger, Revision};
pub use operate::{KEEP_ONE, Refusal, What, Wish};
pub use origin::Origin;
pub use probation::Probation;
pub use propose::{Objection, Proposal, Proposed};
pub use said::{Added, By, Kind, Override, Removed, Said, Word};

/// Commands that wait for their turn. Senders wait when it is full.
const COMMANDS: usize = 16;

/// Events that wait for their turn. Workers never wait: what finds no room is dropped and counted,
/// and the next crossing of the limit tells the same again.
const EVENTS: usize = 1024;

/// Revisions that are kept where nobody can ask for one.
const UNASKED: usize = 2;

/// Why a configuration was not applied; the one before stays in force.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// It has faults.
    #[error("{0}")]
    Invalid(Report),
    /// It is good in itself, but what it needs of the system is not to be had.
    #[error("{0}")]
    Unavailable(String),
    /// What an operator wants cannot be done.
    #[error("{0}")]
    Refused(Refusal),
    /// A configuration that an operator proposes is not taken up.
    #[error("{0}")]
    Objected(Objection),
    /// It is in force, but could not be written down: a restart forgets it.
    #[error("it is in force, but could not be written down: {0}")]
    NotKept(String),
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
    said: latest::Receiver<keep::Now>,
    /// How far what is said is written down; `None`: it is not.
    kept: Option<latest::Receiver<keep::Kept>>,
    ledger: latest::Receiver<ledger::Now>,
    /// How far the ledger is written down; `None`: it is not.
    ledger_kept: Option<latest::Receiver<keep::Kept>>,
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
    start_knowing(loaded, file, registry, stage, Vec::new()).await
}

/// As [`start()`], with what the process before this one knew of backends.
pub async fn start_knowing(
    loaded: Loaded,
    file: Option<PathBuf>,
    registry: Arc<Registry>,
    stage: Box<dyn Stage>,
    learned: Vec<Learned>,
) -> Handle {
    start_with(loaded, file, registry, stage, (Dns::system(), learned)).await
}

async fn start_with(
    loaded: Loaded,
    file: Option<PathBuf>,
    registry: Arc<Registry>,
    stage: Box<dyn Stage>,
    (dns, learned): (Dns, Vec<Learned>),
) -> Handle {
    let (commands, commanded) = mpsc::channel(COMMANDS);
    let (events, heard) = mpsc::channel(EVENTS);
    let folder = loaded.config.admin.as_ref().and_then(|admin| admin.state.clone());
    let said = folder.as_deref().map(said_before).unwrap_or_default();
    let answers = dns.resolve(names::names(&said.patch(&loaded.config)).into_keys()).await;
    let (told, now) = latest::channel((0, Arc::new(said)));
    let most = loaded.config.admin.as_ref().map_or(UNASKED, |admin| admin.revisions);
    let before = Ledger::of(folder.as_deref(), most, file.clone());
    let (told_ledger, ledger) = latest::channel((0, Arc::new(before)));
    let senders = (commands.downgrade(), events.clone());
    let kept = folder.clone().map(|folder| {
        let (told, kept) = latest::channel((0, None));
        tokio::spawn(keep::keep(folder, now.clone(), told));
        kept
    });
    let tells = (told, told_ledger);
    let control =
        Control::new((loaded, answers, learned), file, registry, stage, dns, (senders, tells));
    let ledger_kept = folder.map(|folder| {
        let (told, kept) = latest::channel((0, None));
        tokio::spawn(ledger::keep(folder, ledger.clone(), told));
        kept
    });
    let (reader, journal) = (control.reader(), control.journal());
    tokio::spawn(control.run(commanded, heard));
    Handle { commands, events, reader, journal, said: now, kept, ledger, ledger_kept }
}

/// What was said before the process ended. What cannot be read is no reason not to serve.
fn said_before(folder: &std::path::Path) -> Said {
    keep::read(folder).unwrap_or_else(|error| {
        let folder = folder.display();
        tracing::error!(%folder, %error, "what operators said before is not known any more");
        Said::default()
    })
}

impl Handle {
    /// Loads the configuration's files again and applies them.
    ///
    /// # Errors
    /// Every fault of the files; then nothing has changed.
    pub async fn reload(&self, origin: Origin) -> Result<Generation, ReloadError> {
        self.reload_by(origin, By::of(origin)).await
    }

    /// The same, with who wants it and why.
    ///
    /// # Errors
    /// As of [`Handle::reload`].
    pub async fn reload_by(&self, origin: Origin, by: By) -> Result<Generation, ReloadError> {
        self.order(|reply| Command::Reload { origin, by, reply }).await
    }

    /// Loads a text as if the configuration's file held it, and changes nothing.
    ///
    /// # Errors
    /// Every fault.
    pub async fn check(&self, text: Arc<str>) -> Result<Loaded, ReloadError> {
        let path = self.ledger().file.clone().ok_or(ReloadError::NoFile)?;
        prepare::check(path.clone(), vec![FileText { path, text }]).await
    }

    /// Loads what the configuration's files hold at present, and changes nothing.
    ///
    /// # Errors
    /// Every fault.
    pub async fn check_files(&self) -> Result<Loaded, ReloadError> {
        prepare::check(self.ledger().file.clone().ok_or(ReloadError::NoFile)?, Vec::new()).await
    }

    /// Loads a revision as if the files held it, and changes nothing. Files that are no configuration,
    /// such as certificates, are what they are now.
    ///
    /// # Errors
    /// Every fault.
    pub async fn check_revision(&self, revision: &Revision) -> Result<Loaded, ReloadError> {
        let main = self.ledger().file.clone().ok_or(ReloadError::NoFile)?;
        let mut files = revision.files.clone();
        if let Some(first) = files.first_mut() {
            first.path = main;
        }
        prepare::check_only(files).await
    }

    /// Puts a configuration in force that is proposed. The file holds it then, and where the ledger is
    /// written down, it is when this returns.
    ///
    /// # Errors
    /// Why it is not taken up; then neither the file nor what is in force has changed. Or that it is in
    /// force, but could not be written down.
    pub async fn propose(&self, proposal: Proposal) -> Result<Generation, ReloadError> {
        let proposal = Box::new(proposal);
        let generation = self.order(|reply| Command::Propose { proposal, reply }).await?;
        self.ledger_is_kept().await?;
        Ok(generation)
    }

    /// What is on probation stays in force; if that is based on another revision than the one in force, by
    /// its tag, it is refused.
    ///
    /// # Errors
    /// Why not.
    pub async fn confirm(
        &self,
        by: By,
        based_on: Option<String>,
    ) -> Result<Generation, ReloadError> {
        let generation = self.order(|reply| Command::Confirm { by, based_on, reply }).await?;
        self.ledger_is_kept().await?;
        Ok(generation)
    }

    /// What is known of configurations.
    pub fn ledger(&self) -> Arc<Ledger> {
        Arc::clone(&self.ledger.borrow().1)
    }

    async fn ledger_is_kept(&self) -> Result<(), ReloadError> {
        let number = self.ledger.borrow().0;
        is_kept(self.ledger_kept.clone(), number).await
    }

    /// Applies a configuration that did not come from the files.
    ///
    /// # Errors
    /// Only [`ReloadError::Ended`].
    pub async fn apply(&self, loaded: Loaded, origin: Origin) -> Result<Generation, ReloadError> {
        self.order(|reply| Command::Apply { loaded: Box::new(loaded), origin, reply }).await
    }

    /// Waits until no change of the configuration is under way, and lets none begin for as long as what
    /// it gives is kept.
    ///
    /// # Errors
    /// Only [`ReloadError::Ended`].
    pub async fn hold(&self) -> Result<Held, ReloadError> {
        let (holds, held) = oneshot::channel();
        let (held_by, released) = oneshot::channel();
        let command = Command::Hold { holds, released };
        self.commands.send(command).await.map_err(|_| ReloadError::Ended)?;
        held.await.map_err(|_| ReloadError::Ended)?;
        Ok(Held { _held_by: held_by })
    }

    /// Does what an operator wants of a backend. Where what is said is written down, it is when this
    /// returns.
    ///
    /// # Errors
    /// Why it is not done; or that it is, but could not be written down.
    pub async fn wish(&self, wish: Wish) -> Result<Generation, ReloadError> {
        let generation = self.order(|reply| Command::Wish { wish: Box::new(wish), reply }).await?;
        let number = self.said.borrow().0;
        is_kept(self.kept.clone(), number).await?;
        Ok(generation)
    }

    /// What operators say beside the files.
    pub fn said(&self) -> Arc<Said> {
        Arc::clone(&self.said.borrow().1)
    }

    async fn order(
        &self,
        command: impl FnOnce(Reply) -> Command,
    ) -> Result<Generation, ReloadError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| ReloadError::Ended)?;
        answer.await.unwrap_or(Err(ReloadError::Ended))
    }

    /// A handle of a loop that has ended, for those who only read.
    #[cfg(test)]
    pub(crate) fn idle(reader: Reader) -> Self {
        let ((commands, _), (events, _)) = (mpsc::channel(1), mpsc::channel(1));
        let said = latest::channel((0, Arc::default())).1;
        let ledger = latest::channel((0, Arc::default())).1;
        let journal = Journal::default();
        Self { commands, events, reader, journal, said, kept: None, ledger, ledger_kept: None }
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

/// Waits until so many changes are written down, where they are.
async fn is_kept(
    kept: Option<latest::Receiver<keep::Kept>>,
    number: u64,
) -> Result<(), ReloadError> {
    let Some(mut kept) = kept else { return Ok(()) };
    let written = kept.wait_for(|(until, _)| *until >= number).await;
    let failed = written.map_err(|_| ReloadError::Ended)?.1.clone();
    failed.map_or(Ok(()), |error| Err(ReloadError::NotKept(error)))
}

/// The configuration stays as it is until this is dropped: what is asked for waits.
#[derive(Debug)]
pub struct Held {
    _held_by: oneshot::Sender<()>,
}

/// Where the outcome of a command goes.
type Reply = oneshot::Sender<Result<Generation, ReloadError>>;

#[cfg(test)]
mod tests;

//! The slow half of a reload, beside the loop: files are read and new names resolved while health
//! events still pass.

use std::path::PathBuf;
use std::sync::Arc;

use rustix::process::setpriority_process;
use rustix::thread::gettid;
use tokio::sync::oneshot;

use crate::config::{self, FileText, Loaded};
use crate::control::names::names;
use crate::control::operate::Wish;
use crate::control::propose::{Accepted, Draft, Proposal, draft};
use crate::control::said::{By, Said};
use crate::control::{Origin, ReloadError, Reply};
use crate::dns::{Answer, Dns};
use crate::snapshot::build::Addresses;

/// The priority of the thread that loads, from 0, everybody else's, to 19: a tenth of a worker's share
/// when both want the same core, so that a reload passes however busy the machine is.
const NICE: i32 = 10;

/// What the control loop can be told to do.
#[derive(Debug)]
pub(super) enum Command {
    /// Load the files again.
    Reload {
        /// Where that comes from.
        origin: Origin,
        /// Who wants it.
        by: By,
        /// Where the outcome goes.
        reply: Reply,
    },
    /// Take what an operator proposes.
    Propose {
        /// It.
        proposal: Box<Proposal>,
        /// Where the outcome goes.
        reply: Reply,
    },
    /// Leave in force what is on probation.
    Confirm {
        /// Who says so.
        by: By,
        /// The tag of the revision that has to be in force for that; `None`: whichever is.
        based_on: Option<String>,
        /// Where the outcome goes.
        reply: Reply,
    },
    /// Take this configuration.
    Apply {
        /// The configuration.
        loaded: Box<Loaded>,
        /// Who wants it.
        origin: Origin,
        /// Where the outcome goes.
        reply: Reply,
    },
    /// Do what an operator wants of a backend.
    Wish {
        /// What it is.
        wish: Box<Wish>,
        /// Where the outcome goes.
        reply: Reply,
    },
    /// Change nothing for a while.
    Hold {
        /// Where it is told that nothing is under way.
        holds: oneshot::Sender<()>,
        /// Ends when changes may begin again.
        released: oneshot::Receiver<()>,
    },
}

/// A configuration to be put in force, and where it comes from.
#[derive(Debug)]
pub(super) enum Task {
    /// From the files.
    Load(Option<PathBuf>),
    /// It is there.
    Take(Box<Loaded>),
    /// From what is proposed.
    Draft(Box<Draft>),
}

/// A command that only needs the loop's word to take effect.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The configuration with the addresses of its new names, or why there is none.
    pub(super) result: Result<Ready, ReloadError>,
    /// Whether it is what the files hold.
    pub(super) of_files: bool,
    /// Where that comes from.
    pub(super) origin: Origin,
    /// Who wants it.
    pub(super) by: By,
    /// Where the outcome goes.
    pub(super) reply: Reply,
    /// What operators say once it is in force, and the wish that it comes from.
    pub(super) altered: Option<Altered>,
}

/// A configuration that can be put in force.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) loaded: Loaded,
    /// The addresses of its new names.
    pub(super) answers: Vec<Answer>,
    /// What comes with it, if it was proposed.
    pub(super) accepted: Option<Accepted>,
}

/// What operators say once a wish is done, and the wish.
pub(super) type Altered = Box<(Said, Wish)>;

/// Prepares what is to be put in force, with what operators say beside it. `known` names are not asked for.
pub(super) async fn prepare(
    task: Task,
    said: Arc<Said>,
    known: Addresses,
    dns: Dns,
) -> Result<Ready, ReloadError> {
    let (loaded, accepted) = match task {
        Task::Load(file) => (load(file).await?, None),
        Task::Take(loaded) => (*loaded, None),
        Task::Draft(of_it) => {
            let (loaded, accepted) = beside(move || draft(*of_it)).await?;
            (loaded, Some(accepted))
        }
    };
    let mut names = names(&said.patch(&loaded.config));
    names.retain(|name, _| !known.contains_key(name));
    let answers = dns.resolve(names.into_keys()).await;
    Ok(Ready { loaded, answers, accepted })
}

/// Reads and checks the files.
async fn load(file: Option<PathBuf>) -> Result<Loaded, ReloadError> {
    let file = file.ok_or(ReloadError::NoFile)?;
    beside(move || config::load(&file, &config::process_environment).map_err(ReloadError::Invalid))
        .await
}

/// Loads a configuration as if these files held what is given here.
pub(super) async fn check(main: PathBuf, given: Vec<FileText>) -> Result<Loaded, ReloadError> {
    beside(move || {
        config::load_with(&main, &given, &config::process_environment).map_err(ReloadError::Invalid)
    })
    .await
}

/// Loads a configuration of before: these are all its files.
pub(super) async fn check_only(given: Vec<FileText>) -> Result<Loaded, ReloadError> {
    beside(move || {
        config::load_only(&given, &config::process_environment).map_err(ReloadError::Invalid)
    })
    .await
}

/// Does something on a thread beside the loop that gives way to all others: to check a configuration with
/// thousands of backends takes tens of milliseconds of a core that a worker may want.
async fn beside<T: Send + 'static>(
    task: impl FnOnce() -> Result<T, ReloadError> + Send + 'static,
) -> Result<T, ReloadError> {
    let doing = tokio::task::spawn_blocking(move || {
        // It loads as well without. The thread keeps it; the loop's only other use of such threads,
        // to look at the times of files, is in no hurry either.
        let _ = setpriority_process(Some(gettid()), NICE);
        task()
    });
    // Else the runtime is going down.
    doing.await.unwrap_or(Err(ReloadError::Ended))
}

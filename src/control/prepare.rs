//! The slow half of a reload, beside the loop: files are read and new names resolved while health
//! events still pass.

use std::path::PathBuf;

use rustix::process::setpriority_process;
use rustix::thread::gettid;

use crate::config::{self, Loaded};
use crate::control::names::names;
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
        /// Who wants it.
        origin: Origin,
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
}

/// A command that only needs the loop's word to take effect.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The configuration with the addresses of its new names, or why there is none.
    pub(super) result: Result<(Loaded, Vec<Answer>), ReloadError>,
    /// Who wants it.
    pub(super) origin: Origin,
    /// Where the outcome goes.
    pub(super) reply: Reply,
}

/// Prepares `command`. `known` names are not asked for.
pub(super) async fn prepare(
    command: Command,
    file: Option<PathBuf>,
    known: Addresses,
    dns: Dns,
) -> Prepared {
    let (loaded, origin, reply) = match command {
        Command::Reload { origin, reply } => (load(file).await, origin, reply),
        Command::Apply { loaded, origin, reply } => (Ok(*loaded), origin, reply),
    };
    let result = match loaded {
        Ok(loaded) => {
            let mut names = names(&loaded.config);
            names.retain(|name, _| !known.contains_key(name));
            let answers = dns.resolve(names.into_keys()).await;
            Ok((loaded, answers))
        }
        Err(error) => Err(error),
    };
    Prepared { result, origin, reply }
}

/// Reads and checks the files, on a thread beside the loop that gives way to all others: with
/// thousands of backends it takes tens of milliseconds of a core that a worker may want.
async fn load(file: Option<PathBuf>) -> Result<Loaded, ReloadError> {
    let file = file.ok_or(ReloadError::NoFile)?;
    let loading = tokio::task::spawn_blocking(move || {
        // It loads as well without. The thread keeps it; the loop's only other use of such threads,
        // to look at the times of files, is in no hurry either.
        let _ = setpriority_process(Some(gettid()), NICE);
        config::load(&file, &config::process_environment)
    });
    match loading.await {
        Ok(loaded) => loaded.map_err(ReloadError::Invalid),
        // The runtime is going down.
        Err(_) => Err(ReloadError::Ended),
    }
}

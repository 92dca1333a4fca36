//! Looks at the configuration's files for a change.
//!
//! By `stat` at an interval, not by the system's notifications: those miss files that are swapped
//! behind a symbolic link (as Kubernetes does with a `ConfigMap`), bind mounts and network file
//! systems. A directory that is watched shows a new or removed file by its own modification time.
//! What has changed must look the same twice in a row, so that a file is not read half written;
//! whether the content differs at all is found by loading it.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::control::Origin;
use crate::control::prepare::Command;
use crate::control::said::By;

/// Runs at most one watching task.
#[derive(Debug, Default)]
pub(super) struct Watch {
    watched: Vec<PathBuf>,
    interval: Option<Duration>,
    /// Ends with this value.
    task: JoinSet<()>,
}

impl Watch {
    /// Watches these files and directories from now on; without an interval none.
    ///
    /// A task that is new asks for one load: what changed since the files were read shows then.
    pub(super) fn set(
        &mut self,
        watched: Vec<PathBuf>,
        interval: Option<Duration>,
        commands: &mpsc::WeakSender<Command>,
    ) {
        if self.watched == watched && self.interval == interval {
            return;
        }
        self.task.abort_all();
        if let Some(interval) = interval {
            self.task.spawn(watch(watched.clone(), interval, commands.clone()));
        }
        self.watched = watched;
        self.interval = interval;
    }

    /// The paths that are watched.
    pub(super) fn watched(&self) -> &[PathBuf] {
        &self.watched
    }
}

async fn watch(paths: Vec<PathBuf>, interval: Duration, commands: mpsc::WeakSender<Command>) {
    let mut loaded = None;
    let mut before = None;
    loop {
        tokio::time::sleep(interval).await;
        let looked_at = paths.clone();
        // On a thread of its own: a network file system may hang.
        let looked = tokio::task::spawn_blocking(move || stamps(&looked_at)).await;
        let Ok(now) = looked else { continue };
        let now = Some(now);
        let settled = before == now;
        before.clone_from(&now);
        if !settled || loaded == now {
            continue;
        }
        loaded = now;
        let Some(commands) = commands.upgrade() else {
            return;
        };
        let (reply, _) = oneshot::channel();
        let by = By::of(Origin::FileWatch);
        let command = Command::Reload { origin: Origin::FileWatch, by, reply };
        if commands.send(command).await.is_err() {
            return;
        }
    }
}

/// What tells one state of a file from another without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    modified: (i64, i64),
    size: u64,
}

/// `None` for what is not there, or may not be looked at.
fn stamps(paths: &[PathBuf]) -> Vec<Option<Stamp>> {
    let stamp = |path: &PathBuf| {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let found = std::fs::metadata(path).ok()?;
        Some(Stamp {
            device: found.dev(),
            inode: found.ino(),
            modified: (found.mtime(), found.mtime_nsec()),
            size: found.size(),
        })
    };
    paths.iter().map(stamp).collect()
}

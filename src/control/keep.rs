//! Writes down what operators say, so that it holds after a restart too.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;
use tracing::error;

use crate::control::said::Said;

/// The file within the folder.
const FILE: &str = "overrides.json";

/// What is said, with the number of changes until then.
pub(super) type Now = (u64, Arc<Said>);

/// How far it is written down: the number of changes, and what went wrong.
pub(super) type Kept = (u64, Option<String>);

/// What was written down in a folder.
///
/// # Errors
/// What is there cannot be read.
pub(super) fn read(folder: &Path) -> io::Result<Said> {
    let path = folder.join(FILE);
    match fs::read(&path) {
        Ok(text) => Ok(serde_json::from_slice(&text)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Said::default()),
        Err(error) => Err(error),
    }
}

/// Writes down each change, and tells how far it is, until nobody changes anything any more.
pub(super) async fn keep(
    folder: PathBuf,
    mut now: watch::Receiver<Now>,
    kept: watch::Sender<Kept>,
) {
    while now.changed().await.is_ok() {
        let (number, said) = now.borrow_and_update().clone();
        let path = folder.join(FILE);
        let failed = failure_of(move || {
            let text = serde_json::to_vec_pretty(&*said)?;
            replace(&path, &text)
        })
        .await;
        if let Some(error) = &failed {
            let folder = folder.display();
            error!(%folder, error, "what operators said is in force, but could not be written down");
        }
        kept.send_replace((number, failed));
    }
}

/// Writes something apart from the control loop; why it could not be done.
pub(super) async fn failure_of(
    write: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> Option<String> {
    match tokio::task::spawn_blocking(write).await {
        Ok(written) => written.err().map(|error| error.to_string()),
        Err(error) => Some(error.to_string()),
    }
}

/// Replaces a file as a whole, so that a reader, or a machine that loses power, finds the old or the new
/// one. Only its owner may read it.
pub(super) fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

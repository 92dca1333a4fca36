//! The files: the account, and of each certificate its key and chain in one.
//!
//! Only we may read them. A file is written beside its place and moved there when it is on the disk,
//! so that there is a whole one at every moment.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::tls::Identity;

/// The certificate in this file, if there is one that can be used.
pub(super) async fn stored(file: PathBuf) -> Option<Identity> {
    let bytes = read(file).await.ok()??;
    Identity::read(&bytes, &bytes, None).ok()
}

/// What is in the file, if it is there.
pub(super) async fn read(file: PathBuf) -> io::Result<Option<Vec<u8>>> {
    match tokio::fs::read(file).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Stores this in the file, on a thread that may wait for the disk.
pub(super) async fn store(file: PathBuf, bytes: Vec<u8>) -> io::Result<()> {
    let storing = tokio::task::spawn_blocking(move || write(&file, &bytes));
    storing.await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let beside = file.with_extension("new");
    // What a process left that died here may have other rights.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    open.write_all(bytes)?;
    open.sync_all()?;
    fs::rename(&beside, file)?;
    fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_we_may_read_what_is_stored() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("state/authority/account.json");
        write(&file, b"first").unwrap();
        write(&file, b"second").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"second");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&file), 0o600);
        assert_eq!(mode(file.parent().unwrap()), 0o700);
        assert_eq!(mode(&directory.path().join("state")), 0o700);
        let names = fs::read_dir(file.parent().unwrap()).unwrap();
        assert_eq!(names.count(), 1, "nothing is left beside it");
    }
}

//! Files that commands write.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Who may read what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readers {
    /// Those who could read what was there; of what is new, whoever the umask lets.
    AsBefore,
    /// Its owner alone, whoever could read what was there.
    Owner,
}

/// Writes a file as a whole or not at all: whoever reads it meanwhile gets the old or the new one. What is no
/// file, as a terminal, is written to.
pub(super) fn replace(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let known = fs::metadata(path).ok();
    if known.as_ref().is_some_and(|known| !known.is_file()) {
        return fs::write(path, bytes);
    }
    // A link stays one.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut beside = path.clone().into_os_string();
    beside.push(format!(".{}", std::process::id()));
    let mode = if readers == Readers::Owner { 0o600 } else { 0o666 };
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside) {
        Ok(file) => file,
        // The folder is not ours to write to; the file may be.
        Err(_) if readers == Readers::AsBefore => return fs::write(&path, bytes),
        Err(error) => return Err(error),
    };
    let written = (|| {
        file.write_all(bytes)?;
        if let Some(known) = known.filter(|_| readers == Readers::AsBefore) {
            file.set_permissions(known.permissions())?;
        }
        file.sync_all()?;
        fs::rename(&beside, &path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

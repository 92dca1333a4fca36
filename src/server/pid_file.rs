//! The file that tells the process's id to those who want to signal it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The file; removed with this, unless another process has put its own id there.
#[derive(Debug)]
pub(super) struct PidFile(PathBuf);

impl PidFile {
    /// Writes it, in one step.
    pub(super) fn write(path: &Path) -> io::Result<Self> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}", std::process::id()));
        fs::write(&beside, format!("{}\n", std::process::id()))?;
        fs::rename(&beside, path)?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let ours = std::process::id().to_string();
        if fs::read_to_string(&self.0).is_ok_and(|pid| pid.trim() == ours) {
            // Nothing is left to do about a file that cannot be removed.
            let _ = fs::remove_file(&self.0);
        }
    }
}

//! The configuration file, replaced as a whole: who reads it, or a machine that loses power, finds the old
//! one or the new one.

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// What a file shall hold, written beside it.
#[derive(Debug)]
pub(super) struct Replacement {
    /// The file itself, where a symbolic link leads to it.
    path: PathBuf,
    beside: PathBuf,
    /// What it holds until then.
    before: Vec<u8>,
    /// Whether `beside` is there.
    waits: Cell<bool>,
}

impl Replacement {
    /// Writes the text beside the file, with the file's mode and owner.
    ///
    /// # Errors
    /// The folder cannot be written to, or the file would get another owner.
    pub(super) fn write(path: &Path, text: &str) -> io::Result<Self> {
        let path = path.canonicalize()?;
        let before = fs::read(&path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // With a dot before it no pattern of `include` fits.
        let beside = path.with_file_name(format!(".{name}.{}.new", std::process::id()));
        let made = Self { path, beside, before, waits: Cell::new(false) };
        made.fill(text.as_bytes())?;
        Ok(made)
    }

    fn fill(&self, text: &[u8]) -> io::Result<()> {
        let like = fs::metadata(&self.path)?;
        match fs::remove_file(&self.beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.beside)?;
        self.waits.set(true);
        let made = file.metadata()?;
        if (made.uid(), made.gid()) != (like.uid(), like.gid()) {
            fchown(&file, Some(like.uid()), Some(like.gid()))?;
        }
        file.set_permissions(fs::Permissions::from_mode(like.mode() & 0o7777))?;
        file.write_all(text)?;
        file.sync_all()
    }

    /// Puts it in place. A rename waits for no disk, so the loop may do it.
    pub(super) fn put(&self) -> io::Result<()> {
        fs::rename(&self.beside, &self.path)?;
        self.waits.set(false);
        Ok(())
    }

    /// Puts back what was there before.
    pub(super) fn put_back(&self) -> io::Result<()> {
        self.fill(&self.before)?;
        self.put()
    }

    /// Waits until the disk has it.
    pub(super) fn settle(&self) -> io::Result<()> {
        File::open(self.path.parent().unwrap_or(Path::new("/")))?.sync_all()
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        // Once it is in place, a file of that name is the next one's.
        if self.waits.get() {
            let _ = fs::remove_file(&self.beside);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_its_mode_its_link_and_until_then_its_text() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real.toml"), folder.path().join("link.toml"));
        fs::write(&real, "old").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("real.toml", &link).unwrap();
        let replacement = Replacement::write(&link, "new").unwrap();
        assert_eq!(fs::read_to_string(&link).unwrap(), "old");
        replacement.put().unwrap();
        replacement.settle().unwrap();
        assert_eq!(fs::read_to_string(&real).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&real).unwrap().mode() & 0o777, 0o640);
        replacement.put_back().unwrap();
        assert_eq!(fs::read_to_string(&real).unwrap(), "old");
        drop(Replacement::write(&link, "never").unwrap());
        let next = Replacement::write(&link, "next").unwrap();
        drop(replacement);
        next.put().unwrap();
        assert_eq!(fs::read_to_string(&real).unwrap(), "next");
        let left = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 2, "nothing is left beside them");
    }
}

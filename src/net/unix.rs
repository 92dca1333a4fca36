//! Unix sockets to listen on: files, which have to be made and taken away.
//!
//! All workers accept from one socket, for a path can be bound once only. Its file is removed by the
//! [`SocketFile`] that goes with it, unless somebody else has put another one in its place.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::SockRef;

use super::listen::BACKLOG;

/// The file of a socket that is listened on; removed when dropped.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    is: Identity,
    /// Another process has the socket now, and the file with it.
    given_away: AtomicBool,
}

/// Device and number of a file, and when it was made: numbers are given again.
type Identity = (u64, u64, i64, i64);

impl SocketFile {
    /// The file of a socket that another process has made and given to this one.
    ///
    /// # Errors
    /// It is not there.
    pub fn adopt(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), is: identity(path)?, given_away: AtomicBool::new(false) })
    }

    /// Leaves the file to the process that has the socket from now on.
    pub fn give_away(&self) {
        self.given_away.store(true, Ordering::Relaxed);
    }

    /// Sets who may connect.
    ///
    /// # Errors
    /// The file is not ours to change.
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        fs::set_permissions(&self.path, fs::Permissions::from_mode(mode))
    }

    fn is_ours(&self) -> bool {
        identity(&self.path).is_ok_and(|is| is == self.is)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if !*self.given_away.get_mut() && self.is_ours() {
            // Nothing is left to do about a file that cannot be removed.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino(), file.mtime(), file.mtime_nsec()))
}

/// Binds a path and listens. A socket file on which nobody listens any more is replaced. `mode`: who
/// may connect, as in `chmod`.
pub(super) fn bind(path: &Path, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path) => {
            fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        bound => bound?,
    };
    let file = SocketFile::adopt(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    // The standard library listens with a shorter queue; asking again changes it.
    SockRef::from(&listener).listen(BACKLOG)?;
    listener.set_nonblocking(true)?;
    Ok((listener, file))
}

/// Whether a path is a socket that a process has left behind.
fn is_stale(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    is_socket && UnixStream::connect(path).is_err_and(|error| refused(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_was_left_behind_is_replaced_and_the_file_goes_in_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "the file outlives its socket");
        let (_listener, file) = bind(&path, 0o660).unwrap();
        UnixStream::connect(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn file_that_was_given_away_goes_with_its_next_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sock");
        let (_listener, before) = bind(&path, 0o660).unwrap();
        let after = SocketFile::adopt(&path).unwrap();
        before.give_away();
        drop(before);
        assert!(path.exists());
        drop(after);
        assert!(!path.exists());
    }

    #[test]
    fn what_somebody_listens_on_or_is_no_socket_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sock");
        let _theirs = UnixListener::bind(&path).unwrap();
        assert_eq!(bind(&path, 0o660).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let plain = folder.path().join("plain");
        fs::write(&plain, "text").unwrap();
        assert!(bind(&plain, 0o660).is_err());
        assert_eq!(fs::read_to_string(&plain).unwrap(), "text");
    }

    #[test]
    fn a_file_of_somebody_else_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sock");
        let (listener, file) = bind(&path, 0o660).unwrap();
        fs::rename(&path, folder.path().join("moved")).unwrap();
        let _theirs = UnixListener::bind(&path).unwrap();
        drop((listener, file));
        assert!(path.exists());
    }
}

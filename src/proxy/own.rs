//! The certificate that we show a backend, where each request says which one.
//!
//! Its files are read for each fresh connection, off the worker, so that a renewed certificate counts at
//! once, as with nginx; what was made of them is kept as long as they stay as they were.

use std::cell::RefCell;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::net::lack;
use crate::snapshot::settings::{OwnFiles, Passwords};
use crate::tls::Identity;

/// Certificates that a worker keeps at most.
const KNOWN: usize = 64;
/// Bytes of a file at most.
const LARGEST: u64 = 1 << 20;

/// Which certificate a request shows: the paths of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Own {
    /// Empty: none is shown.
    pub(super) chain: String,
    pub(super) key: String,
}

/// What was made of two files.
struct Known {
    own: Own,
    passwords: Option<Passwords>,
    /// What stood in the two.
    read: (Vec<u8>, Vec<u8>),
    identity: Identity,
}

/// The certificates that a worker has shown, the latest last.
#[derive(Default)]
pub(super) struct Owned(RefCell<Vec<Arc<Known>>>);

impl fmt::Debug for Owned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keys stay secret.
        f.debug_struct("Owned").field("known", &self.0.borrow().len()).finish()
    }
}

impl Owned {
    /// Reads a certificate.
    ///
    /// # Errors
    /// It cannot be read, as [`lack`] says it.
    pub(super) async fn read(&self, own: &Own, files: &OwnFiles) -> io::Result<Identity> {
        let known = self.take(own, files.passwords.as_ref());
        let (own, passwords) = (own.clone(), files.passwords.clone());
        let folder = files.folder.clone();
        let read = spawn_blocking(move || {
            let read = (of_file(&folder, &own.chain)?, of_file(&folder, &own.key)?);
            match known {
                Some(known) if known.read == read => Ok(known),
                _ => made(own, passwords, read).map(Arc::new),
            }
        });
        let known = read.await.map_err(|error| lack(error.to_string()))?.map_err(lack)?;
        let identity = known.identity.clone();
        self.keep(known);
        Ok(identity)
    }

    fn take(&self, own: &Own, passwords: Option<&Passwords>) -> Option<Arc<Known>> {
        let mut known = self.0.borrow_mut();
        let is_it = |one: &Arc<Known>| one.own == *own && one.passwords.as_ref() == passwords;
        let place = known.iter().position(is_it)?;
        Some(known.remove(place))
    }

    fn keep(&self, one: Arc<Known>) {
        // Another connection may have read the same meanwhile.
        self.take(&one.own, one.passwords.as_ref());
        let mut known = self.0.borrow_mut();
        if known.len() >= KNOWN {
            known.remove(0);
        }
        known.push(one);
    }
}

fn made(own: Own, passwords: Option<Passwords>, read: (Vec<u8>, Vec<u8>)) -> Result<Known, String> {
    let words = passwords.as_ref().map(|Passwords(words)| &words[..]);
    let identity = Identity::read(&read.0, &read.1, words).map_err(|fault| {
        let path = if fault.is_about_key() { &own.key } else { &own.chain };
        format!("`{path}` {fault}")
    })?;
    Ok(Known { own, passwords, read, identity })
}

/// What stands in a file that a request may have named.
fn of_file(folder: &Path, path: &str) -> Result<Vec<u8>, String> {
    let place: PathBuf = folder.join(path);
    if Path::new(path).components().any(|part| part == Component::ParentDir) {
        return Err(format!("`{path}` is not read: it leads upwards"));
    }
    let read = || {
        // To open a FIFO would wait for its writer.
        if !fs::metadata(&place)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let mut bytes = Vec::new();
        File::open(&place)?.take(LARGEST).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error| format!("`{path}` cannot be read: {error}"))
}

//! Certificates that an authority gives.

use std::path::PathBuf;

/// An authority, and what is wanted of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acme {
    /// Where its directory is (RFC 8555 §7.1.1), a URL.
    pub directory: String,
    /// Mail addresses for its news.
    pub contact: Vec<String>,
    /// Where account and certificates are kept, for this authority only.
    pub folder: PathBuf,
    /// The file with the certificate of its own authority; `None`: those that the system trusts.
    pub ca: Option<PathBuf>,
    /// What its account is bound to, where it asks for that.
    pub external: Option<ExternalAccount>,
    /// How it finds out whether a name is ours.
    pub challenge: AcmeChallenge,
    /// The certificates, each once.
    pub certificates: Vec<Managed>,
}

/// An account at the authority's own site (RFC 8555 §7.3.4).
#[derive(Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    /// The key's identifier.
    pub id: String,
    /// The key.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for ExternalAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key stays secret.
        f.debug_struct("ExternalAccount").field("id", &self.id).finish_non_exhaustive()
    }
}

/// How an authority finds out whether a name is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcmeChallenge {
    /// It asks over HTTP, on port 80 of the name (RFC 8555 §8.3).
    Http,
    /// It shakes hands, on port 443 of the name (RFC 8737).
    TlsAlpn,
}

/// A certificate that is had of an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Managed {
    /// The names that it is for, in lower case, as they are written.
    pub names: Vec<String>,
    /// Where key and chain are kept, in one file.
    pub file: PathBuf,
}

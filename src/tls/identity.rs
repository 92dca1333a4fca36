//! A chain of certificates with the key of the first one.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use pkcs8::{EncryptedPrivateKeyInfoRef, SecretDocument};
use rustls::SignatureAlgorithm;
use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// Why a chain and a key are no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// There is no certificate in PEM form.
    #[error("holds no certificate in PEM form")]
    NoCertificate,
    /// A certificate cannot be read.
    #[error("holds a certificate that cannot be read")]
    BadCertificate,
    /// There is no key in PEM form.
    #[error("holds no private key in PEM form")]
    NoKey,
    /// The key is encrypted, and no password is there.
    #[error("holds an encrypted private key")]
    EncryptedKey,
    /// The key is encrypted in the form that OpenSSL had before PKCS #8.
    #[error("holds a private key that is encrypted in a form of old")]
    OldEncryption,
    /// The key is encrypted, and not by any of the passwords.
    #[error("holds a private key that none of the passwords decrypts")]
    OtherPassword,
    /// The key is of no kind that is known.
    #[error("holds a private key of a kind that cannot be used")]
    BadKey,
    /// The key belongs to another certificate.
    #[error("holds the private key of another certificate")]
    OtherKey,
}

impl Fault {
    /// Whether it is about the key, not the chain.
    pub fn is_about_key(&self) -> bool {
        !matches!(self, Self::NoCertificate | Self::BadCertificate)
    }

    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NoCertificate => {
                "it must begin with the server's own certificate; intermediate ones follow"
            }
            Self::BadCertificate => "look at it with `openssl x509 -text`",
            Self::NoKey => "it must hold `-----BEGIN PRIVATE KEY-----`",
            Self::EncryptedKey => "write its `password`, for example as `{ file = \"…\" }`",
            Self::OldEncryption => "write it anew with `openssl pkcs8 -topk8`",
            Self::OtherPassword => "try them with `openssl pkey`",
            Self::BadKey => {
                "use an ECDSA (P-256, P-384, P-521), RSA (2048 bits or more) or Ed25519 key"
            }
            Self::OtherKey => "take the key with which the certificate was asked for",
        }
    }
}

/// A chain of certificates with the key of the first one, and what the first one says.
#[derive(Clone)]
pub struct Identity {
    pub(super) certified: Arc<CertifiedKey>,
    names: Vec<String>,
    not_before: Duration,
    not_after: Duration,
}

impl Identity {
    /// Reads a chain and a key from PEM, and checks that they belong together. An encrypted key needs a
    /// password: one of these, each on a line of its own.
    ///
    /// # Errors
    /// Why they are no identity.
    pub fn read(chain: &[u8], key: &[u8], passwords: Option<&[u8]>) -> Result<Self, Fault> {
        let chain = certificates(chain)?;
        let key = private_key(key, passwords)?;
        let key = any_supported_type(&key).map_err(|_| Fault::BadKey)?;
        let first = chain.first().ok_or(Fault::NoCertificate)?;
        let facts = Certificate::from_der(first).map_err(|_| Fault::BadCertificate)?;
        let validity = facts.tbs_certificate().validity();
        let (not_before, not_after) =
            (validity.not_before.to_unix_duration(), validity.not_after.to_unix_duration());
        let names = names(&facts);
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            // Unknown: the key does not tell its public half, as none of our kinds of keys does not.
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => return Err(Fault::OtherKey),
            Err(_) => return Err(Fault::BadCertificate),
        }
        Ok(Self { certified: Arc::new(certified), names, not_before, not_after })
    }

    /// The same with what the certificate's authority says of it (OCSP, RFC 6960, in DER).
    #[must_use]
    pub fn stapled(self, ocsp: Vec<u8>) -> Self {
        let mut certified = CertifiedKey::clone(&self.certified);
        certified.ocsp = Some(ocsp);
        Self { certified: Arc::new(certified), ..self }
    }

    /// The DNS names that it is for, in lower case; `*.` stands before some.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// From when on it is valid, since 1970.
    pub fn not_before(&self) -> Duration {
        self.not_before
    }

    /// Until when it is valid, since 1970.
    pub fn not_after(&self) -> Duration {
        self.not_after
    }

    /// Shows it to whoever asks for a certificate.
    pub(super) fn resolver(&self) -> Arc<dyn ResolvesClientCert> {
        Arc::new(SingleCertAndKey::from(Arc::clone(&self.certified)))
    }

    /// Whether its key is an RSA key, which costs more than the others.
    pub(super) fn is_rsa(&self) -> bool {
        self.certified.key.algorithm() == SignatureAlgorithm::RSA
    }
}

impl PartialEq for Identity {
    /// Of the same certificates, and so of the same key.
    fn eq(&self, other: &Self) -> bool {
        self.certified.cert == other.certified.cert && self.certified.ocsp == other.certified.ocsp
    }
}

impl Eq for Identity {}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("names", &self.names).finish_non_exhaustive()
    }
}

/// The certificates of a PEM file, in its order.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let read: Result<Vec<_>, PemError> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(read) if read.is_empty() => Err(Fault::NoCertificate),
        Ok(read) => Ok(read),
        Err(_) => Err(Fault::BadCertificate),
    }
}

fn private_key(pem: &[u8], passwords: Option<&[u8]>) -> Result<PrivateKeyDer<'static>, Fault> {
    let has = |text: &[u8]| pem.windows(text.len()).any(|window| window == text);
    match PrivateKeyDer::from_pem_slice(pem) {
        _ if has(b"Proc-Type: 4,ENCRYPTED") => Err(Fault::OldEncryption),
        _ if has(b"BEGIN ENCRYPTED PRIVATE KEY") => {
            decrypted(pem, passwords.ok_or(Fault::EncryptedKey)?)
        }
        Ok(key) => Ok(key),
        Err(PemError::NoItemsFound) => Err(Fault::NoKey),
        Err(_) => Err(Fault::BadKey),
    }
}

/// The key of an encrypted one (PKCS #8, RFC 5958 §3) by the first password that decrypts it.
fn decrypted(pem: &[u8], passwords: &[u8]) -> Result<PrivateKeyDer<'static>, Fault> {
    const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";
    let text = String::from_utf8_lossy(pem);
    let begin = text.find("-----BEGIN ENCRYPTED PRIVATE KEY-----").ok_or(Fault::NoKey)?;
    let length = text[begin..].find(END).ok_or(Fault::BadKey)? + END.len();
    let section = SecretDocument::from_pem(&text[begin..begin + length]);
    let (_, key) = section.map_err(|_| Fault::BadKey)?;
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(key.as_bytes());
    let encrypted = encrypted.map_err(|_| Fault::BadKey)?;
    let lines = passwords.split(|byte| *byte == b'\n');
    let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let key = lines.filter(|line| !line.is_empty()).find_map(|line| encrypted.decrypt(line).ok());
    let key = key.ok_or(Fault::OtherPassword)?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}

fn names(certificate: &Certificate) -> Vec<String> {
    let names = certificate.tbs_certificate().get_extension::<SubjectAltName>();
    let names = names.ok().flatten().map(|(_, names)| names.0).unwrap_or_default();
    names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}

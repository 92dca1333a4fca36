//! Whom to believe: certificates of authorities, and what they have revoked.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;
use x509_cert::certificate::Rfc5280;
use x509_cert::crl::CertificateList;
use x509_cert::der::Decode;

use super::Fault;
use super::identity::certificates;

/// Trusted authorities.
#[derive(Clone)]
pub struct Roots {
    pub(super) store: Arc<RootCertStore>,
}

impl Roots {
    /// The certificates of a PEM file, each of which is trusted by itself.
    ///
    /// # Errors
    /// When there is none, or one cannot be read.
    pub fn read(pem: &[u8]) -> Result<Self, Fault> {
        let mut store = RootCertStore::empty();
        for certificate in certificates(pem)? {
            store.add(certificate).map_err(|_| Fault::BadCertificate)?;
        }
        Ok(Self { store: Arc::new(store) })
    }
}

impl Roots {
    /// The system's trusted certificates, as OpenSSL finds them. Those that cannot be read are left
    /// out.
    ///
    /// # Errors
    /// When there is none.
    pub fn system() -> Result<Self, Fault> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if store.is_empty() {
            return Err(Fault::NoCertificate);
        }
        Ok(Self { store: Arc::new(store) })
    }
}

impl PartialEq for Roots {
    fn eq(&self, other: &Self) -> bool {
        if Arc::ptr_eq(&self.store, &other.store) {
            return true;
        }
        let same = |(one, other): (&rustls::pki_types::TrustAnchor<'_>, &_)| one == other;
        self.store.len() == other.store.len()
            && self.store.roots.iter().zip(&other.store.roots).all(same)
    }
}

impl Eq for Roots {}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Roots({})", self.store.len())
    }
}

/// Lists of revoked certificates.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Crls(pub(super) Vec<CertificateRevocationListDer<'static>>);

impl Crls {
    /// Adds the lists of a PEM file. Gives whether there was any.
    pub fn add(&mut self, pem: &[u8]) -> bool {
        let read: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(pem).collect();
        match read {
            Ok(read) if !read.is_empty() => {
                self.0.extend(read);
                true
            }
            _ => false,
        }
    }

    /// Takes those of another up.
    pub fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// Until when all of them hold, since 1970: until the first of those that newer ones are announced
    /// for. Past it, nobody whom they could be about is believed.
    pub fn until(&self) -> Option<Duration> {
        let end = |list: &CertificateRevocationListDer<'_>| {
            let list = CertificateList::<Rfc5280>::from_der(list).ok()?;
            Some(list.tbs_cert_list.next_update?.to_unix_duration())
        };
        self.0.iter().filter_map(end).min()
    }
}

impl fmt::Debug for Crls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Crls({})", self.0.len())
    }
}

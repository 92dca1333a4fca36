//! How backends are met: whom to believe, who we are, by which name each is known.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};

use super::depth::Within;
use super::{Crls, Identity, Roots, provider};

/// Sessions that are kept for one backend: rustls's measure for all tickets of one name.
const SESSIONS: usize = 8;

/// Whom to believe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Who shows a certificate for its name of one of these authorities that is not revoked, with at most
    /// so many certificates between the two.
    In(Roots, Crls, usize),
    /// Anybody.
    Anybody,
}

/// Terms of an upstream, as the operator has written them.
#[derive(Clone)]
pub struct BackendTerms {
    trust: Trust,
    identity: Option<Identity>,
    name: Option<String>,
    sni: bool,
    protocol: &'static [u8],
    config: Arc<ClientConfig>,
}

impl BackendTerms {
    /// Backends are trusted like this and shown this identity; `name` stands for the host in each
    /// one's address, `sni` tells it in the handshake, `protocol` is spoken (ALPN).
    ///
    /// # Errors
    /// Why it cannot be done.
    pub fn new(
        trust: Trust,
        identity: Option<Identity>,
        (name, sni): (Option<String>, bool),
        protocol: &'static [u8],
    ) -> Result<Self, String> {
        let provider = provider();
        let verifier: Arc<dyn ServerCertVerifier> = match &trust {
            Trust::In(roots, crls, depth) => {
                let store = Arc::clone(&roots.store);
                let mut builder =
                    WebPkiServerVerifier::builder_with_provider(store, Arc::clone(&provider));
                if !crls.0.is_empty() {
                    builder = builder.with_crls(crls.0.iter().cloned());
                    builder = builder.enforce_revocation_expiration();
                }
                let verifier = builder.build().map_err(|error| error.to_string())?;
                Arc::new(Within { most: *depth, verifier })
            }
            Trust::Anybody => Arc::new(Unverified(Arc::clone(&provider))),
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder.with_client_cert_resolver(identity.resolver()),
        };
        config.enable_sni = sni;
        Ok(Self { trust, identity, name, sni, protocol, config: Arc::new(config) })
    }

    /// Whether somebody else could take a backend's place.
    pub fn is_insecure(&self) -> bool {
        self.trust == Trust::Anybody
    }

    /// The name that all backends are known by, if one is written.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The protocol within.
    pub fn protocol(&self) -> &'static [u8] {
        self.protocol
    }

    /// The side that meets a backend whose address says `host`, with sessions of its own.
    pub fn meet(&self, host: &str) -> Arc<ToBackend> {
        let name = server_name(self.name.as_deref().unwrap_or(host));
        // Nobody has a certificate for this one.
        let name = name.unwrap_or(ServerName::IpAddress(Ipv4Addr::UNSPECIFIED.into()));
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Arc::new(ToBackend { config: Arc::new(config), name, protocol: self.protocol })
    }
}

/// Whether certificates can be for this name or address.
pub fn is_server_name(host: &str) -> bool {
    server_name(host).is_some()
}

fn server_name(host: &str) -> Option<ServerName<'static>> {
    let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let bare = v6.unwrap_or_else(|| host.strip_suffix('.').unwrap_or(host));
    ServerName::try_from(bare.to_owned()).ok()
}

impl PartialEq for BackendTerms {
    fn eq(&self, other: &Self) -> bool {
        self.trust == other.trust
            && self.identity == other.identity
            && (&self.name, self.sni) == (&other.name, other.sni)
            && self.protocol == other.protocol
    }
}

impl Eq for BackendTerms {}

impl fmt::Debug for BackendTerms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackendTerms")
            .field("trust", &self.trust)
            .field("identity", &self.identity)
            .field("name", &self.name)
            .field("sni", &self.sni)
            .finish_non_exhaustive()
    }
}

/// What sessions with one backend are made of. All workers share it, and the backend's tickets.
pub struct ToBackend {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
    /// What is spoken within; empty: what the backend is not told.
    pub(crate) protocol: &'static [u8],
}

impl ToBackend {
    /// The same backend by another name; `None`: no certificate can be for it. No session goes on from
    /// one name to another.
    pub fn by_name(&self, name: &str) -> Option<Self> {
        let name = server_name(name)?;
        Some(Self { config: Arc::clone(&self.config), name, protocol: self.protocol })
    }

    /// The same backend, which is not told what is spoken: bytes of others are passed through to it.
    #[must_use]
    pub fn of_any_protocol(&self) -> Self {
        Self { config: Arc::clone(&self.config), name: self.name.clone(), protocol: b"" }
    }

    /// The protocols that are offered (ALPN).
    pub(crate) fn offered(&self) -> Vec<Vec<u8>> {
        if self.protocol.is_empty() { Vec::new() } else { vec![self.protocol.to_vec()] }
    }

    /// The same backend, shown this identity. No session goes on from one identity to another, nor from one
    /// connection to the next.
    #[must_use]
    pub fn showing(&self, identity: &Identity) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.client_auth_cert_resolver = identity.resolver();
        config.resumption = Resumption::disabled();
        Self { config: Arc::new(config), name: self.name.clone(), protocol: self.protocol }
    }
}

impl fmt::Debug for ToBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToBackend").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Believes every certificate, but holds its owner to the key in it.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

//! What is told of a TLS session: to variables, logs and backends.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use rustls::{CipherSuite, CommonState, HandshakeKind, ProtocolVersion};
use x509_cert::Certificate;
use x509_cert::der::pem::LineEnding;
use x509_cert::der::{Decode, DecodePem, EncodePem};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// What was agreed with a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secured {
    /// `TLSv1.3` or `TLSv1.2`.
    pub version: &'static str,
    /// The cipher suite as OpenSSL, and so nginx, calls it: `TLS_AES_256_GCM_SHA384`,
    /// `ECDHE-RSA-AES128-GCM-SHA256`.
    pub cipher: &'static str,
    /// The name that the client asked for.
    pub server_name: Option<Box<str>>,
    /// Whether it goes on from an earlier session.
    pub resumed: bool,
    /// The protocol that was agreed on (ALPN, RFC 7301), like `http/1.1`.
    pub protocol: Option<Box<[u8]>>,
    /// The client's certificate, which was verified.
    pub client: Option<Box<ClientCertificate>>,
}

/// A client's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Whom it is for, after RFC 4514.
    pub subject: String,
    /// Who vouches for it.
    pub issuer: String,
    /// Its number, in upper-case hexadecimal.
    pub serial: String,
    /// The SHA-1 of it in lower-case hexadecimal: a name for it, no proof.
    pub fingerprint: String,
    /// It itself, in PEM.
    pub pem: String,
}

impl Secured {
    /// What is to be told of a session whose handshake is done.
    pub(crate) fn of(session: &CommonState, server_name: Option<&str>) -> Self {
        let certificates = session.peer_certificates().unwrap_or_default();
        Self {
            version: match session.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
                _ => "TLSv1.3",
            },
            cipher: session.negotiated_cipher_suite().map_or("", |suite| openssl(suite.suite())),
            server_name: server_name.map(Into::into),
            resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
            protocol: session.alpn_protocol().map(Into::into),
            client: certificates.first().and_then(|der| ClientCertificate::read(der)).map(Box::new),
        }
    }
}

/// OpenSSL's word for a suite.
fn openssl(suite: CipherSuite) -> &'static str {
    use CipherSuite as Suite;
    match suite {
        Suite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        Suite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        Suite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        Suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
        Suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-ECDSA-CHACHA20-POLY1305",
        Suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
        Suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
        Suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-RSA-CHACHA20-POLY1305",
        // There is no other in the presets.
        other => other.as_str().unwrap_or_default(),
    }
}

impl ClientCertificate {
    /// Its names (Subject Alternative Name, RFC 5280 §4.2.1.6) of the kinds that texts can hold: DNS,
    /// e-mail, URI, and IP addresses.
    pub fn names(&self) -> Vec<String> {
        let certificate = Certificate::from_pem(&self.pem).ok();
        let names = certificate.and_then(|certificate| {
            let names = certificate.tbs_certificate().get_extension::<SubjectAltName>();
            Some(names.ok()??.1.0)
        });
        let text = |name: &GeneralName| match name {
            GeneralName::DnsName(name) | GeneralName::Rfc822Name(name) => {
                Some(name.as_str().to_owned())
            }
            GeneralName::UniformResourceIdentifier(name) => Some(name.as_str().to_owned()),
            GeneralName::IpAddress(bytes) => match *bytes.as_bytes() {
                [a, b, c, d] => Some(Ipv4Addr::new(a, b, c, d).to_string()),
                ref long => Some(Ipv6Addr::from(<[u8; 16]>::try_from(long).ok()?).to_string()),
            },
            _ => None,
        };
        names.unwrap_or_default().iter().filter_map(text).collect()
    }

    fn read(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let facts = certificate.tbs_certificate();
        Some(Self {
            subject: facts.subject().to_string(),
            issuer: facts.issuer().to_string(),
            serial: hex(facts.serial_number().as_bytes(), true),
            fingerprint: hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, der).as_ref(), false),
            pem: certificate.to_pem(LineEnding::LF).ok()?,
        })
    }
}

fn hex(bytes: &[u8], upper: bool) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = if upper { write!(text, "{byte:02X}") } else { write!(text, "{byte:02x}") };
    }
    text
}

//! The bytes of one client connection: as they are, or within TLS 1.3.
//!
//! The client is cheap where a real one is careful: it takes any certificate. What a proxy pays is the
//! same. Both sides are held to X25519, which all of them know: what is compared are the programs, not
//! whether one of them has post-quantum groups.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, SignatureScheme,
};

use crate::Result;
use crate::cases::Handshakes;

/// The host that clients ask for.
pub(crate) const NAME: &str = "www.example.com";

/// Names below it that sessions are kept for.
const PLACES: usize = 64;

/// Bytes at the front of a scratch buffer for what a read of the rest decrypts to.
const DECRYPTED: usize = 160 * 1024;

/// A client's side of a connection.
pub(crate) struct Link {
    pub(crate) socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

/// What connections within TLS are made of.
pub(crate) fn client_config(handshakes: Handshakes, http2: bool) -> Result<Arc<ClientConfig>> {
    let provider = CryptoProvider {
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.alpn_protocols = vec![if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    config.resumption = match handshakes {
        Handshakes::Full => Resumption::disabled(),
        Handshakes::Resumed => Resumption::in_memory_sessions(16 * PLACES),
    };
    Ok(Arc::new(config))
}

impl Link {
    /// A connection over this socket, in this place among all. Each place has its own name to ask for:
    /// sessions are kept by name, and only a few of each.
    pub(crate) fn new(
        socket: TcpStream,
        place: usize,
        tls: Option<&Arc<ClientConfig>>,
    ) -> Result<Self> {
        let tls = match tls {
            None => None,
            Some(config) => {
                let name = ServerName::try_from(format!("{}.{NAME}", place % PLACES))?;
                Some(Box::new(ClientConnection::new(Arc::clone(config), name)?))
            }
        };
        Ok(Self { socket, tls })
    }

    /// Whether the connection went on from an earlier one's session; `None` without TLS.
    pub(crate) fn was_resumed(&self) -> Option<bool> {
        Some(self.tls.as_ref()?.handshake_kind() == Some(HandshakeKind::Resumed))
    }

    /// Takes bytes; within TLS they may still be here when it returns.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return self.socket.write(bytes);
        };
        match tls.writer().write(bytes)? {
            0 => Err(ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }

    /// Sends what is still here; whether all has left.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else {
            return Ok(true);
        };
        while tls.wants_write() {
            match tls.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(fault) => return Err(fault),
            }
        }
        Ok(true)
    }

    /// Reads once. Gives how many bytes are at the front of `scratch` now (none: the end), and whether
    /// the socket may hold more.
    pub(crate) fn read(&mut self, scratch: &mut [u8]) -> io::Result<(usize, bool)> {
        let Some(tls) = &mut self.tls else {
            let count = self.socket.read(scratch)?;
            return Ok((count, count == scratch.len()));
        };
        let (plain, raw) = scratch.split_at_mut(DECRYPTED);
        loop {
            let count = self.socket.read(raw)?;
            if count == 0 {
                return Ok((0, false));
            }
            let mut rest = &raw[..count];
            let mut decrypted = 0;
            while !rest.is_empty() {
                tls.read_tls(&mut rest)?;
                let state = tls.process_new_packets().map_err(io::Error::other)?;
                if state.plaintext_bytes_to_read() > 0 {
                    decrypted += tls.reader().read(&mut plain[decrypted..])?;
                }
                if state.peer_has_closed() && decrypted == 0 {
                    return Ok((0, false));
                }
            }
            // What the handshake has to say in between.
            while tls.wants_write() && tls.write_tls(&mut self.socket)? > 0 {}
            if decrypted > 0 {
                return Ok((decrypted, count == raw.len()));
            }
        }
    }
}

/// Takes any certificate.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

//! Tickets of clients that have shown a certificate.
//!
//! A ticket carries the certificates that its client showed, and rustls believes them without another
//! look; with TLS 1.3 each handshake of this kind gives a new ticket. So a certificate that has run out
//! since, or a list of revoked ones that has, would go on to be good for as long as its client comes back
//! in time. Here a ticket is good for nothing once its certificates are not: what follows is a whole
//! handshake, in which the client may show another one.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ProducesTickets;
use rustls::server::danger::ClientCertVerifier;

/// Tickets that hold as long as the certificates in them.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) tickets: Arc<dyn ProducesTickets>,
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
}

impl ProducesTickets for Verified {
    fn enabled(&self) -> bool {
        self.tickets.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.tickets.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.tickets.encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let plain = self.tickets.decrypt(cipher)?;
        // What cannot be read is no ticket: a whole handshake is always right.
        let good = match chain(&plain)?.split_first() {
            // Without a certificate the client is let in or not by whether one is required, as ever.
            None => !self.verifier.client_auth_mandatory(),
            Some((own, between)) => {
                self.verifier.verify_client_cert(own, between, UnixTime::now()).is_ok()
            }
        };
        good.then_some(plain)
    }
}

/// The client's certificates in a session, as rustls 0.23 writes one (`ServerSessionValue`): the name, if
/// any; version, suite, secret; whether it is an extended one; the chain, if any.
fn chain(session: &[u8]) -> Option<Vec<CertificateDer<'_>>> {
    let mut rest = Rest(session);
    if rest.number(1)? == 1 {
        rest.with_length(1)?;
    }
    rest.take(4)?;
    rest.with_length(1)?;
    rest.take(1)?;
    let mut chain = Vec::new();
    if rest.number(1)? == 1 {
        let mut list = Rest(rest.with_length(3)?);
        while !list.0.is_empty() {
            chain.push(list.with_length(3)?.into());
        }
    }
    Some(chain)
}

/// What is left to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number of so many bytes.
    fn number(&mut self, bytes: usize) -> Option<usize> {
        let digits = self.take(bytes)?.iter();
        Some(digits.fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// What follows its length, which has so many bytes.
    fn with_length(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let length = self.number(bytes)?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A session for `a.b` with these certificates.
    fn session(certificates: Option<&[&[u8]]>) -> Vec<u8> {
        let mut bytes = b"\x01\x03a.b\x03\x04\x13\x02\x02ms\x01".to_vec();
        let Some(certificates) = certificates else {
            bytes.push(0);
            return bytes;
        };
        let with_length = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[1..], bytes].concat();
        let list: Vec<u8> = certificates.iter().flat_map(|one| with_length(one)).collect();
        bytes.push(1);
        bytes.extend(with_length(&list));
        bytes
    }

    #[test]
    fn certificates_are_found_in_a_session() {
        let read = |bytes: &[u8]| {
            let chain = chain(bytes)?;
            Some(chain.iter().map(|one| one.to_vec()).collect::<Vec<_>>())
        };
        assert_eq!(read(&session(None)), Some(Vec::new()));
        let both: [&[u8]; 2] = [b"own", &[7; 300]];
        let bytes = session(Some(&both));
        let behind = [&bytes[..], b"the rest"].concat();
        assert_eq!(read(&behind), Some(both.map(<[u8]>::to_vec).to_vec()));
        for len in 0..bytes.len() {
            assert_eq!(read(&bytes[..len]), None, "{len}");
        }
    }
}

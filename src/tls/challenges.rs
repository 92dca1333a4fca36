//! What is answered to an authority that asks whether a name is ours (ACME, RFC 8555 §8).
//!
//! `acme` puts answers here while an order is under way; the listeners give them, over HTTP
//! (RFC 8555 §8.3) or within a handshake (RFC 8737). Between orders there are none. Read without a
//! lock, and only by who was asked.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::ClientHello;
use rustls::sign::CertifiedKey;

use super::Fault;

/// Where an answer stands that is asked for over HTTP; its token follows.
const PREFIX: &[u8] = b"/.well-known/acme-challenge/";

/// The protocol (ALPN) of a handshake that asks.
pub const PROTOCOL: &[u8] = b"acme-tls/1";

/// One question, and what is answered.
#[derive(Debug, Clone)]
pub enum Challenge {
    /// Over HTTP.
    Http {
        /// By what is asked.
        token: String,
        /// What is answered: the key authorization (RFC 8555 §8.1).
        answer: String,
    },
    /// Within a handshake.
    Tls {
        /// The name that is asked for, in lower case.
        name: String,
        /// The certificate with the answer in it.
        certified: Arc<CertifiedKey>,
    },
}

impl Challenge {
    /// An answer within a handshake for this name: a certificate in DER, and its key in PKCS #8. No
    /// more is made of it: what says the answer in it is unknown to who verifies certificates.
    ///
    /// # Errors
    /// The key cannot be used.
    pub fn within_handshake(name: String, der: Vec<u8>, key: Vec<u8>) -> Result<Self, Fault> {
        let key = PrivateKeyDer::Pkcs8(key.into());
        let key = any_supported_type(&key).map_err(|_| Fault::BadKey)?;
        let certified = Arc::new(CertifiedKey::new(vec![der.into()], key));
        Ok(Self::Tls { name, certified })
    }
}

/// The answers of the moment.
#[derive(Debug, Default)]
pub struct Challenges(ArcSwap<Vec<Challenge>>);

impl Challenges {
    /// Answers these from now on, and none of those before.
    pub fn set(&self, challenges: Vec<Challenge>) {
        self.0.store(Arc::new(challenges));
    }

    /// The answer to a request for this path, if it is one that is waited for.
    pub fn answer(&self, path: &[u8]) -> Option<String> {
        let asked = path.strip_prefix(PREFIX)?;
        self.0.load().iter().find_map(|one| match one {
            Challenge::Http { token, answer } if token.as_bytes() == asked => Some(answer.clone()),
            _ => None,
        })
    }

    /// Whether a client shakes hands for nothing but an answer.
    pub(super) fn are_asked(hello: &ClientHello<'_>) -> bool {
        hello.alpn().is_some_and(|mut names| names.all(|name| name == PROTOCOL))
    }

    /// The certificate with the answer for this name.
    pub(super) fn certificate(&self, asked: &str) -> Option<Arc<CertifiedKey>> {
        self.0.load().iter().find_map(|one| match one {
            Challenge::Tls { name, certified } if name == asked => Some(Arc::clone(certified)),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_waited_for_is_answered() {
        let challenges = Challenges::default();
        let path = b"/.well-known/acme-challenge/abc";
        assert_eq!(challenges.answer(path), None);
        challenges.set(vec![Challenge::Http { token: "abc".into(), answer: "abc.key".into() }]);
        assert_eq!(challenges.answer(path).as_deref(), Some("abc.key"));
        for other in ["/.well-known/acme-challenge/ab", "/.well-known/acme-challenge/", "/abc", ""]
        {
            assert_eq!(challenges.answer(other.as_bytes()), None, "{other}");
        }
        challenges.set(Vec::new());
        assert_eq!(challenges.answer(path), None);
    }
}

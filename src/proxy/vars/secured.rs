//! What variables tell of a TLS session.

use crate::snapshot::settings::TlsFact;
use crate::tls::Secured;

/// Appends what is asked for; nothing where it is not known.
pub(super) fn push(secured: Option<&Secured>, fact: TlsFact, out: &mut Vec<u8>) {
    let Some(secured) = secured else { return };
    let client = secured.client.as_deref();
    let text = match fact {
        TlsFact::Version => secured.version,
        TlsFact::Cipher => secured.cipher,
        TlsFact::ServerName => secured.server_name.as_deref().unwrap_or_default(),
        TlsFact::Protocol => {
            return out.extend_from_slice(secured.protocol.as_deref().unwrap_or_default());
        }
        TlsFact::Resumed => {
            if secured.resumed {
                "r"
            } else {
                "."
            }
        }
        TlsFact::ClientVerified => {
            if client.is_some() {
                "SUCCESS"
            } else {
                "NONE"
            }
        }
        TlsFact::ClientSubject => client.map_or("", |client| &client.subject),
        TlsFact::ClientIssuer => client.map_or("", |client| &client.issuer),
        TlsFact::ClientSerial => client.map_or("", |client| &client.serial),
        TlsFact::ClientFingerprint => client.map_or("", |client| &client.fingerprint),
        TlsFact::ClientCertificate => {
            return push_encoded(client.map_or("", |client| &client.pem), out);
        }
    };
    out.extend_from_slice(text.as_bytes());
}

/// Percent-encodes all but unreserved characters (RFC 3986 §2.3), as nginx does it.
fn push_encoded(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte);
        } else {
            let digit = |bits: u8| HEX[usize::from(bits & 15)];
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte)]);
        }
    }
}

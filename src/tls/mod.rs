//! Certificates, keys and terms of TLS: from the bytes of files to what sessions are made of.
//!
//! Nothing here reads a file, a socket or the clock but [`Roots::system`], which reads the system's
//! trusted certificates, and what is called in handshakes (`tickets`), which looks at the time. `config` makes [`ServerTerms`] of what the operator wrote and reports what is
//! wrong with it; `snapshot` makes a [`Server`] of them, which keeps its ticket keys from one
//! configuration to the next; `net` runs the sessions; [`Secured`] is what is told of one.
//!
//! All cryptography of sessions is `aws-lc-rs`'s, through rustls: TLS 1.2 and 1.3, forward secrecy and
//! authenticated encryption only, no renegotiation, no compression, no early data. Only the encryption
//! of key files is another crate's (`pkcs8`), for there is none of it in rustls.

mod backend;
mod challenges;
mod depth;
mod identity;
mod keyed;
mod roots;
mod secured;
mod server;
mod tickets;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub use backend::{BackendTerms, ToBackend, Trust, is_server_name};
pub use challenges::{Challenge, Challenges, PROTOCOL as CHALLENGE_PROTOCOL};
pub use identity::{Fault, Identity};
pub use keyed::keyed_hash;
pub use roots::{Crls, Roots};
pub use secured::{ClientCertificate, Secured};
pub use server::{ClientTerms, Named, Policy, Server, ServerTerms};

/// Where the cryptography comes from.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

//! Our strict HTTP/1 codec: heads, framing and bodies, pure over byte slices.
//!
//! Serves both sides of the proxy: requests from clients and to backends, responses from backends and
//! to clients. This room is the one place where framing is judged (RFC 9112 §6), so that every message
//! has exactly one length here, and what is forwarded is what was understood. In doubt it refuses: a
//! bare LF, a second `Content-Length`, a coding that is not `chunked` end in a [`HeadError`] and a
//! closed connection, never in a guess.
//!
//! - [`RequestHead`], [`ResponseHead`]: parse one head from the start of a buffer, resumable, and keep
//!   its text, so that a head outlives the read buffer without an allocation per field;
//! - [`Decoder`]: takes the framing off a body as it arrives;
//! - [`encode`]: appends lines, fields and chunks to a `Vec<u8>`;
//! - [`target`]: the normalised path that routes are matched with.
//!
//! No I/O, no clock, no runtime: `proxy` owns the sockets. Heads are read by our own line parser and
//! not by `httparse`: that takes bare LF, many empty lines and 8-bit targets, and begins anew with each
//! byte that trickles in, so every line would have to be looked at before it. The tests hold our
//! parser against `httparse`: what we accept, it accepts and reads alike.

mod aim;
mod body;
pub mod encode;
mod error;
mod framing;
mod grammar;
mod known;
mod lanes;
mod limits;
mod request;
mod response;
mod section;
pub mod target;
#[cfg(test)]
mod tests;

pub use aim::Aim;
pub use body::{BodyError, Decoded, Decoder, is_trailer};
pub use error::HeadError;
pub use framing::Framing;
pub use grammar::{is_field_value, is_host, is_target, is_token};
pub use known::{Known, classify};
pub use limits::{Limits, Names};
pub use request::RequestHead;
pub use response::ResponseHead;
pub use section::{Field, Parse, Span, Version};

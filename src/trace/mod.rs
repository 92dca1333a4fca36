//! Traces of requests, as OpenTelemetry has them: who asked and whom we ask (W3C Trace Context), and
//! spans on their way to a collector (OTLP over HTTP).
//!
//! Workers know the [`Context`] of each request and make [`Span`]s of those that are sampled
//! (`proxy::traced`). They put them into the [`Outbox`], which takes them or does not, but never has a
//! worker wait. One task of the control thread, [`export()`], delivers them.
//!
//! The messages are written out here: ten of protobuf, stable since OTLP 1.0. The crate that has them
//! ready brings the whole SDK, whose processors would decide on threads and queues for us; tests read
//! what we send by it.

pub mod context;
mod deliver;
mod export;
mod outbox;
mod span;

pub use context::Context;
pub use export::export;
pub use outbox::{Inbox, Outbox};
pub use span::{Kind, Link, Span, Value};

//! What would be told for every request while it lasts, and is told once a second at most.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use tokio::time::Instant;

use crate::net::is_of_handshake;

/// Between two lines on the same.
const PAUSE: Duration = Duration::from_secs(1);

/// When a worker last told of what.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    /// Want of descriptors.
    shortage: Cell<Option<Instant>>,
    /// A failed handshake with a backend.
    handshake: Cell<Option<Instant>>,
}

impl Complaints {
    /// A connection could not be made for want of descriptors or the like.
    pub(super) fn shortage(&self, upstream: &str, error: &io::Error, now: Instant) {
        if is_news(&self.shortage, now) {
            tracing::warn!(upstream, %error, "no means to connect");
        }
    }

    /// A client's connection is refused for want of descriptors.
    pub(super) fn full(&self, listener: &str, now: Instant) {
        if is_news(&self.shortage, now) {
            tracing::warn!(listener, "no descriptor for a client's connection, which is refused");
        }
    }

    /// A handshake with a backend failed, if that is what the error says.
    pub(super) fn handshake(
        &self,
        (upstream, backend): (&str, &str),
        error: &io::Error,
        now: Instant,
    ) {
        if is_of_handshake(error) && is_news(&self.handshake, now) {
            tracing::warn!(upstream, backend, %error, "TLS handshake with a backend failed");
        }
    }
}

fn is_news(told: &Cell<Option<Instant>>, now: Instant) -> bool {
    let news = told.get().is_none_or(|told| now.saturating_duration_since(told) >= PAUSE);
    if news {
        told.set(Some(now));
    }
    news
}

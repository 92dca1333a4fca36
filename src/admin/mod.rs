//! The admin listener: metrics, health of the process, and what each backend is doing.
//!
//! Everything here reads: the current snapshot, the series, the phase of the process. There is no
//! request that changes anything. `server` calls [`serve()`] on a thread that carries no traffic, for
//! a scrape of many backends takes its time.

mod endpoints;
mod guard;
mod serve;
mod view;

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use tokio::sync::watch;

use crate::snapshot::Reader;
use crate::telemetry::Registry;

pub use endpoints::router;
pub use serve::serve;

/// Where the process stands between start and end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Not every listener accepts yet.
    Starting,
    /// Every listener accepts.
    Ready,
    /// Listeners are closed; requests under way finish.
    Draining,
}

/// What the endpoints read from.
#[derive(Debug, Clone)]
pub struct State {
    /// The current snapshot.
    pub reader: Reader,
    /// The series.
    pub registry: Arc<Registry>,
    /// The phase of the process.
    pub phase: watch::Receiver<Phase>,
    /// When the process started.
    pub started: Instant,
}

#[cfg(test)]
mod tests;

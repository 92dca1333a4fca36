//! The admin listener: metrics, health of the process, what each backend is doing, and changes by hand.
//!
//! What is read comes from the current snapshot, the series and the phase of the process. What shall be
//! changed goes to the control loop as a value and comes back as its answer; nothing is changed here.
//! `server` calls [`serve()`] on a thread that carries no traffic, for a scrape of many backends takes its
//! time.
//!
//! The way of a request: `guard` (from where it comes, who asks, what they may), `recorded` (if it would
//! change something: its body, its key, the audit log), then `endpoints`, which reads, or `change`, `configure` and
//! `backup`.
//! `follow` streams events, `diagnose` asks for all that can be read. What is refused is a `problem`.

mod access;
mod asked;
mod audit;
mod backup;
mod based;
mod change;
mod configure;
mod dashboard;
mod diagnose;
mod endpoints;
mod exposition;
mod follow;
mod guard;
mod openapi;
mod places;
mod problem;
mod rate;
mod recorded;
mod serve;
mod state;
mod view;

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use tokio::sync::watch;

use crate::control::Handle;
use crate::snapshot::Reader;
use crate::telemetry::Registry;

pub use access::Access;
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
    /// Another process has the listeners; requests under way finish.
    Replaced,
}

/// What the endpoints work with.
#[derive(Debug, Clone)]
pub struct State {
    /// The current snapshot.
    pub reader: Reader,
    /// Where changes are asked for.
    pub control: Handle,
    /// Who may what.
    pub access: Arc<Access>,
    /// The series.
    pub registry: Arc<Registry>,
    /// The phase of the process.
    pub phase: watch::Receiver<Phase>,
    /// When the process started.
    pub started: Instant,
}

#[cfg(test)]
mod tests;

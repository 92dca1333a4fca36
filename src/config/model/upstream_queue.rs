//! The line of requests that wait for a backend.

use std::time::Duration;

use super::Template;

/// `[upstream.NAME.queue]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Requests that wait at once, over all workers.
    pub depth: u32,
    /// How long a request waits.
    pub timeout: Duration,
    /// From 0, who goes first, to 9.
    pub priority: Template,
}

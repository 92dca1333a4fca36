//! What one probe found.

/// What a probe, or all that is known by probes, says of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Found {
    /// It is well.
    Up,
    /// It serves, but not well.
    Degraded,
    /// It is well and has another role than the one that is wanted.
    Standby,
    /// It asks for no new clients.
    Draining,
    /// It is not well.
    Down,
    /// There was nobody to ask, which says nothing: an agent may be away.
    Nothing,
}

/// The result of one probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The result.
    pub found: Found,
    /// How it came about, in words for the log.
    pub why: String,
    /// The part of its weight that the backend wants to be in effect, in percent from 1 to 100; `None`:
    /// it said nothing of that.
    pub share: Option<u8>,
}

impl Finding {
    /// A finding that says nothing of weight.
    pub fn new(found: Found, why: impl Into<String>) -> Self {
        Self { found, why: why.into(), share: None }
    }

    /// The backend is well.
    pub fn up(why: impl Into<String>) -> Self {
        Self::new(Found::Up, why)
    }
}

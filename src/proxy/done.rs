//! How a request was answered, and what becomes of its connection.

use tokio::time::Instant;

use crate::proxy::failure::Failure;
use crate::proxy::pace::Pace;

/// What becomes of the client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum End {
    /// It waits for the next request.
    KeepAlive,
    /// It is closed.
    #[default]
    Close,
    /// It is closed once the client has had time to read the answer.
    Linger,
    /// It is reset: what was sent is not the whole.
    Cut,
    /// It goes on in HTTP/2, whose preface has come.
    Http2,
}

/// How a request was answered.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Done {
    /// The status that the client got.
    pub(super) status: u16,
    /// Bytes of the response's body that went to the client.
    pub(super) body: u64,
    /// All bytes that went to the client.
    pub(super) length: u64,
    /// What becomes of the connection.
    pub(super) end: End,
    /// Why it is not as the route says.
    pub(super) failure: Option<Failure>,
    /// When it ended, if the clock has been read for it.
    pub(super) ended: Option<Instant>,
    /// How fast the client gets what is left of the answer.
    pub(super) pace: Option<Pace>,
    /// Nothing went to the client: this is to be followed first.
    pub(super) onward: Option<Onward>,
}

/// Why an answer is not sent but followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Onward {
    /// The route says so.
    There,
    /// It is an error that has a page.
    Error,
    /// It has a field `X-Accel-Redirect` that is followed.
    Accel,
}

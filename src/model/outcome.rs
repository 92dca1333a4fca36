//! How one attempt ended.

/// How an attempt at a backend ended. The name is the metric label and the word in the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Outcome {
    /// A whole response was relayed, whatever its status (unless its status counts as a failure).
    Ok,
    /// A response with a status that the upstream counts as a failure.
    Status,
    /// No connection could be made.
    ConnectFailed,
    /// No connection could be made in time.
    ConnectTimeout,
    /// The connection broke before a response head was complete.
    Reset,
    /// The request could not be sent, or no response bytes came, in time.
    Timeout,
    /// What came back was not a valid HTTP response.
    InvalidResponse,
    /// The response broke off in its body.
    Truncated,
    /// The client went away before the end; no verdict on the backend.
    ClientGone,
    /// Another backend answered the same request first, or the time was used up that the client gave; no
    /// verdict on this one.
    Cancelled,
}

impl Outcome {
    /// Every outcome, in the order of its number.
    pub const ALL: [Self; 10] = [
        Self::Ok,
        Self::Status,
        Self::ConnectFailed,
        Self::ConnectTimeout,
        Self::Reset,
        Self::Timeout,
        Self::InvalidResponse,
        Self::Truncated,
        Self::ClientGone,
        Self::Cancelled,
    ];

    /// The label in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Status => "status",
            Self::ConnectFailed => "connect_failed",
            Self::ConnectTimeout => "connect_timeout",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::InvalidResponse => "invalid_response",
            Self::Truncated => "truncated",
            Self::ClientGone => "client_gone",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the attempt speaks against the backend. A client that left says nothing.
    pub fn is_failure(self) -> bool {
        !(matches!(self, Self::Ok) || self.says_nothing())
    }

    /// Whether the attempt was given up by others, and says nothing of the backend.
    #[inline]
    pub fn says_nothing(self) -> bool {
        matches!(self, Self::ClientGone | Self::Cancelled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_places_agree() {
        for (place, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, place);
        }
    }
}

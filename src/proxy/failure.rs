//! Why a request was not answered as its route says: one closed table.
//!
//! What the client gets, whose fault it was, whether another attempt may help and the word in logs
//! and metrics are decided here, where the failure has its name, and nowhere else.
//!
//! | failure | status | fault |
//! |---|---|---|
//! | malformed request head | 400, 405, 414, 417, 431, 501 or 505 | downstream |
//! | request head not complete in time | 408 | downstream |
//! | request body malformed | 400 | downstream |
//! | request body stalled | 408 | downstream |
//! | request body too large | 413 | downstream |
//! | client gone | 499 in logs, nothing is sent | downstream |
//! | client not let in by the route's `access` | 403 | downstream |
//! | no route | 404 | downstream |
//! | no backend eligible, or all of them full | 503 | upstream |
//! | connection to the backend failed | 502 | upstream |
//! | connection to the backend timed out | 504 | upstream |
//! | backend closed or reset before a whole head | 502 | upstream |
//! | backend sent nothing in time, or total time used up | 504 | upstream |
//! | backend's response invalid | 502 | upstream |
//! | response broke off in its body | what was sent; the connection is cut | upstream |

use crate::http1::HeadError;
use crate::model::Outcome;

/// Why a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The request head was refused by the codec.
    BadRequest(HeadError),
    /// The request head is too large, and that is to be told by 400.
    OversizedHead,
    /// The request head did not arrive in time.
    HeaderTimeout,
    /// The request body's framing was broken.
    BadBody,
    /// The request body stalled.
    BodyTimeout,
    /// The request body is larger than allowed.
    BodyTooLarge,
    /// The client went away.
    ClientGone,
    /// The route's `access` keeps the client out.
    Forbidden,
    /// No route matches.
    NoRoute,
    /// No backend is eligible, or every one is full.
    NoneEligible,
    /// An attempt failed in this way, and there was no further one.
    Attempt(Outcome),
    /// The route's total time was used up.
    TotalTimeout,
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The client's.
    Downstream,
    /// The backends'.
    Upstream,
}

impl Failure {
    /// The status that the client gets, and that logs and metrics show.
    pub(super) fn status(self) -> u16 {
        match self {
            Self::BadRequest(error) => error.status(),
            Self::OversizedHead | Self::BadBody => 400,
            Self::HeaderTimeout | Self::BodyTimeout => 408,
            Self::BodyTooLarge => 413,
            Self::ClientGone => 499,
            Self::Forbidden => 403,
            Self::NoRoute => 404,
            Self::NoneEligible => 503,
            Self::TotalTimeout => 504,
            Self::Attempt(outcome) => match outcome {
                Outcome::ConnectTimeout | Outcome::Timeout => 504,
                Outcome::ClientGone => 499,
                _ => 502,
            },
        }
    }

    /// Whose fault it is.
    pub(super) fn fault(self) -> Fault {
        match self {
            Self::NoneEligible | Self::Attempt(_) | Self::TotalTimeout => Fault::Upstream,
            _ => Fault::Downstream,
        }
    }

    /// The word in the access log.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::BadRequest(error) => error.reason(),
            Self::OversizedHead => HeadError::TooLarge.reason(),
            Self::HeaderTimeout => "header_timeout",
            Self::BadBody => "bad_body",
            Self::BodyTimeout => "body_timeout",
            Self::BodyTooLarge => "body_too_large",
            Self::ClientGone => "client_gone",
            Self::Forbidden => "forbidden",
            Self::NoRoute => "no_route",
            Self::NoneEligible => "none_eligible",
            Self::Attempt(outcome) => outcome.name(),
            Self::TotalTimeout => "total_timeout",
        }
    }

    /// The verdict of this failure on the attempt in which it came up.
    pub(super) fn outcome(self) -> Outcome {
        match self {
            Self::Attempt(outcome) => outcome,
            Self::TotalTimeout => Outcome::Timeout,
            _ => Outcome::ClientGone,
        }
    }

    /// Whether the client's connection can go on after the answer. A request that was not read to
    /// its end, or whose end is not known, leaves the connection in doubt.
    pub(super) fn keeps_connection(self) -> bool {
        let kept = matches!(self, Self::Forbidden | Self::NoRoute | Self::NoneEligible);
        kept || matches!(self, Self::Attempt(_) | Self::TotalTimeout)
    }
}

//! Why a request was not answered as its route says: one closed table.
//!
//! What the client gets, whose fault it was, whether another attempt may help and the word in logs
//! and metrics are decided here, where the failure has its name, and nowhere else.
//!
//! | failure | status | fault |
//! |---|---|---|
//! | malformed request head | 400, 405, 414, 417, 431, 501 or 505 | downstream |
//! | request without TLS where TLS is spoken | 400 | downstream |
//! | request head not complete in time | 408 | downstream |
//! | request for a name of another certificate than was shown | 421 | downstream |
//! | request body malformed | 400 | downstream |
//! | request body stalled | 408 | downstream |
//! | request body too large | 413 | downstream |
//! | request body cannot be kept | 500 | upstream |
//! | client gone | 499 in logs, nothing is sent | downstream |
//! | client not let in by the route's `access` | 403 | downstream |
//! | over a limit | that of the limit | downstream |
//! | a tunnel is asked for over HTTP/2, of a protocol that the route does not list; or of a backend of HTTP/2 that leads none | 501 | downstream |
//! | no route | 404 | downstream |
//! | no backend eligible, or all of them full | 503, or 502 as in nginx | upstream |
//! | the upstream's circuit breaker is not closed | 503 | upstream |
//! | more are in flight than the upstream bears, or too many fail | 503 | upstream |
//! | too many wait for a backend, or it waited too long | 503, or 502 as in nginx | upstream |
//! | connection to the backend failed | 502 | upstream |
//! | connection to the backend timed out | 504 | upstream |
//! | backend closed or reset before a whole head | 502 | upstream |
//! | backend sent nothing in time, or total time used up | 504 | upstream |
//! | the time that the client gives is used up | 504 | upstream |
//! | backend's response invalid | 502 | upstream |
//! | asked who may pass: refused | 401 or 403 | downstream |
//! | asked who may pass: no answer that says it | 500 | upstream |
//! | went on elsewhere too often, or to a name that is not there | 500 | upstream |
//! | a request names a place that is none | 500 | upstream |
//! | a request names a place that it may not reach, or that is not found | 502 | upstream |
//! | an answer that is an error without a page | its own | upstream |
//! | the process is short of memory | 503 | upstream |
//! | still under way at the end of the drain | 500 in logs, the connection is cut | upstream |
//! | response broke off in its body | what was sent; the connection is cut, a call of gRPC gets its status | upstream |

use crate::http1::HeadError;
use crate::model::Outcome;

/// Why a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The request head was refused by the codec.
    BadRequest(HeadError),
    /// The request head is too large, and that is to be told by 400.
    OversizedHead,
    /// The request came without TLS on a listener with TLS.
    PlainHttp,
    /// The request head did not arrive in time.
    HeaderTimeout,
    /// The request is for a name whose certificate is another than the one that was shown.
    Misdirected,
    /// The request body's framing was broken.
    BadBody,
    /// The request body stalled.
    BodyTimeout,
    /// The request body is larger than allowed.
    BodyTooLarge,
    /// The request body could not be kept: the disk is full, or its directory is gone.
    Storage,
    /// The client went away.
    ClientGone,
    /// The route's `access` keeps the client out.
    Forbidden,
    /// A limit of its route refuses it, with this status.
    Limited(u16),
    /// No route matches.
    NoRoute,
    /// No backend is eligible, or every one is full.
    NoneEligible,
    /// The same where the upstream answers as nginx does.
    NoneLive,
    /// The circuit breaker keeps requests out; after so many seconds it may let some pass.
    BreakerOpen(u32),
    /// More are in flight than the upstream is found to bear, or too many of its requests fail.
    Shed,
    /// Every backend is full, and so is the line of those who wait; with the status for it.
    QueueFull(u16),
    /// Every backend was full for as long as requests wait; with the status for it.
    QueueTimeout(u16),
    /// An attempt failed in this way, and there was no further one.
    Attempt(Outcome),
    /// The route's total time was used up.
    TotalTimeout,
    /// The client said how long it waits, and that time was used up.
    Deadline,
    /// A tunnel is asked for of a protocol that does not lead there, or a backend leads none (RFC 8441).
    NoTunnel,
    /// Who was asked whether the request may pass refused it with this status.
    AuthRefused(u16),
    /// Who was asked whether the request may pass did not say.
    AuthFailed,
    /// The request went on elsewhere too often, or there was no place where it should go on.
    NoEnd,
    /// What the request names as its place is none.
    NoPlace,
    /// The request may not reach the place that it names.
    NotAllowed,
    /// The place that the request names has no known address.
    NotFound,
    /// The answer was this status, and nothing else.
    Answered(u16),
    /// The process is short of memory.
    MemoryShort,
    /// It was still under way at the end of the drain.
    Cut,
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
            Self::OversizedHead | Self::PlainHttp | Self::BadBody => 400,
            Self::HeaderTimeout | Self::BodyTimeout => 408,
            Self::BodyTooLarge => 413,
            Self::Misdirected => 421,
            Self::ClientGone => 499,
            Self::Forbidden => 403,
            Self::NoRoute => 404,
            Self::NoneEligible | Self::BreakerOpen(_) | Self::Shed | Self::MemoryShort => 503,
            Self::NoneLive | Self::NotAllowed | Self::NotFound => 502,
            Self::TotalTimeout | Self::Deadline => 504,
            Self::NoTunnel => 501,
            Self::Limited(status)
            | Self::AuthRefused(status)
            | Self::Answered(status)
            | Self::QueueFull(status)
            | Self::QueueTimeout(status) => status,
            Self::Storage | Self::AuthFailed | Self::NoEnd | Self::NoPlace | Self::Cut => 500,
            Self::Attempt(outcome) => match outcome {
                Outcome::ConnectTimeout | Outcome::Timeout => 504,
                Outcome::ClientGone | Outcome::Cancelled => 499,
                _ => 502,
            },
        }
    }

    /// Whose fault it is.
    pub(super) fn fault(self) -> Fault {
        match self {
            Self::NoneEligible
            | Self::NoneLive
            | Self::BreakerOpen(_)
            | Self::Shed
            | Self::QueueFull(_)
            | Self::QueueTimeout(_)
            | Self::Attempt(_)
            | Self::TotalTimeout
            | Self::Deadline
            | Self::AuthFailed
            | Self::NoEnd
            | Self::NoPlace
            | Self::NotAllowed
            | Self::NotFound
            | Self::Storage
            | Self::MemoryShort
            | Self::Cut
            | Self::Answered(_) => Fault::Upstream,
            _ => Fault::Downstream,
        }
    }

    /// The word in the access log.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::BadRequest(error) => error.reason(),
            Self::OversizedHead => HeadError::TooLarge.reason(),
            Self::PlainHttp => "plain_http",
            Self::HeaderTimeout => "header_timeout",
            Self::Misdirected => "misdirected",
            Self::BadBody => "bad_body",
            Self::BodyTimeout => "body_timeout",
            Self::BodyTooLarge => "body_too_large",
            Self::Storage => "storage",
            Self::ClientGone => "client_gone",
            Self::Forbidden => "forbidden",
            Self::Limited(_) => "limited",
            Self::NoRoute => "no_route",
            Self::NoneEligible | Self::NoneLive => "none_eligible",
            Self::BreakerOpen(_) => "breaker_open",
            Self::Shed => "shed",
            Self::QueueFull(_) => "queue_full",
            Self::QueueTimeout(_) => "queue_timeout",
            Self::Attempt(outcome) => outcome.name(),
            Self::TotalTimeout => "total_timeout",
            Self::Deadline => "deadline",
            Self::NoTunnel => "no_tunnel",
            Self::AuthRefused(_) => "auth_refused",
            Self::AuthFailed => "auth_failed",
            Self::NoEnd => "no_end",
            Self::NoPlace => "no_place",
            Self::NotAllowed => "not_allowed",
            Self::NotFound => "not_found",
            Self::Answered(_) => "error_answered",
            Self::MemoryShort => "memory_short",
            Self::Cut => "drain_timeout",
        }
    }

    /// The verdict of this failure on the attempt in which it came up.
    pub(super) fn outcome(self) -> Outcome {
        match self {
            Self::Attempt(outcome) => outcome,
            Self::TotalTimeout => Outcome::Timeout,
            // How long a client waits is its own matter: whoever waits a millisecond would have every
            // backend parked.
            Self::Deadline => Outcome::Cancelled,
            // Another backend should be asked instead, and there was none.
            Self::NoneEligible
            | Self::NoneLive
            | Self::BreakerOpen(_)
            | Self::Shed
            | Self::QueueFull(_)
            | Self::QueueTimeout(_) => Outcome::Status,
            _ => Outcome::ClientGone,
        }
    }

    /// Whether the client's connection can go on after the answer. A request that was not read to
    /// its end, or whose end is not known, leaves the connection in doubt.
    pub(super) fn keeps_connection(self) -> bool {
        matches!(
            self,
            Self::Forbidden
                | Self::Limited(_)
                | Self::NoRoute
                | Self::Misdirected
                | Self::AuthRefused(_)
        ) || self.fault() == Fault::Upstream
    }

    /// Whether the request may go on to a page for it. One that was not read to its end may not,
    /// except that its body was too long.
    pub(super) fn goes_on(self) -> bool {
        self.keeps_connection() || self == Self::BodyTooLarge
    }
}

//! The attempts of a request, as variables tell of them: a value for each.
//!
//! After nginx's `ngx_http_upstream_addr_variable` and its like.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::http1::ResponseHead;
use crate::http1::encode::push_decimal;
use crate::model::{BackendIx, Outcome, UpstreamIx};
use crate::proxy::vars::push_seconds;
use crate::snapshot::Upstream;
use crate::snapshot::settings::AttemptFact;

/// One attempt.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    /// Where it went.
    pub at: At,
    /// How often the request was sent another way within the balancer before: attempts of one round
    /// are tries at one upstream.
    pub round: u8,
    /// Until the connection stood; `None` when none was made.
    pub connect: Option<Duration>,
    /// Until the response's head was there.
    pub first_byte: Option<Duration>,
    /// Until the end; `None` while it runs.
    pub duration: Option<Duration>,
    /// The response's status.
    pub status: Option<u16>,
    /// How it ended.
    pub outcome: Outcome,
    /// The connection was a kept one.
    pub reused: bool,
    /// Bytes that the backend took.
    pub sent: u64,
    /// Bytes that came from it.
    pub received: u64,
    /// Bytes of the response's body among them.
    pub body: u64,
    /// Why another attempt followed; `None` on the last one.
    pub retried_because: Option<&'static str>,
}

/// Where an attempt went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// To a backend.
    Backend(UpstreamIx, BackendIx),
    /// Nowhere: of this upstream nobody could be picked.
    Nobody(UpstreamIx),
    /// To an address that belongs to no upstream.
    Address(SocketAddr),
}

/// All attempts so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attempts<'a> {
    /// Those that have ended.
    pub ended: &'a [Attempt],
    /// The one that runs.
    pub running: Option<&'a Attempt>,
    /// The upstreams that they speak of.
    pub upstreams: &'a [Arc<Upstream>],
    /// The response of the last one that had one.
    pub response: Option<&'a ResponseHead>,
}

impl Attempts<'_> {
    fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.ended.iter().chain(self.running)
    }

    /// The response of the last attempt.
    pub(super) fn response(&self) -> Option<&ResponseHead> {
        self.attempts().last()?.status?;
        self.response
    }

    /// Appends a value for each attempt.
    pub(super) fn push(&self, fact: AttemptFact, out: &mut Vec<u8>) {
        let mut before: Option<&Attempt> = None;
        for attempt in self.attempts() {
            if let Some(before) = before {
                let same = before.round == attempt.round;
                out.extend_from_slice(if same { b", " } else { b" : " });
            }
            before = Some(attempt);
            match fact {
                AttemptFact::Address => self.push_address(attempt.at, out),
                AttemptFact::Status => match status(attempt) {
                    Some(status) => push_decimal(out, u64::from(status)),
                    None => out.push(b'-'),
                },
                AttemptFact::ConnectTime => {
                    let kept = attempt.reused.then_some(Duration::ZERO);
                    push_time(attempt.connect.or(kept), out);
                }
                AttemptFact::HeaderTime => push_time(attempt.first_byte, out),
                AttemptFact::ResponseTime => push_time(attempt.duration, out),
                AttemptFact::ResponseLength => push_decimal(out, attempt.body),
                AttemptFact::BytesReceived => push_decimal(out, attempt.received),
                AttemptFact::BytesSent => push_decimal(out, attempt.sent),
            }
        }
    }

    fn push_address(&self, at: At, out: &mut Vec<u8>) {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = match at {
            At::Address(address) => write!(text, "{address}"),
            At::Nobody(upstream) => {
                let upstream = self.upstreams.get(upstream.index());
                write!(text, "{}", upstream.map_or("", |upstream| &upstream.name))
            }
            At::Backend(upstream, backend) => {
                let upstream = self.upstreams.get(upstream.index());
                match upstream.map(|upstream| &upstream.backends[backend.index()].address) {
                    Some(address) => write!(text, "{address}"),
                    None => Ok(()),
                }
            }
        };
        out.extend_from_slice(text.as_bytes());
    }
}

/// The status that nginx counts an attempt as.
fn status(attempt: &Attempt) -> Option<u16> {
    match attempt.outcome {
        Outcome::Ok
        | Outcome::Status
        | Outcome::Truncated
        | Outcome::ClientGone
        | Outcome::Cancelled => attempt.status,
        Outcome::ConnectTimeout | Outcome::Timeout => Some(attempt.status.unwrap_or(504)),
        Outcome::ConnectFailed | Outcome::Reset | Outcome::InvalidResponse => {
            Some(attempt.status.unwrap_or(502))
        }
    }
}

fn push_time(time: Option<Duration>, out: &mut Vec<u8>) {
    match time {
        Some(time) => push_seconds(out, time),
        None => out.push(b'-'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(at: At, round: u8) -> Attempt {
        Attempt {
            at,
            round,
            connect: Some(Duration::from_millis(2)),
            first_byte: None,
            duration: Some(Duration::from_millis(1_003)),
            status: None,
            outcome: Outcome::Timeout,
            reused: false,
            sent: 10,
            received: 0,
            body: 0,
            retried_because: None,
        }
    }

    #[test]
    fn attempts_are_told_one_by_one_and_round_by_round() {
        let first = At::Address("192.0.2.1:80".parse().unwrap());
        let second = At::Address("[::1]:81".parse().unwrap());
        let ended = [attempt(first, 0), attempt(second, 0)];
        let running = Attempt {
            status: Some(200),
            outcome: Outcome::Ok,
            connect: None,
            reused: true,
            first_byte: Some(Duration::from_micros(4_999)),
            duration: None,
            received: 300,
            ..attempt(first, 1)
        };
        let attempts = Attempts { ended: &ended, running: Some(&running), ..Attempts::default() };
        for (fact, expected) in [
            (AttemptFact::Address, "192.0.2.1:80, [::1]:81 : 192.0.2.1:80"),
            (AttemptFact::Status, "504, 504 : 200"),
            (AttemptFact::ConnectTime, "0.002, 0.002 : 0.000"),
            (AttemptFact::HeaderTime, "-, - : 0.004"),
            (AttemptFact::ResponseTime, "1.003, 1.003 : -"),
            (AttemptFact::ResponseLength, "0, 0 : 0"),
            (AttemptFact::BytesReceived, "0, 0 : 300"),
            (AttemptFact::BytesSent, "10, 10 : 10"),
        ] {
            let mut out = Vec::new();
            attempts.push(fact, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{fact:?}");
        }
        let mut out = Vec::new();
        Attempts::default().push(AttemptFact::Address, &mut out);
        assert_eq!(out, b"", "no attempt, no text");
    }
}

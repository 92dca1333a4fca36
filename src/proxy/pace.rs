//! Responses that are not passed on as they come: read ahead of a slow client, or slowed down.
//!
//! Rates go by the time since the response began, as in nginx: after `t` seconds, `rate × (t + 1)`
//! bytes may have passed. Nothing is armed until there is something to wait for, and then it is the
//! connection's own timer.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use crate::proxy::buffers::{Buffers, ROOM};
use crate::proxy::done::{Done, End};
use crate::proxy::downstream::Downstream;
use crate::proxy::entrance::Entrance;
use crate::proxy::failure::Failure;
use crate::proxy::outgoing::Outgoing;
use crate::proxy::request::State;
use crate::proxy::still::{Moved, Still};

/// What is waited for at least, so that a rate does not make a wake-up of each byte.
const LEAST: u64 = 16 * 1024;

/// A rate, and what has passed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Bytes a second; not 0.
    rate: u64,
    /// Bytes that pass before the rate holds.
    free: u64,
    begun: Instant,
    passed: u64,
}

impl Pace {
    /// A rate from now on; 0 is none.
    pub(super) fn new(rate: u64, free: u64, now: Instant) -> Option<Self> {
        (rate > 0).then_some(Self { rate, free, begun: now, passed: 0 })
    }

    /// Bytes that may pass by now.
    fn allowed(&self, now: Instant) -> u64 {
        let millis = now.saturating_duration_since(self.begun).as_millis() as u64 + 1000;
        let all = u128::from(self.rate) * u128::from(millis) / 1000 + u128::from(self.free);
        u64::try_from(all).unwrap_or(u64::MAX).saturating_sub(self.passed)
    }

    /// When enough may pass for it to be worth while.
    pub(super) fn when(&self) -> Instant {
        let enough = LEAST.min(self.rate / 8).max(1);
        let above = (self.passed + enough).saturating_sub(self.free);
        let millis = (u128::from(above) * 1000).div_ceil(u128::from(self.rate));
        let millis = u64::try_from(millis).unwrap_or(u64::MAX).saturating_sub(1000);
        self.begun + Duration::from_millis(millis.min(86_400_000))
    }
}

/// A rate as it comes of a text: a number, perhaps with `k`, `m` or `g` behind it, as nginx writes sizes.
/// Anything else is 0, no limit.
pub(super) fn rate_of(text: &[u8]) -> u64 {
    let (number, shift) = match text.split_last() {
        Some((b'k' | b'K', number)) => (number, 10),
        Some((b'm' | b'M', number)) => (number, 20),
        Some((b'g' | b'G', number)) => (number, 30),
        _ => (text, 0),
    };
    let digits = str::from_utf8(number).ok().filter(|text| !text.starts_with('+'));
    let number: Option<u64> = digits.and_then(|digits| digits.parse().ok());
    number.map_or(0, |number| number.saturating_mul(1 << shift))
}

/// How a response is passed on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pacing {
    /// Bytes that may be read ahead of the client.
    pub(super) ahead: usize,
    /// How fast the client gets it.
    pub(super) client: Option<Pace>,
    /// How fast it is read.
    pub(super) backend: Option<Pace>,
}

impl Pacing {
    /// Hands the client what it may have by now. `Some`: there is more, and when it is its turn.
    pub(super) fn poll_client(
        &mut self,
        to_client: &mut Outgoing,
        down: &mut Downstream,
        buffers: &Buffers,
        written: &mut u64,
        cx: &mut Context<'_>,
    ) -> Result<Option<Instant>, Failure> {
        let most = self.client.map_or(u64::MAX, |pace| pace.allowed(Instant::now()));
        let before = *written;
        let flushed = to_client.poll_flush_up_to(most, &mut down.stream, cx, buffers, written);
        if let Some(pace) = &mut self.client {
            pace.passed += *written - before;
        }
        match flushed {
            Poll::Ready(Err(_)) => Err(Failure::ClientGone),
            Poll::Ready(Ok(())) if !to_client.is_empty() => Ok(self.client.map(|pace| pace.when())),
            _ => Ok(None),
        }
    }

    /// Bytes that may be read from the backend by now, and if that is none because of its rate, when
    /// some may.
    pub(super) fn room(
        &self,
        to_client: &mut Outgoing,
        buffers: &Buffers,
    ) -> (usize, Option<Instant>) {
        let room = if to_client.is_empty() {
            ROOM
        } else {
            let left = self.ahead.saturating_sub(to_client.left());
            if left > 0 && to_client.reserve(buffers, self.ahead) { left } else { 0 }
        };
        match self.backend {
            Some(pace) if room > 0 => {
                let allowed = pace.allowed(Instant::now());
                let room = usize::try_from(allowed).map_or(room, |allowed| allowed.min(room));
                (room, (room == 0).then(|| pace.when()))
            }
            _ => (room, None),
        }
    }

    /// So much came from the backend.
    pub(super) fn came(&mut self, bytes: u64) {
        if let Some(pace) = &mut self.backend {
            pace.passed += bytes;
        }
    }
}

/// An exchange whose response is not passed on as it comes, whatever its backend speaks.
pub(super) trait Paced {
    /// Whether all of the response has come.
    fn has_all(&self) -> bool;
    /// Bytes of the response that came so far.
    fn came(&self) -> u64;
    /// Reads at most `room` bytes of the response, or a frame of it.
    fn poll_read(&mut self, room: usize, cx: &mut Context<'_>) -> Result<Poll<()>, Failure>;
    /// Moves what the client still sends.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Failure>;
    /// Fails when whoever has to move next has not moved in time.
    fn poll_time_out(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>>;
    /// The client's side.
    fn client_side(&mut self) -> ClientSide<'_>;
}

/// The client's side of an exchange.
pub(super) struct ClientSide<'x> {
    pub(super) to_client: &'x mut Outgoing,
    pub(super) down: &'x mut Downstream,
    pub(super) buffers: &'x Buffers,
    /// Bytes that the client took.
    pub(super) written: &'x mut u64,
    pub(super) still: &'x mut Still,
    /// The exchange goes on although the client has closed its side.
    pub(super) ignores_abort: bool,
    /// When everything has to be over.
    pub(super) until: Option<Instant>,
}

/// Moves a response at its pace. Ends when all has come, if it may be ahead of the client.
pub(super) fn poll_paced(
    paced: &mut impl Paced,
    pacing: &mut Pacing,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Failure>> {
    loop {
        let done = paced.has_all();
        let side = paced.client_side();
        let turn = pacing.poll_client(side.to_client, side.down, side.buffers, side.written, cx)?;
        let flushed = side.to_client.is_empty();
        if done && (flushed || pacing.ahead > 0) {
            return Poll::Ready(Ok(()));
        }
        let (room, next) = if done { (0, None) } else { pacing.room(side.to_client, side.buffers) };
        if room > 0 {
            let before = paced.came();
            let read = paced.poll_read(room, cx)?;
            pacing.came(paced.came() - before);
            if read.is_ready() {
                continue;
            }
        }
        let uploaded = paced.poll_upload(cx)?;
        let side = paced.client_side();
        if flushed && uploaded.is_ready() && !side.ignores_abort {
            side.down.poll_gone(side.buffers, cx)?;
        }
        let Some(turn) = turn.into_iter().chain(next).min() else {
            return paced.poll_time_out(cx);
        };
        // Nobody is slow while a rate holds them back, but the client waits no longer than it said.
        side.still.hold();
        match side.until {
            Some(until) if until <= turn => {
                ready!(side.down.timer.poll(until, cx));
                return Poll::Ready(Err(Failure::Deadline));
            }
            _ => ready!(side.down.timer.poll(turn, cx)),
        }
    }
}

/// Hands the client what was read ahead of it, as long as it waits for that. The backend is free by now.
pub(super) async fn finish(
    at: &Entrance<'_>,
    (done, until): (Done, Option<Instant>),
    down: &mut Downstream,
    state: &mut State,
) -> Done {
    let (buffers, to_client) = (&at.worker.buffers, &mut state.to_client);
    let mut pacing = Pacing { ahead: 0, client: done.pace, backend: None };
    let (mut written, mut still) = (0, Still::default());
    let (client, begun) = (&at.listener.client, Instant::now());
    let whole = poll_fn(|cx| {
        loop {
            let turn = pacing.poll_client(to_client, down, buffers, &mut written, cx)?;
            if to_client.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let next = turn.unwrap_or_else(|| {
                let moved = Moved { sent: 0, taken: written, backend: 0 };
                still.since(None, moved, (client, begun)) + still.to_take(client)
            });
            if let Some(until) = until
                && until <= next
            {
                ready!(down.timer.poll(until, cx));
                return Poll::Ready(Err(Failure::Deadline));
            }
            ready!(down.timer.poll(next, cx));
            match turn {
                Some(_) => still.hold(),
                None => return Poll::Ready(Err(Failure::ClientGone)),
            }
        }
    });
    let (whole, ended) = (whole.await, Some(Instant::now()));
    let Err(failure) = whole else { return Done { ended, ..done } };
    let body = done.body.saturating_sub(to_client.left() as u64);
    Done { body, ended, end: End::Close, failure: Some(failure), ..done }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_rate_is_kept_and_what_is_waited_for_is_allowed(
            rate in 1..10_000_000_u64,
            free in 0..1_000_000_u64,
            waits in 1..200,
        ) {
            let begun = Instant::now();
            let mut pace = Pace::new(rate, free, begun).unwrap();
            let mut now = begun;
            for _ in 0..waits {
                pace.passed += pace.allowed(now);
                let seconds = now.duration_since(begun).as_secs_f64();
                prop_assert!(pace.passed as f64 <= free as f64 + rate as f64 * (seconds + 1.0) + 1.0);
                prop_assert_eq!(pace.allowed(now), 0);
                let next = pace.when();
                prop_assert!(next > now, "time goes on");
                prop_assert!(pace.allowed(next) >= LEAST.min(rate / 8).max(1));
                now = next;
            }
        }
    }

    #[test]
    fn rates_are_written_as_in_nginx() {
        for (text, rate) in [
            ("4096", 4096),
            ("4k", 4096),
            ("2M", 2 << 20),
            ("1g", 1 << 30),
            ("0", 0),
            ("", 0),
            ("k", 0),
            ("-1", 0),
            ("+1", 0),
            ("4 k", 0),
            ("fast", 0),
            ("99999999999999999999", 0),
            ("18446744073709551615k", u64::MAX),
        ] {
            assert_eq!(rate_of(text.as_bytes()), rate, "{text}");
        }
    }

    #[test]
    fn no_rate_is_no_pace() {
        assert!(Pace::new(0, 5, Instant::now()).is_none());
    }
}

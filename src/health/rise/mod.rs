//! Hysteresis between probe results and the verdict: one bad answer takes nobody down.
//!
//! `control` keeps one [`Rise`] per check of each backend, feeds it every result and asks it when to
//! probe again. After `HAProxy`'s `rise`, `fall`, `fastinter` and `downinter`. Who says of itself that it
//! is a standby, or drains, is believed at once, both ways: that is an answer and no failure.
//!
//! Nothing is known of a backend in `Checking`: its first good result brings it up at once, while it
//! still takes `fall` bad ones in a row to call it down, none of which counts in its start period.

use std::mem;
use std::time::Duration;

use crate::model::{Found, ProbedState, Tick};

/// The longest wait for the first probe of a backend of which nothing is known: the first one that
/// is found up would carry all the traffic until the others are probed too.
const LONGEST_FIRST_WAIT: Duration = Duration::from_secs(1);

/// How often a backend is probed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Between two probes while the verdict stands firm.
    pub interval: Duration,
    /// Between two probes while results speak against the verdict, or while there is none.
    pub fast_interval: Duration,
    /// Between two probes of a backend that is down.
    pub down_interval: Duration,
    /// Part by which each pause is varied, 0.0 to 1.0.
    pub jitter: f64,
}

impl Pace {
    /// How long the first probe waits. `draw` is a random number in 0.0..1.0.
    pub fn first(&self, draw: f64) -> Duration {
        self.interval.min(LONGEST_FIRST_WAIT).mul_f64(draw)
    }
}

/// The verdict of one check on one backend and how firmly it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rise {
    needed_up: u32,
    needed_down: u32,
    state: ProbedState,
    /// Bad results do not count before this moment while there is no verdict.
    starts_until: Tick,
    /// Results in a row that speak against `state`, all for a worse one or all for a better one.
    against: u32,
    /// Of those, the one nearest to `state`: what all of them are enough for.
    nearest: ProbedState,
    /// Whether the probes already have a place of their own within the interval.
    spread: bool,
}

impl Rise {
    /// Begins with what is `known` of the backend. `rise` good results in a row bring it up, `fall`
    /// bad ones take it down; each is at least 1. Until `starts_until` it may take its time to start.
    pub fn new(rise: u32, fall: u32, known: ProbedState, starts_until: Tick) -> Self {
        let state = match known {
            ProbedState::Unprobed => ProbedState::Checking,
            known => known,
        };
        Self {
            needed_up: rise,
            needed_down: fall,
            state,
            starts_until,
            against: 0,
            nearest: state,
            spread: false,
        }
    }

    /// The verdict as it stands.
    pub fn state(&self) -> ProbedState {
        self.state
    }

    /// Takes one result; `Some` is a new verdict, with the number of results that it took.
    pub fn observe(&mut self, found: Found, now: Tick) -> Option<(ProbedState, u32)> {
        use ProbedState::{Checking, Degraded, Down, Draining, Standby, Unprobed, Up};
        let found = match found {
            Found::Up => Up,
            Found::Degraded => Degraded,
            Found::Standby => Standby,
            Found::Draining => Draining,
            Found::Down => Down,
            Found::Nothing if self.state == Checking => Up,
            Found::Nothing => return None,
        };
        let starting = self.state == Checking && now < self.starts_until;
        if found == self.state || (found == Down && starting) {
            self.against = 0;
            return None;
        }
        let same_side = self.against > 0
            && (goodness(found) > goodness(self.state))
                == (goodness(self.nearest) > goodness(self.state));
        if same_side {
            let distance = |one| goodness(one).abs_diff(goodness(self.state));
            if distance(found) < distance(self.nearest) {
                self.nearest = found;
            }
        } else {
            (self.against, self.nearest) = (0, found);
        }
        self.against += 1;
        let needed = match (self.state, found) {
            (_, Standby | Draining) | (Checking | Unprobed | Standby | Draining, Up | Degraded) => {
                1
            }
            (Down, _) | (Degraded, Up) => self.needed_up,
            (_, _) => self.needed_down,
        };
        if self.against < needed {
            return None;
        }
        // Who is believed at once is believed whatever came before.
        self.state = if needed == 1 { found } else { self.nearest };
        Some((self.state, mem::take(&mut self.against)))
    }

    /// How long to wait from the start of the last probe to the next. `draw` is a random number in
    /// 0.0..1.0.
    ///
    /// The first pause at the regular pace is any part of the interval: backends that were first
    /// probed together at start-up are spread over the interval from then on.
    pub fn pause(&mut self, pace: &Pace, draw: f64) -> Duration {
        let varied = |pause: Duration| pause.mul_f64(1.0 + pace.jitter * (2.0 * draw - 1.0));
        if self.against > 0 || self.state == ProbedState::Checking {
            varied(pace.fast_interval)
        } else if self.state == ProbedState::Down {
            varied(pace.down_interval)
        } else if mem::replace(&mut self.spread, true) {
            varied(pace.interval)
        } else {
            pace.interval.mul_f64(draw)
        }
    }
}

/// How good a verdict is, to tell better from worse.
fn goodness(state: ProbedState) -> u32 {
    match state {
        ProbedState::Down => 0,
        ProbedState::Degraded => 1,
        ProbedState::Up => 2,
        // Between these and the three above nothing is counted together.
        ProbedState::Checking
        | ProbedState::Unprobed
        | ProbedState::Standby
        | ProbedState::Draining => 3,
    }
}

#[cfg(test)]
mod tests;

//! What happened to backends and upstreams: the last events, for whoever asks why.
//!
//! The control loop writes, the admin listener reads; no request of the data plane comes here.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::model::Generation;

/// Events that are kept.
const KEPT: usize = 1024;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// Its number, greater than those of all before it, in this process and in the ones before.
    pub number: u64,
    /// When.
    pub at: SystemTime,
    /// The generation that it is part of.
    pub generation: Generation,
    /// The upstream; `None`: it concerns the process as a whole.
    pub upstream: Option<String>,
    /// The backend; `None`: it concerns the upstream as a whole.
    pub backend: Option<String>,
    /// What it is, such as `backend.parked`.
    pub kind: &'static str,
    /// Who brought it about: `config`, `probe`, `traffic`, `policy`, or `operator:` and a name.
    pub actor: Cow<'static, str>,
    /// Why, in words.
    pub cause: String,
    /// What comes next, and when or on what condition; empty if nothing is to come by itself.
    pub next: String,
}

impl Happened {
    /// When, in UTC (RFC 3339).
    pub fn time(&self) -> String {
        at_utc(self.at)
    }
}

/// A moment in UTC (RFC 3339).
pub fn at_utc(at: SystemTime) -> String {
    jiff::Timestamp::try_from(at).unwrap_or_default().to_string()
}

/// The moment that a text says (RFC 3339), if it says one.
pub fn moment(text: &str) -> Option<SystemTime> {
    text.parse::<jiff::Timestamp>().ok().map(SystemTime::from)
}

/// The last events of a process, oldest first.
#[derive(Debug)]
pub struct History(Mutex<Kept>);

#[derive(Debug)]
struct Kept {
    last: u64,
    events: VecDeque<Happened>,
}

impl Default for History {
    /// Numbers begin at the moment, in milliseconds of Unix time: nobody notes as many, so that who knows the
    /// last one of the process before is told all of this one.
    fn default() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let last = now.map_or(0, |time| time.as_millis() as u64);
        Self(Mutex::new(Kept { last, events: VecDeque::new() }))
    }
}

impl History {
    /// Notes what happened, under the next number.
    pub fn note(&self, event: Happened) {
        let mut kept = self.lock();
        kept.last += 1;
        let number = kept.last;
        if kept.events.len() == KEPT {
            kept.events.pop_front();
        }
        kept.events.push_back(Happened { number, ..event });
    }

    /// Those events, oldest first, that `wanted` wants.
    pub fn events(&self, wanted: impl Fn(&Happened) -> bool) -> Vec<Happened> {
        self.lock().events.iter().filter(|event| wanted(event)).cloned().collect()
    }

    /// The number of the last one, or a smaller one than the first will have.
    pub fn last(&self) -> u64 {
        self.lock().last
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Every write leaves the queue whole, so a panic elsewhere spoils nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_kept_under_their_numbers() {
        let history = History::default();
        let before = history.last();
        for n in 0..KEPT as u64 + 10 {
            history.note(Happened {
                number: 0,
                at: SystemTime::UNIX_EPOCH,
                generation: Generation(n),
                upstream: Some("api".to_owned()),
                backend: None,
                kind: "upstream.panic",
                actor: "policy".into(),
                cause: String::new(),
                next: String::new(),
            });
        }
        let all = history.events(|_| true);
        assert_eq!(all.len(), KEPT);
        assert_eq!((all[0].number, all[0].generation), (before + 11, Generation(10)));
        assert_eq!(history.events(|one| one.number > before + KEPT as u64).len(), 10);
    }
}

//! Requests that wait where all backends are full: the part of `proxy::queue`. All have the same priority.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Event, Run};

/// Those that wait, who came first in front.
#[derive(Debug, Default)]
pub(super) struct Line {
    waiting: VecDeque<usize>,
    /// How many pause before they are tried again, and keep their places.
    pub(super) pausing: u32,
}

impl Run<'_> {
    /// Whether whoever comes now has to wait.
    pub(super) fn is_crowded(&self) -> bool {
        !self.line.waiting.is_empty() || self.is_full()
    }

    /// Whether as many are under way as may be.
    pub(super) fn is_full(&self) -> bool {
        self.keeper.guards.is_full(self.keeper.upstream(), self.line.pausing)
    }

    /// How long a request waits that found nobody, if it may: nobody waits for a circuit breaker.
    fn waits(&self) -> Option<Duration> {
        let upstream = self.keeper.upstream();
        let queue = upstream.queue.as_ref().filter(|_| upstream.course.barrier.is_none())?;
        let total = self.patience.total.unwrap_or(queue.timeout);
        (self.line.waiting.len() < queue.depth as usize).then_some(queue.timeout.min(total))
    }

    /// A request that found nobody joins the line, or fails.
    pub(super) fn join(&mut self, place: usize) {
        let Some(time) = self.waits() else {
            return self.taken.ended(self.now, None);
        };
        self.taken.figures.waited += 1;
        self.line.waiting.push_back(place);
        self.at(time, Event::Late(place));
    }

    /// A request has waited for as long as it may.
    pub(super) fn late(&mut self, place: usize) {
        let waited = self.line.waiting.len();
        self.line.waiting.retain(|one| *one != place);
        if self.line.waiting.len() < waited {
            self.taken.ended(self.now, None);
        }
    }

    /// Something has happened: there may be backends for those that wait.
    pub(super) fn call(&mut self) {
        while let Some(first) = self.line.waiting.front().copied() {
            if self.is_full() {
                return;
            }
            let Some(found) = self.choose(first) else { return };
            self.line.waiting.pop_front();
            self.ask(first, found);
        }
    }
}

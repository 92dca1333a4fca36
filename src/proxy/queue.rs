//! Waiting for a backend where all are full: a request's turn in its upstream's line.
//!
//! Only the first attempt waits: whoever has had a backend goes on elsewhere at once or not at all. A
//! request that waits looks for a backend as its upstream is by then: what became full, was parked or
//! came back meanwhile counts. Backends that were added meanwhile serve those who come from then on.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use crate::limit::Waiting;
use crate::policy::admission;
use crate::proxy::attempt::Seat;
use crate::proxy::choice::Choice;
use crate::proxy::downstream::Downstream;
use crate::proxy::failure::Failure;
use crate::proxy::passage::Passage;
use crate::proxy::request::State;
use crate::proxy::vars;
use crate::proxy::view::View;
use crate::snapshot::settings::Queue;
use crate::telemetry::{QueueRejected, Shed};

/// After this time the first in line looks again uncalled: that a backend of nginx's kind is back is
/// told by nobody.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The priority of whoever names none.
const USUAL: u8 = 5;

/// What ends a wait for a call.
enum Woken {
    /// There may be a backend.
    Called,
    /// The time is up.
    Late,
}

impl<'a> Passage<'a> {
    /// The first backend, and the request's place among those of the upstream, unless it has to wait or
    /// perhaps cannot be served.
    #[inline]
    pub(super) fn choose_at_once(&self, state: &mut State) -> Option<(Choice, Seat<'a>)> {
        let upstream = &self.local.upstream;
        if upstream.is_crowded() {
            return None;
        }
        let seat = match &upstream.line {
            Some(line) => Some(line.enter()?),
            None => None,
        };
        Some((self.choose_first(state)?, seat))
    }

    /// The first backend that is asked: the one that the client is bound to, else the strategy's pick.
    fn choose_first(&self, state: &mut State) -> Option<Choice> {
        let bound = match &self.local.upstream.sticky {
            Some(sticky) => self.choose_bound(sticky, state),
            None => None,
        };
        bound.or_else(|| self.choose(&mut state.tried, &state.key))
    }

    /// Waits until there is a backend, if the upstream has requests wait; else writes down that there
    /// was none.
    ///
    /// # Errors
    /// There is none, and the request cannot wait or has waited long enough; or its client left.
    #[cold]
    pub(super) async fn wait_for_backend(
        &self,
        down: &mut Downstream,
        state: &mut State,
    ) -> Result<(Choice, Seat<'a>), Failure> {
        let found = match self.pass_gate(state) {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => self.wait_in_line(down, state).await,
            Err(refused) => Err(refused),
        };
        if matches!(found, Err(Failure::Shed)) {
            // There was one.
            state.attempts.push(self.nobody(state.round()));
        } else if found.is_err() {
            self.local.upstream.series.worker(self.at.worker.ix).none_eligible();
            state.attempts.push(self.nobody(state.round()));
        }
        found
    }

    /// Refuses the request if its lot is among those that are to be; else gives a backend if there is
    /// one for it without waiting.
    fn pass_gate(&self, state: &mut State) -> Result<Option<(Choice, Seat<'a>)>, Failure> {
        let upstream = &self.local.upstream;
        let Some(line) = &upstream.line else { return Ok(None) };
        let cell = upstream.series.worker(self.at.worker.ix);
        for (refused, why) in [(line.refused(), Shed::Admission), (line.beyond(), Shed::Room)] {
            if refused > 0 && self.at.worker.rng.borrow_mut().below(admission::ALL) < refused {
                cell.shed(why);
                return Err(Failure::Shed);
            }
        }
        if line.is_awaited() {
            return Ok(None);
        }
        // What kept it from its backend may have been that alone, or be over since it was looked at.
        match line.enter() {
            Some(seat) => Ok(self.choose_first(state).map(|choice| (choice, Some(seat)))),
            None if upstream.queue.is_none() && upstream.adaptive().is_some() => {
                cell.shed(Shed::Concurrency);
                Err(Failure::Shed)
            }
            None => Ok(None),
        }
    }

    async fn wait_in_line(
        &self,
        down: &mut Downstream,
        state: &mut State,
    ) -> Result<(Choice, Seat<'a>), Failure> {
        let upstream = &self.local.upstream;
        let cell = upstream.series.worker(self.at.worker.ix);
        let (Some(line), Some(queue)) = (&upstream.line, &upstream.queue) else {
            return Err(self.none_eligible());
        };
        let nobody = self.none_eligible();
        if matches!(nobody, Failure::BreakerOpen(_)) {
            // It tells when to come again, and nobody else would be let in before.
            return Err(nobody);
        }
        let Some(waiting) = line.join(queue.depth, self.priority(queue, state)) else {
            cell.queue_rejected(QueueRejected::Full);
            return Err(Failure::QueueFull(nobody.status()));
        };
        let _waits = upstream.series.waits();
        let begun = Instant::now();
        let until = begun + queue.timeout;
        let total = self.total().filter(|total| *total < until);
        loop {
            match self.called(&waiting, down, total.unwrap_or(until)).await {
                Ok(Woken::Called) => {}
                Ok(Woken::Late) => {
                    cell.queue_rejected(QueueRejected::Timeout);
                    return Err(match total {
                        Some(_) => self.out_of_time(),
                        None => Failure::QueueTimeout(nobody.status()),
                    });
                }
                Err(failure) => {
                    cell.queue_rejected(QueueRejected::ClientGone);
                    return Err(failure);
                }
            }
            let view = self.at.worker.view();
            let now = self.at_present(&view);
            if let Some(seat) = line.enter() {
                if let Some(choice) = self.look(&now, state) {
                    cell.queued(begun.elapsed());
                    waiting.found();
                    return Ok((Choice { waited: true, ..choice }, Some(seat)));
                }
                seat.give_back();
            }
            if now.local.upstream.course.barrier.is_some() {
                // It opened meanwhile. Leaving calls the next, who leaves too.
                return Err(now.none_eligible());
            }
        }
    }

    /// From 0, who goes first, to 9.
    fn priority(&self, queue: &Queue, state: &State) -> u8 {
        let mut text = Vec::new();
        vars::render(&queue.priority, &self.vars(state, ""), &mut text);
        match *text {
            [digit @ b'0'..=b'9'] => digit - b'0',
            _ => USUAL,
        }
    }

    /// Waits to be called, on the connection's timer, for as long as the client does.
    async fn called(
        &self,
        waiting: &Waiting<'_>,
        down: &mut Downstream,
        until: Instant,
    ) -> Result<Woken, Failure> {
        let look_again = Instant::now() + LOOK_AGAIN;
        poll_fn(|cx| {
            down.poll_gone(&self.at.worker.buffers, cx)?;
            if waiting.poll_called(cx).is_ready() {
                return Poll::Ready(Ok(Woken::Called));
            }
            let next = if waiting.is_first() { until.min(look_again) } else { until };
            if down.timer.poll(next, cx).is_pending() {
                return Poll::Pending;
            }
            Poll::Ready(Ok(if next < until { Woken::Called } else { Woken::Late }))
        })
        .await
    }

    /// The request's way through the upstream as it is now.
    fn at_present<'v>(&'v self, view: &'v View) -> Passage<'v> {
        let mut upstreams = view.upstreams.iter();
        match upstreams.find(|local| local.upstream.id == self.local.upstream.id) {
            Some(local) => Passage { local, ..*self },
            // It left, or is of this request alone.
            None => *self,
        }
    }

    /// A backend of the upstream as it is `now`, if one is free.
    fn look(&self, now: &Passage<'_>, state: &mut State) -> Option<Choice> {
        let upstream = &now.local.upstream;
        let choice = now.choose_first(state)?;
        if std::ptr::eq(now.local, self.local) {
            return Some(choice);
        }
        state.tried.clear();
        let id = upstream.backends[choice.ix.index()].id;
        let Some(ix) = self.local.upstream.place_of(id) else {
            if choice.is_trial() {
                // The next request is to make it.
                upstream.live[choice.ix.index()].offer_trial();
            }
            return None;
        };
        state.tried.insert(ix);
        Some(Choice { ix, ..choice })
    }
}

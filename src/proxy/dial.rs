//! A backend for a connection that is passed through: pick, connect, and the next one where that fails.
//!
//! The same rules as for requests (`attempt`, `retry`), without a request: as long as no connection
//! stands, nothing has been sent.

use tokio::time::Instant;

use crate::balance::InFlight;
use crate::limit::Entered;
use crate::model::Outcome;
use crate::net::Stream;
use crate::proxy::attempt::{Ended, Progress, Seat, UnderWay};
use crate::proxy::connect::Origin;
use crate::proxy::done::Done;
use crate::proxy::downstream::Downstream;
use crate::proxy::failure::Failure;
use crate::proxy::passage::Passage;
use crate::proxy::request::State;
use crate::proxy::vars::Attempt;
use crate::telemetry::Answering;

/// A backend's connection. It counts as a request in flight.
pub(super) struct Dialled<'a> {
    pub(super) stream: Stream,
    // Let go in this order: with the seat whoever waits for a place is called.
    _place: InFlight<'a>,
    _seat: Seat<'a>,
    _under_way: UnderWay<'a>,
    // That it took the connection is all that is owed.
    _answering: Answering<'a>,
}

impl<'a> Passage<'a> {
    /// Connects to a backend, and to others as long as that fails and is allowed.
    pub(super) async fn dial(
        &self,
        down: &mut Downstream,
        state: &mut State,
    ) -> Result<Dialled<'a>, Failure> {
        let local = self.local;
        let upstream = &local.upstream;
        self.make_key(state);
        let mut begun = self.since;
        let (mut choice, seat) = if let Some(found) = self.choose_at_once(state) {
            found
        } else {
            let found = Box::pin(self.wait_for_backend(down, state)).await?;
            begun = Instant::now();
            found
        };
        let mut tries = 1;
        loop {
            let backend = &upstream.backends[choice.ix.index()];
            let place = self.take_place(choice);
            let cell = self.local.cell(choice.ix, self.at.worker.ix);
            let under_way = UnderWay::enter(cell);
            let mut progress = Progress::default();
            let origin = Origin { any_protocol: true, ..self.origin(state) };
            let connecting = self.connect(backend, origin, self.ends(down));
            let connected =
                self.connected(connecting, backend, begun, &mut down.timer, &mut progress).await;
            // What is judged by the first byte of an answer is judged by the connection here.
            progress.first_byte = progress.connect;
            let at = Instant::now();
            let (result, stream) = match connected {
                Ok(stream) => (Ok(Done::default()), Some(stream)),
                Err(failure) => (Err(failure), None),
            };
            let outcome = result.as_ref().err().map_or(Outcome::Ok, |failure| failure.outcome());
            let record = Attempt {
                outcome,
                duration: Some(at.saturating_duration_since(begun)),
                ..self.running(choice, state.round(), &progress)
            };
            let ended = Ended { result, at, record, sent: false, progress };
            self.judge(choice, &ended);
            state.attempts.push(ended.record);
            if let Some(stream) = stream {
                return Ok(Dialled {
                    stream,
                    _place: place,
                    _seat: seat,
                    _under_way: under_way,
                    _answering: cell.answers(),
                });
            }
            let failure = ended.result.err().unwrap_or(Failure::NoneEligible);
            let Failure::Attempt(outcome) = failure else { return Err(failure) };
            begun = at;
            let Ok(next) = self.decide(choice, outcome, &ended, tries, at, state) else {
                return Err(failure);
            };
            let last = state.attempts.len() - 1;
            state.attempts[last].retried_because = Some(failure.label());
            seat.iter().for_each(Entered::moves_on);
            (choice, tries) = (next, tries + 1);
        }
    }
}

//! Attempts, one after the other: the only retry loop there is.

use std::time::Duration;

use tokio::time::Instant;

use crate::balance::InFlight;
use crate::http1::HeadError;
use crate::limit::Entered;
use crate::model::{Address, Outcome};
use crate::proxy::choice::{Choice, Terms};
use crate::proxy::done::Done;
use crate::proxy::downstream::Downstream;
use crate::proxy::failure::Failure;
use crate::proxy::forward::Forward;
use crate::proxy::pace;
use crate::proxy::passage::Passage;
use crate::proxy::request::State;
use crate::proxy::retry::{self, Decision, Facts};
use crate::proxy::sending;
use crate::proxy::vars::{At, Attempt};
use crate::telemetry::{BackendCell, RetryDenied};

/// How one attempt ended.
pub(super) struct Ended {
    pub(super) result: Result<Done, Failure>,
    pub(super) at: Instant,
    pub(super) record: Attempt,
    /// Bytes of the request went out.
    pub(super) sent: bool,
    /// What was known of it by then.
    pub(super) progress: Progress,
}

impl Ended {
    /// The connection came from the pool and turned out dead, which says nothing about the backend.
    pub(super) fn is_stale(&self) -> bool {
        let Attempt { reused, outcome, .. } = self.record;
        reused && outcome == Outcome::Reset && !self.progress.heard
    }
}

/// Whether an answer was read ahead of the client, who has not got all of it.
fn is_ahead(done: &Done, state: &State) -> bool {
    done.failure.is_none() && done.onward.is_none() && !state.to_client.is_empty()
}

/// Makes attempts until one is answered or no further one is allowed. An error means that nothing
/// went to the client yet.
pub(super) async fn run(
    passage: &Passage<'_>,
    down: &mut Downstream,
    state: &mut State,
) -> Result<Done, Failure> {
    if let Some(sending) = &passage.entry.route.sending
        && !passage.settled
    {
        return Box::pin(sending::run(passage, sending, down, state)).await;
    }
    if passage.climbs(state) {
        return Err(Failure::BadRequest(HeadError::BadRequestLine));
    }
    let mut begun = passage.since;
    if passage.until.is_some_and(|until| until <= begun) {
        return Err(Failure::Deadline);
    }
    passage.make_key(state);
    let (mut choice, seat) = if let Some(found) = passage.choose_at_once(state) {
        found
    } else {
        // Boxed: who finds a backend shall not pay for the size of this.
        let found = Box::pin(passage.wait_for_backend(down, state)).await?;
        // What it waited is not the backend's time.
        begun = Instant::now();
        found
    };
    let mut tries = 1;
    loop {
        let (next, ended) = match passage.hedges_after(choice, tries, state) {
            None => passage.attempt(choice, tries, begun, down, state).await,
            // Boxed: what is not hedged shall not pay for the size of this.
            Some(after) => {
                let ended = passage.hedged((&mut choice, after), begun, down, state);
                let ended = Box::pin(ended).await;
                (passage.conclude(choice, &ended, tries, state), ended.at)
            }
        };
        begun = ended;
        match next {
            Next::Answered(done) if is_ahead(&done, state) => {
                drop(seat);
                let done = (done, passage.until);
                return Ok(Box::pin(pace::finish(passage.at, done, down, state)).await);
            }
            Next::Answered(done) => return Ok(done),
            Next::Failed(failure) => return Err(failure),
            Next::Again { choice: next, sent } => {
                // Only a dead connection has its backend asked again.
                let again = next.ix == choice.ix;
                seat.iter().for_each(Entered::moves_on);
                tries += u32::from(!again);
                choice = next;
                if let Some(base) = passage.backoff()
                    && !again
                    && sent
                {
                    // Boxed: this is rare.
                    let waited = Box::pin(passage.back_off(base, tries - 1, down)).await;
                    waited.inspect_err(|_| passage.give_back(choice))?;
                    begun = Instant::now();
                }
            }
        }
    }
}

/// What follows an attempt.
enum Next {
    /// Nothing: the request has its answer.
    Answered(Done),
    /// Another attempt.
    Again {
        /// Whom it asks.
        choice: Choice,
        /// Bytes of the request went out in the one before.
        sent: bool,
    },
    /// Nothing: no further attempt is allowed.
    Failed(Failure),
}

impl Passage<'_> {
    /// Judges an attempt by how it ended, notes it, and decides what follows.
    fn conclude(&self, choice: Choice, ended: &Ended, tries: u32, state: &mut State) -> Next {
        self.judge(choice, ended);
        state.note_attempt(ended);
        let failure = match ended.result {
            Ok(done) => return Next::Answered(done),
            Err(failure) => failure,
        };
        let decision = match (ended.progress.next, failure) {
            (Some(next), _) => Ok(next),
            (None, Failure::Attempt(outcome)) => {
                self.decide(choice, outcome, ended, tries, ended.at, state)
            }
            // The client's doing, or no time is left.
            (None, _) => Err(failure.label()),
        };
        match decision {
            Ok(next) => {
                let again = next.ix == choice.ix;
                state.note_repeat(if again { "stale_connection" } else { failure.label() });
                Next::Again { choice: next, sent: ended.sent }
            }
            Err(why) => {
                tracing::debug!(upstream = self.local.upstream.name, why, "no further attempt");
                let nobody = why == RetryDenied::NoBackendLeft.name() && self.goes_on(tries);
                Next::Failed(if nobody { self.none_eligible() } else { failure })
            }
        }
    }

    /// What follows a failed attempt.
    pub(super) fn decide(
        &self,
        choice: Choice,
        outcome: Outcome,
        ended: &Ended,
        tries: u32,
        now: Instant,
        state: &mut State,
    ) -> Result<Choice, &'static str> {
        let cell = self.local.upstream.series.worker(self.at.worker.ix);
        let facts = Facts {
            status: ended.record.status,
            sent: ended.sent,
            stale: ended.is_stale(),
            shown: ended.progress.shown,
            elsewhere: self.may_cross(choice),
            ..self.facts(outcome, &state.head, state.upload.is_replayable(), tries, now)
        };
        match retry::decide(&facts) {
            Decision::FreshConnection => {
                cell.stale_replay();
                let live = &self.local.upstream.live[choice.ix.index()];
                Ok(Choice {
                    fresh: true,
                    // Whoever waits knows already that its place was taken.
                    waited: false,
                    // The dead connection decided nothing; this one may.
                    trial: choice.trial && live.begin_trial(),
                    ..choice
                })
            }
            Decision::AnotherBackend => {
                let unseen = matches!(outcome, Outcome::ConnectFailed | Outcome::ConnectTimeout);
                let seen = facts.sent && !unseen;
                let terms = Terms { seen, leaves: retry::is_last(&facts) };
                let next = self.choose_after(choice, (&mut state.tried, &state.key), terms);
                let next = next.map_err(|denied| {
                    cell.retry_denied(denied);
                    denied.name()
                })?;
                cell.retry(outcome);
                Ok(next)
            }
            Decision::GiveUp(denied) => {
                cell.retry_denied(denied);
                Err(denied.name())
            }
        }
    }
}

/// An attempt in its backend's series, counted until this is dropped.
pub(super) struct UnderWay<'a>(&'a BackendCell);

impl<'a> UnderWay<'a> {
    pub(super) fn enter(cell: &'a BackendCell) -> Self {
        cell.started();
        Self(cell)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.ended();
    }
}

/// A request's place among those of its upstream, where they are counted. It has it from before its backend is
/// picked until no attempt follows; what it holds at a backend goes first, for with it whoever waits is called.
pub(super) type Seat<'a> = Option<Entered<'a>>;

impl<'a> Passage<'a> {
    /// Takes the place at a backend that was picked.
    #[inline]
    pub(super) fn take_place(&self, choice: Choice) -> InFlight<'a> {
        let upstream = &self.local.upstream;
        let in_flight = upstream.live[choice.ix.index()].enter();
        if choice.waited
            && let Some(line) = &upstream.line
        {
            line.taken();
        }
        in_flight
    }
}

/// What is known of an attempt while it runs.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each asked for by name")]
#[derive(Default)]
pub(super) struct Progress {
    pub(super) connect: Option<Duration>,
    pub(super) first_byte: Option<Duration>,
    pub(super) status: Option<u16>,
    pub(super) reused: bool,
    /// Bytes that came back.
    pub(super) received: u64,
    /// Bytes of the response's body among them.
    pub(super) body: u64,
    /// Bytes of the request's body that came by then.
    pub(super) uploaded: u64,
    /// The id of its span; 0 where the request has no trace.
    pub(super) span: u64,
    /// Bytes came back.
    pub(super) heard: bool,
    /// Early hints went to the client.
    pub(super) shown: bool,
    /// The failure is our own (no descriptors): no verdict on the backend.
    pub(super) own: bool,
    /// The verdict of a trial is told already.
    pub(super) decided: bool,
    /// The next backend, when it was picked before this attempt was given up.
    pub(super) next: Option<Choice>,
}

impl Passage<'_> {
    /// One try at one backend: what follows it, and when it ended.
    async fn attempt(
        &self,
        choice: Choice,
        tries: u32,
        begun: Instant,
        down: &mut Downstream,
        state: &mut State,
    ) -> (Next, Instant) {
        let upstream = &self.local.upstream;
        let backend = &upstream.backends[choice.ix.index()];
        let cell = self.local.cell(choice.ix, self.at.worker.ix);
        let place = self.take_place(choice);
        let under_way = UnderWay::enter(cell);
        let span = self.begin_span(choice, begun, state);
        let mut progress = Progress { span, ..Progress::default() };
        state.upload.sent = 0;
        // Only who shows certificates of the request's own has to know of them here.
        let origin = upstream.own_files.is_some().then(|| self.origin(state));
        let own = origin.as_ref().and_then(|origin| origin.own.as_deref());
        let kept = self.kept_carrier(choice, (own, Some(&state.head)), begun, &mut progress);
        let carrier = if let Some(kept) = kept {
            Ok(kept)
        } else {
            let to = (&**backend, origin.unwrap_or_else(|| self.origin(state)));
            // Boxed: every request holds room for the largest of its ways.
            if self.tunnels(&state.head) {
                Box::pin(self.tunnel_carrier(to, begun, down, &mut progress)).await
            } else {
                let ways = (self.ends(down), &mut down.timer);
                Box::pin(self.fresh_carrier(choice, to, begun, ways, &mut progress)).await
            }
        };
        let result = match carrier {
            Ok(carrier) => {
                let attempt = Forward { passage: self, choice, backend, tries, begun };
                attempt.run(carrier, down, state, &mut progress).await
            }
            Err(failure) => Err(failure),
        };
        drop((under_way, place));
        // Judged here, on the stack: handed on it would be copied into what the request holds while it waits.
        let ended = self.ended(choice, begun, result, progress, state);
        (self.conclude(choice, &ended, tries, state), ended.at)
    }

    /// How an attempt ended, in one.
    #[inline]
    pub(super) fn ended(
        &self,
        choice: Choice,
        begun: Instant,
        result: Result<Done, Failure>,
        progress: Progress,
        state: &State,
    ) -> Ended {
        let at = match &result {
            Ok(Done { ended: Some(at), .. }) => *at,
            _ => Instant::now(),
        };
        let outcome = match &result {
            Ok(Done { failure: None, .. }) => Outcome::Ok,
            Ok(Done { failure: Some(failure), .. }) | Err(failure) => failure.outcome(),
        };
        let record = Attempt {
            outcome,
            duration: Some(at.saturating_duration_since(begun)),
            sent: state.upload.sent,
            ..self.running(choice, state.round(), &progress)
        };
        let sent = state.upload.sent > 0;
        Ended { result, at, record, sent, progress }
    }

    /// What can be told of an attempt while it runs.
    pub(super) fn running(&self, choice: Choice, round: u8, progress: &Progress) -> Attempt {
        Attempt {
            at: self.place(choice),
            round,
            connect: progress.connect,
            first_byte: progress.first_byte,
            duration: None,
            status: progress.status,
            outcome: Outcome::Ok,
            reused: progress.reused,
            sent: 0,
            received: progress.received,
            body: progress.body,
            retried_because: None,
        }
    }

    /// Where an attempt goes.
    pub(super) fn place(&self, choice: Choice) -> At {
        if self.found
            && let Address::Ip(address) = self.local.upstream.backends[choice.ix.index()].address
        {
            return At::Address(address);
        }
        At::Backend(self.destination.upstream, choice.ix)
    }

    /// What stands for an attempt where nobody could be picked.
    pub(super) fn nobody(&self, round: u8) -> Attempt {
        Attempt {
            at: At::Nobody(self.destination.upstream),
            round,
            connect: None,
            first_byte: None,
            duration: Some(Duration::ZERO),
            status: None,
            outcome: Outcome::ConnectFailed,
            reused: false,
            sent: 0,
            received: 0,
            body: 0,
            retried_because: None,
        }
    }
}

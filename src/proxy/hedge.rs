//! Hedging: a request that takes longer than is usual is sent to a second backend too, and what answers
//! first is passed on (after Dean and Barroso, "The Tail at Scale", 2013).
//!
//! Only where an upstream declares it; only requests that may be repeated and have no body, and whose
//! client is not bound to a backend; only the first attempt of a request, once, and within a budget. The
//! first byte decides, over HTTP/2 the head. What comes after it goes the way of every attempt, and so does its
//! failure. The other attempt's connection is closed, over HTTP/2 its stream is reset, and it stands in the books
//! as `cancelled`.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use crate::balance::InFlight;
use crate::model::{Outcome, Tick};
use crate::net::ProxyEnds;
use crate::policy::usual::Usual;
use crate::proxy::attempt::{Ended, Progress, Seat, UnderWay};
use crate::proxy::backend_h2::{self, Sender, Unanswered};
use crate::proxy::budget::{Budget, Counted};
use crate::proxy::carrier::Carrier;
use crate::proxy::choice::{Choice, Terms};
use crate::proxy::connect::Origin;
use crate::proxy::downstream::Downstream;
use crate::proxy::failure::Failure;
use crate::proxy::forward::Forward;
use crate::proxy::passage::Passage;
use crate::proxy::pool::Connection;
use crate::proxy::request::State;
use crate::proxy::retry;
use crate::proxy::timer::Timer;
use crate::proxy::vars::Attempt;
use crate::snapshot::Upstream;
use crate::telemetry::Hedged;

/// Most of an answer that is read before it is known who has won.
const AHEAD: usize = 8 * 1024;

/// Second requests that are allowed in any case, within ten seconds.
const ALLOWED: u32 = 1;

/// What a worker knows of an upstream whose requests are hedged.
#[derive(Debug)]
pub(super) struct Hedges {
    usual: RefCell<Usual>,
    /// When the second backend is asked; `None`: not known yet.
    after: Cell<Option<Duration>>,
    budget: RefCell<Budget>,
    /// Second requests.
    made: Cell<u64>,
}

impl Hedges {
    /// For an upstream that declares it.
    pub(super) fn of(upstream: &Upstream) -> Option<Rc<Self>> {
        let hedge = upstream.hedge.as_ref()?;
        Some(Rc::new(Self {
            usual: RefCell::default(),
            after: Cell::new(hedge.after),
            budget: RefCell::new(Budget::new(Counted::default())),
            made: Cell::default(),
        }))
    }

    /// Those of the same upstream on other terms, if any.
    pub(super) fn next(before: Option<&Rc<Self>>, upstream: &Upstream) -> Option<Rc<Self>> {
        let hedge = upstream.hedge.as_ref()?;
        let Some(before) = before else { return Self::of(upstream) };
        if hedge.after.is_some() {
            before.after.set(hedge.after);
        }
        Some(Rc::clone(before))
    }

    /// Once a second: looks at what is usual, and marks the budget.
    pub(super) fn tick(&self, upstream: &Upstream, attempts: u64, now: Tick) {
        let Some(hedge) = &upstream.hedge else { return };
        if hedge.after.is_none() {
            let mut usual = self.usual.borrow_mut();
            usual.look(&upstream.series.first_bytes(), now);
            self.after.set(usual.quantile(hedge.part));
        }
        self.budget.borrow_mut().mark(self.counted(attempts));
    }

    fn counted(&self, attempts: u64) -> Counted {
        Counted { attempts, retries: self.made.get() }
    }

    /// Whether one more second request is allowed.
    fn allows(&self, upstream: &Upstream, attempts: u64) -> bool {
        let percent = upstream.hedge.as_ref().map_or(0, |hedge| hedge.budget);
        self.budget.borrow().allows((percent, ALLOWED), self.counted(attempts))
    }
}

/// One of the two attempts, until its first byte.
struct Leg<'a> {
    choice: Choice,
    begun: Instant,
    progress: Progress,
    timer: Timer,
    /// Bytes of the request that went out.
    sent: u64,
    /// What carries its answer, of which the first bytes or the head have come.
    answered: Option<Carrier>,
    _place: InFlight<'a>,
    _under_way: UnderWay<'a>,
}

/// What became of two attempts.
struct Race {
    /// Who answered first.
    winner: Option<usize>,
    failures: [Option<Failure>; 2],
}

type Asking<'f> = Pin<&'f mut dyn Future<Output = Result<(), Failure>>>;

impl<'a> Passage<'a> {
    /// When the second backend is asked if this first attempt has no answer by then.
    pub(super) fn hedges_after(
        &self,
        choice: Choice,
        tries: u32,
        state: &State,
    ) -> Option<Duration> {
        let after = self.local.hedges.as_ref()?.after.get()?;
        let repeatable = self.may_repeat && retry::is_idempotent(state.head.method());
        let bare = state.upload.is_empty() && !self.asks_to_switch(&state.head);
        let alone = choice.trial || choice.bound || self.asks;
        (tries == 1 && repeatable && bare && !alone).then_some(after)
    }

    /// As an attempt, with a second one if the first takes longer than `after`. The choice is then that
    /// of the attempt that is told of; the other one is judged, and among the attempts, already.
    pub(super) async fn hedged(
        &self,
        (choice, after): (&mut Choice, Duration),
        begun: Instant,
        down: &mut Downstream,
        state: &mut State,
    ) -> Ended {
        let (ends, first_choice) = (self.ends(down), *choice);
        let span = self.begin_span(*choice, begun, state);
        let request = self.encoded(*choice, state);
        let mut first = self.leg(*choice, (begun, span));
        let (mut second, mut spare) = (None, None);
        let race = {
            let mut asking = pin!(first.ask(self, &request, (self.origin(state), ends)));
            match self.wait(down, &mut [asking.as_mut()], Some(begun + after)).await {
                Some(race) => race,
                None => match self.second_choice(first_choice, state) {
                    None => self.last(down, &mut [asking.as_mut()]).await,
                    Some((choice, seat)) => {
                        spare = seat;
                        if let Some(trace) = &mut state.trace {
                            trace.reason = Some("hedge");
                        }
                        let now = Instant::now();
                        let span = self.begin_span(choice, now, state);
                        let request = self.encoded(choice, state);
                        let leg = second.insert(self.leg(choice, (now, span)));
                        let mut other = pin!(leg.ask(self, &request, (self.origin(state), ends)));
                        self.last(down, &mut [asking.as_mut(), other.as_mut()]).await
                    }
                },
            }
        };
        let Some(second) = second else {
            return self.go_on(first, &race, 0, down, state).await;
        };
        let told = race.winner.unwrap_or(1);
        self.tell(&race);
        let (told_of, other) = if told == 0 { (first, second) } else { (second, first) };
        *choice = told_of.choice;
        self.leave(other, race.failures[1 - told], state);
        // The one that is gone on with has the request's own.
        drop(spare);
        self.go_on(told_of, &race, told, down, state).await
    }

    /// The request's head for the backend.
    fn encoded(&self, choice: Choice, state: &mut State) -> Vec<u8> {
        let backend = &self.local.upstream.backends[choice.ix.index()];
        self.write_request(backend, false, state);
        std::mem::take(&mut state.out)
    }

    fn leg(&self, choice: Choice, (begun, span): (Instant, u64)) -> Leg<'a> {
        Leg {
            choice,
            begun,
            progress: Progress { span, ..Progress::default() },
            timer: Timer::default(),
            sent: 0,
            answered: None,
            _place: self.take_place(choice),
            _under_way: UnderWay::enter(self.local.cell(choice.ix, self.at.worker.ix)),
        }
    }

    /// The second backend, if there is one and one more request is within the budget.
    fn second_choice(&self, first: Choice, state: &mut State) -> Option<(Choice, Seat<'a>)> {
        let upstream = &self.local.upstream;
        let cell = upstream.series.worker(self.at.worker.ix);
        let hedges = self.local.hedges.as_ref()?;
        if upstream.is_crowded() {
            return None;
        }
        if !hedges.allows(upstream, self.local.counted(self.at.worker.ix).attempts) {
            cell.hedged(Hedged::Denied);
            return None;
        }
        let seat = match &upstream.line {
            Some(line) => Some(line.enter()?),
            None => None,
        };
        let terms = Terms { seen: true, leaves: false };
        // Where there is nobody else, nothing is spent.
        let choice = self.choose_after(first, (&mut state.tried, &state.key), terms).ok()?;
        hedges.made.set(hedges.made.get() + 1);
        Some((choice, seat))
    }

    /// Waits until somebody has answered or all have failed, at the latest until `until`.
    async fn wait(
        &self,
        down: &mut Downstream,
        asking: &mut [Asking<'_>],
        until: Option<Instant>,
    ) -> Option<Race> {
        let mut failures = [None; 2];
        let mut gone = None;
        let winner = poll_fn(|cx| {
            if !self.entry.route.ignore_client_abort
                && let Err(failure) = down.poll_gone(&self.at.worker.buffers, cx)
            {
                gone = Some(failure);
                return Poll::Ready(Some(None));
            }
            for (place, asked) in asking.iter_mut().enumerate() {
                if failures[place].is_some() {
                    continue;
                }
                match asked.as_mut().poll(cx) {
                    Poll::Ready(Ok(())) => return Poll::Ready(Some(Some(place))),
                    Poll::Ready(Err(failure)) => failures[place] = Some(failure),
                    Poll::Pending => {}
                }
            }
            if failures.iter().take(asking.len()).all(Option::is_some) {
                return Poll::Ready(Some(None));
            }
            match until {
                Some(until) => down.timer.poll(until, cx).map(|()| None),
                None => Poll::Pending,
            }
        })
        .await?;
        if gone.is_some() {
            failures = [gone; 2];
        }
        Some(Race { winner, failures })
    }

    /// The same for as long as it takes: each attempt has its own time-outs.
    async fn last(&self, down: &mut Downstream, asking: &mut [Asking<'_>]) -> Race {
        let race = self.wait(down, asking, None).await;
        race.unwrap_or(Race { winner: None, failures: [Some(Failure::TotalTimeout); 2] })
    }

    /// Counts what became of the second request.
    fn tell(&self, race: &Race) {
        let cell = self.local.upstream.series.worker(self.at.worker.ix);
        cell.hedged(match *race {
            Race { winner: Some(1), .. } => Hedged::Won,
            Race { failures: [_, Some(failure)], .. } if failure != Failure::ClientGone => {
                Hedged::Failed
            }
            Race { .. } => Hedged::Lost,
        });
    }

    /// Ends the attempt that is not gone on with.
    fn leave(&self, leg: Leg<'_>, failure: Option<Failure>, state: &mut State) {
        let at = Instant::now();
        let took = at.saturating_duration_since(leg.begun);
        let outcome = failure.map_or(Outcome::Cancelled, Failure::outcome);
        let Leg { choice, progress, sent, .. } = leg;
        let record = Attempt {
            outcome,
            duration: Some(took),
            sent,
            retried_because: Some("hedge"),
            ..self.running(choice, state.round(), &progress)
        };
        let result = Err(failure.unwrap_or(Failure::Attempt(outcome)));
        let ended = Ended { result, at, record, sent: sent > 0, progress };
        // As who is out of time: it may have waited in vain on a connection that others share.
        self.forward(choice, leg.begun).keep_shared(Some(Failure::Deadline), &ended.progress);
        self.judge(choice, &ended);
        state.note_attempt(&ended);
    }

    fn forward(&self, choice: Choice, begun: Instant) -> Forward<'_> {
        let backend = &self.local.upstream.backends[choice.ix.index()];
        Forward { passage: self, choice, backend, tries: 1, begun }
    }

    /// Goes on with the attempt at this place as with any other.
    async fn go_on(
        &self,
        leg: Leg<'_>,
        race: &Race,
        place: usize,
        down: &mut Downstream,
        state: &mut State,
    ) -> Ended {
        let Leg { choice, begun, mut progress, sent, answered, _place, _under_way, .. } = leg;
        let result = match answered {
            Some(carrier) => {
                self.forward(choice, begun).run(carrier, down, state, &mut progress).await
            }
            None => Err(race.failures[place].unwrap_or(Failure::TotalTimeout)),
        };
        state.upload.sent = sent;
        self.ended(choice, begun, result, progress, state)
    }
}

impl Leg<'_> {
    /// Sends the request, and reads until the first byte or the head of the answer.
    async fn ask(
        &mut self,
        passage: &Passage<'_>,
        request: &[u8],
        (origin, ends): (Origin, Option<ProxyEnds>),
    ) -> Result<(), Failure> {
        let (choice, begun) = (self.choice, self.begun);
        let backend = &passage.local.upstream.backends[choice.ix.index()];
        let own = origin.own.as_deref();
        let kept = passage.kept_carrier(choice, (own, None), begun, &mut self.progress);
        let carrier = if let Some(kept) = kept {
            kept
        } else {
            let ways = (ends, &mut self.timer);
            let (to, progress) = ((&**backend, origin), &mut self.progress);
            passage.fresh_carrier(choice, to, begun, ways, progress).await?
        };
        self.answered = Some(match carrier {
            Carrier::Http1(connection) => self.ask_alone(passage, request, connection).await?,
            Carrier::Http2(sender) => self.ask_beside_others(passage, request, *sender).await?,
            answered @ Carrier::Answered(_) => answered,
        });
        Ok(())
    }

    /// Over a connection of its own.
    async fn ask_alone(
        &mut self,
        passage: &Passage<'_>,
        request: &[u8],
        mut connection: Box<Connection>,
    ) -> Result<Carrier, Failure> {
        let timeouts = &passage.destination.timeouts;
        let (by, late) = limit(passage, timeouts.write);
        let sent =
            self.timer.within(by, connection.stream.send(request)).await.map_err(|_| late)?;
        let reset = Failure::Attempt(Outcome::Reset);
        self.sent = request.len() as u64;
        sent.map_err(|_| reset)?;
        let (by, late) = limit(passage, timeouts.read);
        let mut bytes = vec![0; AHEAD];
        let read = poll_fn(|cx| connection.stream.poll_read(cx, &mut bytes));
        match self.timer.within(by, read).await.map_err(|_| late)? {
            Ok(n) if n > 0 => bytes.truncate(n),
            _ => return Err(reset),
        }
        connection.ahead = Some(bytes.into());
        Ok(Carrier::Http1(connection))
    }

    /// As a stream of a connection that others share.
    async fn ask_beside_others(
        &mut self,
        passage: &Passage<'_>,
        request: &[u8],
        mut sender: Sender,
    ) -> Result<Carrier, Failure> {
        let forward = passage.forward(self.choice, self.begun);
        let scheme = if forward.backend.tls.is_some() { "https" } else { "http" };
        let (mut asked, _) = backend_h2::request(scheme, request)
            .ok_or(Failure::Attempt(Outcome::InvalidResponse))?;
        let mut turn = sender.turn();
        let sent = Cell::new(0);
        let answer = async {
            let begun = poll_fn(|cx| sender.poll_begin(&mut turn, (&mut asked, true), cx)).await?;
            sent.set(request.len() as u64);
            begun.answer().await
        };
        let (by, late) = limit(passage, passage.destination.timeouts.read);
        let answer = self.timer.within(by, answer).await;
        self.sent = sent.get();
        let failure = match answer {
            Ok(Ok(answer)) => return Ok(Carrier::Answered(Box::new((sender, answer)))),
            Ok(Err(Unanswered { outcome, unseen, reset })) => {
                self.progress.heard = reset;
                if unseen {
                    self.sent = 0;
                }
                Failure::Attempt(outcome)
            }
            Err(_) => late,
        };
        forward.keep_shared(Some(failure), &self.progress);
        Err(failure)
    }
}

/// Until when to wait that waits so long, and what it means if nothing has happened by then.
fn limit(passage: &Passage<'_>, wait: Duration) -> (Instant, Failure) {
    let by = Instant::now() + wait;
    match passage.total() {
        Some(total) if total < by => (total, passage.out_of_time()),
        _ => (by, Failure::Attempt(Outcome::Timeout)),
    }
}

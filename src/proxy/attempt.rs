//! Pick, connection, send; and the retry loop around them: the only one there is.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

use crate::balance::{Key, Need, Pick, Rng, Tried};
use crate::http1::{HeadError, RequestHead};
use crate::model::{Address, BackendIx, Clock, Event, Outcome, Tick};
use crate::net::{ProxyEnds, Stream, is_shortage};
use crate::proxy::backend_h2::{self, Sender};
use crate::proxy::connect::{Introduction, connect};
use crate::proxy::downstream::Downstream;
use crate::proxy::failure::Failure;
use crate::proxy::forward::Forward;
use crate::proxy::headers::{ClientIdentity, RequestContext, write_request_head};
use crate::proxy::pace;
use crate::proxy::pool::Connection;
use crate::proxy::request::State;
use crate::proxy::retry::{self, Decision, Facts};
use crate::proxy::sending;
use crate::proxy::service::{Done, Entrance};
use crate::proxy::vars::{self, Answer, At, Attempt, Vars};
use crate::proxy::view::Local;
use crate::snapshot::settings::{HostPolicy, PathRewrite, Protocol};
use crate::snapshot::{Backend, Destination, RouteEntry};
use crate::telemetry::{BackendCell, RetryDenied};

/// A proxied request: everything about it that does not change from attempt to attempt.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each asked for by name")]
#[derive(Debug, Clone, Copy)]
pub(super) struct Passage<'a> {
    pub(super) at: Entrance<'a>,
    pub(super) entry: &'a RouteEntry,
    pub(super) destination: &'a Destination,
    pub(super) local: &'a Local,
    pub(super) rewrite: &'a PathRewrite,
    pub(super) host: &'a HostPolicy,
    pub(super) client: &'a ClientIdentity,
    /// What is sent otherwise than it came is settled.
    pub(super) settled: bool,
    /// The backends are found for this request, and no upstream's.
    pub(super) found: bool,
    /// The method that is sent in place of the client's, if any, may be repeated.
    pub(super) may_repeat: bool,
    /// It is a question of ours: only the head of the answer counts, and the client gets none of it.
    pub(super) asks: bool,
    /// Until when the client waits, if it has told: everything has to be over by then.
    pub(super) until: Option<Instant>,
}

impl<'a> Passage<'a> {
    /// A request on its way as its route says.
    pub(super) fn new(
        (at, entry): (Entrance<'a>, &'a RouteEntry),
        (destination, local): (&'a Destination, &'a Local),
        (rewrite, host): (&'a PathRewrite, &'a HostPolicy),
        client: &'a ClientIdentity,
        asks: bool,
    ) -> Self {
        Self {
            at,
            entry,
            destination,
            local,
            rewrite,
            host,
            client,
            settled: false,
            found: false,
            may_repeat: true,
            asks,
            until: None,
        }
    }
}

/// A backend picked for an attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    pub(super) ix: BackendIx,
    /// The attempt decides whether a parked backend comes back.
    trial: bool,
    /// The pool is passed over.
    pub(super) fresh: bool,
}

impl Choice {
    /// An attempt like any other.
    pub(super) fn of(ix: BackendIx) -> Self {
        Self { ix, trial: false, fresh: false }
    }
}

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
    fn is_stale(&self) -> bool {
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
    let cell = passage.local.upstream.series.worker(passage.at.worker.ix);
    if passage.climbs(state) {
        return Err(Failure::BadRequest(HeadError::BadRequestLine));
    }
    passage.make_key(state);
    let bound = match &passage.local.upstream.sticky {
        Some(sticky) => passage.choose_bound(sticky, state),
        None => None,
    };
    let first = bound.or_else(|| passage.choose(&mut state.tried, &state.key));
    let Some(mut choice) = first else {
        cell.none_eligible();
        state.attempts.push(passage.nobody(state.round()));
        return Err(passage.none_eligible());
    };
    let mut tries = 1;
    let mut begun = passage.at.whole;
    loop {
        let ended = passage.attempt(choice, tries, begun, down, state).await;
        passage.judge(choice, &ended);
        state.attempts.push(ended.record);
        let failure = match ended.result {
            Ok(done) if is_ahead(&done, state) => {
                return Ok(Box::pin(pace::finish(passage.at, done, down, state)).await);
            }
            Ok(done) => return Ok(done),
            Err(failure) => failure,
        };
        begun = ended.at;
        let decision = match (ended.progress.next, failure) {
            (Some(next), _) => Ok(next),
            (None, Failure::Attempt(outcome)) => {
                passage.decide(choice, outcome, &ended, tries, begun, state)
            }
            // The client's doing, or no time is left.
            (None, _) => Err(failure.label()),
        };
        let last = state.attempts.len() - 1;
        match decision {
            Ok(next) => {
                // Only a dead connection has its backend asked again.
                let again = next.ix == choice.ix;
                tries += u32::from(!again);
                state.attempts[last].retried_because =
                    Some(if again { "stale_connection" } else { failure.label() });
                choice = next;
            }
            Err(why) => {
                tracing::debug!(upstream = passage.local.upstream.name, why, "no further attempt");
                let nobody = why == RetryDenied::NoBackendLeft.name() && passage.goes_on(tries);
                return Err(if nobody { passage.none_eligible() } else { failure });
            }
        }
    }
}

impl Passage<'_> {
    /// The hash input, if the strategy wants one.
    pub(super) fn make_key(&self, state: &mut State) {
        if self.local.upstream.strategy.needs() == Need::Key {
            let mut key = std::mem::take(&mut state.key);
            vars::render_raw(&self.local.upstream.key, &self.vars(state, ""), &mut key);
            state.key = key;
        }
    }

    /// A backend whose trial is due, else the strategy's pick among those not tried yet.
    pub(super) fn choose(&self, tried: &mut Tried, key: &[u8]) -> Option<Choice> {
        let upstream = &self.local.upstream;
        for ix in &upstream.trials {
            if !tried.contains(*ix) && upstream.live[ix.index()].begin_trial() {
                tried.insert(*ix);
                return Some(Choice {
                    ix: *ix,
                    trial: true,
                    // What is left in the pool is from before it was parked.
                    fresh: true,
                });
            }
        }
        let mut rng = self.at.worker.rng.borrow_mut();
        let mut pick = self.pick(tried, key, &mut rng);
        let ix = upstream.pick(&mut self.local.cursors.borrow_mut(), &mut pick)?;
        tried.insert(ix);
        upstream.backends[ix.index()].series.worker(self.at.worker.ix).pick();
        if upstream.fail_open {
            upstream.series.worker(self.at.worker.ix).fail_open_pick();
        }
        Some(Choice::of(ix))
    }

    /// What a pick looks at.
    pub(super) fn pick<'p>(
        &'p self,
        tried: &'p Tried,
        key: &'p [u8],
        rng: &'p mut Rng,
    ) -> Pick<'p> {
        let upstream = &self.local.upstream;
        let key = match upstream.strategy.needs() {
            Need::ClientAddress => Key::Address(self.client.address),
            Need::Key => Key::Bytes(key),
            Need::Nothing => Key::None,
        };
        let now = Clock::tick(self.at.whole.into_std());
        Pick { key, live: &upstream.live, tried, now, rng }
    }

    /// There is no backend to ask.
    pub(super) fn none_eligible(&self) -> Failure {
        match self.local.upstream.nginx.none_eligible {
            502 => Failure::NoneLive,
            _ => Failure::NoneEligible,
        }
    }

    /// Whether after so many tries another one would be made whoever is left, as nginx does it: it
    /// counts servers that are out too, and then answers that there are none.
    fn goes_on(&self, tries: u32) -> bool {
        let upstream = &self.local.upstream;
        upstream.nginx.failures && (tries as usize) < upstream.in_service()
    }

    /// The backend to ask in place of one that answered with a listed status. None: the answer is
    /// passed on.
    pub(super) fn choose_instead(
        &self,
        tried: &mut Tried,
        key: &[u8],
        tries: u32,
    ) -> Result<Option<Choice>, Failure> {
        match self.choose(tried, key) {
            None if self.goes_on(tries) => Err(self.none_eligible()),
            next => Ok(next),
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
            ..self.facts(outcome, &state.head, state.upload.is_replayable(), tries, now)
        };
        match retry::decide(&facts) {
            Decision::FreshConnection => {
                cell.stale_replay();
                let live = &self.local.upstream.live[choice.ix.index()];
                Ok(Choice {
                    fresh: true,
                    // The dead connection decided nothing; this one may.
                    trial: choice.trial && live.begin_trial(),
                    ..choice
                })
            }
            Decision::AnotherBackend => {
                let Some(next) = self.choose(&mut state.tried, &state.key) else {
                    cell.retry_denied(RetryDenied::NoBackendLeft);
                    return Err(RetryDenied::NoBackendLeft.name());
                };
                cell.retry(outcome);
                Ok(next)
            }
            Decision::GiveUp(denied) => {
                cell.retry_denied(denied);
                Err(denied.name())
            }
        }
    }

    /// Writes the attempt into the books of its backend, and reports what crosses a threshold.
    pub(super) fn judge(&self, choice: Choice, ended: &Ended) {
        let upstream = &self.local.upstream;
        let (record, live) = (&ended.record, &upstream.live[choice.ix.index()]);
        let backend = &upstream.backends[choice.ix.index()];
        let took = record.duration.unwrap_or_default();
        backend.series.worker(self.at.worker.ix).attempt(record.outcome, took);
        // A kept connection that turns out dead says nothing about the backend; nor does a client
        // that left, or our own want of descriptors.
        let no_verdict =
            ended.is_stale() || ended.progress.own || record.outcome == Outcome::ClientGone;
        if no_verdict {
            if choice.trial && !ended.progress.decided {
                // It decided nothing: the next request is to.
                live.offer_trial();
            }
            return;
        }
        let now = Clock::tick(ended.at.into_std());
        if upstream.nginx.failures {
            return self.tally(choice, record, now);
        }
        let listed =
            record.status.is_some_and(|status| upstream.passive.statuses.contains(&status));
        // A status for which another backend was asked is only a failure if it is listed as one.
        let failed = listed || (record.outcome.is_failure() && record.outcome != Outcome::Status);
        if choice.trial && !ended.progress.decided {
            self.at.worker.report(Event::TrialEnded { backend: backend.id, ok: !failed, at: now });
        }
        if !failed {
            if let Some(first_byte) = record.first_byte {
                live.observe(first_byte, now);
            }
            return;
        }
        live.observe_failure(took, now);
        let limits = backend.limits;
        if live.record_failure(now, limits.fail_timeout, limits.max_fails) {
            self.at.worker.report(Event::FailuresCrossed { backend: backend.id, at: now });
        }
    }

    /// The same as nginx counts: a status only when another backend is asked because of it, and a
    /// response that broke off as a success.
    fn tally(&self, choice: Choice, record: &Attempt, now: Tick) {
        let upstream = &self.local.upstream;
        let live = &upstream.live[choice.ix.index()];
        let failed = match record.outcome {
            Outcome::Ok | Outcome::Truncated | Outcome::ClientGone => false,
            Outcome::Status => !matches!(record.status, Some(403 | 404)),
            _ => true,
        };
        match record.first_byte {
            _ if failed => live.observe_failure(record.duration.unwrap_or_default(), now),
            Some(first_byte) => live.observe(first_byte, now),
            None => {}
        }
        if !upstream.tallies {
            return;
        }
        if !failed {
            return live.tally_success();
        }
        let backend = &upstream.backends[choice.ix.index()];
        if live.tally_failure(&backend.limits, backend.weight, now) {
            let (upstream, backend) = (&upstream.name, &backend.label);
            tracing::warn!(upstream, backend, "backend failed, and is left out for a while");
        }
    }
}

impl Passage<'_> {
    /// The backend switched protocols, which is all that a trial asks of it: the tunnel may last for
    /// days, and its end says nothing.
    pub(super) fn switched(&self, choice: Choice, progress: &mut Progress) {
        if choice.trial {
            progress.decided = true;
            let backend = self.local.upstream.backends[choice.ix.index()].id;
            self.at.worker.report(Event::TrialEnded { backend, ok: true, at: Clock::now() });
        }
    }

    /// What the retry rules want to know, as far as it holds for every failure.
    pub(super) fn facts(
        &self,
        outcome: Outcome,
        head: &RequestHead,
        replayable: bool,
        tries: u32,
        now: Instant,
    ) -> Facts<'_> {
        Facts {
            outcome,
            status: None,
            sent: true,
            stale: false,
            shown: false,
            idempotent: self.may_repeat && retry::is_idempotent(head.method()),
            replayable,
            tries,
            elapsed: now.saturating_duration_since(self.at.whole),
            policy: &self.destination.retry,
        }
    }

    /// What templates may speak of.
    pub(super) fn vars<'v>(&'v self, state: &'v State, backend: &'v str) -> Vars<'v> {
        Vars {
            request_id: &state.id,
            path: state.normalised_path(),
            route: &self.entry.route.name,
            upstream: &self.local.upstream.name,
            backend,
            link: self.at.link(state.ends),
            clock: Some(self.at.clock(self.at.whole)),
            answer: Answer { request_body: state.upload.received, ..Answer::default() },
            captured: state.captured.as_deref(),
            auth: state.auth(),
            otherwise: state.otherwise.as_deref(),
            body: state.body(self.at),
            ..Vars::new(&state.head, self.client)
        }
    }

    /// Whether the client asks to switch to a protocol that the route allows.
    pub(super) fn asks_to_switch(&self, head: &RequestHead) -> bool {
        let allowed = |asked: &[u8]| {
            let mut upgrades = self.entry.route.upgrades.iter();
            upgrades.any(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(asked))
        };
        head.upgrade().is_some_and(allowed)
    }

    /// What is put in place of the route's prefix.
    fn put_in_place(&self, state: &State) -> &PathRewrite {
        match &state.trail {
            Some(trail) if trail.whole_path => &PathRewrite::Keep,
            _ => self.rewrite,
        }
    }

    /// Whether what stands in place of the prefix makes the path climb: bytes that follow a prefix
    /// are no segment of their own, as with `/a` and `/a../b`.
    fn climbs(&self, state: &State) -> bool {
        let PathRewrite::ReplaceBytes(to) = self.put_in_place(state) else { return false };
        let Some(rest) = state.normalised_path().strip_prefix(self.entry.route.prefix.as_bytes())
        else {
            return false;
        };
        let before = to.rsplit('/').next().unwrap_or_default();
        let behind = rest.split(|byte| *byte == b'/').next().unwrap_or_default();
        matches!((before, behind), ("", b"..") | (".", b".") | ("..", b""))
    }

    /// Encodes the request head for `backend` into `state.out`.
    pub(super) fn write_request(&self, backend: &Backend, asks: bool, state: &mut State) {
        let mut out = std::mem::take(&mut state.out);
        let context = RequestContext {
            vars: &self.vars(state, &backend.label),
            forwarded: &self.at.listener.forwarded,
            rewrite: self.put_in_place(state),
            prefix: &self.entry.route.prefix,
            path: state.normalised_path(),
            host: self.host,
            authority: &backend.authority,
            framing: state.upload.framing(state.head.framing()),
            upgrade: state.head.upgrade().filter(|_| asks),
            close: self.local.upstream.nginx.connection_close
                || self.local.upstream.send_proxy.is_some(),
            otherwise: state.otherwise.as_deref(),
            trailers: self.entry.route.response.as_ref().is_none_or(|rules| rules.pass_trailers),
            edits: &self.entry.route.request_headers,
        };
        out.clear();
        write_request_head(&mut out, &context);
        state.out = out;
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

/// What carries the request to the backend.
pub(super) enum Carrier {
    /// A connection for this request alone.
    Http1(Connection),
    /// A stream of a connection that others share.
    Http2(Sender),
}

impl Passage<'_> {
    /// One try at one backend.
    async fn attempt(
        &self,
        choice: Choice,
        tries: u32,
        begun: Instant,
        down: &mut Downstream,
        state: &mut State,
    ) -> Ended {
        let upstream = &self.local.upstream;
        let backend = &upstream.backends[choice.ix.index()];
        let cell = backend.series.worker(self.at.worker.ix);
        let _in_flight = upstream.live[choice.ix.index()].enter();
        let under_way = UnderWay::enter(cell);
        let mut progress = Progress::default();
        state.upload.sent = 0;
        let result = match self.carrier(choice, backend, begun, down, &mut progress).await {
            Ok(carrier) => {
                let attempt = Forward { passage: self, choice, backend, tries, begun };
                attempt.run(carrier, down, state, &mut progress).await
            }
            Err(failure) => Err(failure),
        };
        drop(under_way);
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
    fn place(&self, choice: Choice) -> At {
        match &self.local.upstream.backends[choice.ix.index()].address {
            Address::Ip(address) if self.found => At::Address(*address),
            _ => At::Backend(self.destination.upstream, choice.ix),
        }
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

    /// A connection from the pool, else a fresh one.
    async fn carrier(
        &self,
        choice: Choice,
        backend: &Backend,
        begun: Instant,
        down: &mut Downstream,
        progress: &mut Progress,
    ) -> Result<Carrier, Failure> {
        let upstream = &self.local.upstream;
        let pool = &self.local.pools[choice.ix.index()];
        let kept = match upstream.protocol {
            _ if choice.fresh => None,
            Protocol::Http1 => pool.take(&upstream.pool, begun).map(Carrier::Http1),
            Protocol::Http2 => pool.shared().map(Carrier::Http2),
        };
        if let Some(carrier) = kept {
            upstream.series.worker(self.at.worker.ix).pool_reuse();
            progress.reused = true;
            return Ok(carrier);
        }
        let ends = self.ends(down);
        match upstream.protocol {
            Protocol::Http1 => {
                let stream = self.connect(backend, ends);
                let stream = self.connected(stream, backend, begun, down, progress).await?;
                Ok(Carrier::Http1(Connection::new(stream, Instant::now())))
            }
            Protocol::Http2 => {
                let sender = async { backend_h2::begin(self.connect(backend, ends).await?).await };
                let sender = self.connected(sender, backend, begun, down, progress).await?;
                pool.share(sender.clone());
                Ok(Carrier::Http2(sender))
            }
        }
    }

    /// The ends of the client's connection, if the backend is to be told of them.
    pub(super) fn ends(&self, down: &Downstream) -> Option<ProxyEnds> {
        self.local.upstream.send_proxy?;
        self.at.proxied.copied().or_else(|| down.stream.ends())
    }

    /// A fresh connection, on which the backend knows who the client is if it is to be told.
    pub(super) async fn connect(
        &self,
        backend: &Backend,
        ends: Option<ProxyEnds>,
    ) -> io::Result<Stream> {
        let upstream = &self.local.upstream;
        let descriptors = self.at.worker.descriptors;
        let introduction = upstream.send_proxy.map(|version| Introduction { version, ends });
        connect(backend, upstream.source_address, introduction, descriptors).await
    }

    /// Waits for a fresh connection, within the times that are set for it.
    pub(super) async fn connected<T>(
        &self,
        connecting: impl Future<Output = io::Result<T>>,
        backend: &Backend,
        begun: Instant,
        down: &mut Downstream,
        progress: &mut Progress,
    ) -> Result<T, Failure> {
        let upstream = &self.local.upstream;
        let cell = upstream.series.worker(self.at.worker.ix);
        let limit = begun + self.destination.timeouts.connect;
        let total = self.total().filter(|total| *total < limit);
        let connected = down.timer.within(total.unwrap_or(limit), connecting).await;
        cell.pool_open(matches!(connected, Ok(Ok(_))));
        match connected {
            Ok(Ok(connection)) => {
                let took = begun.elapsed();
                progress.connect = Some(took);
                cell.connected(took);
                Ok(connection)
            }
            Ok(Err(error)) => {
                progress.own = is_shortage(&error);
                if progress.own {
                    let now = Instant::now();
                    self.at.worker.tell_shortage(&upstream.name, &error, now);
                } else if backend.tls.is_some() {
                    let now = Instant::now();
                    self.at.worker.tell_handshake((&upstream.name, &backend.label), &error, now);
                }
                Err(Failure::Attempt(Outcome::ConnectFailed))
            }
            Err(_) if total.is_some() => Err(Failure::TotalTimeout),
            Err(_) => Err(Failure::Attempt(Outcome::ConnectTimeout)),
        }
    }

    /// When the time for all attempts is used up.
    pub(super) fn total(&self) -> Option<Instant> {
        let total = self.destination.timeouts.total.map(|total| self.at.whole + total);
        total.into_iter().chain(self.until).min()
    }
}

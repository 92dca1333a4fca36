//! One attempt that has its connection: the request goes out, the response comes back.

use std::time::Duration;

use tokio::time::Instant;

use crate::balance::Tried;
use crate::http1::{Framing, RequestHead, ResponseHead, Version};
use crate::model::Outcome;
use crate::proxy::answer::{Answered, Apart};
use crate::proxy::attempt::Progress;
use crate::proxy::backend_h2::{Answer, H2Exchange, Sender};
use crate::proxy::carrier::Carrier;
use crate::proxy::choice::{Choice, Terms};
use crate::proxy::done::{Done, Onward};
use crate::proxy::downstream::Downstream;
use crate::proxy::exchange::{Exchange, Received, Relay, Relayed, Way, response_limits};
use crate::proxy::failure::Failure;
use crate::proxy::passage::Passage;
use crate::proxy::pool::Connection;
use crate::proxy::request::State;
use crate::proxy::retry::{self, Decision, Facts};
use crate::proxy::rpc;
use crate::proxy::turn::let_others_read;
use crate::snapshot::Backend;
use crate::telemetry::{Answering, BackendCell};

/// A shared connection on which an answer stayed out for so long may be dead.
const SILENT: Duration = Duration::from_secs(1);

/// An attempt that has its connection.
pub(super) struct Forward<'a> {
    pub(super) passage: &'a Passage<'a>,
    pub(super) choice: Choice,
    pub(super) backend: &'a Backend,
    pub(super) tries: u32,
    pub(super) begun: Instant,
}

/// What the books say of an answer that is followed.
fn left(response: &ResponseHead, (onward, now): (Onward, Instant)) -> Done {
    let (status, onward) = (response.status(), Some(onward));
    Done { status, onward, ended: Some(now), ..Done::default() }
}

impl Forward<'_> {
    /// Sends the request, and the response to the client unless another backend shall be asked.
    pub(super) async fn run(
        &self,
        carrier: Carrier,
        down: &mut Downstream,
        state: &mut State,
        progress: &mut Progress,
    ) -> Result<Done, Failure> {
        match carrier {
            Carrier::Http1(connection) => self.over_http1(connection, down, state, progress).await,
            // Boxed: the common way shall not pay for the size of this one.
            Carrier::Http2(sender) => {
                Box::pin(self.over_http2(*sender, None, down, state, progress)).await
            }
            Carrier::Answered(begun) => {
                let (sender, answer) = *begun;
                Box::pin(self.over_http2(sender, Some(answer), down, state, progress)).await
            }
        }
    }

    async fn over_http1(
        &self,
        connection: Box<Connection>,
        down: &mut Downstream,
        state: &mut State,
        progress: &mut Progress,
    ) -> Result<Done, Failure> {
        let buffers = &self.passage.at.worker.buffers;
        let asks = self.passage.asks_to_switch(&state.head);
        if connection.ahead.is_none() {
            self.passage.write_request(self.backend, asks, state);
        }
        if down.first_piece.is_none() {
            let_others_read().await;
        }
        let hints = self.hints(state);
        let Apart { said, upload, to_client, response, out, tried, key, sent, trailers: kept } =
            Apart::of(state);
        let (head, method) = (said.head, said.method());
        let keep = self.passage.destination.retry.replay_bytes;
        upload.restart(out, upload.framing(head.framing()), keep);
        let mut exchange = Exchange::new(self.way(hints), down, connection, upload, to_client);
        let version = self.hint_version(head);
        let received = exchange.head(response, method, version).await;
        progress.heard = exchange.read > 0;
        progress.shown = exchange.written > 0;
        let received = received?;
        let now = self.note_head(response, (head.method(), method), progress);
        progress.uploaded = exchange.upload.received;
        if response.status() == 101 {
            let asked = head.upgrade().filter(|_| asks);
            let (ends, answer) = ((exchange, received), (&said, &*response));
            // Boxed: only the request of a tunnel needs the room for one.
            return Box::pin(self.upgrade(ends, asked, answer, progress, (sent, out))).await;
        }
        let replayable = exchange.upload.is_replayable();
        if let Some(failure) =
            self.another((head, response), (tried, key), replayable, progress, now)
        {
            received.give_back(buffers);
            return Err(failure);
        }
        if let Some(onward) = self.onward(response) {
            (progress.received, progress.body) = (exchange.read, received.bytes().len() as u64);
            return Ok(self.leave(exchange, received, response, (onward, now)));
        }
        if let Some(trail) = said.trail {
            trail.put_into(response);
        }
        let when = (&*progress, now);
        let port = || exchange.local_port();
        let answered = self.answer(&said, response, when, exchange.upload, port, out);
        let Answered { outward, trailers, pacing } = answered;
        self.keep_sent(sent, out);
        let mut relay = Relay::new(response, outward.framing, (trailers, pacing));
        relay.is_last = outward.is_last(said.head);
        exchange.begin_relay(&mut relay, received, out)?;
        if exchange.holds_no_buffer() {
            let_others_read().await;
        }
        let relayed = exchange.relay(&mut relay, || self.answers()).await;
        self.keep_trailers(kept, relay.theirs());
        if let Some(sticky) = &self.passage.local.upstream.sticky {
            self.learn_late(sticky, &said, response, progress);
        }
        let body = relayed.map_or(exchange.body_written(), |relayed| relayed.body);
        (progress.received, progress.body) = (exchange.read, body);
        let done = outward.done(response, relayed, exchange.upload, now);
        let done = Done { body, length: exchange.written, ..done };
        if let Ok(Relayed { clean: true, .. }) = relayed
            && response.keep_alive()
        {
            let at = done.ended.unwrap_or(now);
            self.passage.local.keep(self.choice.ix, exchange.connection, at);
        }
        Ok(done)
    }

    /// As a stream of a shared connection: one on which the answer has begun, else a new one.
    async fn over_http2(
        &self,
        mut sender: Sender,
        begun: Option<Answer>,
        down: &mut Downstream,
        state: &mut State,
        progress: &mut Progress,
    ) -> Result<Done, Failure> {
        let tunnels = self.passage.tunnels(&state.head);
        if begun.is_none() {
            self.passage.write_request(self.backend, tunnels, state);
        }
        let hints = self.hints(state) && self.hint_version(&state.head) >= Version::Http11;
        let Apart { said, upload, to_client, response, out, tried, key, sent, trailers: kept } =
            Apart::of(state);
        let (head, method) = (said.head, said.method());
        let encoded = std::mem::take(out);
        let framing = upload.framing(head.framing());
        upload.restart(out, Framing::None, self.passage.destination.retry.replay_bytes);
        let scheme = if self.backend.tls.is_some() { "https" } else { "http" };
        let mut exchange = H2Exchange::new(self.way(hints), down, upload, to_client);
        let answered = match begun {
            Some(answer) => exchange.take(answer, response, method),
            None => exchange.head(&mut sender, (scheme, &encoded), framing, response, method).await,
        };
        progress.heard = answered.is_ok() || exchange.reset;
        progress.shown = exchange.written > 0;
        if !tunnels {
            self.keep_shared(answered.err(), progress);
        }
        answered?;
        let now = self.note_head(response, (head.method(), method), progress);
        progress.uploaded = exchange.upload.received;
        if response.status() == 101 {
            let sides = exchange.into_sides().ok_or(Failure::Attempt(Outcome::InvalidResponse))?;
            let tunnel = self.switch(sides, None, (&said, response), progress, (sent, out));
            return Ok(Box::pin(tunnel).await);
        }
        let replayable = exchange.upload.is_replayable();
        if let Some(failure) =
            self.another((head, response), (tried, key), replayable, progress, now)
        {
            return Err(failure);
        }
        if let Some(onward) = self.onward(response) {
            return Ok(left(response, (onward, now)));
        }
        if let Some(trail) = said.trail {
            trail.put_into(response);
        }
        let when = (&*progress, now);
        let port = || exchange.local_port();
        let answered = self.answer(&said, response, when, exchange.upload, port, out);
        let Answered { outward, trailers, pacing } = answered;
        self.keep_sent(sent, out);
        let how = (&trailers, pacing);
        let relayed = exchange.relay(response, outward.framing, out, how, self.answers()).await;
        if !tunnels {
            self.keep_shared(relayed.err(), progress);
        }
        self.keep_trailers(kept, &exchange.theirs);
        if let Some(sticky) = &self.passage.local.upstream.sticky {
            self.learn_late(sticky, &said, response, progress);
        }
        let done = outward.done(response, relayed, exchange.upload, now);
        let body = relayed.map_or(exchange.body_written(), |relayed| relayed.body);
        (progress.received, progress.body) = (exchange.read, body);
        if let Some(at) = done.ended
            && !tunnels
        {
            drop(sender);
            self.passage.local.keep_shared(self.choice.ix, at);
        }
        Ok(Done { body, length: exchange.written, ..done })
    }

    /// Leaves an answer that the client does not get. Its connection is used again if all of it has
    /// come already.
    fn leave(
        &self,
        exchange: Exchange<'_>,
        received: Received,
        response: &ResponseHead,
        onward: (Onward, Instant),
    ) -> Done {
        let whole = match response.framing() {
            Framing::None => received.bytes().is_empty(),
            Framing::Length(length) => received.bytes().len() as u64 == length,
            Framing::Chunked | Framing::UntilClose => false,
        };
        received.give_back(&self.passage.at.worker.buffers);
        if whole && exchange.upload.is_delivered() && response.keep_alive() {
            let pool = &self.passage.local.pools[self.choice.ix.index()];
            pool.put(exchange.connection, &self.passage.local.upstream.pool, onward.1);
        }
        left(response, onward)
    }

    /// Whether further requests share the HTTP/2 connection, after this one has ended on it.
    pub(super) fn keep_shared(&self, failure: Option<Failure>, progress: &Progress) {
        let is_suspect = match failure {
            Some(Failure::Attempt(Outcome::Timeout) | Failure::TotalTimeout) => true,
            // Who waits a moment only shall not cost a connection each time.
            Some(Failure::Deadline) => !progress.heard && self.begun.elapsed() >= SILENT,
            _ => false,
        };
        if is_suspect {
            self.passage.local.pools[self.choice.ix.index()].unshare();
        }
    }

    fn cell(&self) -> &BackendCell {
        self.passage.local.cell(self.choice.ix, self.passage.at.worker.ix)
    }

    fn way(&self, early_hints: bool) -> Way<'_> {
        Way {
            buffers: &self.passage.at.worker.buffers,
            backend: self.passage.local.near(self.choice.ix, self.passage.at.worker.ix),
            client: &self.passage.at.listener.client,
            timeouts: &self.passage.destination.timeouts,
            begun: self.begun,
            total: self.passage.total(),
            bare_answers: self.passage.local.upstream.nginx.bare_answers,
            limits: response_limits(self.passage.local.upstream.nginx.chunked_http10),
            until: self.passage.until,
            ignore_client_abort: self.passage.entry.route.ignore_client_abort,
            early_hints,
        }
    }

    /// Notes that the response head is there, the answer to the method that was sent in place of the
    /// client's; gives the time.
    fn note_head(
        &self,
        response: &mut ResponseHead,
        (asked, sent): (&[u8], &[u8]),
        progress: &mut Progress,
    ) -> Instant {
        if self.passage.settled {
            response.answer_to(asked, sent);
        }
        let now = Instant::now();
        let first_byte = now.saturating_duration_since(self.begun);
        progress.first_byte = Some(first_byte);
        progress.status = Some(response.status());
        if response.status() == 503
            && let Some(most) = self.passage.local.upstream.passive.retry_after
        {
            self.heed(response, most, now);
        }
        self.cell().first_byte(first_byte);
        now
    }

    /// Picks the backend to ask instead, if the response's status calls for it and there is one. Gives
    /// what the response is a failure as then; none: it is passed on.
    fn another(
        &self,
        (head, response): (&RequestHead, &ResponseHead),
        (tried, key): (&mut Tried, &[u8]),
        replayable: bool,
        progress: &mut Progress,
        now: Instant,
    ) -> Option<Failure> {
        let retry = &self.passage.destination.retry;
        let called = rpc::is_call(head) && !self.passage.local.upstream.nginx.failures;
        let failed = if called { rpc::status(response) } else { None };
        let status = failed.or(progress.status).filter(|status| retry.statuses.contains(status))?;
        let facts = Facts {
            status: Some(status),
            shown: progress.shown,
            elsewhere: self.passage.may_cross(self.choice),
            ..self.passage.facts(Outcome::Status, head, replayable, self.tries, now)
        };
        if retry::decide(&facts) != Decision::AnotherBackend {
            return None;
        }
        let terms = (self.tries, Terms { seen: true, leaves: retry::is_last(&facts) });
        match self.passage.choose_instead(self.choice, (tried, key), terms) {
            Ok(next) => progress.next = Some(next?),
            Err(nobody) => return Some(nobody),
        }
        let series = &self.passage.local.upstream.series;
        series.worker(self.passage.at.worker.ix).retry(Outcome::Status);
        Some(Failure::Attempt(Outcome::Status))
    }

    /// The backend has begun to answer, for as long as this lives.
    pub(super) fn answers(&self) -> Answering<'_> {
        self.cell().answers()
    }
}

//! One attempt that has its connection: the request goes out, the response comes back.

use std::net::SocketAddr;

use tokio::time::Instant;

use crate::balance::Tried;
use crate::http1::{Framing, Known, RequestHead, ResponseHead, Version};
use crate::model::Outcome;
use crate::proxy::attempt::{Carrier, Choice, Passage, Progress};
use crate::proxy::backend_h2::{H2Exchange, Sender};
use crate::proxy::downstream::Downstream;
use crate::proxy::exchange::{Exchange, Received, Relayed, Way};
use crate::proxy::failure::Failure;
use crate::proxy::headers::{
    Persistence, ResponseContext, Rules, trailer_lines, write_response_head,
};
use crate::proxy::pace::{Pace, Pacing};
use crate::proxy::pool::Connection;
use crate::proxy::request::State;
use crate::proxy::retry::{self, Decision, Facts};
use crate::proxy::rpc;
use crate::proxy::service::{Done, End, Onward, error_page};
use crate::proxy::sticky::push_binding;
use crate::proxy::trail::Trail;
use crate::proxy::trailers::Trailers;
use crate::proxy::turn::let_others_read;
use crate::proxy::upgrade::{self, Flow};
use crate::proxy::upload::Upload;
use crate::proxy::vars::{Answer, Attempt, Attempts, Otherwise, Vars};
use crate::snapshot::settings::ResponseRules;
use crate::snapshot::{Backend, Captured};

/// An attempt that has its connection.
pub(super) struct Forward<'a> {
    pub(super) passage: &'a Passage<'a>,
    pub(super) choice: Choice,
    pub(super) backend: &'a Backend,
    pub(super) tries: u32,
    pub(super) begun: Instant,
}

/// What variables may speak of beside the response.
struct Said<'s> {
    head: &'s RequestHead,
    id: &'s [u8],
    path: &'s [u8],
    attempts: &'s [Attempt],
    ends: Option<(SocketAddr, SocketAddr)>,
    captured: Option<&'s Captured>,
    round: u8,
    trail: Option<&'s Trail>,
    otherwise: Option<&'s Otherwise>,
}

/// The method that the backend gets.
fn sent_method<'s>(otherwise: Option<&'s Otherwise>, head: &'s RequestHead) -> &'s [u8] {
    let other = otherwise.and_then(|otherwise| otherwise.method.as_deref());
    other.unwrap_or(head.method())
}

/// Bytes read ahead where a backend asks for it by `X-Accel-Buffering` (nginx's usual buffers).
const USUAL_AHEAD: usize = 64 * 1024;

/// What the client is told before the body.
#[derive(Clone, Copy)]
struct Outward {
    framing: Framing,
    /// Its connection goes on afterwards.
    keep: bool,
}

impl Outward {
    /// What the books say of a response that went to the client, whole or in part.
    fn done(
        self,
        response: &ResponseHead,
        relayed: Result<Relayed, Failure>,
        upload: &Upload,
        head_at: Instant,
    ) -> Done {
        let status = response.status();
        match relayed {
            Ok(relayed) => {
                let end = match (self.keep, upload.is_complete()) {
                    (true, _) => End::KeepAlive,
                    (false, true) => End::Close,
                    (false, false) => End::Linger,
                };
                let ended = if relayed.waited { Instant::now() } else { head_at };
                let pace = relayed.pace;
                Done { status, end, ended: Some(ended), pace, ..Done::default() }
            }
            Err(failure) => {
                // Only a reset shows to a client that reads until the close that it is not the whole.
                let until_close = self.framing == Framing::UntilClose;
                let end = if until_close { End::Cut } else { End::Close };
                Done { status, end, failure: Some(failure), ..Done::default() }
            }
        }
    }
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
                Box::pin(self.over_http2(sender, down, state, progress)).await
            }
        }
    }

    async fn over_http1(
        &self,
        connection: Connection,
        down: &mut Downstream,
        state: &mut State,
        progress: &mut Progress,
    ) -> Result<Done, Failure> {
        let buffers = &self.passage.at.worker.buffers;
        let asks = self.passage.asks_to_switch(&state.head);
        self.passage.write_request(self.backend, asks, state);
        if down.first_piece.is_none() {
            let_others_read().await;
        }
        let round = state.round();
        let State { upload, to_client, head, response, out, tried, key, trail, sent, .. } = state;
        let otherwise = state.otherwise.as_deref();
        let method = sent_method(otherwise, head);
        let (id, path, attempts) = (&state.id, &state.path, &state.attempts);
        let (ends, captured, trail) = (state.ends, state.captured.as_deref(), trail.as_deref());
        let said = Said { head, id, path, attempts, ends, captured, round, trail, otherwise };
        let keep = self.passage.destination.retry.replay_bytes;
        upload.restart(out, upload.framing(head.framing()), keep);
        let mut exchange = Exchange::new(self.way(), down, connection, upload, to_client);
        let version = self.hint_version(head);
        let received = exchange.head(response, method, version).await;
        progress.heard = exchange.read > 0;
        progress.shown = exchange.written > 0;
        let received = received?;
        let now = self.note_head(response, (head.method(), method), progress);
        progress.uploaded = exchange.upload.received;
        if response.status() == 101 {
            let asked = head.upgrade().filter(|_| asks);
            return self
                .switch((exchange, received), (&said, response), asked, progress, (sent, out))
                .await;
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
        let pacing = self.pacing(response, now);
        let (outward, trailers) = self.answer(&said, response, when, exchange.upload, port, out);
        self.keep_sent(sent, out);
        let relay =
            exchange.begin_relay(response, outward.framing, received, out, (trailers, pacing))?;
        if exchange.holds_no_buffer() {
            let_others_read().await;
        }
        let relayed = exchange.relay(relay).await;
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

    /// Goes on in another protocol, if that was asked for.
    async fn switch(
        &self,
        (exchange, received): (Exchange<'_>, Received),
        (said, response): (&Said<'_>, &ResponseHead),
        asked: Option<&[u8]>,
        progress: &mut Progress,
        (sent, out): (&mut Vec<u8>, &mut Vec<u8>),
    ) -> Result<Done, Failure> {
        if !asked.is_some_and(|asked| response.switches_to(asked)) {
            received.give_back(&self.passage.at.worker.buffers);
            return Err(Failure::Attempt(Outcome::InvalidResponse));
        }
        self.passage.switched(self.choice, progress);
        let switched = (Framing::None, Persistence::Upgraded);
        let running = self.passage.running(self.choice, said.round, progress);
        let now = Instant::now();
        let vars = self.vars(said, response, &running, progress.uploaded, now);
        self.write_answer(&vars, response, 0, switched, now, out);
        self.keep_sent(sent, out);
        Ok(self.tunnel(exchange, received, out).await)
    }

    async fn over_http2(
        &self,
        mut sender: Sender,
        down: &mut Downstream,
        state: &mut State,
        progress: &mut Progress,
    ) -> Result<Done, Failure> {
        // A stream is no connection: there is nothing that could switch its protocol.
        self.passage.write_request(self.backend, false, state);
        let round = state.round();
        let State { upload, to_client, head, response, out, tried, key, trail, sent, .. } = state;
        let otherwise = state.otherwise.as_deref();
        let method = sent_method(otherwise, head);
        let (id, path, attempts) = (&state.id, &state.path, &state.attempts);
        let (ends, captured, trail) = (state.ends, state.captured.as_deref(), trail.as_deref());
        let said = Said { head, id, path, attempts, ends, captured, round, trail, otherwise };
        let encoded = std::mem::take(out);
        let framing = upload.framing(head.framing());
        upload.restart(out, Framing::None, self.passage.destination.retry.replay_bytes);
        let scheme = if self.backend.tls.is_some() { "https" } else { "http" };
        let mut exchange = H2Exchange::new(self.way(), down, upload, to_client);
        let answered =
            exchange.head(&mut sender, (scheme, &encoded), framing, response, method).await;
        progress.heard = answered.is_ok();
        self.keep_shared(answered.err());
        answered?;
        let now = self.note_head(response, (head.method(), method), progress);
        progress.uploaded = exchange.upload.received;
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
        let pacing = self.pacing(response, now);
        let (outward, trailers) = self.answer(&said, response, when, exchange.upload, port, out);
        self.keep_sent(sent, out);
        let head_len = out.len() as u64;
        let relayed = exchange.relay(response, outward.framing, out, (&trailers, pacing)).await;
        self.keep_shared(relayed.err());
        let done = outward.done(response, relayed, exchange.upload, now);
        let body =
            relayed.map_or(exchange.written.saturating_sub(head_len), |relayed| relayed.body);
        (progress.received, progress.body) = (exchange.read, body);
        Ok(Done { body, length: exchange.written, ..done })
    }

    /// The version by which early hints are passed on: a question of ours is none of the client's.
    fn hint_version(&self, head: &RequestHead) -> Version {
        if self.passage.asks { Version::Http10 } else { head.version() }
    }

    /// What is to be followed instead of sending this answer to the client.
    fn onward(&self, response: &ResponseHead) -> Option<Onward> {
        if self.passage.asks {
            return Some(Onward::There);
        }
        let after = self.passage.entry.route.after.as_deref()?;
        let status = response.status();
        if after.intercept_errors
            && error_page(self.passage.at, Some(self.passage.entry), status).is_some()
        {
            return Some(Onward::Error);
        }
        let accelerated = after.accel_redirect && response.find("x-accel-redirect").is_some();
        accelerated.then_some(Onward::Accel)
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
    fn keep_shared(&self, failure: Option<Failure>) {
        if let Some(Failure::Attempt(Outcome::Timeout) | Failure::TotalTimeout) = failure {
            self.passage.local.pools[self.choice.ix.index()].unshare();
        }
    }

    fn way(&self) -> Way<'_> {
        Way {
            buffers: &self.passage.at.worker.buffers,
            client: &self.passage.at.listener.client,
            timeouts: &self.passage.destination.timeouts,
            begun: self.begun,
            total: self.passage.total(),
            bare_answers: self.passage.local.upstream.nginx.bare_answers,
            until: self.passage.until,
            ignore_client_abort: self.passage.entry.route.ignore_client_abort,
            early_hints: self.rules().is_none_or(|rules| rules.early_hints),
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
        let series = &self.passage.local.upstream.series;
        series.worker(self.passage.at.worker.ix).first_byte(first_byte);
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
            ..self.passage.facts(Outcome::Status, head, replayable, self.tries, now)
        };
        if retry::decide(&facts) != Decision::AnotherBackend {
            return None;
        }
        match self.passage.choose_instead(tried, key, self.tries) {
            Ok(next) => progress.next = Some(next?),
            Err(nobody) => return Some(nobody),
        }
        let series = &self.passage.local.upstream.series;
        series.worker(self.passage.at.worker.ix).retry(Outcome::Status);
        Some(Failure::Attempt(Outcome::Status))
    }

    /// How the body goes on: with its length where it is known, else in chunks, or until the close
    /// for a client that knows no chunks (RFC 9112 §6.3).
    fn outward(
        &self,
        head: &RequestHead,
        response: &ResponseHead,
        upload: &Upload,
        trailers: &Trailers,
    ) -> Outward {
        let framing = match (response.framing(), head.version()) {
            (Framing::Chunked | Framing::UntilClose, Version::Http10) => Framing::UntilClose,
            (same, Version::Http10) => same,
            (Framing::Chunked | Framing::UntilClose, Version::Http11)
                if self.rules().is_some_and(|rules| !rules.chunked) =>
            {
                Framing::UntilClose
            }
            (Framing::Chunked | Framing::UntilClose, _) => Framing::Chunked,
            _ if !trailers.added.is_empty() => Framing::Chunked,
            (same, _) => same,
        };
        let keep = head.keep_alive()
            && self.passage.at.may_go_on()
            && framing != Framing::UntilClose
            && upload.is_complete();
        Outward { framing, keep }
    }

    /// What the route wants of responses.
    fn rules(&self) -> Option<&ResponseRules> {
        self.passage.entry.route.response.as_deref()
    }

    /// The port to which the client has connected, if it is to be told.
    fn port(&self, response: &ResponseHead, port: impl FnOnce() -> u16) -> u16 {
        let told = self.rules().is_some_and(|rules| rules.absolute_redirects)
            && response.first(Known::Location).is_some();
        if told { port() } else { 0 }
    }

    /// How the response is passed on, if not as it comes.
    fn pacing(&self, response: &ResponseHead, now: Instant) -> Option<Pacing> {
        let rules = &self.rules()?.pacing;
        let (mut ahead, mut rate) = (rules.ahead, rules.client_rate);
        if rules.heeds_buffering {
            match response.find("x-accel-buffering") {
                Some(value) if value.eq_ignore_ascii_case(b"no") => ahead = 0,
                Some(value) if value.eq_ignore_ascii_case(b"yes") => ahead = ahead.max(USUAL_AHEAD),
                _ => {}
            }
        }
        if rules.heeds_rate
            && let Some(value) = response.find("x-accel-limit-rate")
            && let Some(value) = str::from_utf8(value).ok().and_then(|value| value.parse().ok())
        {
            rate = value;
        }
        let client = Pace::new(rate, rules.client_after, now);
        let backend = Pace::new(rules.backend_rate, 0, now);
        let any = ahead > 0 || client.is_some() || backend.is_some();
        any.then_some(Pacing { ahead, client, backend })
    }

    /// The trailer fields of this response; none are added where there is no body.
    fn trailers(&self, vars: &Vars<'_>, response: &ResponseHead) -> Trailers {
        let Some(rules) = self.rules() else {
            return Trailers { pass: true, added: Vec::new() };
        };
        let bodiless = vars.head.method() == b"HEAD" || matches!(response.status(), 204 | 304);
        let added = if bodiless { &[] } else { &*rules.trailers };
        let added = trailer_lines(added, response.status(), vars);
        Trailers { pass: rules.pass_trailers, added }
    }

    /// Encodes the head of an answer for the client into `out`; gives how it goes on.
    fn answer(
        &self,
        said: &Said<'_>,
        response: &ResponseHead,
        (progress, now): (&Progress, Instant),
        upload: &Upload,
        port: impl FnOnce() -> u16,
        out: &mut Vec<u8>,
    ) -> (Outward, Trailers) {
        let running = self.passage.running(self.choice, said.round, progress);
        let mut vars = self.vars(said, response, &running, progress.uploaded, now);
        if self.passage.at.view.snapshot.asked.body {
            vars.body = upload.whole();
        }
        let trailers = self.trailers(&vars, response);
        let outward = self.outward(said.head, response, upload, &trailers);
        let field = self.passage.at.listener.client.nginx.keep_alive_field;
        let persistence = Persistence::of(outward.keep, said.head.version(), field);
        let told = (outward.framing, persistence);
        let port = self.port(response, port);
        self.write_answer(&vars, response, port, told, now, out);
        (outward, trailers)
    }

    /// What templates may speak of.
    fn vars<'v>(
        &'v self,
        said: &Said<'v>,
        response: &'v ResponseHead,
        running: &'v Attempt,
        request_body: u64,
        now: Instant,
    ) -> Vars<'v> {
        let at = self.passage.at;
        Vars {
            request_id: said.id,
            path: if said.path.is_empty() { said.head.path() } else { said.path },
            route: &self.passage.entry.route.name,
            upstream: &self.passage.local.upstream.name,
            backend: &self.backend.label,
            link: at.link(said.ends),
            clock: Some(at.clock(now)),
            attempts: Attempts {
                ended: said.attempts,
                running: Some(running),
                upstreams: &at.view.snapshot.upstreams,
                response: Some(response),
            },
            answer: Answer { status: response.status(), request_body, ..Answer::default() },
            captured: said.captured,
            auth: said.trail.and_then(|trail| trail.auth.as_deref()),
            otherwise: said.otherwise,
            ..Vars::new(said.head, self.passage.client)
        }
    }

    /// Encodes the response head for the client into `out`.
    fn write_answer(
        &self,
        vars: &Vars<'_>,
        response: &ResponseHead,
        port: u16,
        (framing, persistence): (Framing, Persistence),
        now: Instant,
        out: &mut Vec<u8>,
    ) {
        let at = self.passage.at;
        let route = &self.passage.entry.route;
        let context = ResponseContext {
            vars,
            framing,
            persistence,
            date: &at.worker.date(now),
            edits: &route.response_headers,
            rules: self.rules().map(|rules| Rules { rules, port }),
        };
        out.clear();
        write_response_head(out, response, &context);
        if let Some(sticky) = &self.passage.local.upstream.sticky {
            push_binding(out, sticky, self.choice.ix, context.vars);
        }
    }

    /// Keeps the head that the client gets, if a text asks for it.
    fn keep_sent(&self, sent: &mut Vec<u8>, head: &[u8]) {
        if self.passage.at.view.snapshot.asked.sent {
            sent.clear();
            sent.extend_from_slice(head);
        }
    }

    /// Moves bytes both ways after a switch of protocols, until both sides have ended.
    async fn tunnel(&self, exchange: Exchange<'_>, received: Received, head: &mut Vec<u8>) -> Done {
        let at = self.passage.at;
        let (client, mut connection, to_client) = exchange.into_sides();
        let (mut up, mut down) = (Flow::default(), Flow::default());
        down.outgoing = std::mem::take(to_client);
        down.outgoing.head.append(head);
        let before = down.outgoing.left() as u64;
        down.outgoing.head.extend_from_slice(received.bytes());
        received.give_back(&at.worker.buffers);
        up.outgoing.head.append(&mut client.leftover);
        let ended = upgrade::tunnel(
            &mut client.stream,
            &mut connection.stream,
            (&mut up, &mut down),
            &at.worker.buffers,
            &mut client.timer,
            self.passage.destination.timeouts.read,
        )
        .await;
        tracing::debug!(?ended, sent = up.moved, received = down.moved, "tunnel ended");
        Done {
            status: 101,
            body: down.moved.saturating_sub(before),
            length: down.moved,
            end: End::Close,
            ..Done::default()
        }
    }
}

//! What the client gets of a backend's answer: how its head is written, and how its body goes on.

use std::net::SocketAddr;

use tokio::time::Instant;

use crate::balance::Tried;
use crate::http1::{Framing, Known, RequestHead, ResponseHead, Version};
use crate::proxy::attempt::Progress;
use crate::proxy::done::{Done, End, Onward};
use crate::proxy::exchange::Relayed;
use crate::proxy::failure::Failure;
use crate::proxy::forward::Forward;
use crate::proxy::headers::{
    Persistence, ResponseContext, Rules, trailer_lines, write_response_head,
};
use crate::proxy::outgoing::Outgoing;
use crate::proxy::pace::{Pace, Pacing, rate_of};
use crate::proxy::request::State;
use crate::proxy::service::error_page;
use crate::proxy::sticky::{self, push_line};
use crate::proxy::trail::Trail;
use crate::proxy::trailers::Trailers;
use crate::proxy::upload::Upload;
use crate::proxy::vars::{Answer, Attempt, Attempts, Otherwise, TraceIds, Vars, Verdicts, render};
use crate::snapshot::Captured;
use crate::snapshot::settings::{Rate, ResponseRules};

/// What variables may speak of beside the response.
pub(super) struct Said<'s> {
    pub(super) head: &'s RequestHead,
    pub(super) id: &'s [u8],
    pub(super) path: &'s [u8],
    pub(super) attempts: &'s [Attempt],
    pub(super) ends: Option<(SocketAddr, SocketAddr)>,
    pub(super) captured: Option<&'s Captured>,
    pub(super) round: u8,
    pub(super) trail: Option<&'s Trail>,
    pub(super) otherwise: Option<&'s Otherwise>,
    pub(super) trace: Option<&'s TraceIds>,
    pub(super) limited: Verdicts,
}

impl<'s> Said<'s> {
    /// The method that the backend gets.
    pub(super) fn method(&self) -> &'s [u8] {
        let other = self.otherwise.and_then(|otherwise| otherwise.method.as_deref());
        other.unwrap_or(self.head.method())
    }
}

/// A request's state, taken apart: what variables speak of, and what the exchange works on.
pub(super) struct Apart<'s> {
    pub(super) said: Said<'s>,
    pub(super) upload: &'s mut Upload,
    pub(super) to_client: &'s mut Outgoing,
    pub(super) response: &'s mut ResponseHead,
    pub(super) out: &'s mut Vec<u8>,
    pub(super) tried: &'s mut Tried,
    pub(super) key: &'s [u8],
    pub(super) sent: &'s mut Vec<u8>,
    pub(super) trailers: &'s mut Vec<u8>,
}

impl<'s> Apart<'s> {
    #[inline]
    pub(super) fn of(state: &'s mut State) -> Self {
        let round = state.round();
        let State {
            upload, to_client, head, response, out, tried, key, trail, sent, trailers, ..
        } = state;
        let said = Said {
            head,
            id: &state.id,
            path: &state.path,
            attempts: &state.attempts,
            ends: state.ends,
            captured: state.captured.as_deref(),
            round,
            trail: trail.as_deref(),
            otherwise: state.otherwise.as_deref(),
            trace: state.trace.as_ref().map(|trace| &trace.ids),
            limited: state.verdicts,
        };
        Self { said, upload, to_client, response, out, tried, key, sent, trailers }
    }
}

/// Bytes read ahead where a backend asks for it by `X-Accel-Buffering` (nginx's usual buffers).
const USUAL_AHEAD: usize = 64 * 1024;

/// How an answer goes to the client.
pub(super) struct Answered {
    pub(super) outward: Outward,
    pub(super) trailers: Trailers,
    pub(super) pacing: Option<Pacing>,
}

/// What the client is told before the body.
#[derive(Clone, Copy)]
pub(super) struct Outward {
    pub(super) framing: Framing,
    /// Its connection goes on afterwards.
    pub(super) keep: bool,
}

impl Outward {
    /// Whether nothing follows from either side: a client that has not said so may send more at any time, and
    /// what of the answer is held back for the end of the connection would be lost by a reset.
    pub(super) fn is_last(self, head: &RequestHead) -> bool {
        !self.keep && !head.keep_alive()
    }

    /// What the books say of a response that went to the client, whole or in part.
    pub(super) fn done(
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

impl Forward<'_> {
    /// The version by which early hints are passed on: a question of ours is none of the client's.
    pub(super) fn hint_version(&self, head: &RequestHead) -> Version {
        if self.passage.asks { Version::Http10 } else { head.version() }
    }

    /// What is to be followed instead of sending this answer to the client.
    pub(super) fn onward(&self, response: &ResponseHead) -> Option<Onward> {
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

    /// How the body goes on: with its length where it is known, else in chunks, or until the close
    /// for a client that knows no chunks (RFC 9112 §6.3).
    pub(super) fn outward(
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
        let keep =
            self.passage.at.goes_on(head) && framing != Framing::UntilClose && upload.is_complete();
        Outward { framing, keep }
    }

    /// What the route wants of responses.
    pub(super) fn rules(&self) -> Option<&ResponseRules> {
        self.passage.entry.route.response.as_deref()
    }

    /// The port to which the client has connected, if it is to be told.
    pub(super) fn port(&self, response: &ResponseHead, port: impl FnOnce() -> u16) -> u16 {
        let told = self.rules().is_some_and(|rules| rules.absolute_redirects)
            && response.first(Known::Location).is_some();
        if told { port() } else { 0 }
    }

    /// How the response is passed on, if not as it comes.
    fn pacing(&self, vars: &Vars<'_>, response: &ResponseHead, now: Instant) -> Option<Pacing> {
        let rules = &self.rules()?.pacing;
        let (mut ahead, mut to_client) = (rules.ahead, rate(&rules.client_rate, vars));
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
            to_client = value;
        }
        let client = Pace::new(to_client, rules.client_after, now);
        let backend = Pace::new(rate(&rules.backend_rate, vars), 0, now);
        let any = ahead > 0 || client.is_some() || backend.is_some();
        any.then_some(Pacing { ahead, client, backend })
    }

    /// The trailer fields of this response; none are added where there is no body.
    pub(super) fn trailers(&self, vars: &Vars<'_>, response: &ResponseHead) -> Trailers {
        let Some(rules) = self.rules() else {
            return Trailers { pass: true, added: Vec::new() };
        };
        let bodiless = vars.head.method() == b"HEAD" || matches!(response.status(), 204 | 304);
        let added = if bodiless { &[] } else { &*rules.trailers };
        let added = trailer_lines(added, response.status(), vars);
        Trailers { pass: rules.pass_trailers, added }
    }

    /// Encodes the head of an answer for the client into `out`; gives how it goes on.
    pub(super) fn answer(
        &self,
        said: &Said<'_>,
        response: &ResponseHead,
        (progress, now): (&Progress, Instant),
        upload: &Upload,
        port: impl FnOnce() -> u16,
        out: &mut Vec<u8>,
    ) -> Answered {
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
        let pacing = self.pacing(&vars, response, now);
        Answered { outward, trailers, pacing }
    }

    /// What templates may speak of.
    pub(super) fn vars<'v>(
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
            trace: said.trace,
            otherwise: said.otherwise,
            limited: said.limited,
            ..Vars::new(said.head, self.passage.client)
        }
    }

    /// Encodes the response head for the client into `out`.
    pub(super) fn write_answer(
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
            date: &at.worker.dates.text(now),
            edits: &route.response_headers,
            rules: self.rules().map(|rules| Rules { rules, port }),
        };
        out.clear();
        write_response_head(out, response, &context);
        if let Some(by) = &self.passage.local.upstream.sticky {
            sticky::bind(out, by, (self.choice.ix, self.backend.id), context.vars);
        }
        if let Some(line) = &self.passage.local.upstream.announcement {
            push_line(out, line);
        }
    }

    /// Whether early hints are passed on.
    pub(super) fn hints(&self, state: &State) -> bool {
        let Some(rules) = self.rules() else { return true };
        let wanted = |text| {
            let mut value = Vec::new();
            render(text, &self.passage.vars(state, &self.backend.label), &mut value);
            !matches!(&*value, b"" | b"0")
        };
        rules.early_hints && rules.early_hints_when.as_ref().is_none_or(wanted)
    }

    /// Keeps the trailer fields of the backend, if a text asks for them.
    pub(super) fn keep_trailers(&self, trailers: &mut Vec<u8>, theirs: &[u8]) {
        if self.passage.at.view.snapshot.asked.trailers {
            trailers.clear();
            trailers.extend_from_slice(theirs);
        }
    }

    /// Keeps the head that the client gets, if a text asks for it.
    pub(super) fn keep_sent(&self, sent: &mut Vec<u8>, head: &[u8]) {
        if self.passage.at.view.snapshot.asked.sent {
            sent.clear();
            sent.extend_from_slice(head);
        }
    }
}

/// Bytes a second; 0 is no limit.
fn rate(rate: &Rate, vars: &Vars<'_>) -> u64 {
    match rate {
        Rate::Fixed(rate) => *rate,
        Rate::Of(text) => {
            let mut value = Vec::new();
            render(text, vars, &mut value);
            rate_of(&value)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::Limits;

    #[test]
    fn an_answer_is_the_last_only_if_the_client_too_has_said_so() {
        for (request, keep, is_last) in [
            ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false, true),
            ("GET / HTTP/1.0\r\n\r\n", false, true),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", false, false),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true, false),
        ] {
            let mut head = RequestHead::default();
            head.parse(request.as_bytes(), &Limits::default()).unwrap();
            let outward = Outward { framing: Framing::None, keep };
            assert_eq!(outward.is_last(&head), is_last, "{request}");
        }
    }
}

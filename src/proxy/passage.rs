//! A proxied request: what does not change from attempt to attempt, and what is sent of it.

use std::time::Duration;

use tokio::time::Instant;

use crate::balance::Need;
use crate::http1::{Framing, RequestHead};
use crate::model::Outcome;
use crate::proxy::deadline;
use crate::proxy::entrance::Entrance;
use crate::proxy::failure::Failure;
use crate::proxy::headers::{ClientIdentity, RequestContext, write_request_head};
use crate::proxy::request::State;
use crate::proxy::retry::{self, Facts};
use crate::proxy::rpc;
use crate::proxy::vars::{self, Answer, Vars};
use crate::proxy::view::Local;
use crate::snapshot::settings::{HostPolicy, PathRewrite, Protocol};
use crate::snapshot::{Backend, Destination, RouteEntry};

/// A proxied request: everything about it that does not change from attempt to attempt.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each asked for by name")]
#[derive(Debug, Clone, Copy)]
pub(super) struct Passage<'a> {
    pub(super) at: &'a Entrance<'a>,
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
    /// From when on the time is ours and the backends'.
    pub(super) since: Instant,
    /// Until when the client waits, if it has told: everything has to be over by then.
    pub(super) until: Option<Instant>,
}

impl<'a> Passage<'a> {
    /// A request on its way as its route says.
    pub(super) fn new(
        (at, entry): (&'a Entrance<'a>, &'a RouteEntry),
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
            since: at.whole,
            until: None,
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
            elsewhere: false,
            within_budget: self.is_within_budget(),
            tries,
            elapsed: now.saturating_duration_since(self.since),
            policy: &self.destination.retry,
        }
    }

    /// Whether one more retry is allowed, and how long it waits at most, is nobody's question where
    /// failures are those of nginx.
    pub(super) fn backoff(&self) -> Option<Duration> {
        self.destination.retry.backoff.filter(|_| !self.local.upstream.nginx.failures)
    }

    pub(super) fn is_within_budget(&self) -> bool {
        let retry = &self.destination.retry;
        let terms = (retry.budget, retry.budget_min);
        self.local.upstream.nginx.failures
            || self.local.budget.borrow().allows(terms, self.local.counted(self.at.worker.ix))
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
            clock: Some(self.at.clock(self.since)),
            left: self.left(),
            answer: Answer { request_body: state.upload.received, ..Answer::default() },
            captured: state.captured.as_deref(),
            auth: state.auth(),
            trace: state.trace_ids(),
            otherwise: state.otherwise.as_deref(),
            limited: state.verdicts,
            body: state.body(self.at),
            ..Vars::new(&state.head, self.client)
        }
    }

    /// The time that is left, where a text asks for it.
    fn left(&self) -> Option<Duration> {
        if !self.at.view.snapshot.asked.time_left {
            return None;
        }
        self.total().map(|total| total.saturating_duration_since(Instant::now()))
    }

    /// Whether the client asks to switch to a protocol that the route allows, in a way in which backends
    /// can be asked: over HTTP/2 nothing but the switch.
    pub(super) fn may_switch(&self, head: &RequestHead) -> bool {
        self.asks_to_switch(head)
            && (self.local.upstream.protocol == Protocol::Http1 || head.framing() == Framing::None)
    }

    /// Whether the request is for a tunnel over HTTP/2.
    #[inline]
    pub(super) fn tunnels(&self, head: &RequestHead) -> bool {
        self.local.upstream.protocol == Protocol::Http2 && self.may_switch(head)
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
    pub(super) fn climbs(&self, state: &State) -> bool {
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
        let grpc_timeout = self.grpc_timeout(&state.head);
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
            grpc_timeout: grpc_timeout.as_deref(),
            otherwise: state.otherwise.as_deref(),
            trace: state.trace.as_ref().map(|trace| &trace.fields),
            trailers: self.entry.route.response.as_ref().is_none_or(|rules| rules.pass_trailers),
            edits: &self.entry.route.request_headers,
        };
        out.clear();
        write_request_head(&mut out, &context);
        if let Some(trace) = &mut state.trace {
            trace.sent(&out);
        }
        state.out = out;
    }

    /// What a call is told of its time: what waiting, limits and attempts before have left of it.
    fn grpc_timeout(&self, head: &RequestHead) -> Option<Vec<u8>> {
        let until = self.until.filter(|_| rpc::is_call(head))?;
        let mut left = Vec::with_capacity(9);
        rpc::push_timeout(&mut left, until.saturating_duration_since(Instant::now()));
        Some(left)
    }

    /// What it means that the time for all attempts is used up.
    pub(super) fn out_of_time(&self) -> Failure {
        deadline::used_up(self.total(), self.until)
    }

    /// When the time for all attempts is used up.
    pub(super) fn total(&self) -> Option<Instant> {
        let total = self.destination.timeouts.total.map(|total| self.since + total);
        total.into_iter().chain(self.until).min()
    }
}

//! Requests that belong to a trace: their context from the client and for backends, and in the end
//! their spans.
//!
//! Without `[tracing]` a request pays for none of this but the question whether it has a trace. With
//! it, each request has a [`Trace`], whose memory is used again; only of those that are sampled more
//! than a few numbers is kept, and spans are made when the request is over.

mod spans;

use std::cell::RefCell;

use tokio::time::Instant;

use crate::proxy::attempt::Ended;
use crate::proxy::choice::Choice;
use crate::proxy::done::Done;
use crate::proxy::downstream::Downstream;
use crate::proxy::entrance::Entrance;
use crate::proxy::failure::Failure;
use crate::proxy::find;
use crate::proxy::headers::{ClientIdentity, TraceFields};
use crate::proxy::passage::Passage;
use crate::proxy::record::Place;
use crate::proxy::request::State;
use crate::proxy::vars::{At, Attempt, TraceIds};
use crate::snapshot::RouteEntry;
use crate::snapshot::settings::{Parent, Tracing};
use crate::telemetry::SpansLost;
use crate::trace::Context;

/// Traces whose memory is kept for the next requests.
const KEPT: usize = 512;

/// What is known of a request's trace.
#[derive(Debug)]
pub(super) struct Trace {
    /// The request's own span.
    own: Context,
    /// The caller's span, where its trace is gone on with.
    parent: Option<u64>,
    /// What the caller named, where its trace is not gone on with.
    passed_over: Option<Context>,
    /// What the backend of this attempt gets.
    pub(super) fields: TraceFields,
    /// What texts tell.
    pub(super) ids: TraceIds,
    /// Why the next attempt is made; `None` for the first one.
    pub(super) reason: Option<&'static str>,
    /// The attempts, in the order in which they began, if it is sampled.
    tries: Vec<Try>,
}

/// An attempt.
#[derive(Debug)]
struct Try {
    span: u64,
    begun: Instant,
    at: At,
    /// Why it was made, if it is not the first one.
    reason: Option<&'static str>,
    /// It is a question of ours.
    asks: bool,
    /// Method and target as they were sent; empty before that.
    line: Vec<u8>,
    /// When it ended, and how; `None`: it never did.
    ended: Option<(Instant, Attempt)>,
}

/// A worker's free traces.
#[derive(Debug, Default)]
#[expect(
    clippy::vec_box,
    reason = "a trace is lent as a box, so that a request without one is small"
)]
pub(super) struct Traces(RefCell<Vec<Box<Trace>>>);

impl Traces {
    fn take(&self, own: Context) -> Box<Trace> {
        let fields = TraceFields { parent: own.write(), keeps_state: false };
        let ids = TraceIds { trace: own.trace_id(), span: own.span_id() };
        let fresh = Trace {
            own,
            parent: None,
            passed_over: None,
            fields,
            ids,
            reason: None,
            tries: Vec::new(),
        };
        match self.0.borrow_mut().pop() {
            Some(mut kept) => {
                *kept = Trace { tries: std::mem::take(&mut kept.tries), ..fresh };
                kept
            }
            None => Box::new(fresh),
        }
    }

    fn give(&self, mut trace: Box<Trace>) {
        let mut free = self.0.borrow_mut();
        if free.len() < KEPT {
            trace.tries.clear();
            free.push(trace);
        }
    }
}

/// The route of a request, whose trace begins here or is gone on with.
pub(super) fn find<'a>(
    at: &'a Entrance<'a>,
    tracing: &Tracing,
    client: &ClientIdentity,
    state: &mut State,
) -> Result<&'a RouteEntry, Failure> {
    state.trace = Some(begin(at, tracing, client, state));
    let found = find::find(at, client, state);
    if let (Ok(entry), Some(trace)) = (&found, &mut state.trace)
        && let Some(sample) = entry.route.trace_sample
        && trace.parent.is_none()
    {
        trace.own = trace.own.sampled(sample.takes(trace.own.trace));
    }
    found
}

/// The trace of a request: its caller's, if that is believed, else a new one.
fn begin(
    at: &Entrance<'_>,
    tracing: &Tracing,
    client: &ClientIdentity,
    state: &State,
) -> Box<Trace> {
    // Two of the field are no one's word (§3.2.2).
    let mut came = state.head.find_all("traceparent");
    let named = match (came.next(), came.next()) {
        (Some(value), None) => Context::read(value),
        _ => None,
    };
    let is_believed = match tracing.parent {
        Parent::Trusted => client.trusted,
        Parent::Any => true,
        Parent::None => false,
    };
    let span = at.worker.random();
    let Some(parent) = named.filter(|_| is_believed) else {
        let [high, low] = at.worker.two_random();
        let trace = u128::from(high) << 64 | u128::from(low);
        let own = Context::new(trace, span, tracing.sample.takes(trace));
        let mut trace = at.worker.traces.take(own);
        trace.passed_over = named;
        return trace;
    };
    let mut trace = at.worker.traces.take(parent.with_span(span));
    trace.parent = Some(parent.span);
    trace.fields.keeps_state = true;
    trace
}

impl Passage<'_> {
    /// Begins the span of an attempt, where the request has a trace; gives its id.
    #[inline]
    pub(super) fn begin_span(&self, choice: Choice, begun: Instant, state: &mut State) -> u64 {
        match &mut state.trace {
            None => 0,
            Some(trace) => self.begin_span_of(trace, choice, begun),
        }
    }

    #[cold]
    fn begin_span_of(&self, trace: &mut Trace, choice: Choice, begun: Instant) -> u64 {
        let one = trace.own.with_span(self.at.worker.random());
        trace.fields.parent = one.write();
        let reason = trace.reason.take();
        if trace.own.is_sampled() {
            let (span, at, asks) = (one.span, self.place(choice), self.asks);
            trace.tries.push(Try { span, begun, at, reason, asks, line: Vec::new(), ended: None });
        }
        one.span
    }
}

impl State {
    /// An attempt has ended.
    #[inline]
    pub(super) fn note_attempt(&mut self, ended: &Ended) {
        if let Some(trace) = &mut self.trace {
            trace.ended(ended);
        }
        self.attempts.push(ended.record);
    }

    /// Another attempt follows the last one.
    pub(super) fn note_repeat(&mut self, reason: &'static str) {
        if let Some(last) = self.attempts.last_mut() {
            last.retried_because = Some(reason);
        }
        if let Some(trace) = &mut self.trace {
            trace.reason = Some(reason);
        }
    }
}

impl Trace {
    /// Keeps what the backend was asked, of the head that was made for it.
    #[cold]
    pub(super) fn sent(&mut self, head: &[u8]) {
        if let Some(one) = self.tries.last_mut() {
            let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
            one.line.extend_from_slice(line.strip_suffix(b" HTTP/1.1").unwrap_or(line));
        }
    }

    /// An attempt has ended.
    #[cold]
    fn ended(&mut self, ended: &Ended) {
        let of_span = |one: &&mut Try| one.span == ended.progress.span;
        if let Some(one) = self.tries.iter_mut().rev().find(of_span) {
            one.ended = Some((ended.at, ended.record));
        }
    }
}

/// Ends the request's trace, if it has one: makes its spans and hands them over.
#[cold]
pub(super) fn end(
    at: &Entrance<'_>,
    place: Place<'_>,
    down: &Downstream,
    state: &mut State,
    over: (&Done, Instant),
) {
    let Some(trace) = state.trace.take() else { return };
    if let (Some(tracing), true) = (&at.view.snapshot.tracing, trace.own.is_sampled()) {
        let request = spans::Request { trace: &trace, at, place, down, state, over };
        request.exemplify();
        if let Err(lost) = at.worker.spans.put(request.spans(), tracing) {
            at.worker.registry.process().spans_lost(SpansLost::QueueFull, lost as u64);
        }
    }
    at.worker.traces.give(trace);
}

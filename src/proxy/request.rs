//! What a request needs while it is under way, lent by the worker and used again.

use std::cell::RefCell;
use std::net::SocketAddr;

use crate::balance::Tried;
use crate::http1::target::is_settled;
use crate::http1::{HeadError, RequestHead, ResponseHead};
use crate::proxy::entrance::Entrance;
use crate::proxy::failure::Failure;
use crate::proxy::headers::ClientIdentity;
use crate::proxy::outgoing::Outgoing;
use crate::proxy::traced::Trace;
use crate::proxy::trail::Trail;
use crate::proxy::upload::Upload;
use crate::proxy::vars::{Answer, Attempt, Attempts, Otherwise, TraceIds, Vars, Verdicts};
use crate::snapshot::Captured;

/// States kept for the next requests (measured: with 512 connections at work, 64 of them had most
/// requests begin with memory to be asked for).
const KEPT: usize = 512;
/// Of these, so many are kept though their text has grown large.
const KEPT_LARGE: usize = 64;
/// Room for text from which on a state counts as large.
const LARGE: usize = 8 * 1024;

/// The parts of a request under way. Their room is kept from request to request, so that the common
/// request allocates nothing.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) head: RequestHead,
    pub(super) response: ResponseHead,
    pub(super) upload: Upload,
    /// The response on its way.
    pub(super) to_client: Outgoing,
    pub(super) attempts: Vec<Attempt>,
    pub(super) tried: Tried,
    /// Hash input.
    pub(super) key: Vec<u8>,
    /// What names the backend that the client is bound to.
    pub(super) bound: Vec<u8>,
    /// The normalised path, when it differs from the path as sent.
    pub(super) path: Vec<u8>,
    /// A head that is being encoded.
    pub(super) out: Vec<u8>,
    /// The request's id.
    pub(super) id: Vec<u8>,
    /// Where it has been, if it went on from its first route.
    pub(super) trail: Option<Box<Trail>>,
    /// What the expressions of the route found, if its texts ask for it.
    pub(super) captured: Option<Box<Captured>>,
    /// The head that the client got, if a text asks for it.
    pub(super) sent: Vec<u8>,
    /// The backend's trailer fields, a line each, if a text asks for them.
    pub(super) trailers: Vec<u8>,
    /// The two ends of the client's connection, if a text asks for them.
    pub(super) ends: Option<(SocketAddr, SocketAddr)>,
    /// What is sent otherwise than it came, where anything is.
    pub(super) otherwise: Option<Box<Otherwise>>,
    /// The trace that it belongs to, where requests are traced.
    pub(super) trace: Option<Box<Trace>>,
    /// A route's limits have judged it.
    pub(super) limited: bool,
    /// What became of it by them.
    pub(super) verdicts: Verdicts,
}

impl State {
    /// The path that routes are matched on.
    pub(super) fn normalised_path(&self) -> &[u8] {
        if self.path.is_empty() { self.head.path() } else { &self.path }
    }

    /// Lets the request ask for another path, which is taken as it is, and query.
    ///
    /// # Errors
    /// See [`retarget_to`](Self::retarget_to).
    pub(super) fn retarget(&mut self, to: &[u8]) -> Result<(), Failure> {
        match to.iter().position(|byte| *byte == b'?') {
            Some(at) => self.retarget_to(&to[..at], &to[at + 1..]),
            None => self.retarget_to(to, b""),
        }
    }

    /// The same with path and query apart.
    ///
    /// # Errors
    /// It is no path, or one that a client has made climb. What parts of a request were put together
    /// to may be anything: an empty target, a URL, the name of a route.
    pub(super) fn retarget_to(&mut self, path: &[u8], query: &[u8]) -> Result<(), Failure> {
        if !path.starts_with(b"/") {
            return Err(Failure::NoEnd);
        }
        if !is_settled(path) {
            return Err(Failure::BadRequest(HeadError::BadRequestLine));
        }
        self.head.retarget(path, query);
        self.path.clear();
        self.path.extend_from_slice(path);
        Ok(())
    }

    /// What templates may speak of where no upstream is chosen.
    pub(super) fn vars<'a>(
        &'a self,
        at: &'a Entrance<'a>,
        client: &'a ClientIdentity,
        route: &'a str,
    ) -> Vars<'a> {
        Vars {
            request_id: &self.id,
            path: self.normalised_path(),
            route,
            link: at.link(self.ends),
            clock: Some(at.clock(at.whole)),
            attempts: Attempts {
                ended: &self.attempts,
                running: None,
                upstreams: &at.view.snapshot.upstreams,
                response: Some(&self.response),
            },
            answer: Answer { request_body: self.upload.received, ..Answer::default() },
            captured: self.captured.as_deref(),
            auth: self.auth(),
            trace: self.trace_ids(),
            otherwise: self.otherwise.as_deref(),
            limited: self.verdicts,
            body: self.body(at),
            ..Vars::new(&self.head, client)
        }
    }

    /// The body, where a text asks for it and all of it is in memory.
    pub(super) fn body(&self, at: &Entrance<'_>) -> Option<&[u8]> {
        if at.view.snapshot.asked.body { self.upload.whole() } else { None }
    }

    /// What was answered when it was asked whether the request may pass.
    pub(super) fn auth(&self) -> Option<&ResponseHead> {
        self.trail.as_ref()?.auth.as_deref()
    }

    /// What texts tell of its trace.
    pub(super) fn trace_ids(&self) -> Option<&TraceIds> {
        self.trace.as_ref().map(|trace| &trace.ids)
    }

    /// How many upstreams the request has been with before.
    pub(super) fn round(&self) -> u8 {
        self.trail.as_ref().map_or(0, |trail| trail.rounds)
    }
}

/// A worker's free states.
#[derive(Debug, Default)]
pub(super) struct States {
    #[expect(clippy::vec_box, reason = "a state is lent as a box: large, and moved often")]
    free: RefCell<Vec<Box<State>>>,
}

impl States {
    /// A state with nothing in it.
    pub(super) fn take(&self) -> Box<State> {
        self.free.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a state back and empties it.
    pub(super) fn give(&self, mut state: Box<State>) {
        let mut free = self.free.borrow_mut();
        let large = state.out.capacity().max(state.head.room()).max(state.response.room());
        if free.len() < if large > LARGE { KEPT_LARGE } else { KEPT } {
            state.upload.clear();
            state.to_client.clear();
            state.attempts.clear();
            state.tried.clear();
            state.key.clear();
            state.path.clear();
            state.out.clear();
            state.id.clear();
            state.captured = None;
            state.otherwise = None;
            state.trail = None;
            state.trace = None;
            state.ends = None;
            state.sent.clear();
            state.trailers.clear();
            state.limited = false;
            state.verdicts = Verdicts::default();
            free.push(state);
        }
    }
}

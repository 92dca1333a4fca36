//! What a request needs while it is under way, lent by the worker and used again.

use std::cell::RefCell;
use std::time::Duration;

use crate::balance::Tried;
use crate::http1::{RequestHead, ResponseHead};
use crate::model::{BackendIx, Outcome, UpstreamIx};
use crate::proxy::headers::ClientIdentity;
use crate::proxy::outgoing::Outgoing;
use crate::proxy::trail::Trail;
use crate::proxy::upload::Upload;
use crate::proxy::vars::Vars;

/// States kept for the next requests.
const KEPT: usize = 64;

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
    /// The normalised path, when it differs from the path as sent.
    pub(super) path: Vec<u8>,
    /// A head that is being encoded.
    pub(super) out: Vec<u8>,
    /// The request's id.
    pub(super) id: Vec<u8>,
    /// Where it has been, if it went on from its first route.
    pub(super) trail: Option<Box<Trail>>,
}

impl State {
    /// The path that routes are matched on.
    pub(super) fn normalised_path(&self) -> &[u8] {
        if self.path.is_empty() { self.head.path() } else { &self.path }
    }

    /// Lets the request ask for another path, which is taken as it is, and query.
    pub(super) fn retarget(&mut self, to: &[u8]) {
        let (path, query) = match to.iter().position(|byte| *byte == b'?') {
            Some(at) => (&to[..at], &to[at + 1..]),
            None => (to, &b""[..]),
        };
        self.head.retarget(path, query);
        self.path.clear();
        self.path.extend_from_slice(path);
    }

    /// What templates may speak of where no upstream is chosen.
    pub(super) fn vars<'a>(&'a self, client: &'a ClientIdentity, route: &'a str) -> Vars<'a> {
        let Self { head, id, .. } = self;
        Vars { head, client, request_id: id, route, upstream: "", backend: "" }
    }
}

/// One attempt, for the access log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    pub(super) upstream: UpstreamIx,
    pub(super) backend: BackendIx,
    /// How many upstreams the request had been with before this one.
    pub(super) round: u8,
    pub(super) connect: Option<Duration>,
    pub(super) first_byte: Option<Duration>,
    pub(super) duration: Duration,
    pub(super) status: Option<u16>,
    pub(super) outcome: Outcome,
    pub(super) reused: bool,
    /// Why another attempt followed; `None` on the last one.
    pub(super) retried_because: Option<&'static str>,
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
        if free.len() < KEPT {
            state.upload.clear();
            state.to_client.clear();
            state.attempts.clear();
            state.tried.clear();
            state.key.clear();
            state.path.clear();
            state.out.clear();
            state.id.clear();
            state.trail = None;
            free.push(state);
        }
    }
}

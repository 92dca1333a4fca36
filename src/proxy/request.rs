//! What a request needs while it is under way, lent by the worker and used again.

use std::cell::RefCell;
use std::time::Duration;

use crate::balance::Tried;
use crate::http1::{RequestHead, ResponseHead};
use crate::model::{BackendIx, Outcome};
use crate::proxy::outgoing::Outgoing;
use crate::proxy::upload::Upload;

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
}

impl State {
    /// The path that routes are matched on.
    pub(super) fn normalised_path(&self) -> &[u8] {
        if self.path.is_empty() { self.head.path() } else { &self.path }
    }
}

/// One attempt, for the access log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    pub(super) backend: BackendIx,
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
            free.push(state);
        }
    }
}

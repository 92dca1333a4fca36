//! Tasks that serve one stream after the other.
//!
//! The work on a request is large, and a task's work is moved about while the task is made. A task that
//! has served a stream therefore waits for the next one, of whatever connection, in its worker's list.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::proxy::client_h2::stream::Job;

/// Tasks that are kept for the next streams. Each holds about as much memory as a request under way.
const KEPT: usize = 256;

/// A worker's tasks that wait, the last one to begin first.
#[derive(Debug, Default)]
pub(crate) struct Seats(RefCell<Vec<Rc<Seat>>>);

/// Where a task is handed its next stream.
#[derive(Debug)]
pub(super) struct Seat {
    job: RefCell<Option<Box<Job>>>,
    waker: RefCell<Waker>,
}

impl Seats {
    /// Has a task that waits serve a stream. None waits: gives the stream back, with the seat of the
    /// task that is to be made for it.
    pub(super) fn take(&self, job: Box<Job>) -> Option<(Rc<Seat>, Box<Job>)> {
        let Some(seat) = self.0.borrow_mut().pop() else {
            let waker = RefCell::new(Waker::noop().clone());
            return Some((Rc::new(Seat { job: RefCell::default(), waker }), job));
        };
        seat.job.replace(Some(job));
        seat.waker.borrow().wake_by_ref();
        None
    }

    /// Lists a task that has served its stream; `false`: there are enough.
    pub(super) fn give(&self, seat: &Rc<Seat>) -> bool {
        let mut seats = self.0.borrow_mut();
        let kept = seats.len() < KEPT;
        if kept {
            seats.push(Rc::clone(seat));
        }
        kept
    }
}

impl Seat {
    /// Waits for the next stream.
    pub(super) async fn next(&self) -> Box<Job> {
        poll_fn(|cx| {
            if let Some(job) = self.job.take() {
                return Poll::Ready(job);
            }
            self.waker.borrow_mut().clone_from(cx.waker());
            Poll::Pending
        })
        .await
    }
}

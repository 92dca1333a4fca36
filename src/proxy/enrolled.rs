//! A worker's open connections, to be woken when they are to end.

use std::cell::{Cell, RefCell};
use std::task::Waker;

use slab::Slab;
use tokio::sync::Notify;

/// The tasks of open connections.
#[derive(Debug, Default)]
pub(super) struct Enrolled {
    tasks: RefCell<Slab<Option<Waker>>>,
    so_far: Cell<u64>,
    closed_one: Notify,
}

/// A connection that was taken up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Enrolment {
    /// How many the worker had taken up before it.
    pub(super) number: u64,
    place: usize,
}

impl Enrolled {
    /// Takes up a connection.
    pub(super) fn enroll(&self) -> Enrolment {
        let number = self.so_far.get();
        self.so_far.set(number + 1);
        Enrolment { number, place: self.tasks.borrow_mut().insert(None) }
    }

    /// Has a connection's task woken when connections are to end.
    pub(super) fn set_waker(&self, connection: Enrolment, waker: &Waker) {
        self.tasks.borrow_mut()[connection.place] = Some(waker.clone());
    }

    /// Forgets a connection that has ended.
    pub(super) fn dismiss(&self, connection: Enrolment) {
        self.tasks.borrow_mut().remove(connection.place);
        self.closed_one.notify_one();
    }

    pub(super) fn wake(&self) {
        for waker in self.tasks.borrow().iter().filter_map(|(_, waker)| waker.as_ref()) {
            waker.wake_by_ref();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.tasks.borrow().len()
    }

    pub(super) async fn until_all_closed(&self) {
        while self.len() > 0 {
            self.closed_one.notified().await;
        }
    }
}

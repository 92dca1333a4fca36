//! A worker's open connections, to be woken when they are to end.

use std::cell::{Cell, RefCell};
use std::task::Waker;

use ahash::AHashMap;
use tokio::sync::Notify;

/// The tasks of open connections, by number.
#[derive(Debug, Default)]
pub(super) struct Enrolled {
    tasks: RefCell<AHashMap<u64, Option<Waker>>>,
    next: Cell<u64>,
    closed_one: Notify,
}

impl Enrolled {
    /// Takes up a connection; gives its number.
    pub(super) fn enroll(&self) -> u64 {
        let number = self.next.get();
        self.next.set(number + 1);
        self.tasks.borrow_mut().insert(number, None);
        number
    }

    /// Has a connection's task woken when connections are to end.
    pub(super) fn set_waker(&self, number: u64, waker: &Waker) {
        self.tasks.borrow_mut().insert(number, Some(waker.clone()));
    }

    /// Forgets a connection that has ended.
    pub(super) fn dismiss(&self, number: u64) {
        self.tasks.borrow_mut().remove(&number);
        self.closed_one.notify_one();
    }

    pub(super) fn wake(&self) {
        for waker in self.tasks.borrow().values().flatten() {
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

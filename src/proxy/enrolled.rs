//! A worker's open connections, to be woken when they are to end, and once soon after they began.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::task::Waker;
use std::time::Duration;

use slab::Slab;
use tokio::sync::Notify;
use tokio::time::sleep;

/// A connection's task is woken once between this time and twice that after it was taken up: for a client that
/// leaves while it waits for its first answer is not looked for before (`net::Stream::fresh_since`).
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// The tasks of open connections.
#[derive(Debug, Default)]
pub(super) struct Enrolled {
    tasks: RefCell<Slab<Task>>,
    so_far: Cell<u64>,
    closed_one: Notify,
    /// Those that were taken up since the last look, and in the time of one look before.
    young: RefCell<[Vec<Enrolment>; 2]>,
    first_of_young: Notify,
}

/// The task of a connection.
#[derive(Debug)]
struct Task {
    number: u64,
    waker: Option<Waker>,
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
        let place = self.tasks.borrow_mut().insert(Task { number, waker: None });
        let enrolment = Enrolment { number, place };
        let [younger, _] = &mut *self.young.borrow_mut();
        if younger.is_empty() {
            self.first_of_young.notify_one();
        }
        younger.push(enrolment);
        enrolment
    }

    /// Has a connection's task woken when connections are to end.
    pub(super) fn set_waker(&self, connection: Enrolment, waker: &Waker) {
        self.tasks.borrow_mut()[connection.place].waker = Some(waker.clone());
    }

    /// Forgets a connection that has ended.
    pub(super) fn dismiss(&self, connection: Enrolment) {
        self.tasks.borrow_mut().remove(connection.place);
        self.closed_one.notify_one();
    }

    pub(super) fn wake(&self) {
        for waker in self.tasks.borrow().iter().filter_map(|(_, task)| task.waker.as_ref()) {
            waker.wake_by_ref();
        }
    }

    /// Wakes each connection once, if it lives for so long.
    pub(super) async fn wake_young(&self) -> Infallible {
        loop {
            if self.young.borrow().iter().all(Vec::is_empty) {
                self.first_of_young.notified().await;
            }
            sleep(LOOK).await;
            let [younger, older] = &mut *self.young.borrow_mut();
            let tasks = self.tasks.borrow();
            for connection in older.drain(..) {
                // Another one may have its place by now.
                let task =
                    tasks.get(connection.place).filter(|task| task.number == connection.number);
                task.and_then(|task| task.waker.as_ref())
                    .iter()
                    .for_each(|waker| waker.wake_by_ref());
            }
            std::mem::swap(younger, older);
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use tokio::time::{Instant, advance};

    use super::*;

    #[derive(Default)]
    struct Counting(AtomicUsize);

    impl Wake for Counting {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn enroll(all: &Enrolled) -> (Enrolment, Arc<Counting>) {
        let (connection, woken) = (all.enroll(), Arc::<Counting>::default());
        all.set_waker(connection, &Waker::from(Arc::clone(&woken)));
        (connection, woken)
    }

    #[tokio::test(start_paused = true)]
    async fn each_is_woken_once_after_a_look_and_before_three() {
        let all = Enrolled::default();
        let script = async {
            for pause in [0, 1, 49, 50, 51, 99, 120] {
                advance(Duration::from_millis(pause)).await;
                let (connection, woken) = enroll(&all);
                let begun = Instant::now();
                while woken.0.load(Ordering::Relaxed) == 0 {
                    sleep(Duration::from_millis(1)).await;
                }
                assert!((LOOK..LOOK * 3).contains(&begun.elapsed()), "{:?}", begun.elapsed());
                sleep(LOOK * 4).await;
                assert_eq!(woken.0.load(Ordering::Relaxed), 1);
                all.dismiss(connection);
            }
        };
        tokio::select! {
            never = all.wake_young() => match never {},
            () = script => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_the_place_of_another_is_not_woken_for_it() {
        let all = Enrolled::default();
        let script = async {
            let (first, _) = enroll(&all);
            sleep(LOOK + LOOK / 2).await;
            all.dismiss(first);
            let (second, woken) = enroll(&all);
            assert_eq!(second.place, first.place);
            sleep(LOOK).await;
            assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        };
        tokio::select! {
            never = all.wake_young() => match never {},
            () = script => {}
        }
    }
}

//! Who waits for a place at an upstream: one line for the requests of all workers.
//!
//! The order is that of priorities, and among equals that of coming. Whoever leaves a place calls the
//! first in line, and nobody but the first looks for a place. If it finds one it leaves the line, which
//! calls the next. While somebody waits, nobody who comes later looks at all. So nobody of the same
//! priority is overtaken, on whatever worker it came.
//!
//! The line is the only thing under a lock that requests share. Only those take it who wait, and those
//! that leave a place while somebody waits.

use std::collections::BTreeMap;
use std::sync::atomic::{
    AtomicU32,
    Ordering::{Relaxed, SeqCst},
    fence,
};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The requests of an upstream: how many are under way, and who waits to be.
#[derive(Debug, Default)]
pub struct Line {
    under_way: AtomicU32,
    /// How many may be; 0 is no limit.
    most: AtomicU32,
    /// How many of 10000 that come are to be refused.
    refused: AtomicU32,
    /// How many of 10000 that come are more than there is room for.
    beyond: AtomicU32,
    /// As many as are in `waiters`, to be read without the lock.
    waiting: AtomicU32,
    waiters: Mutex<Waiters>,
}

#[derive(Debug, Default)]
struct Waiters {
    /// By priority and the order of coming.
    in_order: BTreeMap<Turn, Waiter>,
    next: u64,
    /// Somebody has found a place, and has not taken it yet.
    promised: bool,
}

/// Priority, the smaller the sooner, and number.
type Turn = (u8, u64);

#[derive(Debug)]
struct Waiter {
    waker: Waker,
    called: bool,
}

impl Line {
    /// Counts a request in until the guard is dropped, which calls the next in line. Drop it after what
    /// else stands for the request's place. `None`: as many are under way as may be, whoever else asks at
    /// this moment.
    pub fn enter(&self) -> Option<Entered<'_>> {
        match self.most() {
            0 => {
                self.under_way.fetch_add(1, Relaxed);
            }
            most => {
                let one_more = |now| (now < most).then_some(now + 1);
                self.under_way.fetch_update(Relaxed, Relaxed, one_more).ok()?;
            }
        }
        Some(Entered(self))
    }

    /// Requests that entered and did not leave yet.
    pub fn under_way(&self) -> u32 {
        self.under_way.load(Relaxed)
    }

    /// How many may be under way; 0 is no limit.
    pub fn most(&self) -> u32 {
        self.most.load(Relaxed)
    }

    /// From now on so many may be under way, 0 is no limit; whoever waits looks again.
    pub fn set_most(&self, most: u32) {
        if self.most.swap(most, Relaxed) != most {
            self.call();
        }
    }

    /// Whether as many requests are under way as may be.
    pub fn is_full(&self) -> bool {
        let most = self.most();
        most > 0 && self.under_way() >= most
    }

    /// How many of 10000 requests that come are to be refused.
    pub fn refused(&self) -> u32 {
        self.refused.load(Relaxed)
    }

    /// From now on so many of 10000 that come are to be refused.
    pub fn set_refused(&self, refused: u32) {
        self.refused.store(refused, Relaxed);
    }

    /// How many of 10000 requests that come are more than there is room for.
    pub fn beyond(&self) -> u32 {
        self.beyond.load(Relaxed)
    }

    /// From now on so many of 10000 that come are more than there is room for.
    pub fn set_beyond(&self, beyond: u32) {
        self.beyond.store(beyond, Relaxed);
    }

    /// Whether anybody waits.
    pub fn is_awaited(&self) -> bool {
        self.waiting.load(Relaxed) > 0
    }

    /// Joins the line behind those of the same priority, the smaller the sooner. `None`: as many as
    /// `most` wait already. Whoever is the first by that is called at once.
    pub fn join(&self, most: u32, priority: u8) -> Option<Waiting<'_>> {
        let mut waiters = self.lock();
        if waiters.in_order.len() >= most as usize {
            return None;
        }
        let turn = (priority, waiters.next);
        waiters.next += 1;
        // Called at once: whoever was the first before may have been called in vain by that.
        let called = !waiters.promised;
        waiters.in_order.insert(turn, Waiter { waker: Waker::noop().clone(), called });
        self.waiting.fetch_add(1, Relaxed);
        drop(waiters);
        // Whoever leaves a place either sees that somebody waits, or has left it before that one looks.
        fence(SeqCst);
        Some(Waiting { line: self, turn })
    }

    /// The place that somebody [found](Waiting::found) is taken: calls the first, for whom there may be
    /// one too.
    pub fn taken(&self) {
        let mut waiters = self.lock();
        waiters.promised = false;
        waiters.call();
    }

    /// Calls the first: there may be a place.
    pub fn call(&self) {
        fence(SeqCst);
        if self.is_awaited() {
            self.lock().call();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        // Nothing panics while it is held, and no state of it is half done.
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiters {
    fn is_first(&self, turn: Turn) -> bool {
        self.in_order.keys().next() == Some(&turn)
    }

    fn call(&mut self) {
        if let Some(mut first) = self.in_order.first_entry() {
            let waiter = first.get_mut();
            waiter.called = true;
            waiter.waker.wake_by_ref();
        }
    }
}

/// A request under way, counted as long as this lives.
#[derive(Debug)]
pub struct Entered<'a>(&'a Line);

impl Entered<'_> {
    /// What else stood for the request's place is free, and the request goes on elsewhere: calls the next in
    /// line.
    pub fn moves_on(&self) {
        self.0.call();
    }

    /// Nothing came of it. Calls nobody: it was the first in line who asked, and would call itself.
    pub fn give_back(self) {
        let place = std::mem::ManuallyDrop::new(self);
        place.0.under_way.fetch_sub(1, Relaxed);
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Relaxed);
        self.0.call();
    }
}

/// A place in the line. Leaving it calls the next, for whom there may be a place too.
#[derive(Debug)]
pub struct Waiting<'a> {
    line: &'a Line,
    turn: Turn,
}

impl Waiting<'_> {
    /// Ready once it is the first and was called, and once per call; else the task is woken then.
    pub fn poll_called(&self, cx: &Context<'_>) -> Poll<()> {
        let mut waiters = self.line.lock();
        let is_first = waiters.is_first(self.turn);
        let Some(waiter) = waiters.in_order.get_mut(&self.turn) else { return Poll::Ready(()) };
        if is_first && std::mem::take(&mut waiter.called) {
            return Poll::Ready(());
        }
        if !waiter.waker.will_wake(cx.waker()) {
            waiter.waker.clone_from(cx.waker());
        }
        Poll::Pending
    }

    /// Leaves the line with a place found. Nobody looks before that place is taken, or they would find the
    /// same: whoever takes it does [`Line::taken`].
    pub fn found(self) {
        let waiting = std::mem::ManuallyDrop::new(self);
        let mut waiters = waiting.line.lock();
        waiting.leave(&mut waiters);
        waiters.promised = true;
    }

    fn leave(&self, waiters: &mut Waiters) {
        waiters.in_order.remove(&self.turn);
        self.line.waiting.fetch_sub(1, Relaxed);
    }

    /// Whether it is the first in line.
    pub fn is_first(&self) -> bool {
        self.line.lock().is_first(self.turn)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiters = self.line.lock();
        self.leave(&mut waiters);
        waiters.call();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use proptest::prelude::*;

    use super::*;

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    fn is_called(waiting: &Waiting<'_>) -> bool {
        waiting.poll_called(&Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn whoever_waits_is_called_when_a_place_is_left_and_woken() {
        let line = Line::default();
        let place = line.enter().unwrap();
        let waiting = line.join(1, 5).unwrap();
        assert!(is_called(&waiting), "the first looks at once");
        assert!(!is_called(&waiting), "and once");
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));
        assert!(waiting.poll_called(&Context::from_waker(&waker)).is_pending());
        drop(place);
        assert_eq!((bell.0.load(Relaxed), line.under_way()), (1, 0));
        assert!(is_called(&waiting));
    }

    #[test]
    fn it_is_full_at_its_limit_and_whoever_waits_is_called_when_that_rises() {
        let line = Line::default();
        let _places = [line.enter(), line.enter()];
        assert!(!line.is_full(), "without a limit");
        line.set_most(2);
        assert!(line.is_full());
        let waiting = line.join(1, 5).unwrap();
        assert!(is_called(&waiting) && !is_called(&waiting));
        line.set_most(2);
        assert!(!is_called(&waiting));
        line.set_most(3);
        assert!(is_called(&waiting) && !line.is_full());
    }

    #[test]
    fn never_are_more_under_way_than_may_be_on_however_many_threads() {
        const MOST: u32 = 3;
        let line = Line::default();
        line.set_most(MOST);
        let (entered, refused): (u32, u32) = std::thread::scope(|scope| {
            let ask = || {
                let mut counts = (0, 0);
                for _ in 0..20_000 {
                    let Some(place) = line.enter() else {
                        counts.1 += 1;
                        continue;
                    };
                    assert!(line.under_way() <= MOST);
                    counts.0 += 1;
                    if counts.0 % 5 == 0 { place.give_back() } else { drop(place) }
                }
                counts
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
            let all = threads.into_iter().map(|thread| thread.join().unwrap());
            all.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
        });
        assert_eq!((entered + refused, line.under_way()), (160_000, 0));
        let _places = [(); MOST as usize].map(|()| line.enter().unwrap());
        assert!(line.enter().is_none() && line.is_full());
    }

    #[test]
    fn who_is_the_first_and_finds_nobody_does_not_call_itself() {
        let line = Line::default();
        line.set_most(1);
        let waiting = line.join(9, 5).unwrap();
        assert!(is_called(&waiting));
        line.enter().unwrap().give_back();
        assert!(!is_called(&waiting) && line.under_way() == 0);
        let place = line.enter().unwrap();
        place.moves_on();
        assert!(is_called(&waiting), "there may be a backend");
    }

    #[test]
    fn the_line_is_no_longer_than_it_may_be() {
        let line = Line::default();
        let first = line.join(2, 5).unwrap();
        let _second = line.join(2, 5).unwrap();
        assert!(line.join(2, 0).is_none());
        drop(first);
        assert!(line.join(2, 9).is_some());
    }

    #[test]
    fn however_many_places_are_left_nobody_looks_before_the_first_has_found_one() {
        let line = Line::default();
        let places = [line.enter(), line.enter()];
        let mut waiting: Vec<_> = (0..3).map(|_| line.join(9, 5).unwrap()).collect();
        assert!(is_called(&waiting[0]));
        drop(places);
        assert!(!is_called(&waiting[2]) && !is_called(&waiting[1]) && is_called(&waiting[0]));
        waiting.remove(0);
        assert!(!is_called(&waiting[1]) && is_called(&waiting[0]));
    }

    #[test]
    fn who_comes_with_priority_takes_the_call_of_who_was_the_first() {
        let line = Line::default();
        let usual = line.join(9, 5).unwrap();
        line.call();
        let urgent = line.join(9, 1).unwrap();
        assert!(!is_called(&usual) && is_called(&urgent));
        drop(urgent);
        assert!(is_called(&usual));
    }

    #[test]
    fn the_next_is_called_when_the_place_that_was_found_is_taken() {
        let line = Line::default();
        let first = line.join(9, 5).unwrap();
        let next = line.join(9, 5).unwrap();
        assert!(is_called(&first));
        first.found();
        let urgent = line.join(9, 0).unwrap();
        assert!(!is_called(&next) && !is_called(&urgent), "the place is not taken yet");
        let _place = line.enter().unwrap();
        line.taken();
        assert!(!is_called(&next) && is_called(&urgent));
    }

    #[test]
    fn who_leaves_without_a_place_hands_its_call_on() {
        let line = Line::default();
        let gives_up = line.join(9, 5).unwrap();
        let next = line.join(9, 5).unwrap();
        assert!(!is_called(&next));
        line.call();
        drop(gives_up);
        assert!(is_called(&next) && line.is_awaited());
        drop(next);
        assert!(!line.is_awaited());
    }

    #[test]
    fn no_call_is_lost_between_threads() {
        let line = Line::default();
        let places = AtomicU32::new(1);
        let served: u32 = std::thread::scope(|scope| {
            let serve = || {
                let mut served = 0;
                for _ in 0..2_000 {
                    let waiting = line.join(u32::MAX, 5).unwrap();
                    loop {
                        if is_called(&waiting)
                            && places.compare_exchange(1, 0, SeqCst, SeqCst).is_ok()
                        {
                            break;
                        }
                        std::thread::yield_now();
                    }
                    let entered = line.enter();
                    drop(waiting);
                    served += 1;
                    places.store(1, SeqCst);
                    drop(entered);
                }
                served
            };
            let threads: Vec<_> = (0..3).map(|_| scope.spawn(serve)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!((served, line.under_way()), (6_000, 0));
    }

    proptest! {
        #[test]
        fn places_are_given_by_priority_and_then_in_the_order_of_coming(
            priorities in prop::collection::vec(0_u8..4, 1..40),
        ) {
            let line = Line::default();
            let mut waiting: Vec<_> =
                priorities.iter().map(|one| Some(line.join(40, *one).unwrap())).collect();
            let mut expected: Vec<_> = (0..priorities.len()).collect();
            expected.sort_by_key(|place| priorities[*place]);
            // All look once, and find nothing.
            while waiting.iter().flatten().any(is_called) {}
            let mut served = Vec::new();
            for _ in 0..priorities.len() {
                line.call();
                let called = waiting.iter().flatten().map(is_called).collect::<Vec<_>>();
                prop_assert_eq!(called.iter().filter(|is| **is).count(), 1);
                let place = expected[served.len()];
                prop_assert!(waiting[place].as_ref().unwrap().is_first());
                served.push(place);
                waiting[place] = None;
                // The next was called by that and finds nothing.
                while waiting.iter().flatten().any(is_called) {}
            }
            prop_assert!(!line.is_awaited());
        }
    }
}

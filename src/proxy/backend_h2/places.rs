//! Places for streams on a connection: as many as its backend allows at once. Who finds none waits in line,
//! and is known not to have sent anything.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The places of one connection.
#[derive(Debug, Default)]
pub(super) struct Places {
    taken: Cell<usize>,
    /// Who waits for one, in the order of the numbers.
    line: RefCell<VecDeque<(u64, Waker)>>,
    last: Cell<u64>,
}

impl Places {
    /// Whether one of so many is free and nobody waits for it. Where nobody has one and none is free, the
    /// backend allows none at all, and it is the backend that is waited for.
    pub(super) fn has_room(&self, most: usize) -> bool {
        let taken = self.taken.get();
        taken == 0 || (taken < most && self.line.borrow().is_empty())
    }

    /// Has the first in line look again whether there is room.
    pub(super) fn wake_first(&self) {
        if let Some((_, waker)) = self.line.borrow().front() {
            waker.wake_by_ref();
        }
    }
}

/// A place, given back when this is dropped.
#[derive(Debug)]
pub(super) struct Place(Rc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.set(self.0.taken.get() - 1);
        self.0.wake_first();
    }
}

/// Somebody's turn to take a place. Who drops it leaves the line.
#[derive(Debug)]
pub(crate) struct Turn {
    places: Rc<Places>,
    /// In the line.
    number: Option<u64>,
}

impl Turn {
    pub(super) fn at(places: &Rc<Places>) -> Self {
        Self { places: Rc::clone(places), number: None }
    }

    /// Takes a place of so many, once nobody who came before waits for one.
    pub(super) fn poll(&mut self, most: usize, cx: &mut Context<'_>) -> Poll<Place> {
        let places = &*self.places;
        let first = places.line.borrow().front().map(|(number, _)| *number);
        if (first.is_none() || first == self.number) && places.taken.get() < most {
            places.taken.set(places.taken.get() + 1);
            self.leave();
            return Poll::Ready(Place(Rc::clone(&self.places)));
        }
        let mut line = places.line.borrow_mut();
        if let Some(number) = self.number {
            let at = line.partition_point(|(other, _)| *other < number);
            line[at].1.clone_from(cx.waker());
        } else {
            places.last.set(places.last.get() + 1);
            line.push_back((places.last.get(), cx.waker().clone()));
            self.number = Some(places.last.get());
        }
        Poll::Pending
    }

    fn leave(&mut self) {
        if let Some(number) = self.number.take() {
            let mut line = self.places.line.borrow_mut();
            let at = line.partition_point(|(other, _)| *other < number);
            line.remove(at);
            drop(line);
            // There may be room for it too, or no more hope for it either.
            self.places.wake_first();
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(turn: &mut Turn, most: usize) -> Option<Place> {
        match turn.poll(most, &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(place) => Some(place),
            Poll::Pending => None,
        }
    }

    #[test]
    fn places_are_taken_in_the_order_of_the_line() {
        let places = Rc::<Places>::default();
        let mut turns: Vec<_> = (0..5).map(|_| Turn::at(&places)).collect();
        let first = poll(&mut turns[0], 1).unwrap();
        for turn in &mut turns[1..] {
            assert!(poll(turn, 1).is_none());
        }
        drop(first);
        assert!(poll(&mut turns[2], 1).is_none(), "others came before");
        assert!(poll(&mut Turn::at(&places), 1).is_none(), "nobody steps in");
        // Who gives up is not waited for.
        drop(turns.remove(1));
        let second = poll(&mut turns[1], 1).unwrap();
        assert!(poll(&mut turns[2], 1).is_none());
        // More are allowed.
        let third = poll(&mut turns[2], 2).unwrap();
        drop((second, third));
        let _fourth = poll(&mut turns[3], 1).unwrap();
        assert!(places.line.borrow().is_empty());
        assert_eq!(places.taken.get(), 1);
    }
}

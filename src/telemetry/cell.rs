//! Numbers that workers write and the scrape sums.
//!
//! Each worker has its own cell of every series, on cache lines of its own, and is its only writer:
//! an increment is a relaxed load and a relaxed store, without a locked instruction. The scrape
//! reads all cells and sums; it may miss what happens meanwhile, but never sees a number go back.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::exemplar::{Exemplar, Slot};
use crate::model::WorkerIx;

/// A number that only grows, and wraps at 2⁶⁴.
///
/// Relaxed suffices throughout: no other memory is published through these numbers.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    /// Adds `n`. For one writer only: with two, additions would be lost.
    #[inline]
    pub(super) fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Adds `n` beside other writers.
    pub(super) fn add_shared(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// Replaces the number, for a gauge with one writer.
    pub(super) fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Number of bounded buckets of a histogram; one more takes what is above the last bound.
pub(super) const BOUNDS: usize = 14;

/// Upper bounds of the buckets, in microseconds, inclusive: 1 ms to 30 s.
pub(super) const BOUNDS_US: [u64; BOUNDS] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000,
];

/// Durations by bucket. Parts of a microsecond are cut off.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    buckets: [Count; BOUNDS + 1],
    sum_us: Count,
    /// Made with the first one: most histograms have none.
    exemplars: OnceLock<Box<[Slot; BOUNDS + 1]>>,
}

fn micros(took: Duration) -> u64 {
    took.as_secs().wrapping_mul(1_000_000).wrapping_add(u64::from(took.subsec_micros()))
}

/// The bucket of a duration.
fn place(us: u64) -> usize {
    BOUNDS_US.partition_point(|bound| *bound < us)
}

impl Histogram {
    /// Keeps a request whose duration was noted. For one writer only.
    pub(super) fn exemplify(&self, one: Exemplar) {
        self.exemplars.get_or_init(Box::default)[place(micros(one.took))].set(one);
    }

    /// Notes one duration; gives its bucket's place. For one writer only.
    #[inline]
    pub(super) fn record(&self, took: Duration) -> usize {
        let us = micros(took);
        let place = place(us);
        self.buckets[place].add(1);
        self.sum_us.add(us);
        place
    }

    /// How many were noted.
    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().map(Count::get).fold(0, u64::wrapping_add)
    }

    /// Notes one duration beside other writers.
    pub(super) fn record_shared(&self, took: Duration) {
        let us = micros(took);
        self.buckets[place(us)].add_shared(1);
        self.sum_us.add_shared(us);
    }
}

/// Durations by bucket in half the room, where there may be thousands of these: a number wraps at 2³², which
/// whoever compares it with an earlier one takes for a new beginning.
#[derive(Debug, Default)]
pub(super) struct Rough([AtomicU32; BOUNDS + 1]);

impl Rough {
    /// Notes one duration of the bucket at this place. For one writer only.
    #[inline]
    pub(super) fn add(&self, place: usize) {
        let bucket = &self.0[place];
        bucket.store(bucket.load(Relaxed).wrapping_add(1), Relaxed);
    }
}

/// A histogram summed over cells, at one scrape.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Distribution {
    /// Durations per bucket, not cumulated.
    pub(super) buckets: [u64; BOUNDS + 1],
    /// All durations together, in microseconds.
    pub(super) sum_us: u64,
    /// The last request of a trace in each bucket.
    pub(super) exemplars: [Option<Exemplar>; BOUNDS + 1],
}

impl Distribution {
    /// Adds what a histogram holds. The number of durations is the sum of these very reads, so it
    /// can never be below a bucket.
    pub(super) fn add(&mut self, histogram: &Histogram) {
        for (sum, bucket) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *sum = sum.wrapping_add(bucket.get());
        }
        self.sum_us = self.sum_us.wrapping_add(histogram.sum_us.get());
        let theirs = histogram.exemplars.get().into_iter().flat_map(|slots| slots.iter());
        for (last, slot) in self.exemplars.iter_mut().zip(theirs) {
            *last = slot.get().into_iter().chain(*last).max_by_key(|one| one.at);
        }
    }
}

/// Numbers of durations by the upper bounds of their buckets; the last ones are above all.
pub(super) fn bounded(buckets: [u64; BOUNDS + 1]) -> Vec<(Option<Duration>, u64)> {
    let bounds = BOUNDS_US.into_iter().map(|us| Some(Duration::from_micros(us)));
    bounds.chain([None]).zip(buckets).collect()
}

/// One cell per worker. Clones are the same cells.
#[derive(Debug)]
pub struct PerWorker<C>(Arc<[C]>);

impl<C> Clone for PerWorker<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C> Default for PerWorker<C> {
    /// For no worker.
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<C> PerWorker<C> {
    pub(super) fn new(workers: usize, cell: impl FnMut(WorkerIx) -> C) -> Self {
        Self((0..workers).map(|ix| WorkerIx(ix as u16)).map(cell).collect())
    }

    /// The cell that `worker`, and nobody else, writes.
    #[inline]
    pub fn of(&self, worker: WorkerIx) -> &C {
        &self.0[worker.index()]
    }

    /// One number over all workers.
    pub(super) fn sum(&self, count: impl Fn(&C) -> &Count) -> u64 {
        self.0.iter().fold(0, |sum, cell| sum.wrapping_add(count(cell).get()))
    }

    /// How many were begun and have not ended. The ends are read first: what begins and ends
    /// between the two reads must not make the difference negative.
    pub(super) fn open(&self, begun: impl Fn(&C) -> &Count, ended: impl Fn(&C) -> &Count) -> u64 {
        let ended = self.sum(ended);
        (self.sum(begun).wrapping_sub(ended) as i64).max(0) as u64
    }

    /// How many durations of each bucket there are over all workers.
    pub(super) fn rough(&self, of: impl Fn(&C) -> &Rough) -> [u64; BOUNDS + 1] {
        let mut sums = [0; BOUNDS + 1];
        for cell in &*self.0 {
            for (sum, bucket) in sums.iter_mut().zip(&of(cell).0) {
                *sum += u64::from(bucket.load(Relaxed));
            }
        }
        sums
    }

    /// One histogram over all workers.
    pub(super) fn distribution(&self, histogram: impl Fn(&C) -> &Histogram) -> Distribution {
        let mut sum = Distribution::default();
        for cell in &*self.0 {
            sum.add(histogram(cell));
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket_and_the_next_microsecond_does_not() {
        for (ix, bound) in BOUNDS_US.into_iter().enumerate() {
            let histogram = Histogram::default();
            histogram.record(Duration::from_micros(bound));
            histogram.record_shared(Duration::from_micros(bound + 1));
            let mut seen = Distribution::default();
            seen.add(&histogram);
            let mut expected = [0; BOUNDS + 1];
            expected[ix] = 1;
            expected[ix + 1] = 1;
            assert_eq!(seen.buckets, expected, "bound {bound} µs");
            assert_eq!(seen.sum_us, 2 * bound + 1);
        }
    }

    #[test]
    fn no_duration_is_too_short_or_too_long() {
        let histogram = Histogram::default();
        histogram.record(Duration::ZERO);
        histogram.record(Duration::MAX);
        let mut seen = Distribution::default();
        seen.add(&histogram);
        assert_eq!((seen.buckets[0], seen.buckets[BOUNDS]), (1, 1));
    }

    #[test]
    fn of_all_workers_the_last_request_of_a_bucket_stands_for_it() {
        let cells = PerWorker::new(2, |_| Histogram::default());
        let note = |worker, trace, took, at| {
            let (took, at) = (Duration::from_millis(took), Duration::from_secs(at));
            cells.of(WorkerIx(worker)).exemplify(Exemplar { trace, took, at });
        };
        note(0, 1, 7, 30);
        note(1, 2, 8, 20);
        note(1, 3, 40_000, 10);
        let seen = cells.distribution(|histogram| histogram).exemplars;
        assert_eq!(seen[3].map(|one| one.trace), Some(1));
        assert_eq!(seen[BOUNDS].map(|one| one.trace), Some(3));
        assert_eq!(seen.iter().flatten().count(), 2);
    }

    #[test]
    fn numbers_wrap_and_differences_stay_right() {
        let cells = PerWorker::new(2, |_| (Count::default(), Count::default()));
        for worker in [WorkerIx(0), WorkerIx(1)] {
            let (begun, ended) = cells.of(worker);
            begun.add(u64::MAX);
            ended.add(u64::MAX);
        }
        assert_eq!(cells.open(|c| &c.0, |c| &c.1), 0);
        cells.of(WorkerIx(1)).0.add(3);
        assert_eq!(cells.open(|c| &c.0, |c| &c.1), 3);
        cells.of(WorkerIx(0)).1.add(4);
        assert_eq!(cells.open(|c| &c.0, |c| &c.1), 0, "never negative");
    }

    #[test]
    fn rough_numbers_are_those_of_the_buckets() {
        let cells = PerWorker::new(2, |_| (Histogram::default(), Rough::default()));
        for (worker, ms) in [(0, 1), (0, 7), (1, 7), (1, 90_000)] {
            let (histogram, rough) = cells.of(WorkerIx(worker));
            rough.add(histogram.record(Duration::from_millis(ms)));
        }
        let expected = cells.distribution(|cell| &cell.0).buckets;
        assert_eq!(cells.rough(|cell| &cell.1), expected);
        assert_eq!((expected[0], expected[3], expected[BOUNDS]), (1, 2, 1));
    }

    #[test]
    fn one_writer_per_cell_loses_nothing() {
        let cells = PerWorker::new(4, |_| Count::default());
        std::thread::scope(|scope| {
            for ix in 0..4 {
                let cells = &cells;
                scope.spawn(move || (0..100_000).for_each(|_| cells.of(WorkerIx(ix)).add(1)));
            }
        });
        assert_eq!(cells.sum(|count| count), 400_000);
    }
}

//! The counters of all backends of an upstream, and where their requests in flight are counted.
//!
//! Whoever looks for the least loaded of hundreds of backends reads all their counts. Were each on cache
//! lines of its own, that would be hundreds of lines to fetch, most of them changed by other workers since
//! the last time. So the counts of a large upstream stand side by side, up to 32 on a [`Line`]. Those of a
//! small one have a line each: there all workers count at few backends all the time, and on one line they
//! would wait for each other ("false sharing").
//!
//! A count stays where it is as long as somebody counts on it, over any number of snapshots. What a
//! backend leaves behind is not filled again: an upstream whose backends came one by one has a line for
//! each, and all works as well, only not as fast.

use std::ops::{Deref, Range};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use super::live::Live;

/// Counts on a line.
const SLOTS: usize = 32;
/// Lines over which new counts are spread before any is shared. The more lines, the less workers wait
/// for each other, and the longer a pass over all counts takes.
const SPREAD: usize = 32;

/// The counters of all backends of an upstream, by [`BackendIx::index`](crate::model::BackendIx).
#[derive(Debug)]
pub struct Lives {
    each: Box<[Arc<Live>]>,
    /// The same backends' counts of requests in flight, as they stand in memory.
    runs: Box<[Run]>,
}

impl Lives {
    /// `n` backends of which nothing is known yet.
    pub fn new(n: usize) -> Self {
        Self::succeed(std::iter::repeat_n(None, n))
    }

    /// The counters of a new list of backends: those of who was known before, and fresh ones for the
    /// others.
    pub fn succeed(known: impl IntoIterator<Item = Option<Arc<Live>>>) -> Self {
        let known: Vec<_> = known.into_iter().collect();
        let new = known.iter().filter(|live| live.is_none()).count();
        let mut fresh = Count::side_by_side(new).map(|count| Arc::new(Live::counting_on(count)));
        let each = known.into_iter().map(|live| live.or_else(|| fresh.next()).unwrap_or_default());
        let each: Box<[_]> = each.collect();
        Self { runs: runs(each.iter().map(|live| live.count())), each }
    }

    /// What is known at this moment, for whoever plays with it: what is counted there counts nowhere else.
    #[must_use]
    pub fn copied(&self) -> Self {
        Self::succeed(self.each.iter().map(|live| Some(Arc::new(live.copied()))))
    }

    /// The requests in flight of each, in order: as slices of those that are neighbours in memory.
    #[inline]
    pub(super) fn counts(&self) -> impl Iterator<Item = &[AtomicU32]> {
        self.runs.iter().map(|run| &run.line.0[run.slots.clone()])
    }
}

impl Deref for Lives {
    type Target = [Arc<Live>];

    #[inline]
    fn deref(&self) -> &Self::Target {
        &self.each
    }
}

/// A pair of cache lines, for processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line([AtomicU32; SLOTS]);

/// One backend's count of requests in flight: a slot on a line.
#[derive(Debug, Clone, Default)]
pub(super) struct Count {
    line: Arc<Line>,
    slot: usize,
}

impl Count {
    /// Counts for `n` backends of one upstream.
    fn side_by_side(n: usize) -> impl Iterator<Item = Self> {
        let on_a_line = (n / SPREAD).clamp(1, SLOTS);
        let mut line = Arc::default();
        (0..n).map(move |i| {
            let slot = i % on_a_line;
            if slot == 0 {
                line = Arc::default();
            }
            Self { line: Arc::clone(&line), slot }
        })
    }
}

impl Deref for Count {
    type Target = AtomicU32;

    #[inline]
    fn deref(&self) -> &AtomicU32 {
        &self.line.0[self.slot]
    }
}

/// Neighbours on a line.
#[derive(Debug)]
struct Run {
    line: Arc<Line>,
    slots: Range<usize>,
}

/// Counts in their order, taken together where they are neighbours.
fn runs<'a>(counts: impl Iterator<Item = &'a Count>) -> Box<[Run]> {
    let mut runs: Vec<Run> = Vec::new();
    for Count { line, slot } in counts {
        match runs.last_mut() {
            Some(run) if Arc::ptr_eq(&run.line, line) && run.slots.end == *slot => {
                run.slots.end += 1;
            }
            _ => runs.push(Run { line: Arc::clone(line), slots: *slot..slot + 1 }),
        }
    }
    runs.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::sync::atomic::Ordering::Relaxed;

    fn in_flight(lives: &Lives) -> Vec<u32> {
        lives.counts().flatten().map(|count| count.load(Relaxed)).collect()
    }

    fn lines(lives: &Lives) -> usize {
        let line = |live: &Arc<Live>| Arc::as_ptr(&live.count().line);
        lives.iter().map(line).collect::<BTreeSet<_>>().len()
    }

    #[test]
    fn few_share_no_line_and_many_stand_close() {
        assert_eq!((align_of::<Line>(), size_of::<Line>()), (128, 128));
        assert_eq!([1, 16, 63].map(|n| lines(&Lives::new(n))), [1, 16, 63]);
        assert_eq!([64, 512, 1_024, 10_000].map(|n| lines(&Lives::new(n))), [32, 32, 32, 313]);
        assert_eq!(Lives::new(512).runs.len(), 32);
    }

    #[test]
    fn counts_are_read_in_the_order_of_the_list() {
        for n in [0, 1, 70, 512] {
            let lives = Lives::new(n);
            let guards: Vec<_> = lives
                .iter()
                .enumerate()
                .flat_map(|(i, live)| (0..i % 5).map(|_| live.enter()))
                .collect();
            let expected: Vec<u32> = (0..n as u32).map(|i| i % 5).collect();
            assert_eq!(in_flight(&lives), expected);
            drop(guards);
            assert_eq!(in_flight(&lives), vec![0; n]);
        }
    }

    #[test]
    fn who_was_known_keeps_its_counters_wherever_it_stands() {
        let before = Lives::new(100);
        let _busy = [before[7].enter(), before[7].enter(), before[90].enter()];
        let known = [Some(&before[90]), None, Some(&before[7]), Some(&before[8]), None];
        let after = Lives::succeed(known.map(Option::<&_>::cloned));
        assert_eq!(in_flight(&after), [1, 0, 2, 0, 0]);
        assert!(Arc::ptr_eq(&after[3], &before[8]));
        // Two old neighbours, two new ones apart, and one from elsewhere.
        assert_eq!(after.runs.len(), 4);
    }
}

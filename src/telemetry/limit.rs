//! Series of limits: what became of requests.

use std::sync::Arc;

use super::cell::{Count, PerWorker};
use super::names;
use super::text::Text;
use crate::model::WorkerIx;

/// What became of a request at a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limited {
    /// It was within the limit.
    Passed,
    /// It had to wait until it was due.
    Delayed,
    /// It was refused.
    Refused,
}

impl Limited {
    const ALL: [Self; 3] = [Self::Passed, Self::Delayed, Self::Refused];

    /// The label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Delayed => "delayed",
            Self::Refused => "refused",
        }
    }
}

/// A limit's series.
#[derive(Debug)]
pub struct LimitSeries {
    name: String,
    cells: PerWorker<LimitCell>,
}

/// One worker's part of a limit's series; that worker is its only writer.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct LimitCell {
    results: [Count; Limited::ALL.len()],
}

impl LimitCell {
    /// A request was judged.
    #[inline]
    pub fn judged(&self, result: Limited) {
        self.results[result as usize].add(1);
    }
}

impl LimitSeries {
    pub(super) fn new(name: &str, workers: usize) -> Self {
        Self { name: name.to_owned(), cells: PerWorker::new(workers, |_| LimitCell::default()) }
    }

    /// The cell of `worker`.
    #[inline]
    pub fn worker(&self, worker: WorkerIx) -> &LimitCell {
        self.cells.of(worker)
    }

    pub(super) fn encode(all: &[Arc<Self>], text: &mut Text) {
        text.family(&names::LIMIT_REQUESTS, |samples| {
            for series in all {
                for result in Limited::ALL {
                    let count = series.cells.sum(|cell| &cell.results[result as usize]);
                    samples.count(&[&series.name, result.name()], count);
                }
            }
        });
    }
}

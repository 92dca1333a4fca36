//! A request in its route's books.

use std::time::Duration;

use tokio::time::Instant;

use crate::telemetry::RouteCell;

/// A request in its route's books. One that is never answered, because it was cut at the end of a
/// drain or its task panicked, is closed as a failure of ours.
pub(super) struct Books<'a> {
    cell: &'a RouteCell,
    started: Instant,
    open: bool,
}

impl<'a> Books<'a> {
    pub(super) fn open(cell: &'a RouteCell, started: Instant) -> Self {
        cell.begin();
        Self { cell, started, open: true }
    }

    pub(super) fn close(
        mut self,
        status: u16,
        took: Duration,
        request_bytes: u64,
        response_bytes: u64,
    ) {
        self.open = false;
        self.cell.finish(status, took, request_bytes, response_bytes);
    }
}

impl Drop for Books<'_> {
    fn drop(&mut self) {
        if self.open {
            self.cell.finish(500, self.started.elapsed(), 0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::WorkerIx;
    use crate::telemetry::Registry;

    #[tokio::test]
    async fn a_request_that_is_dropped_is_in_flight_no_more() {
        let series = Registry::new(1).route("web", "all");
        let books = Books::open(series.worker(WorkerIx(0)), Instant::now());
        assert_eq!(series.in_flight(), 1);
        drop(books);
        assert_eq!(series.in_flight(), 0);
        assert_eq!(series.requests()[4], ("5xx", 1));
        let books = Books::open(series.worker(WorkerIx(0)), Instant::now());
        books.close(200, Duration::ZERO, 0, 0);
        assert_eq!(series.in_flight(), 0);
        assert_eq!((series.requests()[1].1, series.requests()[4].1), (1, 1));
    }
}

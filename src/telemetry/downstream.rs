//! Series of listeners and routes: what happens towards clients.

use std::sync::Arc;
use std::time::Duration;

use super::cell::{Count, Histogram, PerWorker, bounded};
use super::exemplar::Exemplar;
use super::names;
use super::text::Text;
use crate::model::WorkerIx;

/// A listener's series.
#[derive(Debug)]
pub struct ListenerSeries {
    name: String,
    cells: PerWorker<ListenerCell>,
}

/// One worker's part of a listener's series; that worker is its only writer.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct ListenerCell {
    opened: Count,
    closed: Count,
    refused: Count,
}

impl ListenerCell {
    /// A connection was accepted.
    #[inline]
    pub fn connection_opened(&self) {
        self.opened.add(1);
    }

    /// An accepted connection ended.
    #[inline]
    pub fn connection_closed(&self) {
        self.closed.add(1);
    }

    /// A connection was closed at once because a limit was reached.
    #[inline]
    pub fn connection_refused(&self) {
        self.refused.add(1);
    }
}

impl ListenerSeries {
    pub(super) fn new(name: &str, workers: usize) -> Self {
        Self { name: name.to_owned(), cells: PerWorker::new(workers, |_| ListenerCell::default()) }
    }

    /// The cell of `worker`.
    #[inline]
    pub fn worker(&self, worker: WorkerIx) -> &ListenerCell {
        self.cells.of(worker)
    }

    /// Connections that are open.
    pub fn active(&self) -> u64 {
        self.cells.open(|cell| &cell.opened, |cell| &cell.closed)
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> u64 {
        self.cells.sum(|cell| &cell.opened)
    }

    /// Connections refused so far.
    pub fn refused(&self) -> u64 {
        self.cells.sum(|cell| &cell.refused)
    }

    pub(super) fn encode(all: &[Arc<Self>], text: &mut Text) {
        text.family(&names::LISTENER_CONNECTIONS_ACTIVE, |samples| {
            for series in all {
                samples.count(&[&series.name], series.active());
            }
        });
        text.family(&names::LISTENER_CONNECTIONS, |samples| {
            for series in all {
                samples.count(&[&series.name, "accepted"], series.accepted());
                samples.count(&[&series.name, "refused"], series.refused());
            }
        });
    }
}

/// Classes of status codes, as labels.
const CODES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The series of a route on one listener.
#[derive(Debug)]
pub struct RouteSeries {
    listener: String,
    route: String,
    cells: PerWorker<RouteCell>,
}

/// One worker's part of a route's series; that worker is its only writer.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct RouteCell {
    begun: Count,
    ended: Count,
    codes: [Count; CODES.len()],
    duration: Histogram,
    request_bytes: Count,
    response_bytes: Count,
}

impl RouteCell {
    /// A request was routed. Each call is followed by one of [`finish`](Self::finish).
    #[inline]
    pub fn begin(&self) {
        self.begun.add(1);
    }

    /// A request is over: the status sent (or logged in its place), the time it took, and the bytes
    /// of both bodies. Statuses outside of 100 to 599 count to the nearest class.
    #[inline]
    pub fn finish(&self, status: u16, took: Duration, request_bytes: u64, response_bytes: u64) {
        self.ended.add(1);
        self.codes[usize::from(status / 100).clamp(1, CODES.len()) - 1].add(1);
        self.duration.record(took);
        self.request_bytes.add(request_bytes);
        self.response_bytes.add(response_bytes);
    }

    /// A request that is over belongs to a trace that is recorded.
    pub fn exemplify(&self, one: Exemplar) {
        self.duration.exemplify(one);
    }
}

impl RouteSeries {
    pub(super) fn new(listener: &str, route: &str, workers: usize) -> Self {
        Self {
            listener: listener.to_owned(),
            route: route.to_owned(),
            cells: PerWorker::new(workers, |_| RouteCell::default()),
        }
    }

    /// The cell of `worker`.
    #[inline]
    pub fn worker(&self, worker: WorkerIx) -> &RouteCell {
        self.cells.of(worker)
    }

    /// Finished requests by class of status code: `("2xx", 17)` and so on.
    pub fn requests(&self) -> [(&'static str, u64); CODES.len()] {
        std::array::from_fn(|ix| (CODES[ix], self.cells.sum(|cell| &cell.codes[ix])))
    }

    /// How long finished requests took: up to each bound, how many; the last ones took longer than any.
    pub fn durations(&self) -> Vec<(Option<Duration>, u64)> {
        bounded(self.cells.distribution(|cell| &cell.duration).buckets)
    }

    /// Requests under way.
    pub fn in_flight(&self) -> u64 {
        self.cells.open(|cell| &cell.begun, |cell| &cell.ended)
    }

    pub(super) fn encode(all: &[Arc<Self>], text: &mut Text) {
        text.family(&names::REQUESTS, |samples| {
            for series in all {
                for (code, count) in series.requests() {
                    samples.count(&[&series.listener, &series.route, code], count);
                }
            }
        });
        text.family(&names::REQUEST_DURATION, |samples| {
            for series in all {
                let seen = series.cells.distribution(|cell| &cell.duration);
                samples.histogram(&[&series.listener, &series.route], &seen);
            }
        });
        text.family(&names::REQUESTS_IN_FLIGHT, |samples| {
            for series in all {
                samples.count(&[&series.listener, &series.route], series.in_flight());
            }
        });
        text.family(&names::REQUEST_BYTES, |samples| {
            for series in all {
                let bytes = series.cells.sum(|cell| &cell.request_bytes);
                samples.count(&[&series.listener, &series.route], bytes);
            }
        });
        text.family(&names::RESPONSE_BYTES, |samples| {
            for series in all {
                let bytes = series.cells.sum(|cell| &cell.response_bytes);
                samples.count(&[&series.listener, &series.route], bytes);
            }
        });
    }
}

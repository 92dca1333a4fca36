//! Places of the admin listener's connections. Who only holds one makes room for others, so that nobody
//! can keep an operator or a probe out by opening connections and saying nothing; and where nobody idles, who
//! has been busy for longest does: whose request waits for a drain, who does not send the rest of it, who does
//! not read the answer. What such a request has begun is ended all the same.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::Notify;

/// A connection that has idled for so long may have to go: what was just opened is about to say something.
const IDLE: Duration = Duration::from_secs(1);
/// So may one whose request has been under way for so long.
const BUSY: Duration = Duration::from_secs(5);

/// Places that are taken.
#[derive(Debug, Default)]
pub(super) struct Places(Vec<Weak<Place>>);

/// A connection's place.
#[derive(Debug)]
pub(super) struct Place {
    use_of_it: Mutex<Use>,
    leave: Notify,
}

#[derive(Debug, Clone, Copy)]
struct Use {
    /// A request is under way.
    busy: bool,
    /// Since when one is, or none is.
    since: Instant,
    /// There was a request.
    served: bool,
    /// It was asked to make room.
    leaves: bool,
}

impl Places {
    /// Gives a place away, until nobody holds it any more.
    pub(super) fn take(&mut self) -> Arc<Place> {
        let begun = Use { busy: false, since: Instant::now(), served: false, leaves: false };
        let place = Arc::new(Place { use_of_it: Mutex::new(begun), leave: Notify::new() });
        self.0.retain(|one| one.strong_count() > 0);
        self.0.push(Arc::downgrade(&place));
        place
    }

    /// Asks who idles for longest to leave, or where nobody does who has been busy for longest; unless somebody
    /// leaves already.
    pub(super) fn make_room(&self) {
        let with_use = |place: Arc<Place>| {
            let now = *place.lock();
            (now, place)
        };
        let places = self.0.iter().filter_map(Weak::upgrade);
        let places: Vec<_> = places.map(with_use).collect();
        if places.iter().any(|(now, _)| now.leaves) {
            return;
        }
        let longest = |busy| {
            let so = places.iter().filter(|(now, _)| now.busy == busy && now.lasts());
            so.min_by_key(|(now, _)| now.since)
        };
        if let Some((_, place)) = longest(false).or_else(|| longest(true)) {
            place.lock().leaves = true;
            place.leave.notify_one();
        }
    }
}

impl Use {
    /// Whether it has been so for long.
    fn lasts(self) -> bool {
        self.since.elapsed() >= if self.busy { BUSY } else { IDLE }
    }
}

impl Place {
    /// A request is under way until the guard is dropped.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        let mut now = self.lock();
        (now.busy, now.since, now.served) = (true, Instant::now(), true);
        drop(now);
        Busy(Arc::clone(self))
    }

    /// Whether there was a request.
    pub(super) fn has_served(&self) -> bool {
        self.lock().served
    }

    /// Ready when it is to make room. Gives whether there may be an answer that shall still get out.
    pub(super) async fn asked_to_leave(&self) -> bool {
        self.leave.notified().await;
        let now = *self.lock();
        now.served && !(now.busy && now.lasts())
    }

    fn lock(&self) -> MutexGuard<'_, Use> {
        self.use_of_it.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request is under way.
#[derive(Debug)]
pub(super) struct Busy(Arc<Place>);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut now = self.0.lock();
        (now.busy, now.since) = (false, Instant::now());
    }
}

/// The body of an answer, at whose end the request is over.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) body: axum::body::Body,
    pub(super) _busy: Busy,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

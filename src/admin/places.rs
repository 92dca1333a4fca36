//! Places of the admin listener's connections. Who only holds one makes room for others, so that nobody
//! can keep an operator or a probe out by opening connections and saying nothing.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::Notify;

/// Places that are taken.
#[derive(Debug, Default)]
pub(super) struct Places {
    taken: Vec<Weak<Place>>,
    /// Told when one of them idles again.
    idles: Arc<Notify>,
}

/// A connection's place.
#[derive(Debug)]
pub(super) struct Place {
    use_of_it: Mutex<Use>,
    leave: Notify,
    idles: Arc<Notify>,
}

#[derive(Debug, Clone, Copy)]
struct Use {
    /// Since when no request is under way; `None`: one is.
    idle_since: Option<Instant>,
    /// There was a request.
    served: bool,
    /// It was asked to make room.
    leaves: bool,
}

impl Places {
    /// Gives a place away, until nobody holds it any more.
    pub(super) fn take(&mut self) -> Arc<Place> {
        let begun = Use { idle_since: Some(Instant::now()), served: false, leaves: false };
        let place = Arc::new(Place {
            use_of_it: Mutex::new(begun),
            leave: Notify::new(),
            idles: Arc::clone(&self.idles),
        });
        self.taken.retain(|one| one.strong_count() > 0);
        self.taken.push(Arc::downgrade(&place));
        place
    }

    /// Asks who idles for longest to leave, unless somebody leaves already.
    pub(super) fn make_room(&self) {
        let places = || self.taken.iter().filter_map(Weak::upgrade);
        if places().any(|place| place.lock().leaves) {
            return;
        }
        let idle = places().filter_map(|place| {
            let since = place.lock().idle_since?;
            Some((since, place))
        });
        if let Some((_, place)) = idle.min_by_key(|(since, _)| *since) {
            place.lock().leaves = true;
            place.leave.notify_one();
        }
    }

    /// Ready when somebody idles again.
    pub(super) async fn one_idles(&self) {
        self.idles.notified().await;
    }
}

impl Place {
    /// A request is under way until the guard is dropped.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        let mut now = self.lock();
        (now.idle_since, now.served) = (None, true);
        drop(now);
        Busy(Arc::clone(self))
    }

    /// Ready when it is to make room. Gives whether it has had a request, whose answer may not be out yet.
    pub(super) async fn asked_to_leave(&self) -> bool {
        self.leave.notified().await;
        self.lock().served
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
        self.0.lock().idle_since = Some(Instant::now());
        self.0.idles.notify_one();
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

//! From the workers to the task that delivers.
//!
//! Handing over takes one atomic addition and a list without locks. How much waits is bounded by what
//! the configuration says at that moment, not by the list, so that it can change on a reload.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::mpsc;

use super::Span;
use crate::config::model::Tracing;

/// Spans of one request, and where they go as far as its worker knows.
pub(super) type Parcel = (Arc<Tracing>, Vec<Span>);

/// Where workers put spans.
#[derive(Debug, Clone)]
pub struct Outbox {
    to: mpsc::UnboundedSender<Parcel>,
    waiting: Arc<AtomicUsize>,
}

/// Where they come out.
#[derive(Debug)]
pub struct Inbox {
    from: mpsc::UnboundedReceiver<Parcel>,
    waiting: Arc<AtomicUsize>,
}

impl Outbox {
    /// An outbox, and where its spans come out.
    pub fn new() -> (Self, Inbox) {
        let ((to, from), waiting) = (mpsc::unbounded_channel(), Arc::<AtomicUsize>::default());
        (Self { to, waiting: Arc::clone(&waiting) }, Inbox { from, waiting })
    }

    /// Puts all of these in, or none: as many may wait as the settings say.
    ///
    /// # Errors
    /// They are too many, or nobody delivers any more. How many are lost.
    pub fn put(&self, spans: Vec<Span>, to: &Arc<Tracing>) -> Result<(), usize> {
        let count = spans.len();
        let waiting = self.waiting.fetch_add(count, Relaxed) + count;
        if waiting > to.queue || self.to.send((Arc::clone(to), spans)).is_err() {
            self.waiting.fetch_sub(count, Relaxed);
            return Err(count);
        }
        Ok(())
    }
}

impl Inbox {
    /// The next spans; they go on to count as waiting. `None`: there will be no more.
    pub(super) async fn next(&mut self) -> Option<Parcel> {
        self.from.recv().await
    }

    /// So many wait no longer, whatever became of them.
    pub(super) fn done(&self, count: usize) {
        self.waiting.fetch_sub(count, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::{Collector, Parent, Ratio};

    fn four() -> Arc<Tracing> {
        let collector = Collector {
            authority: "collector".to_owned(),
            host: "collector".to_owned(),
            port: 80,
            path: "/".to_owned(),
            tls: None,
            headers: Vec::new(),
            timeout: std::time::Duration::ZERO,
        };
        let (sample, parent) = (Ratio::of(1.0), Parent::None);
        Arc::new(Tracing { collector, sample, parent, resource: Vec::new(), queue: 4 })
    }

    #[tokio::test]
    async fn what_is_too_much_is_not_taken_and_what_is_done_makes_room() {
        let (outbox, mut inbox) = Outbox::new();
        let four = four();
        let put = |count| outbox.put(vec![Span::default(); count], &four);
        assert_eq!(put(3), Ok(()));
        assert_eq!(put(2), Err(2));
        assert_eq!(put(1), Ok(()));
        assert_eq!(inbox.next().await.unwrap().1.len(), 3);
        assert_eq!(put(1), Err(1), "what is being delivered counts too");
        inbox.done(3);
        assert_eq!(put(3), Ok(()));
        drop(outbox);
        assert_eq!(inbox.next().await.unwrap().1.len(), 1);
        assert_eq!(inbox.next().await.unwrap().1.len(), 3);
        assert!(inbox.next().await.is_none());
    }

    #[test]
    fn where_nobody_delivers_nothing_is_kept() {
        let (outbox, inbox) = Outbox::new();
        drop(inbox);
        assert_eq!(outbox.put(vec![Span::default()], &four()), Err(1));
        assert_eq!(outbox.waiting.load(Relaxed), 0);
    }
}

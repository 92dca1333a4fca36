//! The task that delivers: gathers spans into batches, tries again what may succeed later, and counts
//! what is lost.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::deliver::{Outcome, Way};
use super::outbox::{Inbox, Parcel};
use super::{Span, span};
use crate::config::model::Tracing;
use crate::snapshot::Reader;
use crate::telemetry::{Registry, SpansLost};

/// From so many spans on a batch is delivered at once.
const BATCH: usize = 512;
/// A batch waits so long to get larger.
const GATHER: Duration = Duration::from_secs(1);
/// A batch is tried again for so long.
const PATIENCE: Duration = Duration::from_mins(1);
/// The first pause between two tries; each one is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(16);

/// Delivers what comes out of `inbox` until there is no more of it. From when `ending` is true, nothing
/// is waited for: everything gets one try.
pub async fn export(
    inbox: Inbox,
    reader: Reader,
    registry: Arc<Registry>,
    ending: watch::Receiver<bool>,
) {
    let way = Way::default();
    let mut exporter = Exporter { inbox, reader, registry, ending, way, complained: false };
    while let Some((settings, batch)) = exporter.gather().await {
        let count = batch.len();
        exporter.deliver(&settings, batch).await;
        exporter.inbox.done(count);
    }
}

struct Exporter {
    inbox: Inbox,
    reader: Reader,
    registry: Arc<Registry>,
    ending: watch::Receiver<bool>,
    way: Way,
    /// It is in the log that nothing can be delivered.
    complained: bool,
}

impl Exporter {
    /// A batch, with the settings of the last request in it.
    async fn gather(&mut self) -> Option<Parcel> {
        let (mut settings, mut batch) = self.inbox.next().await?;
        let until = Instant::now() + GATHER;
        while batch.len() < BATCH && !*self.ending.borrow() {
            tokio::select! {
                more = self.inbox.next() => match more {
                    Some((later, more)) => {
                        settings = later;
                        batch.extend(more);
                    }
                    None => break,
                },
                () = sleep_until(until) => break,
                _ = self.ending.wait_for(|ending| *ending) => break,
            }
        }
        Some((settings, batch))
    }

    async fn deliver(&mut self, known: &Arc<Tracing>, batch: Vec<Span>) {
        let count = batch.len();
        let registry = Arc::clone(&self.registry);
        let process = registry.process();
        let body: Bytes = span::encode(&self.settings(known).resource, batch).into();
        let (since, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            // They may have changed while it was waited.
            let settings = self.settings(known);
            match self.way.deliver(&settings, body.clone()).await {
                Outcome::Taken { rejected } => {
                    let rejected = rejected.min(count);
                    process.spans_exported((count - rejected) as u64);
                    process.spans_lost(SpansLost::Rejected, rejected as u64);
                    return self.praise();
                }
                Outcome::Refused(why) => {
                    self.complain(&why);
                    return process.spans_lost(SpansLost::Refused, count as u64);
                }
                Outcome::Later(why, asked) => {
                    self.complain(&why);
                    // Not all processes shall come back at the same moment.
                    let own = pause.mul_f64(0.5 + fastrand::f64());
                    let until = Instant::now() + asked.unwrap_or(own);
                    if *self.ending.borrow() || until > since + PATIENCE {
                        return process.spans_lost(SpansLost::Unreachable, count as u64);
                    }
                    pause = (2 * pause).min(LONGEST_PAUSE);
                    tokio::select! {
                        () = sleep_until(until) => {}
                        _ = self.ending.wait_for(|ending| *ending) => {}
                    }
                }
            }
        }
    }

    /// The settings in force. Where tracing has been turned off, what is on its way still arrives by
    /// those that its worker knew.
    fn settings(&mut self, known: &Arc<Tracing>) -> Arc<Tracing> {
        Arc::clone(self.reader.current().tracing.as_ref().unwrap_or(known))
    }

    /// Says once that nothing can be delivered.
    fn complain(&mut self, why: &str) {
        if !std::mem::replace(&mut self.complained, true) {
            tracing::warn!(why, "spans cannot be delivered");
        }
    }

    /// Says that it can again.
    fn praise(&mut self) {
        if std::mem::take(&mut self.complained) {
            tracing::info!("spans are delivered again");
        }
    }
}

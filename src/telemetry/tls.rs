//! Series of a listener's TLS: how handshakes end, and until when certificates are valid.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::cell::{Count, PerWorker};
use super::names;
use super::text::Text;
use crate::model::WorkerIx;

/// How a TLS handshake ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    /// It was done in full.
    Full,
    /// It went on from an earlier session.
    Resumed,
    /// What came was none, or the two sides did not agree.
    Failed,
    /// It was not done in time.
    TimedOut,
}

impl Handshake {
    const ALL: [Self; 4] = [Self::Full, Self::Resumed, Self::Failed, Self::TimedOut];

    /// The label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Resumed => "resumed",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
        }
    }
}

/// The TLS series of a listener.
#[derive(Debug)]
pub struct TlsSeries {
    listener: String,
    cells: PerWorker<TlsCell>,
    /// What each certificate is called, and until when it is valid. Only reloads and scrapes look.
    certificates: Mutex<Vec<(String, Duration)>>,
}

/// One worker's part of a listener's TLS series; that worker is its only writer.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct TlsCell {
    handshakes: [Count; Handshake::ALL.len()],
}

impl TlsCell {
    /// A handshake ended.
    pub fn handshake(&self, outcome: Handshake) {
        self.handshakes[outcome as usize].add(1);
    }
}

impl TlsSeries {
    pub(super) fn new(listener: &str, workers: usize) -> Self {
        Self {
            listener: listener.to_owned(),
            cells: PerWorker::new(workers, |_| TlsCell::default()),
            certificates: Mutex::default(),
        }
    }

    /// The cell of `worker`.
    pub fn worker(&self, worker: WorkerIx) -> &TlsCell {
        self.cells.of(worker)
    }

    /// The listener shows these certificates from now on: what each is called, and until when it is
    /// valid, since 1970.
    pub fn set_certificates(&self, certificates: Vec<(String, Duration)>) {
        *self.certificates.lock().unwrap_or_else(PoisonError::into_inner) = certificates;
    }

    pub(super) fn encode(all: &[Arc<Self>], text: &mut Text) {
        text.family(&names::LISTENER_HANDSHAKES, |samples| {
            for series in all {
                for outcome in Handshake::ALL {
                    let count = series.cells.sum(|cell| &cell.handshakes[outcome as usize]);
                    samples.count(&[&series.listener, outcome.name()], count);
                }
            }
        });
        text.family(&names::CERTIFICATE_EXPIRY, |samples| {
            for series in all {
                let certificates =
                    series.certificates.lock().unwrap_or_else(PoisonError::into_inner);
                for (name, until) in &*certificates {
                    samples.value(&[&series.listener, name], until.as_secs_f64());
                }
            }
        });
    }
}

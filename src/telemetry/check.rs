//! A check on one backend: how often it was asked, and what it found last.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::backend::Status;
use super::cell::Count;
use crate::model::{BackendState, ProbedState, Tick};

/// The series of one check on one backend. Control writes, status requests and scrapes read; no request
/// of the data plane comes here.
#[derive(Debug)]
pub struct CheckSeries {
    name: String,
    ok: Count,
    failed: Count,
    now: Mutex<CheckNow>,
}

/// How a check stands.
#[derive(Debug, Clone, Default)]
pub struct CheckNow {
    /// Its verdict.
    pub state: ProbedState,
    /// The last result; `None`: there was none yet.
    pub last: Option<LastProbe>,
    /// When it is asked next; `None`: it is being asked, or it is made of others.
    pub next: Option<Tick>,
}

/// The result of a probe.
#[derive(Debug, Clone)]
pub struct LastProbe {
    /// It spoke for the backend.
    pub ok: bool,
    /// What it found, in words.
    pub why: String,
    /// How long it took.
    pub took: Duration,
    /// When it ended.
    pub at: Tick,
}

impl CheckSeries {
    pub(super) fn new(name: &str) -> Self {
        let (ok, failed) = (Count::default(), Count::default());
        Self { name: name.to_owned(), ok, failed, now: Mutex::default() }
    }

    /// The check's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Notes a result.
    pub fn probed(&self, last: LastProbe) {
        if last.ok { &self.ok } else { &self.failed }.add_shared(1);
        self.lock().last = Some(last);
    }

    /// Notes its verdict, and when it is asked next.
    pub fn stands(&self, state: ProbedState, next: Option<Tick>) {
        let mut now = self.lock();
        (now.state, now.next) = (state, next);
    }

    /// How it stands.
    pub fn now(&self) -> CheckNow {
        self.lock().clone()
    }

    /// Probes that went well, and probes that did not.
    pub fn counts(&self) -> (u64, u64) {
        (self.ok.get(), self.failed.get())
    }

    /// Its verdict as a number, of the kind that backends have.
    pub(super) fn status(&self) -> Status {
        Status::of(BackendState { probed: self.lock().state, ..BackendState::default() })
    }

    fn lock(&self) -> MutexGuard<'_, CheckNow> {
        // Every write leaves it whole.
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The checks of a backend.
#[derive(Debug, Default)]
pub(super) struct CheckTable(Mutex<Vec<Arc<CheckSeries>>>);

impl CheckTable {
    /// The series of these checks and no others; one that is there already goes on.
    pub(super) fn set<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<Arc<CheckSeries>> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |name: &str| {
            let known = table.iter().find(|one| one.name == name);
            known.map_or_else(|| Arc::new(CheckSeries::new(name)), Arc::clone)
        };
        *table = names.map(of).collect();
        table.clone()
    }

    pub(super) fn all(&self) -> Vec<Arc<CheckSeries>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

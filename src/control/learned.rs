//! What a process knew of its backends, for the one that takes its place: that one does not send requests
//! to backends again that were down or parked a moment ago, and asks nobody to prove again that it is up.

use std::time::Duration;

use ahash::AHashMap;

use crate::control::writer::{Control, Due};
use crate::model::{BackendId, BackendIx, BackendState, Clock, PassiveState, ProbedState, Tick};
use crate::policy::parking::Record;
use crate::snapshot::Snapshot;
use crate::snapshot::build::{Identities, known_as};

/// What was known of a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Learned {
    /// The name of its upstream.
    pub upstream: String,
    /// What it is known by within it.
    pub backend: String,
    /// What probes said.
    pub probed: ProbedState,
    /// How long it is still to be left alone for its failures; zero: its trial is due.
    pub parked_for: Option<Duration>,
}

/// What is known of the backends of a snapshot, of those of which anything is.
pub fn learned(snapshot: &Snapshot) -> Vec<Learned> {
    let now = Clock::now();
    let backends = snapshot.upstreams.iter().flat_map(|upstream| {
        (0..).map(BackendIx).zip(&upstream.backends).map(move |(ix, backend)| Learned {
            upstream: upstream.name.clone(),
            backend: known_as(upstream.declared(ix), &backend.label, &backend.address),
            probed: backend.state.probed,
            parked_for: match backend.state.passive {
                PassiveState::Ok => None,
                PassiveState::Parked { until } => Some(until.since(now)),
                PassiveState::Trial => Some(Duration::ZERO),
            },
        })
    });
    let nothing = |one: &Learned| {
        matches!(one.probed, ProbedState::Unprobed | ProbedState::Checking)
            && one.parked_for.is_none()
    };
    backends.filter(|one| !nothing(one)).collect()
}

/// What was learned, by the ids of this process.
#[derive(Debug, Default)]
pub(super) struct Recalled(AHashMap<BackendId, BackendState>);

impl Recalled {
    pub(super) fn new(learned: Vec<Learned>, identities: &mut Identities, now: Tick) -> Self {
        let states = learned.into_iter().map(|one| {
            let id = identities.backend(&one.upstream, &one.backend);
            let until = one.parked_for.map(|pause| now.after(pause));
            let passive = until.map_or(PassiveState::Ok, |until| PassiveState::Parked { until });
            (id, BackendState { probed: one.probed, passive, ..BackendState::default() })
        });
        Self(states.collect())
    }

    pub(super) fn state(&self, id: BackendId) -> Option<BackendState> {
        self.0.get(&id).copied()
    }
}

impl Control {
    /// Goes on with the pauses of backends that were parked before this process was there.
    pub(super) fn resume_pauses(&mut self, recalled: &Recalled, now: Tick) {
        for id in recalled.0.keys() {
            let Some(tracked) = self.backends.get_mut(*id) else { continue };
            if let PassiveState::Parked { until } = tracked.state.passive {
                tracked.record = Record::parked(until.since(now));
                self.timers.set(Due::Passive(*id), until);
            }
        }
    }
}

//! What the loop notes of what happens, for whoever asks why (`plimsoll why`).

use std::borrow::Cow;
use std::time::SystemTime;

use crate::control::writer::Control;
use crate::model::{BackendIx, Generation, UpstreamIx};
use crate::telemetry::Happened;

/// What is told of something that happened.
#[derive(Debug, Clone)]
pub(super) struct Told {
    /// What it is, such as `backend.parked`.
    pub(super) kind: &'static str,
    /// Who brought it about.
    pub(super) actor: Cow<'static, str>,
    /// Why.
    pub(super) cause: String,
    /// What comes next.
    pub(super) next: String,
}

impl Control {
    /// Notes what happens to a backend of the present snapshot, or to an upstream as a whole. It is part
    /// of the next generation.
    pub(super) fn note(&self, place: (UpstreamIx, Option<BackendIx>), told: Told) {
        self.note_in(self.snapshot.generation.next(), place, told);
    }

    /// Notes what the present generation brings.
    pub(super) fn note_now(&self, place: (UpstreamIx, Option<BackendIx>), told: Told) {
        self.note_in(self.snapshot.generation, place, told);
    }

    fn note_in(
        &self,
        generation: Generation,
        (place, ix): (UpstreamIx, Option<BackendIx>),
        told: Told,
    ) {
        let upstream = self.snapshot.upstream(place);
        self.registry.history().note(Happened {
            number: 0,
            at: SystemTime::now(),
            generation,
            upstream: Some(upstream.name.clone()),
            backend: ix.map(|ix| upstream.backends[ix.index()].label.clone()),
            kind: told.kind,
            actor: told.actor,
            cause: told.cause,
            next: told.next,
        });
    }
}

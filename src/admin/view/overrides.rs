//! `/api/v1/ha/overrides`: what operators say beside the configuration.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::control::{Added, By, Override, Removed, Said, Word};
use crate::telemetry::at_utc;

/// `/api/v1/ha/overrides`.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct Overrides {
    #[serde(rename = "overrides")]
    words: Vec<OverrideView>,
    added: Vec<AddedView>,
    removed: Vec<RemovedView>,
}

/// A word on a backend.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct OverrideView {
    upstream: String,
    backend: String,
    /// Its weight in place of the file's; `null`: this says nothing of it.
    weight: Option<u32>,
    /// Its admin state in place of the file's; `null`: this says nothing of it.
    state: Option<&'static str>,
    #[serde(flatten)]
    by: ByView,
}

#[derive(Debug, Serialize)]
struct AddedView {
    upstream: String,
    address: String,
    weight: u32,
    tier: u8,
    max_connections: u32,
    #[serde(flatten)]
    by: ByView,
}

#[derive(Debug, Serialize)]
struct RemovedView {
    upstream: String,
    backend: String,
    #[serde(flatten)]
    by: ByView,
}

#[derive(Debug, Serialize)]
struct ByView {
    actor: String,
    reason: String,
    since: String,
    /// `null`: until it is taken back.
    until: Option<String>,
}

impl ByView {
    fn of(by: &By) -> Self {
        let at = |ms| {
            at_utc(
                UNIX_EPOCH.checked_add(Duration::from_millis(ms)).unwrap_or(SystemTime::UNIX_EPOCH),
            )
        };
        Self {
            actor: by.actor.clone(),
            reason: by.reason.clone(),
            since: at(by.since),
            until: by.until.map(at),
        }
    }
}

impl OverrideView {
    pub(in crate::admin) fn of(one: &Override) -> Self {
        let (weight, state) = match one.word {
            Word::Weight(weight) => (Some(weight.value()), None),
            Word::State(state) => (None, Some(state.name())),
        };
        let (upstream, backend) = (one.upstream.clone(), one.backend.clone());
        Self { upstream, backend, weight, state, by: ByView::of(&one.by) }
    }
}

impl Overrides {
    pub(in crate::admin) fn of(said: &Said) -> Self {
        let added = |one: &Added| AddedView {
            upstream: one.upstream.clone(),
            address: one.address.clone(),
            weight: one.weight.value(),
            tier: one.tier,
            max_connections: one.max_connections,
            by: ByView::of(&one.by),
        };
        let removed = |one: &Removed| RemovedView {
            upstream: one.upstream.clone(),
            backend: one.backend.clone(),
            by: ByView::of(&one.by),
        };
        Self {
            words: said.overrides.iter().map(OverrideView::of).collect(),
            added: said.added.iter().map(added).collect(),
            removed: said.removed.iter().map(removed).collect(),
        }
    }
}

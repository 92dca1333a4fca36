//! Outliers: what was counted of the backends lately is looked at, and who stands out is parked.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use ahash::AHashMap;
use tracing::warn;

use crate::control::history::Told;
use crate::control::writer::{Control, Due};
use crate::model::{AdminState, BackendId, BackendIx, PassiveState, Tick, UpstreamId, UpstreamIx};
use crate::policy::ejection::{self, Facts, Outlier};
use crate::policy::parking::News;
use crate::policy::{BUCKETS, Counts, Window};
use crate::snapshot::{Backend, Upstream};
use crate::telemetry::Ejected;

/// What was counted lately, by upstream that looks for outliers and by backend.
#[derive(Debug, Default)]
pub(super) struct Windows(AHashMap<UpstreamId, AHashMap<BackendId, Window>>);

/// What was counted of a backend since it is known.
fn counts(backend: &Backend) -> Counts {
    let (judged, failed) = backend.series.verdicts();
    Counts { judged, failed }
}

/// What was counted of all backends of an upstream together since somebody wants to know.
#[derive(Debug, Default)]
pub(super) struct Sums {
    all: Counts,
    /// What was counted of each.
    seen: AHashMap<BackendId, Counts>,
}

impl Sums {
    /// Takes up what was counted of the backends since the last time, and gives the sums. A backend that
    /// is new or came back counts from then on.
    pub(super) fn count(&mut self, upstream: &Upstream) -> Counts {
        let before = mem::take(&mut self.seen);
        for backend in &upstream.backends {
            let now = counts(backend);
            let was = before.get(&backend.id).copied().unwrap_or(now);
            let grown = Counts {
                judged: now.judged.saturating_sub(was.judged),
                failed: now.failed.saturating_sub(was.failed),
            };
            self.all = self.all + grown;
            self.seen.insert(backend.id, now);
        }
        self.all
    }

    /// The sums until the last time.
    pub(super) fn sum(&self) -> Counts {
        self.all
    }
}

/// How often outliers are looked for.
fn step(window: Duration) -> Duration {
    window / BUCKETS as u32
}

impl Control {
    /// Begins to look for outliers where that is asked for, and ends it where it is not any more.
    pub(super) fn watch_outliers(&mut self, now: Tick) {
        let snapshot = Arc::clone(&self.snapshot);
        let asked = |id| {
            let mut upstreams = snapshot.upstreams.iter();
            upstreams.any(|upstream| upstream.id == id && upstream.ejection().is_some())
        };
        let timers = &mut self.timers;
        self.windows.0.retain(|id, _| {
            let stays = asked(*id);
            if !stays {
                timers.clear(&Due::Outliers(*id));
            }
            stays
        });
        for upstream in &snapshot.upstreams {
            let Some(rules) = upstream.ejection() else { continue };
            let windows = self.windows.0.entry(upstream.id).or_insert_with(|| {
                self.timers.set(Due::Outliers(upstream.id), now.after(step(rules.window)));
                AHashMap::new()
            });
            windows.retain(|id, _| upstream.backends.iter().any(|one| one.id == *id));
            for backend in &upstream.backends {
                windows.entry(backend.id).or_insert_with(|| Window::new(counts(backend)));
            }
        }
    }

    /// Looks for outliers of an upstream, and parks them.
    pub(super) fn look_for_outliers(&mut self, id: UpstreamId, now: Tick) {
        let snapshot = Arc::clone(&self.snapshot);
        let Some((place, upstream, rules)) =
            (0..).map(UpstreamIx).zip(&snapshot.upstreams).find_map(|(place, upstream)| {
                let rules = upstream.ejection().filter(|_| upstream.id == id)?;
                Some((place, upstream, *rules))
            })
        else {
            return;
        };
        self.timers.set(Due::Outliers(id), now.after(step(rules.window)));
        let (places, facts) = self.facts(upstream);
        for outlier in ejection::decide(&facts, &rules) {
            let ix = places[outlier.place];
            let backend = &upstream.backends[ix.index()];
            if let Some(window) =
                self.windows.0.get_mut(&id).and_then(|all| all.get_mut(&backend.id))
            {
                // What was judged once is not judged again, whatever comes of it.
                window.clear();
            }
            self.stands_out((place, upstream), ix, outlier, rules.dry_run, now);
        }
    }

    /// What is known of the backends that the operator has in service.
    fn facts(&mut self, upstream: &Upstream) -> (Vec<BackendIx>, Vec<Facts>) {
        let windows = self.windows.0.entry(upstream.id).or_default();
        let mut known = (Vec::new(), Vec::new());
        for (ix, backend) in (0..).map(BackendIx).zip(&upstream.backends) {
            let sums = counts(backend);
            let window = windows.entry(backend.id).or_insert_with(|| Window::new(sums));
            window.tick(sums);
            let state = self.backends.state(backend.id).unwrap_or(backend.state);
            if state.admin != AdminState::Enabled {
                continue;
            }
            let out = state.passive != PassiveState::Ok;
            if out {
                // It is judged by what it does once it is back.
                window.clear();
            }
            known.0.push(ix);
            known.1.push(Facts { out, window: window.sum(), in_a_row: window.in_a_row() });
        }
        known
    }

    fn stands_out(
        &mut self,
        (place, upstream): (UpstreamIx, &Upstream),
        ix: BackendIx,
        outlier: Outlier,
        dry_run: bool,
        now: Tick,
    ) {
        let backend = &upstream.backends[ix.index()];
        let (reason, why) = (outlier.reason.name(), outlier.reason.to_string());
        let (ejected, kind, but) = match (dry_run, outlier.capped) {
            (true, _) => (Ejected::DryRun, "backend.would_be_ejected", "only told of (dry_run)"),
            (_, true) => (Ejected::Capped, "backend.not_ejected", "too many are out already"),
            (false, false) => (Ejected::Parked, "", ""),
        };
        if ejected != Ejected::Parked {
            backend.series.ejected(ejected, reason);
            // As long as requests fail, this is found with every few of them.
            if !self.backends.is_told_again(backend.id, now) {
                return;
            }
            let (upstream, label) = (&upstream.name, &backend.label);
            warn!(upstream, backend = label, cause = why, "outlier not ejected: {but}");
            let told = Told {
                kind,
                actor: "policy".into(),
                cause: format!("{why}; {but}"),
                next: String::new(),
            };
            return self.note((place, Some(ix)), told);
        }
        self.eject(backend, reason, format!("outlier: {why}"), now);
    }

    /// Parks a backend unless no other is left, and counts it.
    pub(super) fn eject(
        &mut self,
        backend: &Backend,
        reason: &'static str,
        why: String,
        now: Tick,
    ) {
        self.judge(backend.id, now, News::FailuresCrossed, |_| why);
        let state = self.backends.state(backend.id).map(|state| state.passive);
        let is_parked = matches!(state, Some(PassiveState::Parked { .. }));
        let ejected = if is_parked { Ejected::Parked } else { Ejected::Capped };
        backend.series.ejected(ejected, reason);
    }
}

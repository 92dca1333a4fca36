//! Hung backends: those that owe answers and give none are parked before their victims time out.
//!
//! `policy::hung` says which; here the facts are gathered, from counters that are there anyway.

use std::sync::Arc;

use ahash::AHashMap;

use crate::control::writer::{Control, Due};
use crate::model::{AdminState, BackendId, BackendIx, PassiveState, Tick, UpstreamId};
use crate::policy::hung::{Facts, Group, News, STEP, Standing};
use crate::policy::parking;
use crate::snapshot::Upstream;
use crate::telemetry::Ejected;

/// What was seen of upstreams whose backends may hang.
#[derive(Debug, Default)]
pub(super) struct Silences(AHashMap<UpstreamId, Group>);

/// Whether its backends are looked at: a single one is never taken out.
fn is_watched(upstream: &Upstream) -> bool {
    upstream.passive.hung.is_some() && upstream.backends.len() > 1
}

impl Control {
    /// Begins to look for hung backends where that is asked for, and ends it where it is not any more.
    pub(super) fn watch_for_silence(&mut self, now: Tick) {
        let watched = self.snapshot.upstreams.iter().filter(|upstream| is_watched(upstream));
        let watched: Vec<_> = watched.map(|upstream| upstream.id).collect();
        self.silences.0.retain(|id, _| watched.contains(id));
        if watched.is_empty() {
            self.timers.clear(&Due::Silence);
        } else if !self.timers.contains(&Due::Silence) {
            self.timers.set(Due::Silence, now.after(STEP));
        }
        for id in watched {
            self.silences.0.entry(id).or_insert_with(|| Group::new(now));
        }
    }

    /// Looks at all upstreams whose backends may hang.
    pub(super) fn listen_for_silence(&mut self, now: Tick) {
        self.timers.set(Due::Silence, now.after(STEP));
        let snapshot = Arc::clone(&self.snapshot);
        for upstream in &snapshot.upstreams {
            let facts = self.debts(upstream);
            let (Some(group), Some(rules)) =
                (self.silences.0.get_mut(&upstream.id), &upstream.passive.hung)
            else {
                continue;
            };
            for (id, news) in group.look(&facts, &upstream.series.first_bytes(), rules, now) {
                self.take_silence(upstream, id, news, now);
            }
        }
    }

    /// What the backends owe that the operator has in service.
    fn debts(&self, upstream: &Upstream) -> Vec<Facts> {
        let mut facts = Vec::with_capacity(upstream.backends.len());
        for (backend, live) in upstream.backends.iter().zip(&*upstream.live) {
            let state = self.backends.state(backend.id).unwrap_or(backend.state);
            if state.admin != AdminState::Enabled {
                continue;
            }
            let standing = match state.passive {
                PassiveState::Ok => Standing::InService,
                PassiveState::Parked { .. } => Standing::Parked,
                PassiveState::Trial => Standing::OnTrial,
            };
            let (given, under_way) = backend.series.answers();
            let owed = u64::from(live.in_flight()).saturating_sub(under_way);
            facts.push(Facts { id: backend.id, standing, owed, given });
        }
        facts
    }

    fn take_silence(&mut self, upstream: &Upstream, id: BackendId, news: News, now: Tick) {
        match news {
            News::Hangs(silence) => {
                if let Some(BackendIx(ix)) = upstream.place_of(id) {
                    upstream.backends[ix as usize].series.ejected(Ejected::Parked, "hung");
                }
                let why = format!("it hangs: {silence}");
                self.judge(id, now, parking::News::FailuresCrossed, |_| why);
            }
            News::TrialHangs(silence) => {
                let why = format!("the trial request hangs: {silence}");
                self.judge(id, now, parking::News::TrialEnded { ok: false }, |_| why);
            }
            News::Answers => self.judge(id, now, parking::News::Answered, |_| {
                "it has answered what it owed".to_owned()
            }),
        }
    }
}

//! Hung backends: those that owe answers and give none are parked before their victims time out.
//!
//! `policy::hung` says which; here the facts are gathered, from counters that are there anyway.

use std::sync::Arc;

use ahash::AHashMap;

use crate::control::writer::{Control, Due};
use crate::model::{AdminState, BackendId, PassiveState, Tick, UpstreamId};
use crate::policy::hung::{Facts, Group, News, STEP, Standing};
use crate::policy::parking;
use crate::snapshot::Upstream;
use crate::telemetry::BackendSeries;

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
            let Some(rules) = upstream.passive.hung else { continue };
            let (facts, series) = self.debts(upstream);
            let Some(group) = self.silences.0.get_mut(&upstream.id) else { continue };
            let answers = upstream.series.first_bytes();
            let own = |place: usize| series[place].first_bytes();
            for (id, news) in group.look(&facts, &answers, own, &rules, now) {
                self.take_silence(upstream, id, news, now);
            }
        }
    }

    /// What the backends owe that the operator has in service, and the series of each.
    fn debts<'u>(&self, upstream: &'u Upstream) -> (Vec<Facts>, Vec<&'u BackendSeries>) {
        let facts = upstream.backends.iter().zip(&*upstream.live).filter_map(|(backend, live)| {
            let state = self.backends.state(backend.id).unwrap_or(backend.state);
            if state.admin != AdminState::Enabled {
                return None;
            }
            let standing = match state.passive {
                PassiveState::Ok => Standing::InService,
                PassiveState::Parked { .. } => Standing::Parked,
                PassiveState::Trial => Standing::OnTrial,
            };
            let (given, under_way) = backend.series.answers();
            let facts = Facts {
                id: backend.id,
                standing,
                asked: backend.series.started(),
                owed: u64::from(live.in_flight()).saturating_sub(under_way),
                given,
                in_vain: backend.series.in_vain(),
            };
            Some((facts, &*backend.series))
        });
        facts.unzip()
    }

    fn take_silence(&mut self, upstream: &Upstream, id: BackendId, news: News, now: Tick) {
        match news {
            News::Hangs(silence) => {
                let Some(ix) = upstream.place_of(id) else { return };
                let why = format!("it hangs: {silence}");
                self.eject(&upstream.backends[ix.index()], "hung", why, now);
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

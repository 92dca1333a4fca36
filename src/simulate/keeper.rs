//! What is known of the backends, and the snapshot that says so: the part of `control`, in virtual time.

use std::time::Duration;

use crate::health::passive::{self, Ruling, Trial};
use crate::model::{BackendId, BackendIx, BackendState, PassiveState, Tick, UpstreamIx};
use crate::policy::ejection::{self, Facts};
use crate::policy::hung::{self, Group, Standing};
use crate::policy::pause::Relapses;
use crate::policy::{BUCKETS, Counts, Window};
use crate::snapshot::build::Offline;
use crate::snapshot::{Snapshot, Upstream};

/// Who looks after the backends of one upstream.
pub(super) struct Keeper<'c> {
    offline: Offline<'c>,
    place: UpstreamIx,
    pub(super) snapshot: Snapshot,
    known: Vec<Known>,
    silences: Group,
}

#[derive(Debug)]
struct Known {
    id: BackendId,
    state: BackendState,
    relapses: Relapses,
    passed: u32,
    sums: Counts,
    window: Window,
}

/// A backend was parked, or is on trial from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// Until then.
    Parked(Tick),
    /// It serves again, or a trial is on offer.
    Back,
}

impl<'c> Keeper<'c> {
    /// Everybody works.
    pub(super) fn new(mut offline: Offline<'c>, name: &str) -> Option<Self> {
        let snapshot = offline.build(&|_| None);
        let place = snapshot.upstreams.iter().position(|one| one.name == name)?;
        let backends = &snapshot.upstreams[place].backends;
        let known = backends.iter().map(|backend| Known {
            id: backend.id,
            state: backend.state,
            relapses: Relapses::default(),
            passed: 0,
            sums: Counts::default(),
            window: Window::new(Counts::default()),
        });
        let known = known.collect();
        let place = UpstreamIx(place.try_into().ok()?);
        Some(Self { offline, place, snapshot, known, silences: Group::new(Tick(0)) })
    }

    pub(super) fn upstream(&self) -> &Upstream {
        self.snapshot.upstream(self.place)
    }

    /// An attempt said something of its backend.
    pub(super) fn count(&mut self, ix: BackendIx, failed: bool) {
        let sums = &mut self.known[ix.index()].sums;
        sums.judged += 1;
        sums.failed += u64::from(failed);
    }

    /// Too many attempts failed.
    pub(super) fn crossed(&mut self, ix: BackendIx, now: Tick) -> Option<News> {
        self.judge(ix, now, |state, others, pause| {
            passive::failures_crossed(state, others, now, pause)
        })
    }

    /// A trial ended.
    pub(super) fn trial_ended(&mut self, ix: BackendIx, ok: bool, now: Tick) -> Option<News> {
        let needed = self.upstream().passive.trials;
        let known = &mut self.known[ix.index()];
        known.passed = if ok { known.passed + 1 } else { 0 };
        let trial = match ok {
            true if known.passed >= needed => Trial::Passed,
            true => Trial::OneOfMore,
            false => Trial::Failed,
        };
        self.judge(ix, now, |state, others, pause| {
            passive::trial_ended(state, trial, others, now, pause)
        })
    }

    /// A pause is over.
    pub(super) fn pause_ended(&mut self, ix: BackendIx, now: Tick) {
        self.known[ix.index()].passed = 0;
        self.judge(ix, now, |state, _, _| passive::pause_ended(state, now));
    }

    /// How often outliers are looked for, if they are.
    pub(super) fn look(&self) -> Option<Duration> {
        Some(self.upstream().ejection()?.window / BUCKETS as u32)
    }

    /// Looks for outliers; gives those that are parked.
    pub(super) fn outliers(&mut self, now: Tick) -> Vec<(BackendIx, News)> {
        let Some(rules) = self.upstream().ejection().copied() else {
            return Vec::new();
        };
        let facts = self.known.iter_mut().map(|known| {
            known.window.tick(known.sums);
            let out = known.state.passive != PassiveState::Ok;
            if out {
                known.window.clear();
            }
            Facts { out, window: known.window.sum(), in_a_row: known.window.in_a_row() }
        });
        let facts: Vec<_> = facts.collect();
        let mut ejected = Vec::new();
        for outlier in ejection::decide(&facts, &rules) {
            self.known[outlier.place].window.clear();
            let ix = BackendIx(outlier.place as u32);
            if !outlier.capped
                && !rules.dry_run
                && let Some(news) = self.crossed(ix, now)
            {
                ejected.push((ix, news));
            }
        }
        ejected
    }

    /// How often hung backends are looked for, if they are.
    pub(super) fn listen(&self) -> Option<Duration> {
        self.upstream().passive.hung.map(|_| hung::STEP)
    }

    /// Looks for hung backends; gives what becomes of them.
    pub(super) fn silent(&mut self, now: Tick) -> Vec<(BackendIx, News)> {
        let upstream = self.snapshot.upstream(self.place);
        let Some(rules) = upstream.passive.hung else { return Vec::new() };
        let backends = upstream.backends.iter().zip(&*upstream.live).zip(&self.known);
        let facts: Vec<_> = backends
            .map(|((backend, live), known)| {
                let standing = match known.state.passive {
                    PassiveState::Ok => Standing::InService,
                    PassiveState::Parked { .. } => Standing::Parked,
                    PassiveState::Trial => Standing::OnTrial,
                };
                let (given, _) = backend.series.answers();
                hung::Facts { id: backend.id, standing, owed: live.in_flight().into(), given }
            })
            .collect();
        let found = self.silences.look(&facts, &upstream.series.first_bytes(), &rules, now);
        let mut news = Vec::new();
        for (id, found) in found {
            let Some(place) = self.known.iter().position(|one| one.id == id) else { continue };
            let ix = BackendIx(place as u32);
            let became = self.judge(ix, now, |state, others, pause| match found {
                hung::News::Hangs(_) => passive::failures_crossed(state, others, now, pause),
                hung::News::TrialHangs(_) => {
                    passive::trial_ended(state, Trial::Failed, others, now, pause)
                }
                hung::News::Answers => passive::answers(state),
            });
            news.extend(became.map(|became| (ix, became)));
        }
        news
    }

    /// Asks `rule` what becomes of a backend, and does it.
    fn judge(
        &mut self,
        ix: BackendIx,
        now: Tick,
        rule: impl FnOnce(PassiveState, bool, Duration) -> Ruling,
    ) -> Option<News> {
        let upstream = self.snapshot.upstream(self.place);
        let base = upstream.backends[ix.index()].limits.fail_timeout;
        let known = &self.known[ix.index()];
        let mut relapses = known.relapses;
        let pause = relapses.out(base, upstream.passive.max_pause, now, 0.5);
        let state = |id| self.known.iter().find(|one| one.id == id).map(|one| one.state);
        let others = upstream.stands_without(known.id, state);
        let next = match rule(known.state.passive, others, pause) {
            Ruling::Stays | Ruling::LastOneLeft => return None,
            Ruling::AnotherTrial => {
                upstream.live[ix.index()].offer_trial();
                return None;
            }
            Ruling::Becomes(next) => next,
        };
        if next == PassiveState::Trial {
            upstream.live[ix.index()].offer_trial();
        }
        let known = &mut self.known[ix.index()];
        known.state.passive = next;
        match next {
            PassiveState::Ok => known.relapses.back(now),
            PassiveState::Parked { .. } => (known.relapses, known.passed) = (relapses, 0),
            PassiveState::Trial => {}
        }
        let states = |id| self.known.iter().find(|one| one.id == id).map(|one| one.state);
        self.snapshot = self.offline.rebuild(&self.snapshot, self.place, &states);
        match next {
            PassiveState::Parked { until } => Some(News::Parked(until)),
            PassiveState::Ok | PassiveState::Trial => Some(News::Back),
        }
    }
}

//! What is looked at from time to time, and what follows when something became of a backend.

use super::{Event, Run};
use crate::model::{BackendIx, Tick};
use crate::simulate::keeper::News;

impl Run<'_> {
    /// Something became of a backend.
    pub(super) fn heard(&mut self, backend: BackendIx, news: Option<News>) {
        let Some(news) = news else { return };
        if let News::Parked(until) = news {
            self.taken.figures.parked += 1;
            self.notice();
            self.at(until.since(self.now), Event::PauseOver(backend));
        }
        self.refit();
    }

    pub(super) fn look(&mut self) {
        for (ix, news) in self.keeper.outliers(self.now) {
            self.taken.figures.ejected += 1;
            self.heard(ix, Some(news));
        }
        self.at_regularly(self.keeper.look(), Event::Look);
    }

    /// Looks for hung backends.
    pub(super) fn listen(&mut self) {
        for (ix, news) in self.keeper.silent(self.now) {
            self.taken.figures.hung += u64::from(matches!(news, News::Parked(_)));
            self.heard(ix, Some(news));
        }
        self.at_regularly(self.keeper.listen(), Event::Listen);
    }

    pub(super) fn look_at_breaker(&mut self) {
        if self.keeper.look_at_breaker(self.now) {
            self.refit();
        }
        self.at_regularly(self.keeper.breaker_step(), Event::Breaker);
    }

    /// Somebody was taken out: for the first time, perhaps.
    pub(super) fn notice(&mut self) {
        let noticed = &mut self.taken.figures.noticed;
        if noticed.is_none() {
            let first = self.scenario.changes.iter().map(|change| change.during.start).min();
            let now = self.now.since(Tick(0));
            *noticed = first.map(|first| now.saturating_sub(first));
        }
    }

    /// The world is another one: tiers are looked at, and cursors carried over.
    pub(super) fn refit(&mut self) {
        if let Some(again) = self.keeper.steer(self.now)
            && self.steers.is_none_or(|at| at <= self.now || again < at)
        {
            self.steers = Some(again);
            self.at(again.since(self.now), Event::Steer);
        }
        for (due, ix) in self.keeper.take_dues() {
            self.at(due.since(self.now), Event::LookAgain(ix));
        }
        for cursors in &mut self.cursors {
            self.keeper.upstream().refit(cursors);
        }
    }
}

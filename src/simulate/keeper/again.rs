//! Backends that come back: kept down where they fall too often, and with a part of their weight at first.

use super::Keeper;
use crate::config::model::FlapDamping;
use crate::health::flap::Damping;
use crate::health::warm::warmth;
use crate::model::{BackendIx, ProbedState, Share, Tick};

impl Keeper<'_> {
    /// Writes down what a backend's checks say, and whether it is kept down.
    pub(super) fn settle(&mut self, ix: BackendIx, now: Tick) {
        let serves = |state| matches!(state, ProbedState::Up | ProbedState::Degraded);
        let upstream = self.snapshot.upstream(self.place);
        let damping = upstream.flap().copied();
        let id = self.known[ix.index()].id;
        let states = |id| self.known.iter().find(|one| one.id == id).map(|one| one.state);
        let others = upstream.stands_without(id, states);
        let known = &mut self.known[ix.index()];
        let (Some(rise), before) = (&known.rise, known.state.probed) else { return };
        let mut next = rise.state();
        if let Some(damping) = damping {
            if next == ProbedState::Down && serves(before) {
                let FlapDamping { half_life, suppress, reuse, max } = damping;
                known.flap.fell(&Damping { half_life, suppress, reuse, max }, now);
                self.dues.extend(known.flap.held(now).map(|until| (until, ix)));
            }
            if serves(next) && others && known.flap.held(now).is_some() {
                next = ProbedState::Down;
            }
        }
        if next == before {
            return;
        }
        known.state.probed = next;
        if serves(next) && before == ProbedState::Down {
            self.is_back(ix, now);
        }
        self.rebuild();
    }

    /// A backend is back: it begins with a part of its weight, if it shall.
    pub(super) fn is_back(&mut self, ix: BackendIx, now: Tick) {
        if self.upstream().slow_start().is_some() {
            self.known[ix.index()].since = Some(now);
            self.weigh(ix, now);
        }
    }

    fn weigh(&mut self, ix: BackendIx, now: Tick) {
        let slow_start = self.upstream().slow_start();
        let known = &mut self.known[ix.index()];
        let Some((since, time)) = known.since.zip(slow_start) else { return };
        let (share, next) = warmth(since, time, now);
        known.state.share = share;
        if share == Share::WHOLE {
            known.since = None;
        }
        self.dues.extend(next.map(|next| (next, ix)));
    }

    /// It is time to look at a backend again that warms up, or was kept down.
    pub(in crate::simulate) fn look_again(&mut self, ix: BackendIx, now: Tick) {
        self.settle(ix, now);
        self.weigh(ix, now);
        self.rebuild();
    }

    /// Who is to be looked at again, and when, since this was asked last.
    pub(in crate::simulate) fn take_dues(&mut self) -> Vec<(Tick, BackendIx)> {
        std::mem::take(&mut self.dues)
    }
}

//! `active_passive`: one tier serves, another takes over when it is not well, and the load returns step by
//! step.

use super::{
    Failback, Group, Look, News, REFILL, Rules, State, best, can_take_over, is_well, told,
};
use crate::model::Tick;
use crate::policy::spill::Tier;

impl Group {
    /// Looks at the tiers and moves what has to move.
    pub(super) fn active_passive(
        &mut self,
        tiers: &[Tier],
        rules: &Rules,
        now: Tick,
        look: &mut Look,
    ) {
        self.watch_earlier(tiers, rules, now);
        if tiers.iter().all(|tier| tier.eligible == 0) {
            if self.state != State::Exhausted {
                let cause = "no tier has an eligible backend".to_owned();
                let next = "the first tier that has one serves, or the last one that did";
                self.become_now(State::Exhausted, look, "failover.exhausted", cause, next);
            }
            return;
        }
        if tiers[self.active].eligible == 0 {
            return self.move_away(tiers, rules, now, look);
        }
        if self.state == State::Exhausted {
            if !can_take_over(tiers, self.active, rules) {
                return self.move_away(tiers, rules, now, look);
            }
            // The one that served last serves on: moving back waits, and may be the operator's alone.
            let cause = format!("{}: it serves again", told(tiers, self.active));
            self.become_now(self.at_rest(), look, "failover.cleared", cause, "");
        }
        if let State::Recovering { to, step, next } = self.state {
            return self.recover(tiers, rules, (to, step, next), now, look);
        }
        if !is_well(tiers, self.active, rules) {
            let elsewhere = (0..tiers.len()).any(|tier| can_take_over(tiers, tier, rules));
            return match self.state {
                State::Suspect { until } if now >= until && elsewhere => {
                    self.move_away(tiers, rules, now, look);
                }
                State::Suspect { until } => look.again = (now < until).then_some(until),
                _ => self.suspect(tiers, now.after(rules.detection_timeout), look),
            };
        }
        if let State::Suspect { .. } = self.state {
            let cause = format!("tier {} is well again", self.active);
            self.become_now(self.at_rest(), look, "failover.cleared", cause, "");
        }
        if self.active > 0 {
            self.await_return(rules, now, look);
        }
    }

    /// Another tier takes over at once: the best one, or whichever has somebody.
    fn move_away(&mut self, tiers: &[Tier], rules: &Rules, now: Tick, look: &mut Look) {
        let keeps = self.state == State::Exhausted;
        let from = self.active;
        let Some(to) = best(tiers, rules, (!keeps).then_some(from)) else { return };
        self.active = to;
        self.watch_earlier(tiers, rules, now);
        let cause = format!("{}: tier {to} takes over", told(tiers, from));
        let kind = if to == 0 { "failover.handed_back" } else { "failover.completed" };
        let next = match rules.failback {
            _ if to == 0 => "",
            Failback::Auto => "back once an earlier tier was well for long enough",
            Failback::Manual | Failback::Never => "back when the operator pins an earlier tier",
        };
        self.become_now(self.at_rest(), look, kind, cause, next);
        if to > 0 {
            self.await_return(rules, now, look);
        }
    }

    /// Looks whether a tier before the one that serves is well, and since when, however that one fares.
    fn watch_earlier(&mut self, tiers: &[Tier], rules: &Rules, now: Tick) {
        let to = (0..self.active).find(|tier| can_take_over(tiers, *tier, rules));
        let since = |to| self.well.filter(|(tier, _)| *tier == to).map_or(now, |(_, since)| since);
        self.well = to.map(|to| (to, since(to)));
    }

    /// A later tier serves: goes back to an earlier one that was well for long enough.
    fn await_return(&mut self, rules: &Rules, now: Tick, look: &mut Look) {
        let Some((to, since)) = self.well else {
            self.recommended = false;
            return;
        };
        let due = since.after(rules.failback_delay);
        match rules.failback {
            Failback::Never => {}
            Failback::Auto if now >= due => {
                let next = now.after(rules.refill_interval);
                look.again = Some(next);
                let state = State::Recovering { to, step: 0, next };
                let cause = format!("tier {to} was well for {:?}", rules.failback_delay);
                let steps = format!("10, 25, 50 and 100 %, {:?} apart", rules.refill_interval);
                self.become_now(state, look, "failover.recovering", cause, steps);
            }
            Failback::Manual if now >= due && !self.recommended => {
                self.recommended = true;
                let cause = format!("tier {to} was well for {:?}", rules.failback_delay);
                let next = format!("write `pin = {to}` and reload to go back");
                look.news.push(News { kind: "failover.recommended", cause, next });
            }
            Failback::Auto | Failback::Manual => look.again = (now < due).then_some(due),
        }
    }

    fn recover(
        &mut self,
        tiers: &[Tier],
        rules: &Rules,
        (to, step, next): (usize, usize, Tick),
        now: Tick,
        look: &mut Look,
    ) {
        if !is_well(tiers, to, rules) {
            let cause = format!("{}: tier {} goes on serving", told(tiers, to), self.active);
            let then = "back once it was well for long enough";
            return self.become_now(self.at_rest(), look, "failover.stopped", cause, then);
        }
        if now < next {
            look.again = Some(next);
            return;
        }
        let step = step + 1;
        if step + 1 < REFILL.len() {
            let next = now.after(rules.refill_interval);
            self.state = State::Recovering { to, step, next };
            look.again = Some(next);
            return;
        }
        self.active = to;
        let cause = format!("tier {to} has stayed well");
        self.become_now(self.at_rest(), look, "failover.handed_back", cause, "");
    }
}

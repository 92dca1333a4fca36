//! Failover groups: which tier of backends serves, when another one takes over, and how it goes back.
//!
//! | strategy | normal | on failure | return |
//! |---|---|---|---|
//! | `active_passive` | the first tier serves alone | nobody eligible: the next tier at once; fewer than `min_healthy`: after `detection_timeout` | as `failback` says, by 10, 25, 50 and 100 % |
//! | `active_active` | all tiers serve, by weight | the others carry all | by weight |
//! | `multi_active` | the first tier serves | what it cannot carry spills to the next ([`spill`](super::spill)) | 25 points every 10 s |
//! | `manual` | the pinned tier serves | nobody moves; a move is recommended | the operator's |
//!
//! States of `active_passive`: primary → suspect → `failed_over` → recovering → primary; exhausted when
//! no tier has anybody left, after which the one that served serves on if it is well, for to go back has to wait;
//! pinned while the operator holds a tier. Moving away from what does not serve
//! is decided at once; moving back waits. A tier that still has somebody is not left for one that is good
//! for less than is asked, and nobody goes back to one ([`room`](super::room)).

mod active_passive;

use std::time::Duration;

use crate::model::Tick;

use super::spill::{Ramp, Tier};

/// What a tier that comes back gets of the requests, step by step, in percent.
const REFILL: [u32; 4] = [10, 25, 50, 100];

/// How several tiers share the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// One tier serves, the others stand by.
    ActivePassive,
    /// All serve alike.
    ActiveActive,
    /// The first serves, and what it cannot carry goes on to the next.
    MultiActive,
    /// One serves until the operator says otherwise.
    Manual,
}

impl Strategy {
    /// Every one.
    pub const ALL: [Self; 4] =
        [Self::ActivePassive, Self::ActiveActive, Self::MultiActive, Self::Manual];

    /// The word in the configuration and in the admin API.
    pub fn name(self) -> &'static str {
        match self {
            Self::ActivePassive => "active_passive",
            Self::ActiveActive => "active_active",
            Self::MultiActive => "multi_active",
            Self::Manual => "manual",
        }
    }
}

/// How the load returns to a tier that is well again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failback {
    /// By itself.
    Auto,
    /// When the operator pins it; that it is well is told.
    Manual,
    /// When the operator pins it, or the tier that serves fails.
    Never,
}

/// How a group behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// How the tiers share the work.
    pub strategy: Strategy,
    /// Eligible backends below which a tier is not well; at most all of a tier's.
    pub min_healthy: u32,
    /// How long a tier may be below that before another one takes over.
    pub detection_timeout: Duration,
    /// How the load returns.
    pub failback: Failback,
    /// How long a tier has to be well before it does.
    pub failback_delay: Duration,
    /// Between two steps of the return.
    pub refill_interval: Duration,
    /// The tier that the operator holds.
    pub pin: Option<usize>,
}

impl Rules {
    /// Spill from tier to tier, as it is among zones where nothing else is said.
    pub fn spilling() -> Self {
        Self {
            strategy: Strategy::MultiActive,
            min_healthy: 1,
            detection_timeout: Duration::ZERO,
            failback: Failback::Auto,
            failback_delay: Duration::ZERO,
            refill_interval: Duration::ZERO,
            pin: None,
        }
    }
}

/// Where a group stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// The first tier serves.
    #[default]
    Primary,
    /// The tier that serves is not well.
    Suspect {
        /// When another one takes over.
        until: Tick,
    },
    /// A later tier serves.
    FailedOver,
    /// A tier gets its requests back.
    Recovering {
        /// Which one.
        to: usize,
        /// How far it is.
        step: usize,
        /// When the next step is due.
        next: Tick,
    },
    /// The operator holds a tier.
    Pinned,
    /// No tier has an eligible backend.
    Exhausted,
}

impl State {
    /// The word in the admin API and in logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Suspect { .. } => "suspect",
            Self::FailedOver => "failed_over",
            Self::Recovering { .. } => "recovering",
            Self::Pinned => "pinned",
            Self::Exhausted => "exhausted",
        }
    }
}

/// Something that is worth telling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// The kind of event.
    pub kind: &'static str,
    /// Why, in words.
    pub cause: String,
    /// What comes next, in words.
    pub next: String,
}

/// A group, and where it stands.
#[derive(Debug, Clone, Default)]
pub struct Group {
    state: State,
    /// The tier that serves.
    active: usize,
    ramp: Ramp,
    /// A tier before the one that serves that is well, and since when.
    well: Option<(usize, Tick)>,
    /// A move was recommended, and is not told of again.
    recommended: bool,
}

/// What a look at a group gives.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Look {
    /// What has happened.
    pub news: Vec<News>,
    /// When to look again, if only time has to pass.
    pub again: Option<Tick>,
}

impl Group {
    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// The tier that serves, or that served last.
    pub fn active(&self) -> usize {
        self.active
    }

    /// What each of so many tiers gets of the requests, in percent; `None`: all serve alike.
    pub fn shares(&self, rules: &Rules, tiers: usize) -> Option<Vec<u32>> {
        let alone = |place: usize, share: u32| {
            let mut shares = vec![0; tiers];
            if let Some(one) = shares.get_mut(place) {
                *one = share;
            }
            shares
        };
        match (rules.strategy, self.state) {
            (_, State::Pinned) => Some(alone(self.active, 100)),
            (Strategy::ActiveActive, _) => None,
            (Strategy::MultiActive, _) => Some(self.ramp.shares().to_vec()),
            (_, State::Recovering { to, step, .. }) => {
                let mut shares = alone(to, REFILL[step]);
                if let Some(active) = shares.get_mut(self.active) {
                    *active = 100 - REFILL[step];
                }
                Some(shares)
            }
            _ => Some(alone(self.active, 100)),
        }
    }

    /// Whether only the tier that serves may: the operator says so.
    pub fn is_strict(&self, rules: &Rules) -> bool {
        self.state == State::Pinned || rules.strategy == Strategy::Manual
    }

    /// Looks at the tiers and moves what has to move.
    pub fn look(&mut self, tiers: &[Tier], rules: &Rules, now: Tick) -> Look {
        let mut look = Look::default();
        match rules.pin {
            Some(pin) => self.pin(pin, &mut look),
            None if self.state == State::Pinned => {
                self.well = None;
                self.become_now(
                    self.at_rest(),
                    &mut look,
                    "failover.released",
                    "the pin was taken out".to_owned(),
                    "",
                );
            }
            None => {}
        }
        if self.state == State::Pinned {
            return look;
        }
        self.fit(tiers.len());
        match rules.strategy {
            Strategy::ActivePassive => self.active_passive(tiers, rules, now, &mut look),
            Strategy::ActiveActive => {}
            Strategy::MultiActive => self.multi_active(tiers, now, &mut look),
            Strategy::Manual => self.manual(tiers, rules, now, &mut look),
        }
        look
    }

    /// The state when the tier that serves does and nothing is under way.
    fn at_rest(&self) -> State {
        if self.active == 0 { State::Primary } else { State::FailedOver }
    }

    /// There are only so many tiers left: what is known of others is over.
    fn fit(&mut self, tiers: usize) {
        if self.active >= tiers.max(1) {
            self.active = tiers.saturating_sub(1);
            self.well = None;
            self.state = self.at_rest();
        }
    }

    fn pin(&mut self, pin: usize, look: &mut Look) {
        if self.state == State::Pinned && self.active == pin {
            return;
        }
        self.active = pin;
        let cause = format!("the operator holds tier {pin}");
        self.become_now(
            State::Pinned,
            look,
            "failover.pinned",
            cause,
            "until the pin is taken out",
        );
    }

    fn become_now(
        &mut self,
        state: State,
        look: &mut Look,
        kind: &'static str,
        cause: String,
        next: impl Into<String>,
    ) {
        self.state = state;
        self.recommended = false;
        look.news.push(News { kind, cause, next: next.into() });
    }

    fn multi_active(&mut self, tiers: &[Tier], now: Tick, look: &mut Look) {
        let before = self.ramp.shares().to_vec();
        look.again = self.ramp.follow(tiers, now);
        let shares = self.ramp.shares().to_vec();
        if shares == before {
            return;
        }
        let words = |list: &[String]| list.join(", ");
        let of = |tier: &Tier| format!("{} of {}", tier.eligible, tier.total);
        let eligible = words(&tiers.iter().map(of).collect::<Vec<_>>());
        let percent = |share: &u32| format!("{share} %");
        let loads = words(&shares.iter().map(percent).collect::<Vec<_>>());
        let cause = format!("eligible by tier: {eligible}; shares are now {loads}");
        let whole = shares.first() == Some(&100);
        let state = if shares.iter().all(|share| *share == 0) {
            State::Exhausted
        } else if whole {
            State::Primary
        } else {
            State::FailedOver
        };
        if before.is_empty() && whole {
            // The beginning is not news.
            self.state = state;
            return;
        }
        let (kind, next) = match (state, look.again) {
            (State::Exhausted, _) => ("failover.exhausted", ""),
            (_, Some(_)) => ("failover.recovering", "up to 25 points more within 10 s"),
            (State::Primary, None) => ("failover.handed_back", ""),
            _ => ("failover.spilled", "back by up to 25 points every 10 s"),
        };
        self.become_now(state, look, kind, cause, next);
    }

    fn manual(&mut self, tiers: &[Tier], rules: &Rules, now: Tick, look: &mut Look) {
        let well = is_well(tiers, self.active, rules);
        match self.state {
            _ if well => {
                self.recommended = false;
                self.state = self.at_rest();
            }
            State::Suspect { until } if now >= until && !self.recommended => {
                self.recommended = true;
                let to = best(tiers, rules, Some(self.active));
                let advice = match to {
                    Some(to) => format!("write `pin = {to}` and reload"),
                    None => "no other tier has an eligible backend".to_owned(),
                };
                let cause = format!("{}; nobody moves by themselves", told(tiers, self.active));
                look.news.push(News { kind: "failover.recommended", cause, next: advice });
            }
            State::Suspect { until } => look.again = (!self.recommended).then_some(until),
            _ => {
                let until = now.after(rules.detection_timeout);
                self.suspect(tiers, until, look);
            }
        }
    }

    fn suspect(&mut self, tiers: &[Tier], until: Tick, look: &mut Look) {
        look.again = Some(until);
        let cause = told(tiers, self.active);
        let next = "another tier takes over unless it is well in time";
        self.become_now(State::Suspect { until }, look, "failover.suspect", cause, next);
    }
}

/// Whether a tier has enough eligible backends.
fn is_well(tiers: &[Tier], tier: usize, rules: &Rules) -> bool {
    let Tier { eligible, total, .. } = tiers.get(tier).copied().unwrap_or_default();
    eligible > 0 && eligible >= total.min(rules.min_healthy as usize)
}

/// Whether a tier is well, and good for what is asked.
fn can_take_over(tiers: &[Tier], tier: usize, rules: &Rules) -> bool {
    is_well(tiers, tier, rules) && !tiers[tier].small
}

/// The tier to go to: the first that is well and good for what is asked, else the first that is well, else
/// the first that has anybody.
fn best(tiers: &[Tier], rules: &Rules, not: Option<usize>) -> Option<usize> {
    let mut others = (0..tiers.len()).filter(|tier| Some(*tier) != not);
    let somebody = others.clone().find(|tier| tiers[*tier].eligible > 0);
    let well = others.clone().find(|tier| is_well(tiers, *tier, rules));
    others.find(|tier| can_take_over(tiers, *tier, rules)).or(well).or(somebody)
}

fn told(tiers: &[Tier], tier: usize) -> String {
    let Tier { eligible, total, .. } = tiers.get(tier).copied().unwrap_or_default();
    format!("tier {tier} has {eligible} of {total} backends eligible")
}

#[cfg(test)]
mod tests;

//! Which backends may be picked: the one rule that combines what the operator wants, what probes
//! say and what traffic says. The control loop asks it whenever one of the three changes, and plans
//! are built from the answer; nothing else in Plimsoll judges a backend.
//!
//! A backend stands on the best rung that its state allows:
//!
//! | rung | admin | probed | passive | gets requests |
//! |---|---|---|---|---|
//! | serving | forced up | any | any | always |
//! | serving | enabled | unprobed, up | ok | always |
//! | degraded | enabled | degraded | ok | what those that serve cannot carry; all, when nobody serves |
//! | unproven | enabled | checking | ok | when nobody is degraded either, and from requests that failed at all of those |
//! | failing | enabled | down | any | when nobody is unproven either, and only with fail-open |
//! | failing | enabled | any but the next | parked, trial | the same |
//! | failing | forced down | any | any | the same |
//! | out | enabled | standby, draining | any | never: it says itself that it is not for these requests |
//! | out | draining, disabled | any | any | never |
//!
//! One rung is eligible at a time, over all tiers together: a serving backup goes before an unproven primary.
//! But where those that serve cannot carry all requests, by [`spill`]'s arithmetic, the degraded ones get the
//! rest (after Envoy's degraded hosts): with 7 of 10 well nothing but a fiftieth, with 1 of 10 most. Which tier of that rung is asked is the caller's matter: it makes one plan per tier
//! ([`Tiers`](super::Tiers)).
//!
//! Where a panic is declared, it goes before the rungs: when fewer backends than its threshold are able to
//! serve, and those of all tiers together cannot carry all requests (by [`spill`]'s arithmetic), every
//! enabled backend is used as with fail-open, or none. A tier that the operator holds back is out.
//!
//! Beside the rungs stands the trial: a parked backend whose pause is over (enabled, not down,
//! passive state trial) is owed one request, whoever else serves. Behind the first tier it waits until its
//! tier gets requests: by its share, or because no tier before it is eligible.

use crate::model::{AdminState, BackendIx, BackendState, PassiveState, ProbedState};
use crate::policy::spill::{self, Tier};

/// What is known of one backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The words of operator, probes and traffic.
    pub state: BackendState,
    /// Its tier, from 0 on.
    pub tier: u8,
}

/// What is declared, or decided, for the upstream as a whole.
#[derive(Debug, Clone, Copy, Default)]
pub struct Policy<'a> {
    /// When nobody is known to work, enabled backends are used all the same.
    pub fail_open: bool,
    /// What happens when too few are able to serve.
    pub panic: Option<Panic>,
    /// What each tier gets of the requests, in percent; `None`: each what those before it cannot serve.
    pub shares: Option<&'a [u32]>,
    /// A tier without a share gets nothing, whatever happens.
    pub strict: bool,
}

/// A panic, as it is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panic {
    /// Part of the enabled backends below which it begins, in percent.
    pub threshold: u32,
    /// All enabled backends are used; else none is.
    pub use_all: bool,
}

impl Panic {
    /// How many of `enabled` backends have to be able to serve so that there is none.
    pub fn least(self, enabled: usize) -> usize {
        (enabled * self.threshold as usize).div_ceil(100)
    }
}

impl Policy<'_> {
    fn share(&self, tier: u8) -> Option<u32> {
        Some(self.shares?.get(usize::from(tier)).copied().unwrap_or(0))
    }

    fn rung(&self, standing: &Standing) -> Rung {
        match self.share(standing.tier) {
            Some(0) if self.strict => Rung::Out,
            _ => rung(standing.state),
        }
    }
}

/// Who may be picked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Eligibility {
    /// For each standing, in its order, whether it may be picked.
    pub eligible: Vec<bool>,
    /// Those that are owed one trial request, in file order.
    pub trials: Vec<BackendIx>,
    /// Nobody is known to work, or there is a panic, and enabled backends are used all the same.
    pub fail_open: bool,
    /// There is a panic.
    pub panic: bool,
    /// For each standing, whether a request that failed at all that may be picked goes there still: nothing
    /// is known against it.
    pub unproven: Vec<bool>,
    /// What the degraded get of the requests beside those that serve, in percent; 0 unless both may be
    /// picked.
    pub degraded: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rung {
    Out,
    Failing,
    Unproven,
    Degraded,
    Serving,
}

/// Judges all backends of one upstream, given in file order.
pub fn eligible(standings: &[Standing], policy: &Policy<'_>) -> Eligibility {
    let panic = panics(standings, policy);
    let lowest = if policy.fail_open { Rung::Failing } else { Rung::Unproven };
    let best = standings.iter().map(|s| policy.rung(s)).max().filter(|best| *best >= lowest);
    let degraded = match (panic, best) {
        (None, Some(Rung::Serving)) => degraded(standings, policy),
        _ => 0,
    };
    let may_serve = |s: &Standing| match (panic, policy.rung(s)) {
        (Some(panic), rung) => panic.use_all && rung >= Rung::Failing,
        (None, Rung::Degraded) if degraded > 0 => true,
        (None, rung) => Some(rung) == best,
    };
    let first = standings.iter().filter(|s| may_serve(s)).map(|s| s.tier).min();
    let in_turn = |s: &Standing| match policy.share(s.tier) {
        Some(share) if share > 0 => true,
        Some(_) if policy.strict => false,
        _ => first.is_none_or(|first| s.tier <= first),
    };
    let trials = (0..)
        .zip(standings)
        .filter(|(_, s)| is_on_trial(s.state) && in_turn(s))
        .map(|(place, _)| BackendIx(place))
        .collect();
    let eligible: Vec<bool> = standings.iter().map(may_serve).collect();
    let is_unproven = |s: &Standing| !may_serve(s) && policy.rung(s) == Rung::Unproven;
    let unproven = standings.iter().map(|s| panic.is_none() && is_unproven(s)).collect();
    Eligibility {
        fail_open: match panic {
            Some(_) => eligible.contains(&true),
            None => best == Some(Rung::Failing),
        },
        panic: panic.is_some(),
        degraded,
        eligible,
        unproven,
        trials,
    }
}

/// Whether nothing is known to speak against a backend.
pub fn is_able(state: BackendState) -> bool {
    rung(state) >= Rung::Unproven
}

/// The backends of each tier that the operator has in service, and how many of them are able to serve:
/// nothing is known to speak against them.
pub fn tiers(standings: &[Standing]) -> Vec<Tier> {
    tiers_by(standings, |standing| rung(standing.state), |rung| rung >= Rung::Unproven)
}

/// The same, of those whose rung counts.
fn tiers_by(
    standings: &[Standing],
    rung: impl Fn(&Standing) -> Rung,
    counts: impl Fn(Rung) -> bool,
) -> Vec<Tier> {
    let count = standings.iter().map(|s| usize::from(s.tier) + 1).max().unwrap_or(0);
    let mut tiers = vec![Tier::default(); count];
    for standing in standings {
        let rung = rung(standing);
        let tier = &mut tiers[usize::from(standing.tier)];
        tier.total += usize::from(rung > Rung::Out);
        tier.eligible += usize::from(counts(rung));
    }
    tiers
}

/// What the degraded get of the requests. A tier that gets none lends nobody a hand.
fn degraded(standings: &[Standing], policy: &Policy<'_>) -> u32 {
    let rung = |s: &Standing| match policy.share(s.tier) {
        Some(0) => Rung::Out,
        _ => policy.rung(s),
    };
    let of = |wanted: Rung| tiers_by(standings, rung, |rung| rung == wanted);
    let sick = of(Rung::Degraded);
    // As nearly always.
    if sick.iter().all(|tier| tier.eligible == 0) {
        return 0;
    }
    spill::degraded(&of(Rung::Serving), &sick)
}

/// The panic that is declared, if there is reason for it.
fn panics(standings: &[Standing], policy: &Policy<'_>) -> Option<Panic> {
    let panic = policy.panic.filter(|panic| panic.threshold > 0)?;
    let tiers = tiers(standings);
    let able: usize = tiers.iter().map(|tier| tier.eligible).sum();
    let enabled = tiers.iter().map(|tier| tier.total).sum();
    // That nobody is able to serve is no panic, but a matter of `fail_open`.
    let too_few = able > 0 && able < panic.least(enabled);
    (too_few && !spill::suffices(&tiers)).then_some(panic)
}

fn rung(state: BackendState) -> Rung {
    match (state.admin, state.probed, state.passive) {
        (AdminState::ForcedUp, _, _) => Rung::Serving,
        (AdminState::ForcedDown, _, _) => Rung::Failing,
        (AdminState::Draining | AdminState::Disabled, _, _)
        | (_, ProbedState::Standby | ProbedState::Draining, _) => Rung::Out,
        (_, ProbedState::Unprobed | ProbedState::Up, PassiveState::Ok) => Rung::Serving,
        (_, ProbedState::Degraded, PassiveState::Ok) => Rung::Degraded,
        (_, ProbedState::Checking, PassiveState::Ok) => Rung::Unproven,
        (AdminState::Enabled, _, _) => Rung::Failing,
    }
}

fn is_on_trial(state: BackendState) -> bool {
    state.admin == AdminState::Enabled
        && !matches!(state.probed, ProbedState::Down | ProbedState::Standby | ProbedState::Draining)
        && state.passive == PassiveState::Trial
}

#[cfg(test)]
mod tests;

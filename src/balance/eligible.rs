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
//! | unproven | enabled | checking | ok | when nobody is degraded either |
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
    Eligibility {
        fail_open: match panic {
            Some(_) => eligible.contains(&true),
            None => best == Some(Rung::Failing),
        },
        panic: panic.is_some(),
        degraded,
        eligible,
        trials,
    }
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
mod tests {
    use super::*;
    use crate::model::{Share, Tick};
    use AdminState::{Disabled, Draining, Enabled};
    use PassiveState::{Ok, Trial};
    use ProbedState::{Checking, Degraded, Down, Standby, Unprobed, Up};
    use proptest::prelude::*;

    const PARKED: PassiveState = PassiveState::Parked { until: Tick(7) };

    fn primary(admin: AdminState, probed: ProbedState, passive: PassiveState) -> Standing {
        let share = Share::WHOLE;
        Standing { state: BackendState { admin, probed, passive, share }, tier: 0 }
    }

    fn backup(admin: AdminState, probed: ProbedState, passive: PassiveState) -> Standing {
        Standing { tier: 1, ..primary(admin, probed, passive) }
    }

    /// The rule without anything declared but fail-open.
    fn eligible(standings: &[Standing], fail_open: bool) -> Eligibility {
        super::eligible(standings, &Policy { fail_open, ..Policy::default() })
    }

    /// So many backends that serve, and so many that are down, all of one tier.
    fn of(tier: u8, up: usize, down: usize) -> Vec<Standing> {
        let up = vec![primary(Enabled, Up, Ok); up];
        let down = vec![primary(Enabled, Down, Ok); down];
        up.into_iter().chain(down).map(|one| Standing { tier, ..one }).collect()
    }

    fn places(judged: &Eligibility) -> Vec<usize> {
        (0..judged.eligible.len()).filter(|place| judged.eligible[*place]).collect()
    }

    #[test]
    fn those_that_serve_keep_all_others_out() {
        let judged = eligible(
            &[
                primary(Enabled, Unprobed, Ok),
                primary(Enabled, Up, Ok),
                primary(Enabled, Checking, Ok),
                primary(Enabled, Down, Ok),
                primary(Enabled, Up, PARKED),
                primary(Draining, Up, Ok),
                primary(Disabled, Up, Ok),
                backup(Enabled, Up, Ok),
            ],
            true,
        );
        assert_eq!(places(&judged), [0, 1, 7]);
        assert!(!judged.fail_open && judged.trials.is_empty());
    }

    #[test]
    fn a_serving_backup_goes_before_an_unproven_primary() {
        let judged = eligible(&[primary(Enabled, Checking, Ok), backup(Enabled, Up, Ok)], true);
        assert_eq!(places(&judged), [1]);
    }

    #[test]
    fn the_degraded_serve_what_the_others_cannot_and_before_the_unproven() {
        let (degraded, up) = (primary(Enabled, Degraded, Ok), primary(Enabled, Up, Ok));
        let judged = eligible(&[degraded, up, up, up], true);
        assert_eq!((places(&judged), judged.degraded), (vec![1, 2, 3], 0));
        let judged = eligible(&[degraded, up], true);
        assert_eq!((places(&judged), judged.degraded), (vec![0, 1], 30));
        // Backups that are well go before.
        let judged = eligible(&[degraded, up, backup(Enabled, Up, Ok)], true);
        assert_eq!((places(&judged), judged.degraded), (vec![1, 2], 0));
        // But not where they get no requests.
        let shares = Policy { shares: Some(&[100, 0]), ..Policy::default() };
        let judged = super::eligible(&[degraded, up, backup(Enabled, Up, Ok)], &shares);
        assert_eq!((places(&judged), judged.degraded), (vec![0, 1, 2], 30));
        let judged = eligible(&[degraded, degraded], true);
        assert_eq!((places(&judged), judged.degraded), (vec![0, 1], 0));
        let judged = eligible(&[degraded, primary(Enabled, Checking, Ok)], true);
        assert_eq!(places(&judged), [0]);
        assert!(!judged.fail_open);
    }

    #[test]
    fn who_is_a_standby_or_drains_gets_nothing_even_when_all_else_fails() {
        let others =
            [primary(Enabled, Standby, Ok), primary(Enabled, ProbedState::Draining, Trial)];
        let judged = eligible(&others, true);
        assert!(places(&judged).is_empty() && judged.trials.is_empty() && !judged.fail_open);
    }

    #[test]
    fn the_unproven_serve_when_nobody_is_proven() {
        let standings = [
            primary(Enabled, Down, Ok),
            primary(Enabled, Checking, Ok),
            primary(Draining, Checking, Ok),
            backup(Enabled, Checking, Ok),
        ];
        for fail_open_allowed in [false, true] {
            let judged = eligible(&standings, fail_open_allowed);
            assert_eq!(places(&judged), [1, 3]);
            assert!(!judged.fail_open);
        }
    }

    #[test]
    fn failing_open_uses_every_enabled_backend_and_says_so() {
        let standings = [
            primary(Enabled, Down, Ok),
            primary(Enabled, Up, PARKED),
            primary(Disabled, Up, Ok),
            primary(Draining, Up, Ok),
            backup(Enabled, Checking, PARKED),
        ];
        let open = eligible(&standings, true);
        assert_eq!(places(&open), [0, 1, 4]);
        assert!(open.fail_open);
        let closed = eligible(&standings, false);
        assert_eq!(places(&closed), [0_usize; 0]);
        assert!(!closed.fail_open);
    }

    #[test]
    fn what_the_operator_took_out_stays_out() {
        let judged = eligible(&[primary(Disabled, Up, Ok), primary(Draining, Up, Trial)], true);
        assert_eq!(judged.eligible, [false, false]);
        assert!(!judged.fail_open && judged.trials.is_empty());
        assert_eq!(eligible(&[], true), Eligibility::default());
    }

    #[test]
    fn what_the_operator_forces_goes_before_probes_and_traffic() {
        use AdminState::{ForcedDown, ForcedUp};
        let standings = [
            primary(ForcedUp, Down, PARKED),
            primary(ForcedUp, Standby, Trial),
            primary(ForcedDown, Up, Ok),
            primary(ForcedDown, Up, Trial),
        ];
        let judged = eligible(&standings, true);
        assert_eq!(places(&judged), [0, 1]);
        assert!(!judged.fail_open && judged.trials.is_empty());
        assert_eq!(tiers(&standings), [Tier { total: 4, eligible: 2 }]);
        let judged = eligible(&standings[2..], true);
        assert!(judged.fail_open, "as if its probes had found it down");
        assert!(places(&eligible(&standings[2..], false)).is_empty());
    }

    #[test]
    fn a_trial_is_owed_unless_probes_say_down() {
        let judged = eligible(
            &[
                primary(Enabled, Up, Ok),
                primary(Enabled, Up, Trial),
                primary(Enabled, Unprobed, Trial),
                primary(Enabled, Checking, Trial),
                primary(Enabled, Down, Trial),
                primary(Enabled, Up, PARKED),
            ],
            true,
        );
        assert_eq!(places(&judged), [0]);
        assert_eq!(judged.trials, [BackendIx(1), BackendIx(2), BackendIx(3)]);
    }

    #[test]
    fn a_backup_is_tried_only_when_no_primary_serves() {
        let with = eligible(&[primary(Enabled, Up, Ok), backup(Enabled, Up, Trial)], true);
        assert_eq!(with.trials, []);
        let without = eligible(&[primary(Enabled, Down, Ok), backup(Enabled, Up, Trial)], false);
        assert_eq!(without.trials, [BackendIx(1)]);
    }

    #[test]
    fn below_the_threshold_all_are_used_or_none() {
        let panic = Panic { threshold: 50, use_all: true };
        let judge = |standings: &[Standing], panic| {
            super::eligible(standings, &Policy { panic: Some(panic), ..Policy::default() })
        };
        let half = judge(&of(0, 2, 2), panic);
        assert!(!half.panic && !half.fail_open);
        assert_eq!(places(&half), [0, 1]);
        let less = judge(&of(0, 1, 3), panic);
        assert!(less.panic && less.fail_open);
        assert_eq!(places(&less), [0, 1, 2, 3]);
        let none = judge(&of(0, 1, 3), Panic { use_all: false, ..panic });
        assert!(none.panic && !none.fail_open);
        assert_eq!(places(&none), [0_usize; 0]);
        let another_tier = [of(0, 1, 3), of(1, 4, 0)].concat();
        assert!(!judge(&another_tier, panic).panic, "the other tier can carry all");
        assert!(!judge(&of(0, 0, 4), panic).panic, "nobody is no panic");
        assert_eq!([1, 2, 3, 4, 5].map(|n| panic.least(n)), [1, 1, 2, 2, 3]);
    }

    #[test]
    fn a_tier_that_is_held_back_is_out_whatever_happens() {
        let standings = [of(0, 0, 1), of(1, 1, 0)].concat();
        let shares = [100, 0];
        let policy = Policy { shares: Some(&shares), fail_open: true, ..Policy::default() };
        assert_eq!(places(&super::eligible(&standings, &policy)), [1]);
        let strict = Policy { strict: true, ..policy };
        let judged = super::eligible(&standings, &strict);
        assert_eq!(places(&judged), [0]);
        assert!(judged.fail_open);
    }

    #[test]
    fn a_tier_with_a_share_has_its_trials() {
        let on_trial = Standing { tier: 1, ..primary(Enabled, Up, Trial) };
        let standings = [of(0, 1, 0), vec![on_trial]].concat();
        let judge = |shares: &[u32]| {
            let policy = Policy { shares: Some(shares), ..Policy::default() };
            super::eligible(&standings, &policy).trials
        };
        assert_eq!(judge(&[70, 30]), [BackendIx(1)]);
        assert_eq!(judge(&[100, 0]), []);
    }

    #[test]
    fn tiers_count_who_is_able_to_serve_of_those_in_service() {
        let standings = [
            of(0, 2, 1),
            vec![primary(Enabled, Checking, Ok), primary(Draining, Up, Ok)],
            vec![backup(Enabled, Up, PARKED), backup(Disabled, Up, Ok)],
        ];
        let counted = tiers(&standings.concat());
        assert_eq!(counted, [Tier { eligible: 3, total: 4 }, Tier { eligible: 0, total: 1 }]);
    }

    fn any_standing() -> impl Strategy<Value = Standing> {
        (
            prop::sample::select(vec![Enabled, Draining, Disabled]),
            prop::sample::select(vec![
                Unprobed,
                Checking,
                Up,
                Degraded,
                Standby,
                ProbedState::Draining,
                Down,
            ]),
            prop::sample::select(vec![Ok, PARKED, Trial]),
            any::<bool>(),
        )
            .prop_map(|(admin, probed, passive, backup)| Standing {
                tier: u8::from(backup),
                ..primary(admin, probed, passive)
            })
    }

    proptest! {
        #[test]
        fn only_the_enabled_and_with_fail_open_never_nobody(
            standings in prop::collection::vec(any_standing(), 0..12),
            fail_open_allowed in any::<bool>(),
        ) {
            let judged = eligible(&standings, fail_open_allowed);
            prop_assert_eq!(judged.eligible.len(), standings.len());
            for place in places(&judged) {
                prop_assert_eq!(standings[place].state.admin, Enabled);
            }
            let out = |probed| matches!(probed, Standby | ProbedState::Draining);
            let some_enabled =
                standings.iter().any(|s| s.state.admin == Enabled && !out(s.state.probed));
            if fail_open_allowed {
                prop_assert_eq!(judged.eligible.contains(&true), some_enabled);
            } else {
                prop_assert!(!judged.fail_open);
            }
        }
    }
}

//! Which backends may be picked: the one rule that combines what the operator wants, what probes
//! say and what traffic says. The control loop asks it whenever one of the three changes, and plans
//! are built from the answer; nothing else in Plimsoll judges a backend.
//!
//! A backend stands on the best rung that its state allows:
//!
//! | rung | admin | probed | passive | gets requests |
//! |---|---|---|---|---|
//! | serving | enabled | unprobed, up | ok | always |
//! | unproven | enabled | checking | ok | when the upstream has nobody serving |
//! | failing | enabled | any other | any other | when nobody is unproven either, and only with fail-open |
//! | out | draining, disabled | any | any | never |
//!
//! Exactly one rung is eligible at a time, over both tiers together: a serving backup goes before an
//! unproven primary. Whether the backups of that rung are asked is the caller's matter: it makes one
//! plan per tier and uses the backups' when the primaries' has nobody.
//!
//! Beside the rungs stands the trial: a parked backend whose pause is over (enabled, not down,
//! passive state trial) is owed one request, whoever else serves. A backup's trial waits until no
//! primary is eligible, for until then a backup gets nothing.

use crate::model::{AdminState, BackendIx, BackendState, PassiveState, ProbedState};

/// What is known of one backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The words of operator, probes and traffic.
    pub state: BackendState,
    /// Serves only when no primary is eligible.
    pub backup: bool,
}

/// Who may be picked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Eligibility {
    /// For each standing, in its order, whether it may be picked.
    pub eligible: Vec<bool>,
    /// Those that are owed one trial request, in file order.
    pub trials: Vec<BackendIx>,
    /// Nobody is known to work, and enabled backends are used all the same.
    pub fail_open: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rung {
    Out,
    Failing,
    Unproven,
    Serving,
}

/// Judges all backends of one upstream, given in file order.
pub fn eligible(standings: &[Standing], fail_open_allowed: bool) -> Eligibility {
    let lowest = if fail_open_allowed { Rung::Failing } else { Rung::Unproven };
    let best = standings.iter().map(|s| rung(s.state)).max().filter(|best| *best >= lowest);
    let may_serve = |s: &Standing| Some(rung(s.state)) == best;
    let primaries_serve = standings.iter().any(|s| !s.backup && may_serve(s));
    let trials = (0..)
        .zip(standings)
        .filter(|(_, s)| is_on_trial(s.state) && !(s.backup && primaries_serve))
        .map(|(place, _)| BackendIx(place))
        .collect();
    Eligibility {
        eligible: standings.iter().map(may_serve).collect(),
        trials,
        fail_open: best == Some(Rung::Failing),
    }
}

fn rung(state: BackendState) -> Rung {
    match (state.admin, state.probed, state.passive) {
        (AdminState::Draining | AdminState::Disabled, _, _) => Rung::Out,
        (_, ProbedState::Unprobed | ProbedState::Up, PassiveState::Ok) => Rung::Serving,
        (_, ProbedState::Checking, PassiveState::Ok) => Rung::Unproven,
        (AdminState::Enabled, _, _) => Rung::Failing,
    }
}

fn is_on_trial(state: BackendState) -> bool {
    state.admin == AdminState::Enabled
        && state.probed != ProbedState::Down
        && state.passive == PassiveState::Trial
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Tick;
    use AdminState::{Disabled, Draining, Enabled};
    use PassiveState::{Ok, Trial};
    use ProbedState::{Checking, Down, Unprobed, Up};
    use proptest::prelude::*;

    const PARKED: PassiveState = PassiveState::Parked { until: Tick(7) };

    fn primary(admin: AdminState, probed: ProbedState, passive: PassiveState) -> Standing {
        Standing { state: BackendState { admin, probed, passive }, backup: false }
    }

    fn backup(admin: AdminState, probed: ProbedState, passive: PassiveState) -> Standing {
        Standing { backup: true, ..primary(admin, probed, passive) }
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

    fn any_standing() -> impl Strategy<Value = Standing> {
        (
            prop::sample::select(vec![Enabled, Draining, Disabled]),
            prop::sample::select(vec![Unprobed, Checking, Up, Down]),
            prop::sample::select(vec![Ok, PARKED, Trial]),
            any::<bool>(),
        )
            .prop_map(|(admin, probed, passive, backup)| Standing {
                backup,
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
            let some_enabled = standings.iter().any(|s| s.state.admin == Enabled);
            if fail_open_allowed {
                prop_assert_eq!(judged.eligible.contains(&true), some_enabled);
            } else {
                prop_assert!(!judged.fail_open);
            }
        }
    }
}

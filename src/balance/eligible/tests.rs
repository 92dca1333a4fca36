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
    assert_eq!(judged.unproven, [true, false]);
}

#[test]
fn the_unproven_are_left_to_requests_that_failed_unless_they_are_held_back() {
    let standings = [
        primary(Enabled, Up, Ok),
        primary(Enabled, Checking, Ok),
        primary(Enabled, Checking, PARKED),
        primary(Draining, Checking, Ok),
        backup(Enabled, Checking, Ok),
    ];
    let unproven = |policy: &Policy<'_>| super::eligible(&standings, policy).unproven;
    assert_eq!(unproven(&Policy::default()), [false, true, false, false, true]);
    let held = Policy { shares: Some(&[100, 0]), strict: true, ..Policy::default() };
    assert_eq!(unproven(&held), [false, true, false, false, false]);
    let nobody_serves = eligible(&standings[1..], false);
    assert_eq!(places(&nobody_serves), [0, 3]);
    assert!(!nobody_serves.unproven.contains(&true), "they are picked as it is");
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
    let others = [primary(Enabled, Standby, Ok), primary(Enabled, ProbedState::Draining, Trial)];
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
    assert_eq!(tiers(&standings), [Tier { total: 4, eligible: 2, small: false }]);
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
    let of = |eligible, total| Tier { eligible, total, small: false };
    assert_eq!(counted, [of(3, 4), of(0, 1)]);
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

use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

use super::*;

const RULES: Rules = Rules {
    strategy: Strategy::ActivePassive,
    min_healthy: 2,
    detection_timeout: Duration::from_secs(10),
    failback: Failback::Auto,
    failback_delay: Duration::from_mins(5),
    refill_interval: Duration::from_secs(30),
    pin: None,
};

fn tier(eligible: usize) -> Tier {
    Tier { eligible, total: 3, small: false }
}

/// A look at that second; what it tells: state, shares, kinds of news, when to look again.
fn look(
    group: &mut Group,
    rules: &Rules,
    eligible: &[usize],
    second: u64,
) -> (&'static str, Vec<u32>, Vec<&'static str>, Option<u64>) {
    let tiers: Vec<_> = eligible.iter().map(|count| tier(*count)).collect();
    let look = group.look(&tiers, rules, Tick(second * 1_000_000));
    let shares = group.shares(rules, tiers.len()).unwrap_or_default();
    let kinds = look.news.iter().map(|news| news.kind).collect();
    (group.state().name(), shares, kinds, look.again.map(|again| again.0 / 1_000_000))
}

#[test]
fn a_tier_without_anybody_is_left_at_once_and_returned_to_step_by_step() {
    let mut group = Group::default();
    let mut at = |eligible, second| look(&mut group, &RULES, eligible, second);
    assert_eq!(at(&[3, 3], 0), ("primary", vec![100, 0], vec![], None));
    assert_eq!(at(&[0, 3], 5), ("failed_over", vec![0, 100], vec!["failover.completed"], None));
    assert_eq!(at(&[2, 3], 10), ("failed_over", vec![0, 100], vec![], Some(310)));
    assert_eq!(at(&[1, 3], 20), ("failed_over", vec![0, 100], vec![], None), "not for long");
    assert_eq!(at(&[3, 3], 30), ("failed_over", vec![0, 100], vec![], Some(330)));
    let recovering = vec!["failover.recovering"];
    assert_eq!(at(&[3, 3], 330), ("recovering", vec![10, 90], recovering, Some(360)));
    assert_eq!(at(&[3, 3], 350), ("recovering", vec![10, 90], vec![], Some(360)));
    assert_eq!(at(&[3, 3], 360), ("recovering", vec![25, 75], vec![], Some(390)));
    assert_eq!(at(&[3, 3], 390), ("recovering", vec![50, 50], vec![], Some(420)));
    assert_eq!(at(&[3, 3], 420), ("primary", vec![100, 0], vec!["failover.handed_back"], None));
}

#[test]
fn who_is_good_for_less_than_is_asked_takes_over_only_from_nobody() {
    let small = |eligible| Tier { small: true, ..tier(eligible) };
    let mut group = Group::default();
    let mut at = |tiers: [Tier; 3], second: u64| {
        group.look(&tiers, &RULES, Tick(second * 1_000_000));
        group.active()
    };
    assert_eq!(at([tier(1), small(3), small(3)], 0), 0);
    assert_eq!(at([tier(1), small(3), small(3)], 60), 0, "it still has somebody");
    assert_eq!(at([tier(1), small(3), tier(3)], 61), 2, "there is room");
    assert_eq!(at([small(3), small(3), tier(3)], 62), 2);
    assert_eq!(at([small(3), small(3), tier(3)], 999), 2, "and none to go back to");
    assert_eq!(at([small(3), small(3), tier(0)], 1_000), 0, "more than nobody is good for");
}

#[test]
fn a_tier_that_is_not_well_is_suspect_first() {
    let mut group = Group::default();
    let mut at = |eligible, second| look(&mut group, &RULES, eligible, second);
    let suspect = vec!["failover.suspect"];
    assert_eq!(at(&[1, 3], 0), ("suspect", vec![100, 0], suspect.clone(), Some(10)));
    assert_eq!(at(&[2, 3], 5), ("primary", vec![100, 0], vec!["failover.cleared"], None));
    assert_eq!(at(&[1, 3], 6), ("suspect", vec![100, 0], suspect, Some(16)));
    assert_eq!(at(&[1, 3], 16).0, "failed_over");
    assert_eq!(at(&[3, 0], 17), ("primary", vec![100, 0], vec!["failover.handed_back"], None));
}

#[test]
fn a_recovery_that_fails_is_stopped() {
    let mut group = Group::default();
    let mut at = |eligible, second| look(&mut group, &RULES, eligible, second);
    at(&[0, 3], 0);
    at(&[3, 3], 1);
    assert_eq!(at(&[3, 3], 301).0, "recovering");
    let stopped = vec!["failover.stopped"];
    assert_eq!(at(&[1, 3], 310), ("failed_over", vec![0, 100], stopped, None));
}

#[test]
fn when_no_tier_is_left_it_is_exhausted_and_the_first_who_comes_serves() {
    let mut group = Group::default();
    let mut at = |eligible, second| look(&mut group, &RULES, eligible, second);
    assert_eq!(at(&[0, 0], 0).0, "exhausted");
    assert_eq!(at(&[0, 0], 1).2, [""; 0]);
    assert_eq!(at(&[0, 1], 2), ("failed_over", vec![0, 100], vec!["failover.completed"], None));
    at(&[0, 0], 3);
    assert_eq!(at(&[1, 0], 4), ("primary", vec![100, 0], vec!["failover.handed_back"], None));
}

#[test]
fn that_all_were_gone_for_a_moment_brings_nobody_back_who_has_to_wait() {
    for failback in [Failback::Manual, Failback::Never, Failback::Auto] {
        let rules = Rules { failback, ..RULES };
        let mut group = Group::default();
        look(&mut group, &rules, &[0, 3], 0);
        look(&mut group, &rules, &[0, 0], 1);
        let back = look(&mut group, &rules, &[3, 3], 2);
        let again = (failback != Failback::Never).then_some(302);
        assert_eq!(back, ("failed_over", vec![0, 100], vec!["failover.cleared"], again));
    }
    // Of those that are there the best, where the one that served has too few.
    let mut group = Group::default();
    look(&mut group, &RULES, &[0, 3], 0);
    look(&mut group, &RULES, &[0, 0], 1);
    assert_eq!(look(&mut group, &RULES, &[3, 1], 2).0, "primary");
}

#[test]
fn a_tier_that_is_well_is_returned_to_however_the_one_that_serves_flaps() {
    let mut group = Group::default();
    let mut at = |eligible, second| look(&mut group, &RULES, eligible, second);
    at(&[0, 3], 0);
    at(&[3, 3], 1);
    for second in (10..300).step_by(10) {
        assert_eq!(at(&[3, 1], second).0, "suspect");
        assert_eq!(at(&[3, 3], second + 5).0, "failed_over");
    }
    assert_eq!(at(&[3, 3], 301).0, "recovering");
}

#[test]
fn what_is_known_of_a_tier_ends_with_it() {
    let mut group = Group::default();
    let mut at = |eligible: &[usize], second| look(&mut group, &RULES, eligible, second);
    at(&[0, 0, 3], 0);
    assert_eq!(at(&[0, 3, 3], 1).0, "failed_over");
    assert_eq!(at(&[0, 3, 3], 301).0, "recovering");
    // The last two are taken out of the configuration.
    assert_eq!(at(&[3], 302), ("primary", vec![100], vec![], None));
}

#[test]
fn without_failback_a_return_is_recommended_or_not_even_that() {
    for (failback, kinds) in
        [(Failback::Manual, vec!["failover.recommended"]), (Failback::Never, vec![])]
    {
        let rules = Rules { failback, ..RULES };
        let mut group = Group::default();
        look(&mut group, &rules, &[0, 3], 0);
        look(&mut group, &rules, &[3, 3], 1);
        let late = look(&mut group, &rules, &[3, 3], 301);
        assert_eq!(late, ("failed_over", vec![0, 100], kinds, None));
        assert_eq!(look(&mut group, &rules, &[3, 3], 400).2, [""; 0], "told once");
    }
}

#[test]
fn the_operator_pins_and_releases() {
    let mut group = Group::default();
    let pinned = Rules { pin: Some(1), ..RULES };
    let expected = ("pinned", vec![0, 100], vec!["failover.pinned"], None);
    assert_eq!(look(&mut group, &pinned, &[3, 3], 0), expected);
    assert!(group.is_strict(&pinned));
    assert_eq!(look(&mut group, &pinned, &[3, 0], 1), ("pinned", vec![0, 100], vec![], None));
    let released = look(&mut group, &RULES, &[3, 3], 2);
    assert_eq!((released.0, released.3), ("failed_over", Some(302)));
}

#[test]
fn by_hand_nobody_moves_and_a_move_is_recommended_once() {
    let rules = Rules { strategy: Strategy::Manual, ..RULES };
    let mut group = Group::default();
    let mut at = |second| look(&mut group, &rules, &[0, 3], second);
    assert_eq!(at(0), ("suspect", vec![100, 0], vec!["failover.suspect"], Some(10)));
    assert_eq!(at(10), ("suspect", vec![100, 0], vec!["failover.recommended"], None));
    assert_eq!(at(20).2, [""; 0]);
}

#[test]
fn an_upstream_without_backends_is_no_trouble() {
    for strategy in Strategy::ALL {
        let rules = Rules { strategy, ..RULES };
        let mut group = Group::default();
        look(&mut group, &rules, &[], 0);
        assert_eq!(look(&mut group, &rules, &[], 20).1, [0_u32; 0]);
    }
    let pinned = Rules { pin: Some(5), ..RULES };
    let mut group = Group::default();
    assert_eq!(look(&mut group, &pinned, &[3], 0).2, ["failover.pinned"]);
    assert_eq!(look(&mut group, &pinned, &[3], 1), ("pinned", vec![0], vec![], None));
}

#[test]
fn several_active_tiers_spill() {
    let rules = Rules { strategy: Strategy::MultiActive, ..RULES };
    let mut group = Group::default();
    let mut at = |eligible, second| look(&mut group, &rules, eligible, second);
    assert_eq!(at(&[3, 3], 0), ("primary", vec![100, 0], vec![], None));
    let spilled = vec!["failover.spilled"];
    assert_eq!(at(&[1, 3], 1), ("failed_over", vec![46, 54], spilled, None));
    assert_eq!(at(&[3, 3], 2).1, [71, 29]);
    assert_eq!(
        at(&[3, 3], 12),
        ("failed_over", vec![96, 4], vec!["failover.recovering"], Some(22))
    );
    assert_eq!(at(&[3, 3], 22), ("primary", vec![100, 0], vec!["failover.handed_back"], None));
    assert_eq!(at(&[0, 0], 23), ("exhausted", vec![0, 0], vec!["failover.exhausted"], None));
}

proptest! {
    #[test]
    fn whoever_serves_has_somebody_as_long_as_anybody_has(
        story in prop::collection::vec((0_usize..=3, 0_usize..=3, 0_usize..=3, 0_u64..200), 1..60),
    ) {
        let mut group = Group::default();
        let mut now = 0;
        for (first, second, third, later) in story {
            now += later;
            let eligible = [first, second, third];
            let (state, shares, _, again) = look(&mut group, &RULES, &eligible, now);
            prop_assert_eq!(shares.iter().sum::<u32>(), 100);
            let anybody = eligible.iter().any(|count| *count > 0);
            prop_assert_eq!(state == "exhausted", !anybody);
            if anybody {
                for (share, count) in shares.iter().zip(eligible) {
                    prop_assert!(*share == 0 || count > 0);
                }
            }
            prop_assert!(again.is_none_or(|again| again > now));
        }
    }
}

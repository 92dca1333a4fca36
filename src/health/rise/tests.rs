use proptest::prelude::*;

use super::*;
use ProbedState::{Checking, Degraded, Down, Draining, Standby, Up};

const PACE: Pace = Pace {
    interval: Duration::from_secs(10),
    fast_interval: Duration::from_secs(2),
    down_interval: Duration::from_secs(30),
    jitter: 0.1,
};

fn rise(up: u32, down: u32, known: ProbedState) -> Rise {
    Rise::new(up, down, known, Tick(0))
}

fn verdict(rise: &mut Rise, found: Found) -> Option<ProbedState> {
    rise.observe(found, Tick(1)).map(|(state, _)| state)
}

/// What a stranger would write down as the rule: look back over the results since the last verdict.
fn next_by_history(up: usize, down: usize, state: ProbedState, since: &[Found]) -> ProbedState {
    let good = |found: Found| match found {
        Found::Down => 0,
        Found::Degraded => 1,
        _ => 2,
    };
    let Some(last) = since.last() else { return state };
    let at = match (state, last) {
        (_, Found::Standby) => return Standby,
        (_, Found::Draining) => return Draining,
        (Checking | Standby | Draining, Found::Up) => return Up,
        (Checking | Standby | Draining, Found::Degraded) => return Degraded,
        (Down, _) => 0,
        (Degraded, _) => 1,
        _ => 2,
    };
    let ends_with = |count: usize, fits: &dyn Fn(i32) -> bool| {
        let tail = since.len().checked_sub(count).map(|from| &since[from..]);
        tail.filter(|tail| tail.iter().all(|one| fits(good(*one))))
            .map(|tail| tail.iter().map(|one| good(*one)).collect::<Vec<_>>())
    };
    let named = |good: i32| [Down, Degraded, Up][good as usize];
    // The whole run on that side counts, not only its last results.
    let run = |better: bool| {
        let tail = since.iter().rev().map(|one| good(*one));
        tail.take_while(|one| if better { *one > at } else { *one < at }).collect::<Vec<_>>()
    };
    if ends_with(up, &|one| one > at).is_some() {
        return named(run(true).into_iter().min().unwrap());
    }
    if ends_with(down, &|one| one < at).is_some() {
        return named(run(false).into_iter().max().unwrap());
    }
    state
}

fn any_found() -> impl Strategy<Value = Found> {
    prop_oneof![
        4 => Just(Found::Up),
        4 => Just(Found::Down),
        2 => Just(Found::Degraded),
        1 => Just(Found::Standby),
        1 => Just(Found::Draining),
    ]
}

proptest! {
    #[test]
    fn the_verdict_follows_from_the_history(
        up in 1_u32..5,
        down in 1_u32..5,
        results in prop::collection::vec(any_found(), 0..60),
    ) {
        let mut pure = rise(up, down, ProbedState::Unprobed);
        let (mut state, mut since) = (Checking, Vec::new());
        for found in results {
            since.push(found);
            let told = verdict(&mut pure, found);
            let want = next_by_history(up as usize, down as usize, state, &since);
            prop_assert_eq!(told, (want != state).then_some(want), "{:?} since {:?}", state, since);
            if want != state {
                (state, since) = (want, Vec::new());
            }
            prop_assert_eq!(pure.state(), state);
        }
    }

    #[test]
    fn pauses_stay_within_jitter(
        results in prop::collection::vec(any_found(), 1..20),
        draw in 0.0_f64..1.0,
    ) {
        let mut rise = rise(2, 3, Checking);
        let mut regular_pauses = 0;
        for found in results {
            verdict(&mut rise, found);
            let pause = rise.pause(&PACE, draw).as_secs_f64();
            let range = if rise.against > 0 || rise.state == Checking {
                1.8..=2.2
            } else if rise.state == Down {
                27.0..=33.0
            } else {
                regular_pauses += 1;
                if regular_pauses == 1 { 0.0..=10.0 } else { 9.0..=11.0 }
            };
            prop_assert!(range.contains(&pause), "{pause}");
        }
    }

    #[test]
    fn first_probe_waits_at_most_a_second(interval in 1_u64..100_000, draw in 0.0_f64..1.0) {
        let pace = Pace { interval: Duration::from_millis(interval), ..PACE };
        prop_assert!(pace.first(draw) <= pace.interval.min(Duration::from_secs(1)));
    }
}

#[test]
fn known_verdict_is_not_forgotten_by_new_thresholds() {
    let mut rise = rise(2, 3, Down);
    assert_eq!(verdict(&mut rise, Found::Up), None);
    assert_eq!(verdict(&mut rise, Found::Up), Some(Up));
}

#[test]
fn a_run_is_good_for_what_all_of_it_allows() {
    let mut rise = rise(2, 3, Up);
    for found in [Found::Down, Found::Degraded] {
        assert_eq!(verdict(&mut rise, found), None);
    }
    assert_eq!(verdict(&mut rise, Found::Down), Some(Degraded));
}

#[test]
fn bad_results_count_from_the_end_of_the_start_period_on() {
    let mut rise = Rise::new(2, 2, Checking, Tick(10));
    for at in 0..10 {
        assert_eq!(rise.observe(Found::Down, Tick(at)), None);
    }
    assert_eq!(rise.observe(Found::Down, Tick(10)), None);
    assert_eq!(rise.observe(Found::Down, Tick(11)), Some((Down, 2)));
    let mut early = Rise::new(2, 1, Checking, Tick(10));
    assert_eq!(early.observe(Found::Up, Tick(1)), Some((Up, 1)));
    assert_eq!(early.observe(Found::Down, Tick(2)), Some((Down, 1)), "it had started already");
}

#[test]
fn an_agent_that_is_away_speaks_for_nobody_and_against_nobody() {
    let mut rise = rise(2, 1, Checking);
    assert_eq!(verdict(&mut rise, Found::Nothing), Some(Up));
    assert_eq!(verdict(&mut rise, Found::Down), Some(Down));
    assert_eq!(verdict(&mut rise, Found::Nothing), None);
}

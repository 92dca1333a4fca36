//! What is held against silence and against storms, shown with it and without.

use super::tests::{run, scenario};
use std::time::Duration;

use super::scenario::{Change, Effect};
use super::{Figures, Load, Scenario, simulate};

/// The part of the requests of these seconds that failed.
fn failed(figures: &Figures, seconds: std::ops::Range<usize>) -> f64 {
    let (mut failed, mut all) = (0, 0);
    for second in figures.seconds.get(seconds).unwrap_or_default() {
        (failed, all) = (failed + second.failed, all + second.requests);
    }
    assert!(all > 0, "nothing was asked");
    failed as f64 / all as f64
}

#[test]
fn a_black_hole_is_left_within_seconds_and_not_after_the_time_out() {
    for strategy in ["round_robin", "least_response_time", "random"] {
        let settings = |hung| format!("strategy = \"{strategy}\"\npassive.hung_factor = {hung}");
        let (waits, leaves) = (run("black-hole", &settings(0)), run("black-hole", &settings(10)));
        let noticed = |figures: &Figures| figures.noticed.map(|time| time.as_secs_f64());
        assert_eq!(waits.hung, 0, "{strategy}");
        assert!(noticed(&waits).is_none_or(|time| time > 59.0), "{strategy}: {:?}", waits.noticed);
        assert!(leaves.hung > 0, "{strategy}");
        assert!(noticed(&leaves).unwrap() < 3.0, "{strategy}: {:?}", leaves.noticed);
    }
}

#[test]
fn a_black_hole_that_gets_nothing_more_by_itself_catches_few() {
    let by_load = |hung| {
        run(
            "black-hole",
            &format!("strategy = \"least_connections\"\npassive.hung_factor = {hung}"),
        )
    };
    for hung in [0, 10] {
        let caught = by_load(hung).retries;
        assert!((1..=6).contains(&caught), "with {hung}: {caught} of 20000");
    }
}

#[test]
fn who_takes_its_turn_at_a_black_hole_catches_few_once_it_is_left() {
    let turns = |hung| {
        run("black-hole", &format!("strategy = \"round_robin\"\npassive.hung_factor = {hung}"))
    };
    let (waits, leaves) = (turns(0), turns(10));
    let slow = |figures: &Figures| {
        // Of those that came while it hung.
        let waited = (0..=10_000)
            .rev()
            .take_while(|part| figures.quantile(f64::from(*part) / 10_000.0).as_secs() >= 10);
        waited.count()
    };
    assert!(slow(&leaves) * 8 < slow(&waits), "{} {}", slow(&leaves), slow(&waits));
}

#[test]
fn who_answers_long_polls_is_not_taken_for_hung_once_it_has_answered_some() {
    let seconds = Duration::from_secs;
    // One of four answers after ten seconds and more, as a rule; it gets a few requests in a second.
    let polled = Scenario {
        backends: 4,
        rate: 20.0,
        time: seconds(600),
        places: 1_000,
        changes: vec![Change {
            during: seconds(0)..seconds(600),
            to: 0..1,
            effect: Effect::Slow(1_000.0),
        }],
        ..scenario("steady")
    };
    for strategy in ["ip_hash", "consistent_hash", "round_robin"] {
        let settings = format!("strategy = \"{strategy}\"\ntimeouts.read = \"2m\"");
        let loaded = super::tests::loaded(polled.backends, &settings);
        let figures = simulate(&loaded.config, "api", &polled, &Load::MadeUp, 7).unwrap();
        // Of who has never answered nobody knows that.
        assert!(figures.hung <= 1, "{strategy}: {}", figures.hung);
        assert!(figures.attempts[0] > 1_500, "{strategy}: {:?}", figures.attempts);
        assert_eq!(figures.failed, 0, "{strategy}");
    }
}

#[test]
fn nobody_is_taken_for_hung_who_is_slow_or_overrun() {
    for name in ["steady", "slow-one", "cold-jvm", "herd", "overload", "two-one-lost", "one-sickly"]
    {
        let figures = run(name, "");
        assert_eq!(figures.hung, 0, "{name}");
    }
}

/// Requests that are given up after a quarter of a second and tried three times; nobody is parked.
fn storm(budget: u32) -> Figures {
    run(
        "retry-storm",
        &format!(
            "timeouts.read = \"250ms\"\nretry = {{ tries = 3, budget = {budget} }}\n\
             passive = {{ max_fails = 0, hung_factor = 0 }}"
        ),
    )
}

#[test]
fn a_storm_of_retries_outlives_its_cause_without_a_budget_and_not_with_one() {
    let (without, with) = (storm(10_000), storm(20));
    assert!(failed(&without, 50..60) > 0.5, "{}", failed(&without, 50..60));
    assert!(failed(&with, 40..60) < 0.001, "{}", failed(&with, 40..60));
    assert!(with.retries * 4 < without.retries, "{} {}", with.retries, without.retries);
    let others = with.attempts.iter().sum::<u64>() - with.retries;
    assert!(with.retries * 5 <= others + 100, "a fifth: {} of {others}", with.retries);
}

#[test]
fn the_storm_is_the_same_each_time() {
    let scenario = scenario("retry-storm");
    let loaded = super::tests::loaded(scenario.backends, "");
    let run = || simulate(&loaded.config, "api", &scenario, &Load::MadeUp, 7).unwrap();
    assert_eq!(run(), run());
}

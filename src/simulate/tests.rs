//! What the scenarios are there to show, held for the strategies that they are about.

use std::fmt::Write as _;

use super::*;
use crate::config::{Loaded, parse};

/// Settings of an upstream `api` with so many backends.
pub(super) fn loaded(backends: usize, settings: &str) -> Loaded {
    let mut text = format!("[upstream.api]\n{settings}\n");
    for n in 1..=backends {
        let _ = write!(text, "[[upstream.api.backend]]\naddress = \"10.0.0.{n}:80\"\n");
    }
    text.push_str("[[listener]]\naddress = \"127.0.0.1:8080\"\n[[route]]\nupstream = \"api\"\n");
    parse("simulated.toml", &text, &|_| None).unwrap()
}

pub(super) fn scenario(name: &str) -> Scenario {
    scenarios().into_iter().find(|one| one.name == name).unwrap()
}

pub(super) fn run(name: &str, settings: &str) -> Figures {
    let scenario = scenario(name);
    let loaded = loaded(scenario.backends, settings);
    simulate(&loaded.config, "api", &scenario, &Load::MadeUp, 1).unwrap()
}

fn with(strategy: &str) -> String {
    format!("strategy = \"{strategy}\"")
}

/// Milliseconds of the 99th percentile.
fn p99(figures: &Figures) -> f64 {
    figures.quantile(0.99).as_secs_f64() * 1e3
}

#[test]
fn the_same_seed_gives_the_same_figures() {
    assert_eq!(run("slow-one", &with("random")), run("slow-one", &with("random")));
}

#[test]
fn in_quiet_nobody_fails_and_turns_are_even() {
    for strategy in ["round_robin", "weighted_round_robin", "least_connections", "random"] {
        let figures = run("steady", &with(strategy));
        assert!(figures.requests > 50_000, "{strategy}: {}", figures.requests);
        assert_eq!((figures.failed, figures.retries, figures.parked), (0, 0, 0), "{strategy}");
        assert!(figures.unevenness < 1.1, "{strategy}: {}", figures.unevenness);
        assert!(p99(&figures) < 60.0, "{strategy}: {}", p99(&figures));
    }
}

#[test]
fn who_looks_at_load_leaves_a_slow_backend_alone() {
    let turns = run("slow-one", &with("round_robin"));
    for strategy in ["least_connections", "least_response_time", "prequal"] {
        let looks = run("slow-one", &with(strategy));
        assert!(p99(&looks) * 3.0 < p99(&turns), "{strategy}: {} {}", p99(&looks), p99(&turns));
        assert!(looks.attempts[0] * 2 < looks.attempts[1], "{strategy}: {:?}", looks.attempts);
    }
}

#[test]
fn a_backend_that_fails_fast_draws_nobody_and_costs_nobody() {
    for strategy in
        ["round_robin", "least_connections", "least_response_time", "random", "prequal", "maglev"]
    {
        let figures = run("fast-failing", &with(strategy));
        assert_eq!(figures.failed, 0, "{strategy}");
        assert!(figures.parked > 0, "{strategy}");
        let share = figures.attempts[0] as f64 / figures.requests as f64;
        assert!(share < 0.06, "{strategy}: {share}");
    }
}

#[test]
fn a_sickly_backend_is_found_out_by_comparison() {
    let alone = run("sickly", "passive.max_fails = 0");
    let compared = run("sickly", "passive.max_fails = 0\nejection = {}");
    assert_eq!((alone.parked, compared.ejected), (0, compared.parked));
    assert!(compared.ejected > 0);
    assert!(compared.retries * 2 < alone.retries, "{} {}", compared.retries, alone.retries);
}

#[test]
fn half_of_the_backends_are_lost_and_no_request_is() {
    let figures = run("zone-lost", "retry.tries = 6");
    assert_eq!(figures.failed, 0);
    assert!(figures.parked >= 5, "{}", figures.parked);
    assert!(figures.noticed.unwrap().as_secs_f64() < 1.0, "{:?}", figures.noticed);
    // All are back at the end.
    let last = &figures.seconds[50];
    assert!(last.requests > 700 && last.p99.as_millis() < 60, "{last:?}");
}

#[test]
fn one_of_two_is_lost_and_no_request_is() {
    let figures = run("two-one-lost", "");
    assert_eq!(figures.failed, 0);
    assert!(figures.attempts[1] > figures.attempts[0], "{:?}", figures.attempts);
}

#[test]
fn the_only_one_is_never_taken_out() {
    let figures = run("one-sickly", "ejection = {}");
    assert_eq!((figures.parked, figures.ejected), (0, 0));
    let lost = figures.failed as f64 / figures.requests as f64;
    assert!((0.03..0.10).contains(&lost), "a fifth of a third: {lost}");
}

#[test]
fn who_goes_up_and_down_is_asked_less_and_less() {
    let figures = run("flapping", "");
    assert_eq!(figures.failed, 0);
    assert!((1..=6).contains(&figures.parked), "{}", figures.parked);
}

#[test]
fn a_herd_passes_where_there_is_room() {
    for strategy in ["round_robin", "least_connections"] {
        let figures = run("herd", &with(strategy));
        assert_eq!(figures.failed, 0, "{strategy}");
        let calm = figures.seconds[40].p99;
        assert!(calm.as_millis() < 60, "{strategy}: {calm:?}");
    }
}

#[test]
fn a_backend_that_warms_up_gets_what_it_can_serve() {
    let turns = run("cold-jvm", &with("round_robin"));
    for strategy in ["least_connections", "least_response_time", "prequal"] {
        let looks = run("cold-jvm", &with(strategy));
        assert_eq!(looks.failed, 0, "{strategy}");
        assert!(p99(&looks) * 2.0 < p99(&turns), "{strategy}: {} {}", p99(&looks), p99(&turns));
        // It is not given up.
        assert!(looks.attempts[0] > 100, "{strategy}: {:?}", looks.attempts);
    }
}

/// Two tiers of five.
fn tiers(settings: &str) -> Loaded {
    let mut text = format!("[upstream.api]\n{settings}\n");
    for n in 1..=10 {
        let tier = u8::from(n > 5);
        let _ =
            write!(text, "[[upstream.api.backend]]\naddress = \"10.0.0.{n}:80\"\ntier = {tier}\n");
    }
    text.push_str("[[listener]]\naddress = \"127.0.0.1:8080\"\n[[route]]\nupstream = \"api\"\n");
    parse("simulated.toml", &text, &|_| None).unwrap()
}

#[test]
fn a_lost_tier_is_left_and_gone_back_to() {
    let half = |scenario: Scenario| Scenario { rate: 500.0, ..scenario };
    let lost = half(scenario("zone-lost"));
    let group = "retry.tries = 7\nfailover = { failback_delay = \"5s\", refill_interval = \"1s\" }";
    let figures = simulate(&tiers(group).config, "api", &lost, &Load::MadeUp, 1).unwrap();
    assert_eq!((figures.failed, figures.moves), (0, 2), "there and back");
    // The second tier had the load while the first was away, and nothing else.
    let (first, second): (u64, u64) =
        (figures.attempts[..5].iter().sum(), figures.attempts[5..].iter().sum());
    let share = second as f64 / (first + second) as f64;
    assert!((0.25..0.70).contains(&share), "{:?}", figures.attempts);
    // What is not lost spills by degrees.
    let sick =
        Scenario { changes: vec![Change { to: 0..2, ..lost.changes[0].clone() }], ..lost.clone() };
    let spilling = "retry.tries = 7\nfailover = { strategy = \"multi_active\" }";
    let figures = simulate(&tiers(spilling).config, "api", &sick, &Load::MadeUp, 1).unwrap();
    let second: u64 = figures.attempts[5..].iter().sum();
    assert_eq!(figures.failed, 0);
    assert!(figures.moves >= 1 && second > 300 && second < 6_000, "{:?}", figures.attempts);
}

#[test]
fn a_breaker_opens_when_nobody_works_and_closes_when_they_do() {
    let everybody = Scenario {
        changes: vec![Change {
            during: std::time::Duration::from_secs(20)..std::time::Duration::from_secs(30),
            to: 0..10,
            effect: Effect::Breaks(1.0),
        }],
        ..scenario("steady")
    };
    let run = |settings: &str| {
        simulate(&loaded(10, settings).config, "api", &everybody, &Load::MadeUp, 1).unwrap()
    };
    let (open, guarded) = (run(""), run("breaker = { open_for = \"2s\" }"));
    assert_eq!((open.opened, guarded.opened > 0), (0, true));
    // Who cannot serve is asked less.
    let asked = |figures: &Figures| figures.attempts.iter().sum::<u64>();
    assert!(asked(&guarded) < asked(&open), "{} {}", asked(&guarded), asked(&open));
    let last = guarded.seconds[50];
    assert!(last.failed == 0 && last.requests > 700, "{last:?}");
}

#[test]
fn probes_find_whom_traffic_would_wait_for() {
    let blind = "passive = { max_fails = 0, hung_factor = 0 }\nretry.tries = 3\n\
                 timeouts.read = \"5s\"";
    let checks = "health = { path = \"/\", interval = \"1s\", timeout = \"1s\", fall = 2 }";
    let (alone, figures) =
        (run("black-hole", blind), run("black-hole", &format!("{blind}\n{checks}")));
    assert_eq!((alone.down, figures.down), (0, 1));
    assert!(figures.noticed.unwrap().as_secs_f64() < 5.0, "{:?}", figures.noticed);
    assert!(figures.retries * 2 < alone.retries, "{} {}", figures.retries, alone.retries);
    // It is back at the end.
    assert!(figures.attempts[0] * 10 > figures.attempts[1] * 5, "{:?}", figures.attempts);
}

#[test]
fn what_was_recorded_comes_again_as_it_was() {
    let line = |second: u32, took: f64, upstream: &str| {
        format!(
            "{{\"time\":\"2026-11-21T10:00:{second:02}.500Z\",\"client\":\"10.1.1.{second}\",\
             \"upstream\":\"{upstream}\",\"duration_seconds\":{took}}}\n"
        )
    };
    let log = [&*line(3, 0.25, "api"), "no line\n", &line(1, 0.5, "api"), &line(2, 0.1, "other")];
    let arrivals = recorded(&log.concat(), Some("api"));
    let at: Vec<_> =
        arrivals.iter().map(|one| (one.at.as_millis(), one.took.as_millis())).collect();
    assert_eq!(at, [(0, 500), (2_250, 250)]);
    let loaded = loaded(2, "");
    let load = Load::Recorded(arrivals);
    let figures = simulate(&loaded.config, "api", &scenario("steady"), &load, 1).unwrap();
    assert_eq!((figures.requests, figures.failed), (2, 0));
    assert_eq!(figures.quantile(1.0).as_micros(), 500_200);
}

#[test]
fn what_cannot_be_simulated_is_refused() {
    let refused = |settings, name| {
        let (loaded, load) = (loaded(2, settings), Load::MadeUp);
        simulate(&loaded.config, name, &scenario("steady"), &load, 1).unwrap_err()
    };
    assert_eq!(refused("", "none").to_string(), "there is no upstream `none`");
    assert_eq!(refused("nginx.failures = true", "api"), Unfit::Tallies("api".to_owned()));
}

#[test]
fn what_is_above_a_limit_waits_and_is_served() {
    let refused = run("herd", "max_in_flight = 40");
    let waits = run("herd", "max_in_flight = 40\nqueue = {}");
    assert!(refused.failed > 20 && refused.waited == 0, "{}", refused.failed);
    assert!(waits.failed == 0 && waits.waited > 20, "{} {}", waits.failed, waits.waited);
    assert!(p99(&waits) < 100.0, "{}", p99(&waits));
    // Twice as many as can be served: those who cannot soon have a place are told so at once.
    let short = run("overload", "max_in_flight = 40\nqueue = { depth = 100 }");
    assert!(short.failed > 10_000 && p99(&short) < 150.0, "{} {}", short.failed, p99(&short));
    let hasty = run("overload", "max_in_flight = 40\nqueue = { depth = 1000, timeout = \"20ms\" }");
    assert!(hasty.failed > 10_000 && p99(&hasty) < 100.0, "{} {}", hasty.failed, p99(&hasty));
}

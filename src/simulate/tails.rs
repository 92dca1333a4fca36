//! What is held against slow answers: slow start, hedging, limits; each shown with it and without.

use super::tests::run;
use super::{Figures, scenarios};

/// Milliseconds within which this part of the requests was answered.
fn within(figures: &Figures, part: f64) -> f64 {
    figures.quantile(part).as_secs_f64() * 1e3
}

/// Attempts at the first backend, as a part of what each of ten would get.
fn share(figures: &Figures) -> f64 {
    figures.attempts[0] as f64 * 10.0 / figures.attempts.iter().sum::<u64>() as f64
}

#[test]
fn a_backend_that_is_back_cold_gets_its_share_bit_by_bit() {
    for strategy in ["weighted_round_robin", "random"] {
        let settings = |slow_start: &str| {
            let health = "health = { path = \"/\", interval = \"1s\", timeout = \"1s\", fall = 2, rise = 1 }";
            let figures =
                run("cold-restart", &format!("strategy = \"{strategy}\"\n{slow_start}\n{health}"));
            assert_eq!(figures.failed, 0, "{strategy}");
            figures
        };
        let (at_once, slowly) = (settings(""), settings("slow_start = \"30s\""));
        assert!(share(&slowly) < share(&at_once), "{strategy}");
        let [cold, warm] = [&at_once, &slowly].map(|figures| within(figures, 0.99));
        assert!(warm * 1.5 < cold, "{strategy}: {warm} {cold}");
        // In the end it has all of it.
        let last = &slowly.seconds[59];
        assert!(last.p99.as_millis() < 100, "{strategy}: {last:?}");
    }
}

#[test]
fn a_second_request_cuts_the_tail_of_a_slow_backend_at_the_price_of_its_budget() {
    let turns = "strategy = \"round_robin\"\npassive.hung_factor = 0";
    let alone = run("slow-one", turns);
    let hedged = run("slow-one", &format!("{turns}\nhedge = {{ percentile = 95.0, budget = 20 }}"));
    assert_eq!((alone.hedges, hedged.failed), (0, 0));
    let [slow, cut] = [&alone, &hedged].map(|figures| within(figures, 0.99));
    assert!(cut * 2.0 < slow, "{cut} {slow}");
    assert!(hedged.hedges > 500, "{}", hedged.hedges);
    let others = hedged.attempts.iter().sum::<u64>() - hedged.hedges;
    assert!(hedged.hedges * 100 <= others * 20 + 200, "{} of {others}", hedged.hedges);
    // The budget holds, however long all take.
    let overrun = run("overload", "hedge = { after = \"5ms\", budget = 1 }");
    let others = overrun.attempts.iter().sum::<u64>() - overrun.hedges;
    assert!(overrun.hedges * 100 <= others + 200, "{} of {others}", overrun.hedges);
}

#[test]
fn where_less_is_let_in_what_is_let_in_is_served() {
    let patient =
        "timeouts.read = \"2s\"\nretry.tries = 1\npassive = { max_fails = 0, hung_factor = 0 }";
    let open = run("overload", patient);
    let limited = run("overload", &format!("{patient}\nadaptive = {{ initial = 40, max = 80 }}"));
    let guarded = run("overload", &format!("{patient}\nadmission = {{ window = \"5s\" }}"));
    assert_eq!(open.shed, 0);
    let answered = |figures: &Figures| figures.requests - figures.failed;
    for (name, figures) in [("adaptive", &limited), ("admission", &guarded)] {
        assert!(figures.shed > 1_000, "{name}: {}", figures.shed);
        assert!(
            answered(figures) > answered(&open),
            "{name}: {} {}",
            answered(figures),
            answered(&open)
        );
    }
    let [queued, short] = [&open, &limited].map(|figures| within(figures, 0.99));
    assert!(short * 3.0 < queued, "{short} {queued}");
    // In quiet nothing is refused.
    let calm = run("steady", "adaptive = { initial = 60 }\nadmission = {}");
    assert_eq!((calm.shed, calm.failed), (0, 0));
}

#[test]
fn who_goes_up_and_down_by_its_checks_is_kept_down() {
    let checks = "passive = { max_fails = 0 }\nhealth = { path = \"/\", interval = \"500ms\", \
                  fast_interval = \"200ms\", down_interval = \"500ms\", timeout = \"500ms\", fall = 1, rise = 1 }";
    let free = run("flapping", &format!("{checks}\nflap = {{ max = \"off\" }}"));
    let damped = run("flapping", checks);
    assert_eq!((free.failed, damped.failed), (0, 0));
    assert!(free.down > 10, "{}", free.down);
    assert!(damped.attempts[0] * 2 < free.attempts[0], "{:?} {:?}", damped.attempts, free.attempts);
    assert!(scenarios().iter().any(|one| one.name == "cold-restart"));
}

//! Reload after reload under load: the one test that runs for a given time.

use std::time::Duration;

use tokio::time::{Instant, interval};

use crate::support::{Lb, Load, Origin, at, at_with, config};

/// How long, and how often.
const RUN: Duration = Duration::from_secs(20);
const EVERY: Duration = Duration::from_millis(100);

#[tokio::test]
async fn reloads_every_100_ms_for_20_s_under_load_fail_no_request_and_leak_nothing() {
    let mut origins = Vec::new();
    for name in ["a", "b", "c", "d"] {
        origins.push(Origin::start(name).await);
    }
    // Backends leave, come back, change their weights; `a` is always there.
    let configuration = |round: usize| {
        let mut backends = vec![at_with(&origins[0], &format!("weight = {}", 1 + round % 3))];
        for (place, origin) in origins.iter().enumerate().skip(1) {
            if !(round + place).is_multiple_of(3) {
                backends.push(at(origin));
            }
        }
        config("", "", &backends)
    };
    let lb = Lb::start(configuration(0)).await;
    let load = Load::start(lb.addr("main"), 8);
    let mut ticks = interval(EVERY);
    let begun = Instant::now();
    let mut rounds = 0;
    let mut warm = None;
    while begun.elapsed() < RUN {
        ticks.tick().await;
        rounds += 1;
        lb.reload(configuration(rounds));
        // A quarter of the time is for pools, buffers and the allocator to find their size.
        if warm.is_none() && begun.elapsed() > RUN / 4 {
            warm = Some(usage(&lb).await);
        }
    }
    let (warm_memory, warm_descriptors) = warm.unwrap();
    let (memory, descriptors) = usage(&lb).await;
    assert!(load.answered() > 1000, "{} answered", load.answered());
    load.expect_all_good().await;
    let loaded = lb.metric("plimsoll_config_reloads_total{result=\"ok\"}").await.unwrap();
    assert!(loaded > rounds as f64 / 4.0, "{loaded} of {rounds} loaded");
    lb.until_metric("plimsoll_config_last_reload_successful", 1.0).await;
    // Stated bounds: the reloads left neither 4 MiB nor 40 descriptors (8 clients, at most 8 kept
    // connections to each of 4 backends) behind.
    assert!(memory < warm_memory + f64::from(4 << 20), "{warm_memory} bytes grew to {memory}");
    assert!(
        descriptors < warm_descriptors + 40.0,
        "{warm_descriptors} descriptors grew to {descriptors}"
    );
    // With the load gone only what is kept for good stays: a few kept connections.
    let text = lb.metrics().await;
    let in_flight = crate::support::metric(&text, "plimsoll_backend_in_flight");
    assert_eq!(in_flight, Some(0.0));
}

/// Resident bytes and open descriptors.
async fn usage(lb: &Lb) -> (f64, f64) {
    let text = lb.metrics().await;
    let of = |name| crate::support::metric(&text, name).unwrap();
    (of("process_resident_memory_bytes"), of("process_open_fds"))
}

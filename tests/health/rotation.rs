//! Tiers, the operator's states, and a death under load.

use super::{DISABLED, DOWN, DRAINING, UP, ask, ask_all_from, told, until_state};
use crate::support::{Answer, Client, Lb, Load, Origin, at, at_with, config, until};

const PROBES: &str = "[upstream.api.health]\ninterval = \"40ms\"\nfast_interval = \"20ms\"\n\
                      rise = 1\nfall = 1\n";

#[tokio::test]
async fn backups_serve_while_the_primaries_are_down_and_only_then() {
    let (mut primary, backup) = (Origin::start("primary").await, Origin::start("backup").await);
    let backends = [at(&primary), at_with(&backup, "backup = true")];
    // Only the probes are to judge: a parked primary waits for a trial.
    let probes = format!("passive = {{ max_fails = 0 }}\n{PROBES}");
    let lb = Lb::start(config("", &probes, &backends)).await;
    until_state(&lb, &primary, UP).await;
    until_state(&lb, &backup, UP).await;
    ask_all_from(&lb, 10, "primary").await;
    primary.stop().await;
    // Even before the probes notice, no client does.
    ask_all_from(&lb, 5, "backup").await;
    until_state(&lb, &primary, DOWN).await;
    ask_all_from(&lb, 5, "backup").await;
    primary.restart().await;
    until_state(&lb, &primary, UP).await;
    ask_all_from(&lb, 10, "primary").await;
}

#[tokio::test]
async fn draining_backend_finishes_its_requests_and_gets_no_new_ones() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.hold();
    b.hold();
    let lb = Lb::start(config("", "strategy = \"round_robin\"", &[at(&a), at(&b)])).await;
    let mut clients = Vec::new();
    while a.requests() == 0 || b.requests() == 0 {
        let before = a.requests() + b.requests();
        let mut client = Client::connect(lb.addr("main")).await;
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
        until("the request is there", async || a.requests() + b.requests() > before).await;
        clients.push(client);
    }
    let under_way = a.requests();
    let drain = [at_with(&a, "state = \"draining\""), at(&b)];
    lb.reload(config("", "strategy = \"round_robin\"", &drain));
    until_state(&lb, &a, DRAINING).await;
    let entry = told(&lb, &a).await;
    assert_eq!(entry["admin_state"], "draining");
    assert_eq!(entry["in_flight"], under_way, "{entry}");
    a.release();
    b.release();
    let mut names = Vec::new();
    for client in &mut clients {
        names.push(client.read_response().await.text());
    }
    assert!(names.contains(&"a".to_owned()), "{names:?}");
    ask_all_from(&lb, 10, "b").await;
    assert_eq!(a.requests(), under_way);
    // Back by the same way.
    lb.reload(config("", "strategy = \"round_robin\"", &[at(&a), at(&b)]));
    until_state(&lb, &a, UP).await;
    until("it gets requests again", async || ask(&lb).await.1 == "a").await;
}

#[tokio::test]
async fn disabled_backend_gets_nothing() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let backends = [at_with(&a, "state = \"disabled\""), at(&b)];
    let lb = Lb::start(config("", "", &backends)).await;
    until_state(&lb, &a, DISABLED).await;
    ask_all_from(&lb, 10, "b").await;
    assert_eq!(a.requests(), 0);
}

#[tokio::test]
async fn status_and_metrics_tell_the_same_story() {
    let mut origins = Vec::new();
    for name in ["up", "down", "draining", "disabled"] {
        origins.push(Origin::start(name).await);
    }
    origins[1].answer(Answer::Status(500));
    let backends = [
        at(&origins[0]),
        at(&origins[1]),
        at_with(&origins[2], "state = \"draining\""),
        at_with(&origins[3], "state = \"disabled\""),
    ];
    let lb = Lb::start(config("", PROBES, &backends)).await;
    for (origin, state) in origins.iter().zip([UP, DOWN, DRAINING, DISABLED]) {
        until_state(&lb, origin, state).await;
    }
    for (origin, eligible) in origins.iter().zip([true, false, false, false]) {
        let entry = told(&lb, origin).await;
        assert_eq!(entry["eligible"], eligible, "{entry}");
        let up = format!("plimsoll_backend_up{{backend=\"{}\"}}", origin.address());
        assert_eq!(lb.metric(&up).await, Some(f64::from(u8::from(eligible))));
    }
    ask_all_from(&lb, 6, "up").await;
    // The books of a request are closed after its answer has gone out.
    lb.until_metric("plimsoll_upstream_attempts_total{outcome=\"ok\"}", 6.0).await;
    let entry = told(&lb, &origins[0]).await;
    let picks = format!("plimsoll_backend_picks_total{{backend=\"{}\"}}", origins[0].address());
    assert_eq!(entry["picks"], 6, "{entry}");
    assert_eq!(lb.metric(&picks).await, Some(6.0));
    assert_eq!(entry["attempts"]["ok"], 6, "{entry}");
    let checks = lb.api("/api/v1/ha/health-checks").await;
    let verdicts = checks["upstreams"][0]["backends"].as_array().unwrap();
    let probed: Vec<_> = verdicts.iter().map(|one| &one["probed_state"]).collect();
    assert_eq!(probed[..2], ["up", "down"], "{checks}");
    for state in ["up", "down", "draining", "disabled"] {
        let count = format!("plimsoll_upstream_backends{{state=\"{state}\"}}");
        assert_eq!(lb.metric(&count).await, Some(1.0), "{state}");
    }
    let status = lb.status().await;
    assert_eq!(status["status"], "degraded", "{status}");
}

#[tokio::test]
async fn backend_killed_under_load_costs_no_request_and_comes_back() {
    let a = Origin::start("a").await;
    let mut b = Origin::start("b").await;
    let c = Origin::start("c").await;
    let lb = Lb::start(config("", PROBES, &[at(&a), at(&b), at(&c)])).await;
    for origin in [&a, &b, &c] {
        until_state(&lb, origin, UP).await;
    }
    let load = Load::start(lb.addr("main"), 8);
    load.until_answered(200).await;
    b.stop().await;
    until_state(&lb, &b, DOWN).await;
    load.until_answered(200).await;
    b.restart().await;
    until_state(&lb, &b, UP).await;
    let before = b.requests();
    load.until_answered(200).await;
    b.until_requests(before + 20).await;
    load.expect_all_good().await;
}

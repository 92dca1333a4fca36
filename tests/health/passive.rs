//! Parking by real requests.

use std::time::{Duration, Instant};

use super::{PARKED, UP, ask, ask_all_from, told, until_state};
use crate::support::{Answer, Client, Lb, Origin, at, config, get, until};

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

/// Asks until the backend is parked; every request must be answered by another one.
async fn ask_until_parked(lb: &Lb, origin: &Origin) {
    until("it is parked", async || {
        assert_eq!(ask(lb).await.0, 200);
        told(lb, origin).await["passive_state"] == "parked"
    })
    .await;
}

#[tokio::test]
async fn failing_backend_is_parked_and_gets_nothing_while_clients_notice_nothing() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.answer(Answer::Reset);
    let passive = "strategy = \"round_robin\"\npassive = { max_fails = 3, fail_timeout = \"1h\" }";
    let lb = Lb::start(config("", passive, &[at(&a), at(&b)])).await;
    ask_until_parked(&lb, &a).await;
    until_state(&lb, &a, PARKED).await;
    let failed = a.requests();
    assert!(failed >= 3, "parked after {failed} failures");
    a.answer(Answer::Status(200));
    ask_all_from(&lb, 20, "b").await;
    assert_eq!(a.requests(), failed, "a parked backend got a request");
    let entry = told(&lb, &a).await;
    assert_eq!(entry["eligible"], false);
    assert!(entry["parked_for_seconds"].as_f64().unwrap() > 3000.0, "{entry}");
    lb.until_log("backend parked").await;
    lb.until_log("3 failed requests within 3600s").await;
    let label = format!("backend=\"{}\"", a.address());
    lb.until_metric(
        &format!("plimsoll_backend_state_changes_total{{{label},to=\"parked\",cause=\"traffic\"}}"),
        1.0,
    )
    .await;
}

#[tokio::test]
async fn refused_connections_and_time_outs_park_too() {
    let (mut refusing, silent) = (Origin::start("refusing").await, Origin::start("silent").await);
    let well = Origin::start("well").await;
    refusing.stop().await;
    silent.answer(Answer::Never);
    let settings = "timeouts = { read = \"1s\" }\n\
                    passive = { max_fails = 1, fail_timeout = \"1h\" }";
    let backends = [at(&refusing), at(&silent), at(&well)];
    let lb = Lb::start(config("", settings, &backends)).await;
    ask_until_parked(&lb, &refusing).await;
    ask_until_parked(&lb, &silent).await;
    ask_all_from(&lb, 5, "well").await;
}

#[tokio::test]
async fn after_the_pause_one_trial_request_decides() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.answer(Answer::Reset);
    let passive = "strategy = \"round_robin\"\npassive = { max_fails = 1, fail_timeout = \"2s\" }";
    let lb = Lb::start(config("", passive, &[at(&a), at(&b)])).await;
    ask_until_parked(&lb, &a).await;
    a.answer(Answer::Status(200));
    a.hold();
    lb.until_log("backend on trial").await;
    let before = a.requests();
    let mut trial = Client::connect(lb.addr("main")).await;
    trial.send(GET).await;
    a.until_requests(before + 1).await;
    // While the trial is under way everybody else is served elsewhere.
    ask_all_from(&lb, 10, "b").await;
    assert_eq!(a.requests(), before + 1);
    a.release();
    assert_eq!(trial.read_response().await.text(), "a");
    until_state(&lb, &a, UP).await;
    lb.until_log("the trial request succeeded").await;
    until("it gets requests again", async || ask(&lb).await.1 == "a").await;
}

#[tokio::test]
async fn failed_trial_parks_again_and_the_client_is_served_elsewhere() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.answer(Answer::Reset);
    let passive = "passive = { max_fails = 1, fail_timeout = \"100ms\" }";
    let lb = Lb::start(config("", passive, &[at(&a), at(&b)])).await;
    until("a trial has failed", async || {
        assert_eq!(ask(&lb).await, (200, "b".to_owned()));
        lb.log_text().contains("the trial request failed")
    })
    .await;
}

#[tokio::test]
async fn last_backend_left_is_never_parked() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.answer(Answer::Status(500));
    b.answer(Answer::Status(500));
    let passive = "passive = { max_fails = 1, fail_timeout = \"1h\", statuses = [500] }";
    let lb = Lb::start(config("", passive, &[at(&a), at(&b)])).await;
    until("the last one is spared", async || {
        assert_eq!(ask(&lb).await.0, 500);
        lb.log_text().contains("backend not parked: no other is left")
    })
    .await;
    let parked = [told(&lb, &a).await, told(&lb, &b).await];
    let parked = parked.iter().filter(|one| one["passive_state"] == "parked");
    assert_eq!(parked.count(), 1);
    let kept = async || {
        let told = lb.api("/api/v1/ha/events?kind=backend.not_parked").await;
        told["events"].as_array().unwrap().len()
    };
    assert_eq!(kept().await, 1);
    // Its failures go on, and push nothing else out of the list of events.
    for _ in 0..20 {
        assert_eq!(ask(&lb).await.0, 500);
    }
    assert_eq!(kept().await, 1);
}

#[tokio::test]
async fn clients_that_leave_do_not_count_as_failures() {
    let a = Origin::start("a").await;
    let b = Origin::start("b").await;
    a.hold();
    b.hold();
    let passive = "passive = { max_fails = 1, fail_timeout = \"1h\" }";
    let lb = Lb::start(config("", passive, &[at(&a), at(&b)])).await;
    for left in 1..=4 {
        let mut client = Client::connect(lb.addr("main")).await;
        client.send(GET).await;
        until("the request is there", async || a.requests() + b.requests() == left).await;
        client.reset();
    }
    let gone = "plimsoll_upstream_attempts_total{outcome=\"client_gone\"}";
    lb.until_metric(gone, 4.0).await;
    a.release();
    b.release();
    for origin in [&a, &b] {
        assert_eq!(told(&lb, origin).await["passive_state"], "ok");
    }
    assert_eq!(ask(&lb).await.0, 200);
    assert!(!lb.log_text().contains("parked"), "{}", lb.log_text());
}

#[tokio::test]
async fn client_that_leaves_a_trial_leaves_it_to_the_next_one() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.answer(Answer::Reset);
    let passive = "passive = { max_fails = 1, fail_timeout = \"1s\" }";
    let lb = Lb::start(config("", passive, &[at(&a), at(&b)])).await;
    ask_until_parked(&lb, &a).await;
    a.answer(Answer::Status(200));
    a.hold();
    lb.until_log("backend on trial").await;
    let before = a.requests();
    let mut client = Client::connect(lb.addr("main")).await;
    client.send(GET).await;
    a.until_requests(before + 1).await;
    client.reset();
    let gone = "plimsoll_upstream_attempts_total{outcome=\"client_gone\"}";
    lb.until_metric(gone, 1.0).await;
    a.release();
    until("another request has made the trial", async || {
        assert_eq!(ask(&lb).await.0, 200);
        told(&lb, &a).await["passive_state"] == "ok"
    })
    .await;
    assert!(!lb.log_text().contains("the trial request failed"), "{}", lb.log_text());
}

#[tokio::test]
async fn clients_that_do_not_wait_for_trials_are_one_a_pause() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.answer(Answer::Reset);
    let settings = "timeouts = { client = \"${header.x-waits-ms}\" }\n\
                    passive = { max_fails = 1, fail_timeout = \"1s\", max_pause = \"1s\" }";
    let lb = Lb::start(config("", settings, &[at(&a), at(&b)])).await;
    ask_until_parked(&lb, &a).await;
    a.answer(Answer::Never);
    lb.until_log("backend on trial").await;
    // Nobody waits for long enough to tell whether it hangs.
    let ask = async |patience: u32| {
        let mut client = Client::connect(lb.addr("main")).await;
        let waits = format!("GET / HTTP/1.1\r\nHost: test\r\nX-Waits-Ms: {patience}\r\n\r\n");
        client.send(waits).await;
        client.read_response().await.status
    };
    let (begun, before, mut asked) = (Instant::now(), a.requests(), 0);
    while a.requests() < before + 3 {
        asked += 1;
        assert!(matches!(ask(100).await, 200 | 504));
    }
    assert!(begun.elapsed() >= Duration::from_secs(2), "3 of {asked} were late");
    assert!(asked > 3, "others are served: {asked}");
    a.answer(Answer::Status(200));
    until("it is back", async || {
        assert_eq!(ask(10_000).await, 200);
        told(&lb, &a).await["passive_state"] == "ok"
    })
    .await;
}

#[tokio::test]
async fn only_listed_statuses_count_as_failures() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.answer(Answer::Status(500));
    let passive = "strategy = \"round_robin\"\n\
                   passive = { max_fails = 2, fail_timeout = \"1h\", statuses = [503] }";
    let one = config("", passive, &[at(&a), at(&b)]).replace("workers = 2", "workers = 1");
    let lb = Lb::start(one).await;
    for _ in 0..20 {
        ask(&lb).await;
    }
    assert_eq!(told(&lb, &a).await["passive_state"], "ok");
    assert_eq!(a.requests(), 10);
    a.answer(Answer::Status(503));
    until("it is parked", async || {
        let response = get(lb.addr("main"), "/").await;
        // A status is handed on; only `retry.statuses` would ask elsewhere.
        assert!(matches!(response.status, 200 | 503), "{response:?}");
        told(&lb, &a).await["passive_state"] == "parked"
    })
    .await;
}

#[tokio::test]
async fn status_that_is_retried_counts_only_if_it_is_listed_as_a_failure_too() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.answer(Answer::Status(404));
    let passive = "strategy = \"round_robin\"\nretry = { statuses = [404], budget_min = 100 }\n\
                   passive = { max_fails = 1, fail_timeout = \"1h\" }";
    let lb = Lb::start(config("", passive, &[at(&a), at(&b)])).await;
    ask_all_from(&lb, 10, "b").await;
    assert_eq!(told(&lb, &a).await["passive_state"], "ok");
    assert!(a.requests() >= 3, "it is asked each time");
    assert!(!lb.log_text().contains("parked"), "{}", lb.log_text());
}

#[tokio::test]
async fn client_that_is_slow_with_its_body_does_not_count_as_a_failure() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let settings = "timeouts = { total = \"200ms\" }\n\
                    passive = { max_fails = 1, fail_timeout = \"1h\" }";
    let lb = Lb::start(config("", settings, &[at(&a), at(&b)])).await;
    let mut client = Client::connect(lb.addr("main")).await;
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\nx").await;
    assert_eq!(client.read_response().await.status, 408);
    lb.until_metric("plimsoll_upstream_attempts_total{outcome=\"client_gone\"}", 1.0).await;
    for origin in [&a, &b] {
        assert_eq!(told(&lb, origin).await["passive_state"], "ok");
    }
}

#[tokio::test]
async fn switch_of_protocols_ends_a_trial_before_the_tunnel_does() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.answer(Answer::Reset);
    let passive = "passive = { max_fails = 1, fail_timeout = \"1s\" }";
    let text = config("", passive, &[at(&a), at(&b)]);
    let route = "upstream = \"api\"";
    let text = text.replacen(route, &format!("{route}\nupgrades = [\"echo\"]"), 1);
    let lb = Lb::start(text).await;
    ask_until_parked(&lb, &a).await;
    a.answer(Answer::Upgrade);
    lb.until_log("backend on trial").await;
    let mut client = Client::connect(lb.addr("main")).await;
    client
        .send("GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        .await;
    let response = client.read_response().await;
    assert_eq!((response.status, response.header("x-origin")), (101, Some("a")));
    until("it is back", async || told(&lb, &a).await["passive_state"] == "ok").await;
    client.send("still here").await;
    assert_eq!(client.read_exact(10).await, b"still here");
}

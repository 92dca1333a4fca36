//! The circuit breaker of an upstream.

use super::{ask, told};
use crate::support::{Answer, Client, Lb, Origin, at, at_with, config, get, until};

/// Opens after ten failures, soon tries again; backends are not parked.
const SETTINGS: &str = "passive = { max_fails = 0, statuses = [500] }\n\
                        breaker = { window = \"1s\", min_requests = 10, open_for = \"OPEN\", \
                        trials = 2 }";

async fn breaker(lb: &Lb) -> String {
    let status = lb.api("/api/v1/ha/status").await;
    status["upstreams"][0]["breaker"].as_str().unwrap().to_owned()
}

/// Asks until the breaker is open.
async fn ask_until_open(lb: &Lb) {
    until("it is open", async || {
        ask(lb).await;
        breaker(lb).await == "open"
    })
    .await;
}

#[tokio::test]
async fn an_open_breaker_answers_at_once_and_leaves_the_backends_alone() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    for origin in [&a, &b] {
        origin.answer(Answer::Status(500));
    }
    let settings = SETTINGS.replace("OPEN", "1h");
    let lb = Lb::start(config("", &settings, &[at(&a), at(&b)])).await;
    assert_eq!(breaker(&lb).await, "closed");
    ask_until_open(&lb).await;
    let before = a.requests() + b.requests();
    for _ in 0..5 {
        let response = get(lb.addr("main"), "/").await;
        assert_eq!(response.status, 503);
        let seconds: u32 = response.headers.one("retry-after").unwrap().parse().unwrap();
        assert!((3_500..=3_600).contains(&seconds), "{seconds}");
    }
    assert_eq!(a.requests() + b.requests(), before);
    assert_eq!(told(&lb, &a).await["eligible"], true, "nothing is wrong with it alone");
    assert!(lb.metric("plimsoll_upstream_breaker_refused_total").await >= Some(5.0));
    lb.until_metric("plimsoll_upstream_breaker_state", 2.0).await;
    let events = lb.api("/api/v1/ha/events?kind=breaker.").await;
    let opened = &events["events"][0];
    assert_eq!(opened["kind"], "breaker.opened");
    assert_eq!(opened["next"], "a few requests try in 3600.0s");
}

#[tokio::test]
async fn a_few_requests_try_and_close_it() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    for origin in [&a, &b] {
        origin.answer(Answer::Status(500));
    }
    let settings = SETTINGS.replace("OPEN", "500ms");
    let lb = Lb::start(config("", &settings, &[at(&a), at(&b)])).await;
    ask_until_open(&lb).await;
    for origin in [&a, &b] {
        origin.answer(Answer::Status(200));
    }
    until("it is closed", async || {
        ask(&lb).await;
        breaker(&lb).await == "closed"
    })
    .await;
    lb.until_log("circuit breaker closed").await;
    assert_eq!(ask(&lb).await.0, 200);
}

#[tokio::test]
async fn no_more_than_the_trials_pass_at_once_and_a_failed_one_opens_it_again() {
    let a = Origin::start("a").await;
    a.answer(Answer::Status(500));
    let settings = SETTINGS.replace("OPEN", "4s");
    let lb = Lb::start(config("", &settings, &[at(&a)])).await;
    ask_until_open(&lb).await;
    a.hold();
    until("it is half-open", async || breaker(&lb).await == "half_open").await;
    let before = a.requests();
    let address = lb.addr("main");
    let trials: Vec<_> = (0..2).map(|_| tokio::spawn(get(address, "/"))).collect();
    a.until_requests(before + 2).await;
    assert_eq!(ask(&lb).await.0, 503, "both trials are under way");
    a.release();
    for trial in trials {
        assert_eq!(trial.await.unwrap().status, 500);
    }
    until("it is open again", async || {
        let events = lb.api("/api/v1/ha/events?kind=breaker.opened").await;
        events["events"].as_array().unwrap().len() == 2
    })
    .await;
}

#[tokio::test]
async fn a_request_that_finds_all_backends_full_leaves_the_trial_to_the_next() {
    let a = Origin::start("a").await;
    let settings = SETTINGS.replace("OPEN", "3s").replace("trials = 2", "trials = 1");
    let most = |most| config("", &settings, &[at_with(&a, &format!("max_connections = {most}"))]);
    let lb = Lb::start(most(2)).await;
    a.answer(Answer::Stream(50 << 20));
    let mut occupies = Client::connect(lb.addr("main")).await;
    occupies.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
    occupies.read_response_to_head().await;
    a.answer(Answer::Status(500));
    ask_until_open(&lb).await;
    let before = lb.generation().await;
    lb.reload(most(1));
    lb.until_generation(before + 1).await;
    until("it is half-open", async || breaker(&lb).await == "half_open").await;
    assert_eq!(ask(&lb).await.0, 503, "nobody has room");
    a.answer(Answer::Status(200));
    drop(occupies);
    lb.until_metric("plimsoll_backend_in_flight", 0.0).await;
    assert_eq!(ask(&lb).await.0, 200, "the only trial");
}

#[tokio::test]
async fn what_was_under_way_before_it_opened_does_not_open_it_again() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let settings = SETTINGS.replace("OPEN", "3s").replace("trials = 2", "trials = 1");
    let settings = format!("{settings}\nsticky = {{ route = [\"${{arg.to}}\"] }}");
    let backends = [at_with(&a, "route = \"a\""), at_with(&b, "route = \"b\"")];
    let lb = Lb::start(config("", &settings, &backends)).await;
    b.hold();
    let mut old = Client::connect(lb.addr("main")).await;
    old.send("POST /?to=b HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\n\r\nx").await;
    b.until_requests(1).await;
    a.answer(Answer::Status(500));
    until("it is open", async || {
        get(lb.addr("main"), "/?to=a").await;
        breaker(&lb).await == "open"
    })
    .await;
    a.answer(Answer::Status(200));
    until("it is half-open", async || breaker(&lb).await == "half_open").await;
    b.cut_connections().await;
    b.release();
    assert_eq!(old.read_response().await.status, 502);
    until("it is closed", async || {
        ask(&lb).await;
        breaker(&lb).await == "closed"
    })
    .await;
    let opened = lb.api("/api/v1/ha/events?kind=breaker.opened").await;
    assert_eq!(opened["events"].as_array().unwrap().len(), 1, "{opened}");
}

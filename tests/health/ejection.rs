//! Outliers, pauses that grow, trials, and the story of it all.

use serde_json::Value;
use tokio::process::Command;

use super::{DOWN, ask, ask_all_from, told, until_state};
use crate::support::{Answer, Lb, Origin, at, config, until};

/// Failures are only looked at by `ejection`.
const PASSIVE: &str = "strategy = \"round_robin\"\n\
                       passive = { max_fails = 0, fail_timeout = \"1h\", statuses = [500] }\n";

/// Asks until the backend is parked.
async fn ask_until_parked(lb: &Lb, origin: &Origin) {
    until("it is parked", async || {
        ask(lb).await;
        told(lb, origin).await["passive_state"] == "parked"
    })
    .await;
}

/// The events of a backend, oldest first.
async fn events(lb: &Lb, origin: &Origin) -> Vec<Value> {
    let list = lb.api(&format!("/api/v1/ha/events?backend={}", origin.address())).await;
    list["events"].as_array().unwrap().clone()
}

#[tokio::test]
async fn failures_in_a_row_eject_and_the_last_backend_stays() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.answer(Answer::Status(500));
    let ejection = "ejection = { window = \"1s\", failure_percent = 0, deviations = 0 }";
    let lb = Lb::start(config("", &format!("{PASSIVE}{ejection}"), &[at(&a), at(&b)])).await;
    ask_until_parked(&lb, &a).await;
    ask_all_from(&lb, 10, "b").await;
    b.answer(Answer::Status(500));
    until("the last one is spared", async || {
        assert_eq!(ask(&lb).await.0, 500);
        lb.log_text().contains("too many are out already")
    })
    .await;
    assert_eq!(told(&lb, &b).await["passive_state"], "ok");
    let ejections = "plimsoll_backend_ejections_total";
    lb.until_metric(&format!("{ejections}{{reason=\"consecutive\",result=\"parked\"}}"), 1.0).await;
    let parked = &events(&lb, &a).await[0];
    assert_eq!(parked["kind"], "backend.parked");
    assert_eq!(parked["actor"], "traffic");
    assert!(parked["cause"].as_str().unwrap().ends_with("failures in a row"), "{parked}");
    assert_eq!(parked["next"], "a trial request in 3600.0s");
    // Its failures go on, and push nothing else out of the list of events.
    let capped = format!("{ejections}{{reason=\"consecutive\",result=\"capped\"}}");
    until("it is counted again and again", async || {
        assert_eq!(ask(&lb).await.0, 500);
        lb.metric(&capped).await >= Some(3.0)
    })
    .await;
    assert_eq!(events(&lb, &b).await.len(), 1);
}

#[tokio::test]
async fn an_outlier_that_stays_for_want_of_others_is_not_counted_as_parked() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    b.answer(Answer::Status(500));
    // By its probes one of them is well, and that one fails.
    let settings = "ejection = { window = \"1s\", failure_percent = 0, deviations = 0 }\n\
                    health = { interval = \"40ms\", timeout = \"5s\", expect = [500] }";
    let lb = Lb::start(config("", &format!("{PASSIVE}{settings}"), &[at(&a), at(&b)])).await;
    until_state(&lb, &a, DOWN).await;
    until("the last one is spared", async || {
        assert_eq!(ask(&lb).await.0, 500);
        lb.log_text().contains("backend not parked: no other is left")
    })
    .await;
    let ejections = "plimsoll_backend_ejections_total{reason=\"consecutive\"";
    until("it is counted", async || lb.metric(&format!("{ejections}}}")).await >= Some(1.0)).await;
    assert_eq!(lb.metric(&format!("{ejections},result=\"parked\"}}")).await, None);
}

#[tokio::test]
async fn a_part_of_failures_ejects_though_others_succeed() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.answer(Answer::CloseByPath);
    let ejection = "ejection = { window = \"5s\", consecutive = 0, failure_percent = 20, \
                    min_requests = 10 }";
    let settings = format!("{PASSIVE}retry = {{ tries = 2 }}\n{ejection}");
    let lb = Lb::start(config("", &settings, &[at(&a), at(&b)])).await;
    until("it is parked", async || {
        // Every other request to it fails, and is answered by the other backend.
        for path in ["/close", "/", "/", "/close"] {
            crate::support::get(lb.addr("main"), path).await;
        }
        told(&lb, &a).await["passive_state"] == "parked"
    })
    .await;
    let cause = events(&lb, &a).await[0]["cause"].as_str().unwrap().to_owned();
    assert!(cause.starts_with("outlier: ") && cause.ends_with(" requests failed"), "{cause}");
}

#[tokio::test]
async fn in_a_dry_run_outliers_are_only_told_of() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.answer(Answer::Status(500));
    let ejection = "ejection = { window = \"1s\", dry_run = true }";
    let lb = Lb::start(config("", &format!("{PASSIVE}{ejection}"), &[at(&a), at(&b)])).await;
    until("it is told of", async || {
        ask(&lb).await;
        lb.log_text().contains("outlier not ejected: only told of (dry_run)")
    })
    .await;
    assert_eq!(told(&lb, &a).await["passive_state"], "ok");
    assert_eq!(events(&lb, &a).await[0]["kind"], "backend.would_be_ejected");
    let dry = "plimsoll_backend_ejections_total{result=\"dry_run\"}";
    until("it is counted", async || lb.metric(dry).await >= Some(1.0)).await;
    assert_eq!(lb.metric("plimsoll_backend_state_changes_total{to=\"parked\"}").await, None);
}

#[tokio::test]
async fn pauses_grow_from_failed_trial_to_failed_trial() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.answer(Answer::Reset);
    let passive = "passive = { max_fails = 1, fail_timeout = \"100ms\", max_pause = \"250ms\" }";
    let lb = Lb::start(config("", passive, &[at(&a), at(&b)])).await;
    let mut pauses = Vec::new();
    until("it was parked four times", async || {
        assert_eq!(ask(&lb).await, (200, "b".to_owned()));
        let all = events(&lb, &a).await;
        let parked = all.iter().filter(|one| one["kind"] == "backend.parked");
        pauses = parked.map(|one| one["next"].as_str().unwrap().to_owned()).collect();
        pauses.len() >= 4
    })
    .await;
    let milliseconds = |text: &String| -> f64 {
        let text = text.strip_prefix("a trial request in ").unwrap();
        text.strip_suffix("ms").unwrap().parse().unwrap()
    };
    let pauses: Vec<f64> = pauses.iter().map(milliseconds).collect();
    assert!((pauses[0] - 100.0).abs() < 1.0, "{pauses:?}");
    assert!((200.0..=210.0).contains(&pauses[1]), "{pauses:?}");
    assert!((250.0..=265.0).contains(&pauses[2]), "{pauses:?}");
}

#[tokio::test]
async fn as_many_trials_as_asked_for_bring_a_backend_back() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.answer(Answer::Reset);
    let passive = "passive = { max_fails = 1, fail_timeout = \"300ms\", trials = 3 }";
    let lb = Lb::start(config("", passive, &[at(&a), at(&b)])).await;
    ask_until_parked(&lb, &a).await;
    a.answer(Answer::Status(200));
    let failed = a.requests();
    until("it is back", async || {
        assert_eq!(ask(&lb).await.0, 200);
        told(&lb, &a).await["passive_state"] == "ok"
    })
    .await;
    assert!(a.requests() >= failed + 3);
    lb.until_log("3 trial requests succeeded").await;
}

#[tokio::test]
async fn why_tells_what_happened_and_what_comes_next() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.answer(Answer::Reset);
    let passive = "passive = { max_fails = 1, fail_timeout = \"1h\" }";
    let lb = Lb::start(config("", passive, &[at(&a), at(&b)])).await;
    ask_until_parked(&lb, &a).await;
    let why = async |backend: String| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
        program.args(["why", &backend, "--admin", &lb.admin_addr().to_string()]);
        let output = program.kill_on_drop(true).output().await.unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, text) = why(a.address()).await;
    assert_eq!(code, Some(0), "{text}");
    for part in [
        "is not picked: parked after failed requests; a trial request is due in",
        "operator: enabled, probes: unprobed, traffic: parked",
        "backend.parked (by traffic): 1 failed requests within 3600s",
        "then: a trial request in 3600.0s",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
    let (code, text) = why(format!("api/{}", b.address())).await;
    assert_eq!(code, Some(0));
    assert!(text.contains("may be picked: nothing speaks against it"), "{text}");
    let (code, text) = why("nobody:1".to_owned()).await;
    assert_eq!(code, Some(1));
    assert!(text.contains(&format!("api/{}", a.address())), "{text}");
}

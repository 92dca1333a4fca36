//! Another attempt where backends stand in several zones: near by first, elsewhere within the budget.

use std::fmt::Write as _;

use crate::support::{Answer, Lb, Origin, request};
use crate::{GET, logged};

const POST: &str = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc";
const CROSSINGS: &str = "plimsoll_upstream_zone_crossings_total{upstream=\"app\"}";

/// One worker in zone `a`, before origins that are each in a zone.
async fn zoned(upstream: &str, origins: &[(&Origin, &str)]) -> Lb {
    let mut config = format!(
        "workers = 1\nzone = \"a\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [access_log]\nformat = \"json\"\n\
         [[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n\
         [[route]]\nname = \"all\"\nupstream = \"app\"\n\
         [upstream.app]\npassive = {{ max_fails = 0 }}\n{upstream}\n"
    );
    for (origin, zone) in origins {
        let address = origin.address();
        writeln!(config, "[[upstream.app.backend]]\naddress = \"{address}\"\nzone = \"{zone}\"")
            .unwrap();
    }
    Lb::start(config).await
}

/// The status, and which origins were asked, in order.
async fn asked(lb: &Lb, head: &str, origins: &[(&Origin, &str)]) -> (u16, Vec<String>) {
    let target = format!("/{}", fastrand::u64(..));
    let head = head.replacen(" / ", &format!(" {target} "), 1);
    let response = request(lb.addr("web"), &head).await;
    let line = logged(lb, &target).await;
    let attempts = line["attempts"].as_array().unwrap().iter();
    let zone = |attempt: &serde_json::Value| {
        let backend = attempt["backend"].as_str().unwrap();
        let found = origins.iter().find(|(origin, _)| origin.address() == backend);
        found.unwrap().1.to_owned()
    };
    (response.status, attempts.map(zone).collect())
}

async fn four() -> [Origin; 4] {
    [
        Origin::start("1").await,
        Origin::start("2").await,
        Origin::start("3").await,
        Origin::start("4").await,
    ]
}

#[tokio::test]
async fn the_same_zone_is_asked_first_and_another_one_once() {
    let [a1, a2, b1, b2] = four().await;
    let all = [(&a1, "a"), (&b1, "b"), (&a2, "a"), (&b2, "b")];
    let lb = zoned("retry = { tries = 9, budget = 10000 }", &all).await;
    for origin in [&a1, &a2, &b1, &b2] {
        origin.answer(Answer::Reset);
    }
    // However many may be made: of the other zone too each is asked once.
    assert_eq!(asked(&lb, GET, &all).await, (502, ["a", "a", "b", "b"].map(Into::into).into()));
    b2.answer(Answer::Status(200));
    b1.answer(Answer::Status(200));
    assert_eq!(asked(&lb, GET, &all).await, (200, ["a", "a", "b"].map(Into::into).into()));
    lb.until_metric(CROSSINGS, 2.0).await;
    // What may have been done is not done again, wherever.
    assert_eq!(asked(&lb, POST, &all).await, (502, vec!["a".to_owned()]));
}

#[tokio::test]
async fn one_more_attempt_than_there_are_goes_to_another_zone() {
    let [a1, a2, b1, b2] = four().await;
    let all = [(&a1, "a"), (&a2, "a"), (&b1, "b"), (&b2, "c")];
    for (tries, expected) in [(1, (502, vec!["a"])), (2, (200, vec!["a", "a", "b"]))] {
        let lb = zoned(&format!("retry = {{ tries = {tries}, budget = 10000 }}"), &all).await;
        a1.answer(Answer::Reset);
        a2.answer(Answer::Reset);
        let (status, zones) = asked(&lb, GET, &all).await;
        let zones: Vec<_> = zones.iter().map(|zone| zone.replace('c', "b")).collect();
        assert_eq!((status, zones), (expected.0, expected.1.into_iter().map(Into::into).collect()));
    }
}

#[tokio::test]
async fn what_nobody_has_seen_leaves_its_zone_within_the_budget_only() {
    let [mut a1, b1, ..] = four().await;
    a1.stop().await;
    let all = [(&a1, "a"), (&b1, "b")];
    let lb = zoned("retry = { budget = 0, budget_min = 2 }", &all).await;
    for head in [GET, POST] {
        assert_eq!(asked(&lb, head, &all).await, (200, ["a", "b"].map(Into::into).into()));
    }
    assert_eq!(asked(&lb, GET, &all).await, (502, vec!["a".to_owned()]));
    lb.until_metric("plimsoll_upstream_retries_denied_total{reason=\"budget\"}", 1.0).await;
    lb.until_metric(CROSSINGS, 2.0).await;
}

#[tokio::test]
async fn a_listed_status_too_is_asked_for_near_by_first() {
    let [a1, a2, b1, b2] = four().await;
    let all = [(&a1, "a"), (&b1, "b"), (&b2, "b"), (&a2, "a")];
    let lb = zoned("retry = { statuses = [503], budget = 0, budget_min = 2 }", &all).await;
    a1.answer(Answer::Status(503));
    a2.answer(Answer::Status(503));
    assert_eq!(asked(&lb, GET, &all).await, (200, ["a", "a", "b"].map(Into::into).into()));
    let (status, zones) = asked(&lb, GET, &all).await;
    assert_eq!((status, zones), (503, vec!["a".to_owned()]), "the answer is passed on");
}

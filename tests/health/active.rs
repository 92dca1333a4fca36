//! Probes.

use super::{CHECKING, DOWN, UP, ask, ask_all_from, told, until_state};
use crate::support::{Answer, Lb, Origin, at, at_rest, config, until};

/// Fast probes with further settings.
fn probing(settings: &str) -> String {
    format!(
        "[upstream.api.health]\ninterval = \"40ms\"\nfast_interval = \"20ms\"\ntimeout = \"5s\"\n\
         {settings}\n"
    )
}

#[tokio::test]
async fn probes_take_a_backend_down_and_up_after_fall_and_rise_results() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let health = probing("path = \"/well?\"\nrise = 2\nfall = 3");
    let lb = Lb::start(config("", &health, &[at(&a), at(&b)])).await;
    until_state(&lb, &a, UP).await;
    until_state(&lb, &b, UP).await;
    assert_eq!(a.last().line(), "GET /well? HTTP/1.1");
    let label = format!("upstream=\"api\",backend=\"{}\"", a.address());
    let failed = format!("plimsoll_health_checks_total{{{label},result=\"failed\"}}");
    a.answer(Answer::Status(500));
    until_state(&lb, &a, DOWN).await;
    assert!(lb.metric(&failed).await.unwrap() >= 3.0);
    lb.until_log("(3 in a row)").await;
    ask_all_from(&lb, 10, "b").await;
    let why = "down: its probes fail (health: status 500, expected 200-399)";
    assert_eq!(told(&lb, &a).await["why"], why);
    a.answer(Answer::Status(200));
    until_state(&lb, &a, UP).await;
    lb.until_log("probe: status 200 (2 in a row)").await;
    until("it gets requests again", async || ask(&lb).await.1 == "a").await;
}

#[tokio::test]
async fn listed_statuses_are_good_and_others_are_not() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.answer(Answer::Status(204));
    let health = probing("expect = [204]");
    let lb = Lb::start(config("", &health, &[at(&a), at(&b)])).await;
    until_state(&lb, &a, UP).await;
    until_state(&lb, &b, DOWN).await;
}

#[tokio::test]
async fn body_must_contain_the_text() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.answer(Answer::Ok(b"all is well here".to_vec()));
    b.answer(Answer::Ok(b"all is lost here".to_vec()));
    let health = probing("body = \"well\"");
    let lb = Lb::start(config("", &health, &[at(&a), at(&b)])).await;
    until_state(&lb, &a, UP).await;
    until_state(&lb, &b, DOWN).await;
}

#[tokio::test]
async fn those_not_proven_yet_are_asked_when_the_only_proven_one_dies() {
    let (mut a, b) = (Origin::start("a").await, Origin::start("b").await);
    // Only "a" passes; of "b" nothing is known while it may still be starting.
    let health = "passive = { max_fails = 0 }\n[upstream.api.health]\ninterval = \"1h\"\n\
                  start_period = \"1h\"\nbody = \"a\"\n";
    let lb = Lb::start(config("", health, &[at(&a), at(&b)])).await;
    until_state(&lb, &a, UP).await;
    until_state(&lb, &b, CHECKING).await;
    let probes = b.requests();
    ask_all_from(&lb, 10, "a").await;
    a.stop().await;
    ask_all_from(&lb, 10, "b").await;
    assert!(b.requests() >= probes + 10);
}

#[tokio::test]
async fn another_port_may_speak_for_a_backend() {
    let (a, speaker) = (Origin::start("a").await, Origin::start("speaker").await);
    speaker.answer(Answer::Status(503));
    let health = probing(&format!("port = {}", speaker.port()));
    let lb = Lb::start(config("", &health, &[at(&a)])).await;
    until_state(&lb, &a, DOWN).await;
    speaker.answer(Answer::Status(200));
    until_state(&lb, &a, UP).await;
    assert_eq!(a.requests(), 0, "a probe went to the backend's own port");
}

#[tokio::test]
async fn tcp_probe_is_content_with_a_connection() {
    let mut a = Origin::start("a").await;
    a.answer(Answer::Status(500));
    let health = probing("type = \"tcp\"");
    let lb = Lb::start(config("", &health, &[at(&a)])).await;
    until_state(&lb, &a, UP).await;
    a.stop().await;
    until_state(&lb, &a, DOWN).await;
    a.restart().await;
    until_state(&lb, &a, UP).await;
    assert_eq!(a.requests(), 0, "a TCP probe asked something");
}

#[tokio::test]
async fn backend_is_checking_until_its_first_result_and_serves_only_for_want_of_others() {
    let speaker = Origin::start("speaker").await;
    let a = Origin::start("a").await;
    speaker.hold();
    let health = probing(&format!("port = {}", speaker.port()));
    let lb = Lb::start(config("", &health, &[at(&a)])).await;
    speaker.until_requests(1).await;
    until_state(&lb, &a, CHECKING).await;
    let entry = told(&lb, &a).await;
    assert_eq!(
        (&entry["probed_state"], &entry["eligible"]),
        (&"checking".into(), &true.into()),
        "{entry}"
    );
    ask_all_from(&lb, 3, "a").await;
    speaker.release();
    until_state(&lb, &a, UP).await;
}

#[tokio::test]
async fn new_backend_gets_nothing_until_its_first_probe_has_passed() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let health = probing("");
    let lb = Lb::start(config("", &health, &[at(&a)])).await;
    until_state(&lb, &a, UP).await;
    b.hold();
    lb.reload(config("", &health, &[at(&a), at(&b)]));
    b.until_requests(1).await;
    until_state(&lb, &b, CHECKING).await;
    ask_all_from(&lb, 10, "a").await;
    b.release();
    until_state(&lb, &b, UP).await;
    until("it gets requests", async || ask(&lb).await.1 == "b").await;
}

#[tokio::test]
async fn one_prober_asks_for_all_workers_one_probe_at_a_time() {
    let a = Origin::start("a").await;
    a.hold();
    let health = probing("");
    let lb = Lb::start(config("", &health, &[at(&a)])).await;
    assert_eq!(lb.metric("process_threads").await.map(|n| n > 3.0), Some(true));
    a.until_requests(1).await;
    // Many intervals pass while the first answer is held back.
    assert_eq!(at_rest(|| a.requests()).await, 1);
    a.release();
    a.until_requests(20).await;
    let counted = lb.metric("plimsoll_health_checks_total").await.unwrap();
    let asked = a.requests() as f64;
    assert!(
        (counted..=counted + 10.0).contains(&asked),
        "{asked} probes came, {counted} were counted"
    );
    assert!(a.seen().iter().all(|seen| seen.line() == "GET / HTTP/1.1"));
}

#[tokio::test]
async fn probe_that_is_not_answered_in_time_has_failed() {
    let a = Origin::start("a").await;
    a.answer(Answer::Never);
    let health = "[upstream.api.health]\ninterval = \"20ms\"\ntimeout = \"30ms\"\nfall = 2\n\
                  start_period = \"off\"\n";
    let lb = Lb::start(config("", health, &[at(&a)])).await;
    until_state(&lb, &a, DOWN).await;
}

//! When health leaves no backend.

use super::{DOWN, UP, ask, told, until_state};
use crate::support::{Answer, Lb, Origin, at, config};

/// An upstream of `a` whose probes ask `speaker`.
fn spoken_for(speaker: &Origin, policy: &str, a: &Origin) -> String {
    let upstream = format!(
        "when_none_eligible = \"{policy}\"\n[upstream.api.health]\ninterval = \"40ms\"\n\
         fast_interval = \"20ms\"\nrise = 1\nfall = 1\nport = {}\n",
        speaker.port()
    );
    config("", &upstream, &[at(a)])
}

#[tokio::test]
async fn upstream_fails_open_and_says_so_everywhere() {
    let (a, speaker) = (Origin::start("a").await, Origin::start("speaker").await);
    speaker.answer(Answer::Status(503));
    let lb = Lb::start(spoken_for(&speaker, "fail_open", &a)).await;
    until_state(&lb, &a, DOWN).await;
    assert_eq!(ask(&lb).await, (200, "a".to_owned()));
    lb.until_log("no backend is eligible: failing open").await;
    lb.until_metric("plimsoll_upstream_fail_open{upstream=\"api\"}", 1.0).await;
    lb.until_metric("plimsoll_upstream_fail_open_picks_total", 1.0).await;
    let status = lb.status().await;
    assert_eq!(status["upstreams"][0]["fail_open"], true, "{status}");
    assert_ne!(status["status"], "healthy", "{status}");
    let entry = told(&lb, &a).await;
    assert!(entry["why"].as_str().unwrap().contains("used all the same"), "{entry}");
    speaker.answer(Answer::Status(200));
    until_state(&lb, &a, UP).await;
    lb.until_log("upstream has eligible backends again").await;
    lb.until_metric("plimsoll_upstream_fail_open", 0.0).await;
    assert_eq!(lb.status().await["status"], "healthy");
}

#[tokio::test]
async fn upstream_rejects_with_503_and_says_so_everywhere() {
    let (a, speaker) = (Origin::start("a").await, Origin::start("speaker").await);
    speaker.answer(Answer::Status(503));
    let lb = Lb::start(spoken_for(&speaker, "reject", &a)).await;
    until_state(&lb, &a, DOWN).await;
    assert_eq!(ask(&lb).await.0, 503);
    assert_eq!(a.requests(), 0);
    lb.until_log("no backend is eligible: requests are answered with 503").await;
    lb.until_metric("plimsoll_upstream_none_eligible_total", 1.0).await;
    lb.until_metric("plimsoll_upstream_fail_open", 0.0).await;
    let status = lb.status().await;
    assert_eq!(status["status"], "unhealthy", "{status}");
    assert_eq!(status["upstreams"][0]["eligible"], 0, "{status}");
    speaker.answer(Answer::Status(200));
    until_state(&lb, &a, UP).await;
    assert_eq!(ask(&lb).await, (200, "a".to_owned()));
}

#[tokio::test]
async fn disabled_backends_are_not_used_even_when_failing_open() {
    let a = Origin::start("a").await;
    let backend = format!("{}\nstate = \"disabled\"", at(&a));
    let lb = Lb::start(config("", "", &[backend])).await;
    assert_eq!(ask(&lb).await.0, 503);
    assert_eq!(a.requests(), 0);
}

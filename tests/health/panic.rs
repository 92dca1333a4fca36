//! Too few backends: the declared panic.

use super::ask;
use crate::support::{Lb, Origin, at, config, get, until};

/// Probes that take a backend down at once.
const PROBES: &str = "strategy = \"round_robin\"\n\
                      health = { path = \"/\", interval = \"100ms\", fast_interval = \"50ms\", \
                      timeout = \"5s\", rise = 1, fall = 1 }\n";

async fn panics(lb: &Lb) -> bool {
    lb.api("/api/v1/ha/status").await["upstreams"][0]["panic"] == true
}

#[tokio::test]
async fn all_are_used_and_everybody_is_told_until_enough_are_back() {
    let mut origins = Vec::new();
    for name in ["a", "b", "c", "d"] {
        origins.push(Origin::start(name).await);
    }
    // Each backend is asked once: three of the four refuse.
    let panic = "retry = { tries = 0 }\n\
                 panic = { threshold = 50, header = \"Plimsoll-Panic\" }";
    let backends: Vec<_> = origins.iter().map(at).collect();
    let lb = Lb::start(config("", &format!("{PROBES}{panic}"), &backends)).await;
    until("all are up", async || {
        lb.metric("plimsoll_upstream_backends{state=\"up\"}").await == Some(4.0)
    })
    .await;
    assert!(get(lb.addr("main"), "/").await.headers.one("plimsoll-panic").is_none());
    for origin in &mut origins[1..] {
        origin.stop().await;
    }
    until("it panics", async || panics(&lb).await).await;
    lb.until_metric("plimsoll_upstream_panic", 1.0).await;
    lb.until_log("panic: all enabled backends are used").await;
    let response = get(lb.addr("main"), "/").await;
    let told = response.headers.one("plimsoll-panic").unwrap();
    assert_eq!((response.status, told), (200, "upstream=api; able=1/4"));
    let events = lb.api("/api/v1/ha/events?kind=upstream.panic").await;
    assert_eq!(events["events"][0]["cause"], "1 of 4 backends are able to serve");
    assert_eq!(events["events"][0]["next"], "ends when 2 of 4 are");
    origins[1].restart().await;
    until("it is over", async || !panics(&lb).await).await;
    lb.until_metric("plimsoll_upstream_panic", 0.0).await;
    assert!(get(lb.addr("main"), "/").await.headers.one("plimsoll-panic").is_none());
}

#[tokio::test]
async fn or_nobody_is_used() {
    let mut origins = Vec::new();
    for name in ["a", "b", "c"] {
        origins.push(Origin::start(name).await);
    }
    let panic = "panic = { threshold = 50, action = \"reject\" }";
    let backends: Vec<_> = origins.iter().map(at).collect();
    let lb = Lb::start(config("", &format!("{PROBES}{panic}"), &backends)).await;
    until("it serves", async || ask(&lb).await.0 == 200).await;
    for origin in &mut origins[1..] {
        origin.stop().await;
    }
    until("it panics", async || panics(&lb).await).await;
    assert_eq!(ask(&lb).await.0, 503);
    origins[1].restart().await;
    until("it serves again", async || ask(&lb).await.0 == 200).await;
}

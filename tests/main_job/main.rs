//! The main job on real input: real nginx origins, real clients, a backend killed under load.
//!
//! nginx comes from the system (`scripts/test` installs it); each instance runs in the foreground,
//! in a directory of its own, on a port of the kernel's choice.

#![allow(clippy::unwrap_used, reason = "in a test, what goes wrong shall end the test")]

#[path = "../support/mod.rs"]
mod support;

mod conf;
mod nginx;

use std::collections::BTreeMap;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;

use nginx::Nginx;
use support::{Client, Lb, Load, config, get, in_time, until};

const PROBES: &str = "[upstream.api.health]\ninterval = \"50ms\"\nfast_interval = \"20ms\"\n\
                      rise = 1\nfall = 1\n[upstream.api.passive]\nfail_timeout = \"500ms\"\n";

/// Three origins, and the balancer before them.
async fn start() -> ([Nginx; 3], Lb) {
    let [a, b, c] = nginx::free_ports();
    let origins =
        [Nginx::start("a", a).await, Nginx::start("b", b).await, Nginx::start("c", c).await];
    let backends: Vec<_> =
        origins.iter().map(|origin| format!("address = \"{}\"", origin.address())).collect();
    let lb = Lb::start(config("", PROBES, &backends)).await;
    lb.until_metric("plimsoll_upstream_backends{state=\"up\"}", 3.0).await;
    (origins, lb)
}

#[tokio::test]
async fn requests_are_spread_over_real_origins_on_kept_connections() {
    let (_origins, lb) = start().await;
    let mut shares = BTreeMap::<String, usize>::new();
    let mut longest = 0;
    let mut client = Client::connect(lb.addr("main")).await;
    for _ in 0..90 {
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
        let response = client.read_response().await;
        assert_eq!(response.status, 200);
        let reused: usize = response.header("x-requests").unwrap().parse().unwrap();
        longest = longest.max(reused);
        *shares.entry(response.text()).or_default() += 1;
    }
    // One client is one worker: exact turns.
    let expected = [("a".to_owned(), 30), ("b".to_owned(), 30), ("c".to_owned(), 30)];
    assert_eq!(shares, expected.into());
    assert_eq!(longest, 30, "requests on one connection");
    let opens = lb.metric("plimsoll_pool_opens_total").await;
    assert_eq!(opens, Some(3.0));
    assert_eq!(lb.metric("plimsoll_pool_reuses_total").await, Some(87.0));
}

#[tokio::test]
async fn origin_killed_under_load_costs_no_request_and_comes_back() {
    let (mut origins, lb) = start().await;
    let up = "plimsoll_upstream_backends{state=\"up\"}";
    let load = Load::start(lb.addr("main"), 8);
    load.until_answered(300).await;
    for origin in &mut origins {
        origin.kill().await;
        lb.until_metric(up, 2.0).await;
        load.until_answered(200).await;
        origin.restart().await;
        lb.until_metric(up, 3.0).await;
        until("it serves again", async || get(lb.addr("main"), "/").await.text() == origin.name())
            .await;
    }
    load.expect_all_good().await;
    let failed = lb.metric("plimsoll_requests_total{code=\"5xx\"}").await;
    assert!(failed.is_none_or(|count| count == 0.0), "{failed:?}");
}

#[tokio::test]
async fn upload_of_a_megabyte_arrives_whole() {
    let (origins, lb) = start().await;
    let body: Vec<u8> = (0..1_u32 << 20).map(|i| (i % 251) as u8).collect();
    let mut client = Client::connect(lb.addr("main")).await;
    let head =
        format!("PUT /up/file HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", body.len());
    client.send([head.as_bytes(), &body].concat()).await;
    let response = client.read_response().await;
    assert_eq!(response.status, 201, "{response:?}");
    let name = response.header("x-origin").unwrap();
    let origin = origins.iter().find(|origin| origin.name() == name).unwrap();
    assert!(origin.uploaded("up/file") == body, "the content differs");
    // And down again, from the one that has it.
    until("the one that has it is asked", async || {
        let response = get(lb.addr("main"), "/up/file").await;
        assert!(matches!(response.status, 200 | 404), "{response:?}");
        assert!(response.status == 404 || response.body == body);
        response.status == 200
    })
    .await;
}

#[tokio::test]
async fn promtool_accepts_the_metrics_of_a_busy_program() {
    let (mut origins, lb) = start().await;
    let load = Load::start(lb.addr("main"), 4);
    load.until_answered(100).await;
    origins[0].kill().await;
    load.until_answered(100).await;
    get(lb.addr("main"), "/no%00such").await;
    let text = lb.metrics().await;
    load.expect_all_good().await;
    let mut promtool = tokio::process::Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = promtool.stdin.take().unwrap();
    input.write_all(text.as_bytes()).await.unwrap();
    drop(input);
    let checked = in_time("promtool", promtool.wait_with_output()).await.unwrap();
    assert!(
        checked.status.success() && checked.stderr.is_empty(),
        "{}{}",
        String::from_utf8_lossy(&checked.stdout),
        String::from_utf8_lossy(&checked.stderr)
    );
}

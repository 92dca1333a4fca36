//! The way to the collector: whatever becomes of it, no request waits, and what is lost is counted.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::collector::{Collector, Reply};
use crate::support::{Authority, Lb, Origin, Wrapper, free_port, in_time, tls_server, until};
use crate::{Setup, ask};

fn lost(reason: &str) -> String {
    format!("plimsoll_spans_dropped_total{{reason=\"{reason}\"}}")
}

/// With nobody there, or somebody who never answers, requests go on as always; what does not fit is
/// dropped and counted.
#[tokio::test]
async fn no_request_suffers_from_a_collector_that_is_gone_or_slow() {
    let origin = Origin::start("a").await;
    let slow = Collector::start(Reply::Never).await;
    for address in [slow.address.to_string(), format!("127.0.0.1:{}", free_port())] {
        let config = Setup::default().config(None, &[&origin.address()])
            + &format!("[tracing]\nendpoint = \"http://{address}\"\nqueue = 7\n");
        let lb = Lb::start(config).await;
        let asking = async {
            for _ in 0..100 {
                assert_eq!(ask(&lb, "/", "").await.status, 200);
            }
        };
        in_time("a hundred answers", asking).await;
        // Three requests fit, two spans each.
        lb.until_metric(&lost("queue_full"), 194.0).await;
        assert_eq!(lb.metric("plimsoll_spans_exported_total").await, Some(0.0));
    }
}

#[tokio::test]
async fn what_fails_for_reasons_that_pass_is_tried_again() {
    let collector = Collector::start(Reply::Say(503)).await;
    let origin = Origin::start("a").await;
    let lb = Setup::default().start(&collector, &[&origin]).await;
    ask(&lb, "/", "").await;
    until("it was tried three times", async || collector.deliveries().len() >= 3).await;
    lb.until_log("spans cannot be delivered").await;
    collector.reply(Reply::Take);
    assert_eq!(collector.until_spans(2).await.len(), 2);
    lb.until_metric("plimsoll_spans_exported_total", 2.0).await;
    lb.until_log("spans are delivered again").await;
    for reason in ["queue_full", "unreachable", "refused", "rejected"] {
        assert_eq!(lb.metric(&lost(reason)).await, Some(0.0), "{reason}");
    }
}

#[tokio::test]
async fn what_is_refused_or_rejected_is_counted_and_not_sent_again() {
    let collector = Collector::start(Reply::Say(400)).await;
    let origin = Origin::start("a").await;
    let lb = Setup::default().start(&collector, &[&origin]).await;
    ask(&lb, "/", "").await;
    lb.until_metric(&lost("refused"), 2.0).await;
    collector.reply(Reply::Reject(1));
    ask(&lb, "/", "").await;
    lb.until_metric(&lost("rejected"), 1.0).await;
    assert_eq!(lb.metric("plimsoll_spans_exported_total").await, Some(1.0));
    assert_eq!(collector.deliveries().len(), 2);
}

/// A collector that takes too long is tried again like one that is not there.
#[tokio::test]
async fn a_delivery_takes_no_longer_than_it_may() {
    let collector = Collector::start(Reply::Never).await;
    let origin = Origin::start("a").await;
    let setup = Setup { tracing: "timeout = \"20ms\"", ..Setup::default() };
    let lb = setup.start(&collector, &[&origin]).await;
    ask(&lb, "/", "").await;
    until("it was tried twice", async || collector.deliveries().len() >= 2).await;
    collector.reply(Reply::Take);
    collector.until_spans(2).await;
}

#[tokio::test]
async fn the_spans_of_the_last_requests_are_delivered_at_the_end() {
    let collector = Collector::start(Reply::Take).await;
    let origin = Origin::start("a").await;
    let mut lb = Setup::default().start(&collector, &[&origin]).await;
    // Long before a batch would leave by itself: it is gathered for a second.
    ask(&lb, "/", "").await;
    lb.signal(Signal::TERM);
    assert!(lb.exit().await.success());
    assert_eq!(collector.spans().len(), 2);
}

#[tokio::test]
async fn the_end_does_not_wait_for_a_collector_that_does_not_answer() {
    let collector = Collector::start(Reply::Never).await;
    let origin = Origin::start("a").await;
    let setup = Setup { tracing: "timeout = \"5m\"", ..Setup::default() };
    let mut lb = setup.start(&collector, &[&origin]).await;
    ask(&lb, "/", "").await;
    let begun = Instant::now();
    lb.signal(Signal::TERM);
    assert!(lb.exit().await.success());
    assert!(begun.elapsed() < Duration::from_mins(1));
    lb.until_log("spans are lost at the end").await;
}

/// With TLS, an authority of one's own and a token from a file.
#[tokio::test]
async fn a_collector_may_speak_tls_and_want_a_token() {
    let collector = Collector::start(Reply::Take).await;
    let origin = Origin::start("a").await;
    let authority = Authority::new("collectors");
    let pair = authority.issue(&["localhost"]);
    let wrapper = Wrapper::around_server(collector.address, tls_server(&pair)).await;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    fs::write(at("ca.pem"), authority.pem()).unwrap();
    fs::write(at("token"), "Bearer secret\n").unwrap();
    let config = Setup::default().config(None, &[&origin.address()])
        + &format!(
            "[tracing]\nendpoint = \"https://localhost:{}\"\nca = \"{}\"\n\
             headers = {{ authorization = {{ file = \"{}\" }} }}\n",
            wrapper.addr().port(),
            at("ca.pem"),
            at("token"),
        );
    let lb = Lb::start(config).await;
    ask(&lb, "/", "").await;
    collector.until_spans(2).await;
    assert_eq!(collector.deliveries()[0]["authorization"], "Bearer secret");
    ask(&lb, "/", "").await;
    collector.until_spans(4).await;
    assert_eq!(wrapper.shakes().len(), 1, "the connection is kept");
}

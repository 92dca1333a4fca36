//! The graceful end.

use std::os::unix::process::ExitStatusExt;

use rustix::process::Signal;
use tokio::net::TcpStream;

use super::ask;
use crate::support::{Answer, Client, Lb, Load, Origin, at, config, get, until};

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

#[tokio::test]
async fn each_ending_signal_finishes_what_is_under_way_and_exits_with_0() {
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
        let a = Origin::start("a").await;
        let mut lb = Lb::start(config("drain_timeout = \"1h\"", "", &[at(&a)])).await;
        let address = lb.addr("main");
        let mut idle = Client::connect(address).await;
        idle.send(GET).await;
        assert_eq!(idle.read_response().await.header("connection"), None);
        a.hold();
        let mut busy = Client::connect(address).await;
        busy.send(GET).await;
        a.until_requests(2).await;
        lb.signal(signal);
        idle.expect_closed().await;
        until("new connections are refused", async || TcpStream::connect(address).await.is_err())
            .await;
        let ready = get(lb.admin_addr(), "/readyz").await;
        assert_eq!(ready.status, 503, "{ready:?}");
        assert!(ready.text().contains("draining"), "{}", ready.text());
        assert_eq!(lb.status().await["phase"], "draining");
        assert_eq!(get(lb.admin_addr(), "/livez").await.status, 200);
        a.release();
        let last = busy.read_response().await;
        assert_eq!(last.text(), "a");
        assert_eq!(last.header("connection"), Some("close"));
        busy.expect_closed().await;
        let status = lb.exit().await;
        assert_eq!(status.code(), Some(0), "{signal:?}: {status:?}");
    }
}

#[tokio::test]
async fn response_that_has_begun_is_finished() {
    let total = 8 << 20;
    let a = Origin::start("a").await;
    a.answer(Answer::Stream(total));
    let mut lb = Lb::start(config("drain_timeout = \"1h\"", "", &[at(&a)])).await;
    let mut client = Client::connect(lb.addr("main")).await;
    client.send(GET).await;
    until("the body is on its way", async || a.written() > 0).await;
    lb.signal(Signal::TERM);
    lb.until_log("draining").await;
    assert_eq!(client.read_response().await.body.len(), total);
    assert_eq!(lb.exit().await.code(), Some(0));
}

#[tokio::test]
async fn second_signal_ends_at_once() {
    let a = Origin::start("a").await;
    a.hold();
    let mut lb = Lb::start(config("drain_timeout = \"1h\"", "", &[at(&a)])).await;
    let mut busy = Client::connect(lb.addr("main")).await;
    busy.send(GET).await;
    a.until_requests(1).await;
    lb.signal(Signal::TERM);
    lb.until_log("draining").await;
    lb.signal(Signal::INT);
    let status = lb.exit().await;
    assert_eq!((status.code(), status.signal()), (Some(0), None));
    lb.until_log("stopping at once").await;
    assert!(busy.try_read_response().await.is_err());
}

#[tokio::test]
async fn what_is_not_finished_in_time_is_cut_and_said() {
    let a = Origin::start("a").await;
    a.hold();
    let mut lb = Lb::start(config("drain_timeout = \"200ms\"", "", &[at(&a)])).await;
    let mut busy = Client::connect(lb.addr("main")).await;
    busy.send(GET).await;
    a.until_requests(1).await;
    lb.signal(Signal::TERM);
    assert_eq!(lb.exit().await.code(), Some(0));
    lb.until_log("cut connections still open").await;
    assert!(busy.try_read_response().await.is_err());
}

#[tokio::test]
async fn connections_in_the_accept_queue_are_still_served() {
    let a = Origin::start("a").await;
    let mut lb = Lb::start(config("drain_timeout = \"1h\"", "", &[at(&a)])).await;
    let address = lb.addr("main");
    // A stopped process accepts nothing; the kernel completes the connections all the same.
    lb.signal(Signal::STOP);
    let mut waiting = Vec::new();
    for _ in 0..50 {
        let mut client = Client::connect(address).await;
        client.send(GET).await;
        waiting.push(client);
    }
    lb.signal(Signal::TERM);
    lb.signal(Signal::CONT);
    for client in &mut waiting {
        assert_eq!(client.read_response().await.text(), "a");
    }
    assert_eq!(lb.exit().await.code(), Some(0));
}

#[tokio::test]
async fn reload_does_not_end_a_drain() {
    let a = Origin::start("a").await;
    a.hold();
    let watched = config("drain_timeout = \"1h\"", "", &[at(&a)])
        .replace("watch_interval = \"off\"", "watch_interval = \"100ms\"");
    let mut lb = Lb::start(&watched).await;
    let mut busy = Client::connect(lb.addr("main")).await;
    busy.send(GET).await;
    a.until_requests(1).await;
    lb.signal(Signal::TERM);
    lb.until_log("draining").await;
    lb.rewrite(watched + &listener("more"));
    lb.until_metric("plimsoll_config_reloads_total{result=\"ok\"}", 2.0).await;
    a.release();
    assert_eq!(busy.read_response().await.text(), "a");
    assert_eq!(lb.exit().await.code(), Some(0));
}

#[tokio::test]
async fn drain_under_load_costs_nobody_a_request() {
    let a = Origin::start("a").await;
    let mut lb = Lb::start(config("drain_timeout = \"1h\"", "", &[at(&a)])).await;
    assert_eq!(ask(&lb, "/").await.1, "a");
    let load = Load::start(lb.addr("main"), 8);
    load.until_answered(100).await;
    lb.signal(Signal::TERM);
    assert_eq!(lb.exit().await.code(), Some(0));
    load.expect_served_to_the_end().await;
}

#[tokio::test]
async fn who_connects_as_listeners_close_is_served_or_refused_but_never_reset() {
    let a = Origin::start("a").await;
    let many: Vec<_> = (0..30).map(|number| format!("l{number}")).collect();
    let more: String = many.iter().map(|name| listener(name)).collect();
    let mut lb = Lb::start(config("drain_timeout = \"1h\"", "", &[at(&a)]) + &more).await;
    let addresses: Vec<_> = many.iter().map(|name| lb.addr(name)).collect();
    let load = Load::start_newcomers(&addresses, 3);
    load.until_answered(1000).await;
    lb.signal(Signal::TERM);
    assert_eq!(lb.exit().await.code(), Some(0));
    load.expect_served_to_the_end().await;
}

fn listener(name: &str) -> String {
    format!("[[listener]]\nname = \"{name}\"\naddress = \"127.0.0.1:0\"\n")
}

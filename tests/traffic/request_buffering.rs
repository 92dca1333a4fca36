//! Request bodies that are read whole before a backend is asked.

use crate::support::{Answer, Client, Origin, until};
use crate::{Setup, attempt, attempts, logged};

const ROUTE: &str = "request_buffering = { memory = \"1KiB\" }";

/// Far more than is kept in memory and fits into one read.
const LONG: usize = 3 << 20;

fn long() -> Vec<u8> {
    (0..LONG).map(|n| (n % 251) as u8).collect()
}

fn put(framing: &str) -> String {
    format!("PUT /up HTTP/1.1\r\nHost: test\r\n{framing}\r\n\r\n")
}

#[tokio::test]
async fn a_slow_upload_holds_no_backend() {
    let origin = Origin::start("a").await;
    let lb = Setup { route: ROUTE, ..Setup::default() }.before(&[&origin]).await;
    for (framing, pieces) in [
        ("Content-Length: 6", ["abc", "def"]),
        ("Transfer-Encoding: chunked", ["3\r\nabc\r\n", "3\r\ndef\r\n0\r\nX-T: 1\r\n\r\n"]),
    ] {
        let (connections, requests) = (origin.connections(), origin.requests());
        let mut client = Client::connect(lb.addr("web")).await;
        client.send(put(framing)).await;
        client.send(pieces[0]).await;
        lb.until_metric("plimsoll_requests_in_flight{listener=\"web\",route=\"all\"}", 1.0).await;
        assert_eq!((origin.connections(), origin.requests()), (connections, requests));
        client.send(pieces[1]).await;
        assert_eq!(client.read_response().await.status, 200);
        let seen = origin.last();
        assert_eq!(seen.body, b"abcdef");
        assert_eq!(seen.header("content-length").as_deref(), Some("6"));
        assert_eq!(seen.header("transfer-encoding"), None);
        drop(client);
        lb.until_metric("plimsoll_requests_in_flight{listener=\"web\",route=\"all\"}", 0.0).await;
    }
}

#[tokio::test]
async fn a_long_body_arrives_whole_and_is_sent_again_whole() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let setup = Setup { route: ROUTE, upstream: "retry = { replay_body = 0 }", ..Setup::default() };
    let lb = setup.before(&[&a, &b]).await;
    a.answer(Answer::Reset);
    let mut client = Client::connect(lb.addr("web")).await;
    for _ in 0..2 {
        client.send(put(&format!("Content-Length: {LONG}"))).await;
        client.send(long()).await;
        assert_eq!(client.read_response().await.status, 200, "and the connection goes on");
        assert!(b.last().body == long());
    }
    let line = logged(&lb, "/up").await;
    assert_eq!(attempts(&line), [attempt("reset", Some("reset")), attempt("ok", None)]);
    assert_eq!(line["request_bytes"], LONG);
}

#[tokio::test]
async fn a_body_that_is_too_large_or_breaks_off_reaches_no_backend() {
    let origin = Origin::start("a").await;
    let route = format!("{ROUTE}\nmax_body = \"2KiB\"");
    let lb = Setup { route: &route, ..Setup::default() }.before(&[&origin]).await;
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(put("Transfer-Encoding: chunked")).await;
    client.send([b"801\r\n", &[b'x'; 0x801][..]].concat()).await;
    assert_eq!(client.read_response().await.status, 413);
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(put("Content-Length: 5")).await;
    client.send("ab").await;
    lb.until_metric("plimsoll_requests_in_flight{listener=\"web\",route=\"all\"}", 1.0).await;
    drop(client);
    let line = logged(&lb, "client_gone").await;
    assert_eq!(line["status"], 499);
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn a_client_that_waits_for_leave_gets_it_and_one_that_stalls_is_let_go() {
    let origin = Origin::start("a").await;
    let setup = Setup { route: ROUTE, listener: "body_timeout = \"1s\"", ..Setup::default() };
    let lb = setup.before(&[&origin]).await;
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(put("Content-Length: 3\r\nExpect: 100-continue")).await;
    assert_eq!(client.read_exact(25).await, b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(origin.connections(), 0, "it is told by us, not by the backend");
    client.send("abc").await;
    assert_eq!(client.read_response().await.status, 200);
    client.send(put("Content-Length: 3")).await;
    assert_eq!(client.read_response().await.status, 408);
    until("the stalled one is not asked for", async || origin.requests() == 1).await;
}

//! The harness against itself: what the integration tests rely on is tested first.

#![allow(clippy::unwrap_used, reason = "in a test, what goes wrong shall end the test")]

#[path = "support/mod.rs"]
mod support;

use std::sync::atomic::Ordering::Relaxed;

use support::{Answer, Client, Origin, at_rest, get, metric, until};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn origin_answers_its_name_and_keeps_what_it_got() {
    let origin = Origin::start("a").await;
    let response = get(origin.socket_addr(), "/x?y").await;
    assert_eq!((response.status, response.text().as_str()), (200, "a"));
    assert_eq!(response.header("x-origin"), Some("a"));
    let seen = origin.last();
    assert_eq!(seen.line(), "GET /x?y HTTP/1.1");
    assert_eq!(seen.header("HOST").as_deref(), Some("test"));
    assert_eq!((origin.requests(), origin.connections()), (1, 1));
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_on_one_connection() {
    let origin = Origin::start("a").await;
    let mut client = Client::connect(origin.socket_addr()).await;
    client.send([GET, "POST /2 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", GET].concat()).await;
    client.half_close().await;
    for _ in 0..3 {
        assert_eq!(client.read_response().await.status, 200);
    }
    client.expect_closed().await;
    assert_eq!(origin.seen()[1].body, b"abc");
    assert!(origin.seen().iter().all(|seen| seen.connection == 0));
}

#[tokio::test]
async fn chunked_bodies_and_trailers_are_read_on_both_sides() {
    let origin = Origin::start("a").await;
    let chunks = vec![b"one".to_vec(), vec![b'2'; 40_000]];
    origin.answer(Answer::Chunked(chunks, vec![("X-End", "yes")]));
    let mut client = Client::connect(origin.socket_addr()).await;
    let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send([head, "3;ext=1\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n", GET].concat()).await;
    let response = client.read_response().await;
    assert_eq!(response.body.len(), 40_003);
    assert_eq!(response.trailers.one("x-end"), Some("yes"));
    client.read_response().await;
    let seen = &origin.seen()[0];
    assert_eq!((seen.body.as_slice(), seen.trailers.one("x-sum")), (&b"abc"[..], Some("1")));
}

#[tokio::test]
async fn responses_without_a_body_leave_the_connection_in_step() {
    let origin = Origin::start("a").await;
    let mut client = Client::connect(origin.socket_addr()).await;
    client.send("HEAD / HTTP/1.1\r\n\r\n").await;
    let response = client.read_response_to_head().await;
    assert_eq!(response.header("content-length"), Some("1"));
    for status in [204, 304, 404] {
        origin.answer(Answer::Status(status));
        client.send(GET).await;
        assert_eq!(client.read_response().await.status, status);
    }
}

#[tokio::test]
async fn interim_responses_come_before_the_final_one() {
    let origin = Origin::start("a").await;
    let mut client = Client::connect(origin.socket_addr()).await;
    origin.answer(Answer::EarlyHints);
    client.send(GET).await;
    let response = client.read_response().await;
    assert_eq!((response.status, response.interim[0].status), (200, 103));
    assert_eq!(response.interim[0].header("link"), Some("</style.css>"));
    origin.answer(Answer::Continue);
    client.send("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n").await;
    let interim = client.read_exact(25).await;
    assert_eq!(interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    client.send("x").await;
    assert_eq!(client.read_response().await.status, 200);
}

#[tokio::test]
async fn early_refusal_arrives_though_the_body_goes_on() {
    let origin = Origin::start("a").await;
    origin.answer(Answer::BeforeBody(413));
    let mut client = Client::connect(origin.socket_addr()).await;
    client.send("POST / HTTP/1.1\r\nContent-Length: 10000000\r\n\r\n").await;
    client.upload(10_000_000);
    assert_eq!(client.read_response().await.status, 413);
    client.expect_closed().await;
    assert!(origin.seen().is_empty(), "the request never came whole");
}

#[tokio::test]
async fn cut_responses_are_seen_as_broken() {
    let origin = Origin::start("a").await;
    for (answer, sent) in
        [(Answer::Cut { declared: 10, sent: 4 }, 4), (Answer::CutChunked(b"abc".to_vec()), 3)]
    {
        origin.answer(answer);
        let mut client = Client::connect(origin.socket_addr()).await;
        client.send(GET).await;
        let broken = client.try_read_response().await.unwrap_err();
        assert_eq!((broken.partial.unwrap().body.len(), broken.reset), (sent, false));
    }
}

#[tokio::test]
async fn close_and_reset_are_told_apart() {
    let origin = Origin::start("a").await;
    for (answer, reset) in [(Answer::Close, false), (Answer::Reset, true)] {
        origin.answer(answer);
        let mut client = Client::connect(origin.socket_addr()).await;
        client.send(GET).await;
        let broken = client.try_read_response().await.unwrap_err();
        assert!(broken.partial.is_none());
        assert_eq!(broken.reset, reset);
    }
    assert_eq!(origin.seen().len(), 2);
}

#[tokio::test]
async fn raw_and_close_delimited_answers_come_as_written() {
    let origin = Origin::start("a").await;
    origin.answer(Answer::RawThenClose(b"\x00garbage".to_vec()));
    let mut client = Client::connect(origin.socket_addr()).await;
    client.send(GET).await;
    assert_eq!(client.read_to_end().await, b"\x00garbage");
    origin.answer(Answer::UntilClose(b"until the end".to_vec()));
    assert_eq!(get(origin.socket_addr(), "/").await.text(), "until the end");
}

#[tokio::test]
async fn gate_holds_whole_requests_until_it_is_opened() {
    let origin = Origin::start("a").await;
    origin.hold();
    let mut client = Client::connect(origin.socket_addr()).await;
    client.send(GET).await;
    origin.until_requests(1).await;
    until("the request is kept", async || origin.seen().len() == 1).await;
    origin.answer(Answer::Status(500));
    origin.release();
    assert_eq!(client.read_response().await.status, 200, "the answer is chosen at the head");
}

#[tokio::test]
async fn silent_origin_waits_for_the_other_side_to_give_up() {
    let origin = Origin::start("a").await;
    origin.answer(Answer::Never);
    let mut client = Client::connect(origin.socket_addr()).await;
    client.send(GET).await;
    origin.until_requests(1).await;
    assert_eq!(origin.open(), 1);
    client.reset();
    origin.until_open(0).await;
}

#[tokio::test]
async fn stopped_origin_refuses_and_comes_back_on_its_port() {
    let mut origin = Origin::start("a").await;
    let address = origin.socket_addr();
    let mut client = Client::connect(address).await;
    client.send(GET).await;
    client.read_response().await;
    origin.stop().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    client.expect_closed().await;
    origin.restart().await;
    assert_eq!(origin.socket_addr(), address);
    assert_eq!(get(address, "/").await.status, 200);
}

#[tokio::test]
async fn cut_connections_end_and_new_ones_are_welcome() {
    let origin = Origin::start("a").await;
    let mut client = Client::connect(origin.socket_addr()).await;
    client.send(GET).await;
    client.read_response().await;
    origin.cut_connections().await;
    client.expect_closed().await;
    assert_eq!(get(origin.socket_addr(), "/").await.status, 200);
    assert_eq!(origin.connections(), 2);
}

#[tokio::test]
async fn upgraded_connection_echoes_also_what_came_early_and_half_closes() {
    let origin = Origin::start("a").await;
    origin.answer(Answer::Upgrade);
    let mut client = Client::connect(origin.socket_addr()).await;
    client.send([GET, "early"].concat()).await;
    assert_eq!(client.read_response().await.status, 101);
    assert_eq!(client.read_exact(5).await, b"early");
    client.send("late").await;
    assert_eq!(client.read_exact(4).await, b"late");
    client.half_close().await;
    assert_eq!(client.read_to_end().await, b"bye");
}

#[tokio::test]
async fn stream_stops_at_a_client_that_does_not_read() {
    let total = 64 << 20;
    let origin = Origin::start("a").await;
    origin.answer(Answer::Stream(total));
    let mut client = Client::connect(origin.socket_addr()).await;
    client.send(GET).await;
    origin.until_requests(1).await;
    let held = at_rest(|| origin.written()).await;
    assert!(0 < held && held < total, "{held}");
    assert_eq!(client.read_response().await.body.len(), total);
    assert_eq!(origin.written(), total);
}

#[tokio::test]
async fn upload_stops_at_an_origin_that_does_not_read() {
    let total = 64 << 20;
    let origin = Origin::start("a").await;
    origin.answer(Answer::Ok(b"first".to_vec()));
    origin.hold();
    let mut client = Client::connect(origin.socket_addr()).await;
    // The first request is at the gate, so that the second one's body is not read.
    let post = format!("POST / HTTP/1.1\r\nContent-Length: {total}\r\n\r\n");
    client.send([GET, &post].concat()).await;
    let taken = client.upload(total);
    let held = at_rest(|| taken.load(Relaxed)).await;
    assert!(0 < held && held < total, "{held}");
    origin.release();
    assert_eq!(client.read_response().await.text(), "first");
    client.read_response().await;
    assert_eq!(origin.last().body.len(), total);
}

#[tokio::test]
async fn origin_on_a_unix_socket_serves_too() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let origin = Origin::start_unix("a").await;
    origin.close_after_each_answer();
    let address = origin.address();
    let path = address.strip_prefix("unix:").unwrap();
    let mut socket = tokio::net::UnixStream::connect(path).await.unwrap();
    socket.write_all(GET.as_bytes()).await.unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200 ") && text.ends_with("\r\n\r\na"), "{text}");
}

#[test]
fn metric_sums_the_series_that_have_the_labels() {
    let text = "# HELP x_total Text.\n# TYPE x_total counter\n\
                x_total{backend=\"a,b\",code=\"200\"} 3\nx_total{code=\"200\",backend=\"c\"} 4\n\
                x_total{code=\"502\",backend=\"say \\\"d\\\"\"} 1\nx 7\ny 1.5e3\n";
    assert_eq!(metric(text, "x_total"), Some(8.0));
    assert_eq!(metric(text, "x_total{code=\"200\"}"), Some(7.0));
    assert_eq!(metric(text, "x_total{code=\"200\",backend=\"a,b\"}"), Some(3.0));
    assert_eq!(metric(text, "x_total{backend=\"say \\\"d\\\"\"}"), Some(1.0));
    assert_eq!(metric(text, "x_total{backend=\"a\"}"), None);
    assert_eq!(metric(text, "x"), Some(7.0));
    assert_eq!(metric(text, "y"), Some(1500.0));
}

//! HTTP/2 to backends: requests of HTTP/1 clients as streams of one shared connection.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "the harness offers more than these tests need")]

mod crowded;
mod interim;
mod keys;
mod misbehaving;
mod origin;
#[path = "../http2_client/peer.rs"]
mod peer;
#[path = "../support/mod.rs"]
mod support;
mod tunnels;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use origin::{Origin, saying};
use support::frames::{DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, frame};
use support::{Client, Lb, get, request, until};

async fn before(backends: &[SocketAddr]) -> Lb {
    with("", backends).await
}

/// With these lines in the upstream's section.
async fn with(settings: &str, backends: &[SocketAddr]) -> Lb {
    Lb::start(config(settings, backends)).await
}

fn config(settings: &str, backends: &[SocketAddr]) -> String {
    let mut toml = format!(
        "workers = 1\n[access_log]\nformat = \"off\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\nname = \"main\"\naddress = \"127.0.0.1:0\"\n[[route]]\nupstream = \"h2\"\n\
         [upstream.h2]\nprotocol = \"h2c\"\n{settings}\n",
    );
    for backend in backends {
        write!(toml, "[[upstream.h2.backend]]\naddress = \"{backend}\"\n").unwrap();
    }
    toml
}

#[tokio::test]
async fn a_request_arrives_with_its_fields_and_without_those_of_its_connection() {
    let lb = before(&[Origin::default().start().await]).await;
    let response = request(
        lb.addr("main"),
        "GET /a?b=c HTTP/1.1\r\nHost: www.example.com\r\nX-One: 1\r\nConnection: x-two\r\n\
         X-Two: 2\r\nTE: trailers\r\n\r\n",
    )
    .await;
    assert_eq!(response.status, 200);
    assert_eq!(response.body, b"got 0");
    assert_eq!(response.header("seen-uri"), Some("http://www.example.com/a?b=c"));
    assert_eq!(response.header("seen-x-one"), Some("1"));
    assert_eq!(response.header("seen-x-forwarded-for"), Some("127.0.0.1"));
    for gone in ["seen-x-two", "seen-connection", "seen-host", "seen-transfer-encoding"] {
        assert_eq!(response.header(gone), None, "{gone}");
    }
}

#[tokio::test]
async fn bodies_stream_both_ways_with_a_length_and_in_chunks() {
    let lb = before(&[Origin::default().start().await]).await;
    let body = "0123456789abcdef".repeat(1 << 16);
    let mut client = Client::connect(lb.addr("main")).await;
    let head = format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    let (sent, response) = {
        let whole = head + &body;
        let mut reader = Client::connect(lb.addr("main")).await;
        reader.send(whole).await;
        (body.len(), reader.read_response().await)
    };
    assert_eq!((response.status, response.body.len()), (200, sent));
    assert!(response.body == body.as_bytes());

    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    client.send("3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n").await;
    assert_eq!(client.read_response().await.body, b"abcdefg");
    // The client's connection goes on.
    client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.read_response().await.body, b"got 0");
}

#[tokio::test]
async fn requests_of_a_worker_share_one_connection() {
    let gate = Arc::new(Semaphore::new(0));
    let origin = Origin { gate: Some(Arc::clone(&gate)), ..Origin::default() };
    let (connections, under_way) = (Arc::clone(&origin.connections), Arc::clone(&origin.under_way));
    let lb = before(&[origin.start().await]).await;
    gate.add_permits(1);
    assert_eq!(get(lb.addr("main"), "/").await.status, 200);

    let address = lb.addr("main");
    let clients: Vec<_> =
        (0..20).map(|_| tokio::spawn(async move { get(address, "/").await.status })).collect();
    until("all requests are at the origin at once", async || under_way.load(SeqCst) == 21).await;
    gate.add_permits(20);
    for client in clients {
        assert_eq!(client.await.unwrap(), 200);
    }
    assert_eq!(connections.load(SeqCst), 1);
}

#[tokio::test]
async fn a_shared_connection_serves_no_more_requests_and_no_longer_than_allowed() {
    let origin = Origin::default();
    let connections = Arc::clone(&origin.connections);
    let lb = with("pool = { max_requests = 2 }", &[origin.start().await]).await;
    for _ in 0..5 {
        assert_eq!(get(lb.addr("main"), "/").await.status, 200);
    }
    assert_eq!(connections.load(SeqCst), 3);

    let origin = Origin::default();
    let connections = Arc::clone(&origin.connections);
    let lb = with("pool = { max_lifetime = \"1s\" }", &[origin.start().await]).await;
    let begun = Instant::now();
    until("a second connection", async || {
        assert_eq!(get(lb.addr("main"), "/").await.status, 200);
        connections.load(SeqCst) == 2
    })
    .await;
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_shared_connection_that_nobody_uses_is_closed() {
    let origin = Origin::default();
    let (connections, closed) = (Arc::clone(&origin.connections), Arc::clone(&origin.closed));
    let lb = with("pool = { idle_timeout = \"1s\" }", &[origin.start().await]).await;
    let begun = Instant::now();
    assert_eq!(get(lb.addr("main"), "/").await.status, 200);
    until("the connection is closed", async || closed.load(SeqCst) == 1).await;
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(get(lb.addr("main"), "/").await.status, 200);
    assert_eq!(connections.load(SeqCst), 2);
}

#[tokio::test]
async fn a_connection_on_which_a_request_waited_in_vain_gets_no_further_ones() {
    let gate = Arc::new(Semaphore::new(0));
    let origin = Origin { gate: Some(Arc::clone(&gate)), ..Origin::default() };
    let connections = Arc::clone(&origin.connections);
    let lb = with("timeouts = { read = \"2s\" }", &[origin.start().await]).await;
    assert_eq!(get(lb.addr("main"), "/").await.status, 504);
    gate.add_permits(10);
    for _ in 0..2 {
        assert_eq!(get(lb.addr("main"), "/").await.status, 200);
    }
    assert_eq!(connections.load(SeqCst), 2);
}

#[tokio::test]
async fn a_request_that_takes_long_is_sent_to_a_second_backend_and_the_firsts_connection_goes_on() {
    let gate = Arc::new(Semaphore::new(0));
    let slow = Origin { gate: Some(Arc::clone(&gate)), ..Origin::default() };
    let fast = Origin::default();
    let backends = [slow.clone().start().await, fast.clone().start().await];
    let hedge = "strategy = \"round_robin\"\nhedge = { after = \"20ms\", budget = 100 }";
    let lb = with(hedge, &backends).await;
    let won = "plimsoll_upstream_hedges_total{upstream=\"h2\",result=\"won\"}";
    until("the second one answers for the first", async || {
        let answer = get(lb.addr("main"), "/echo").await;
        assert_eq!((answer.status, answer.text()), (200, String::new()));
        lb.metric(won).await.is_some_and(|won| won >= 1.0)
    })
    .await;
    lb.until_metric("plimsoll_backend_in_flight{upstream=\"h2\"}", 0.0).await;
    let asked = slow.under_way.load(SeqCst);
    gate.add_permits(100);
    until("the first one is asked again", async || {
        let answer = get(lb.addr("main"), "/").await;
        assert_eq!((answer.status, answer.text()), (200, "got 0".to_owned()));
        slow.under_way.load(SeqCst) > asked
    })
    .await;
    assert_eq!(slow.connections.load(SeqCst), 1, "only the stream was given up");
}

#[tokio::test]
async fn trailers_reach_the_client_but_not_those_that_frame() {
    let lb = before(&[Origin::default().start().await]).await;
    let response = get(lb.addr("main"), "/trailers").await;
    assert_eq!(response.status, 200);
    let names: Vec<_> = response.trailers.0.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["grpc-status"]);
}

#[tokio::test]
async fn a_response_that_breaks_off_is_visibly_cut() {
    let lb = before(&[Origin::default().start().await]).await;
    let mut client = Client::connect(lb.addr("main")).await;
    client.send("GET /broken HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(client.try_read_response().await.is_err(), "it must not look complete");
    // Other streams of the connection are not concerned.
    assert_eq!(get(lb.addr("main"), "/").await.status, 200);
}

#[tokio::test]
async fn a_backend_that_is_not_there_costs_a_try_on_another() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let lb = before(&[gone, Origin::default().start().await]).await;
    for _ in 0..4 {
        assert_eq!(get(lb.addr("main"), "/").await.status, 200);
    }
}

#[tokio::test]
async fn a_backend_that_speaks_no_http2_is_a_bad_gateway() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.try_write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let lb = before(&[address]).await;
    assert_eq!(get(lb.addr("main"), "/").await.status, 502);
}

const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";

/// Codes of errors (RFC 9113 §7).
const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const REFUSED: u32 = 7;

#[tokio::test]
async fn what_was_certainly_not_seen_is_sent_elsewhere_whatever_it_is() {
    let refuses: [fn(u32) -> Vec<u8>; 3] = [
        |stream| frame(RST_STREAM, 0, stream, REFUSED.to_be_bytes()),
        |_| frame(GOAWAY, 0, 0, [0_u32.to_be_bytes(), NO_ERROR.to_be_bytes()].concat()),
        |_| frame(GOAWAY, 0, 0, [0_u32.to_be_bytes(), INTERNAL_ERROR.to_be_bytes()].concat()),
    ];
    for refuse in refuses {
        let (refusing, asked) = saying(refuse).await;
        let settings = "strategy = \"round_robin\"\npassive = { max_fails = 0 }";
        let lb = with(settings, &[refusing, Origin::default().start().await]).await;
        for _ in 0..4 {
            let response = request(lb.addr("main"), POST).await;
            assert_eq!((response.status, response.text()), (200, "got 5".into()));
        }
        assert!(asked.load(SeqCst) >= 2);
    }
}

#[tokio::test]
async fn a_refused_request_costs_no_fresh_connection_to_who_refused_it() {
    let (refusing, asked) =
        saying(|stream| frame(RST_STREAM, 0, stream, REFUSED.to_be_bytes())).await;
    let lb = with("passive = { max_fails = 0 }", &[refusing]).await;
    for count in 1..=3 {
        assert_eq!(request(lb.addr("main"), POST).await.status, 502);
        assert_eq!(asked.load(SeqCst), count);
    }
    let opened = "plimsoll_pool_opens_total{upstream=\"h2\",result=\"ok\"}";
    assert_eq!(lb.metric(opened).await, Some(1.0));
}

#[tokio::test]
async fn what_may_have_been_seen_is_not_sent_twice() {
    let seen: [fn(u32) -> Vec<u8>; 2] = [
        |stream| frame(RST_STREAM, 0, stream, INTERNAL_ERROR.to_be_bytes()),
        |stream| {
            let last = [stream.to_be_bytes(), INTERNAL_ERROR.to_be_bytes()].concat();
            [frame(GOAWAY, 0, 0, last), frame(RST_STREAM, 0, stream, INTERNAL_ERROR.to_be_bytes())]
                .concat()
        },
    ];
    for said in seen {
        let (failing, asked) = saying(said).await;
        let settings = "strategy = \"round_robin\"\npassive = { max_fails = 0 }";
        let lb = with(settings, &[failing, Origin::default().start().await]).await;
        let mut statuses = Vec::new();
        for _ in 0..4 {
            statuses.push(request(lb.addr("main"), POST).await.status);
        }
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 200, 502, 502]);
        assert_eq!(asked.load(SeqCst), 2);
    }
}

#[tokio::test]
async fn a_backend_that_breaks_off_one_request_has_failed_and_another_is_asked() {
    let (failing, asked) = saying(|stream| {
        let status_200 = [0x88];
        match stream {
            1 => frame(HEADERS, END_HEADERS | END_STREAM, stream, status_200),
            _ => frame(RST_STREAM, 0, stream, INTERNAL_ERROR.to_be_bytes()),
        }
    })
    .await;
    let settings = "strategy = \"round_robin\"\npassive = { max_fails = 1, fail_timeout = \"1h\" }";
    let lb = with(settings, &[failing, Origin::default().start().await]).await;
    for _ in 0..10 {
        assert_eq!(get(lb.addr("main"), "/").await.status, 200);
    }
    // Once it answered, once it did not, and then it was left alone.
    assert_eq!(asked.load(SeqCst), 2);
    let opened = "plimsoll_pool_opens_total{upstream=\"h2\",result=\"ok\"}";
    assert_eq!(lb.metric(opened).await, Some(2.0));
}

#[tokio::test]
async fn what_is_under_way_when_a_backend_leaves_ends_as_it_would() {
    let (leaving, asked) = saying(|stream| {
        let last = [stream.to_be_bytes(), NO_ERROR.to_be_bytes()].concat();
        let status_200 = [0x88];
        [
            frame(HEADERS, END_HEADERS, stream, status_200),
            frame(DATA, 0, stream, "half "),
            frame(GOAWAY, 0, 0, last),
            frame(DATA, END_STREAM, stream, "whole"),
        ]
        .concat()
    })
    .await;
    let lb = before(&[leaving]).await;
    for count in 1..=3 {
        assert_eq!(request(lb.addr("main"), POST).await.text(), "half whole");
        assert_eq!(asked.load(SeqCst), count);
    }
    // Each had a connection of its own, for the one before took no more.
    let opened = "plimsoll_pool_opens_total{upstream=\"h2\",result=\"ok\"}";
    assert_eq!(lb.metric(opened).await, Some(3.0));
}

#[tokio::test]
async fn heads_of_answers_may_be_as_large_as_over_http1() {
    let lb = before(&[Origin::default().start().await]).await;
    let answer = get(lb.addr("main"), "/fields/60").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-59").map(str::len), Some(1024));
    assert_eq!(get(lb.addr("main"), "/fields/64").await.status, 502);
    // Which is nobody else's business.
    assert_eq!(get(lb.addr("main"), "/").await.status, 200);
}

#[tokio::test]
async fn a_reset_without_an_error_is_no_end_of_an_answer() {
    fn answer(stream: u32, flags: u8, text: &str) -> Vec<u8> {
        let status_200 = [0x88];
        [
            frame(HEADERS, END_HEADERS, stream, status_200),
            frame(DATA, flags, stream, text),
            frame(RST_STREAM, 0, stream, NO_ERROR.to_be_bytes()),
        ]
        .concat()
    }
    let (resetting, _) = saying(|stream| answer(stream, 0, "half")).await;
    let lb = before(&[resetting]).await;
    let mut client = Client::connect(lb.addr("main")).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(client.try_read_response().await.is_err(), "it must not look complete");
    // Behind the whole of one it says that the rest of the request is not wanted (RFC 9113 §8.1).
    let (early, _) = saying(|stream| answer(stream, END_STREAM, "whole")).await;
    let lb = before(&[early]).await;
    let mut client = Client::connect(lb.addr("main")).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nsome").await;
    assert_eq!(client.read_response().await.text(), "whole");
}

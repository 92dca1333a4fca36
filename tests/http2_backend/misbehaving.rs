//! Backends that break the rules of HTTP/2: what clients of HTTP/1.1 and of HTTP/2 get of it, and that
//! nobody else does.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use crate::origin::{Origin, saying, telling, with_settings};
use crate::peer::{self, Peer, whole};
use crate::support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PUSH_PROMISE, RST_STREAM,
    WINDOW_UPDATE, block, frame, setting,
};
use crate::support::{Client, Lb, get, in_time, request, until};
use crate::{INTERNAL_ERROR, NO_ERROR, config};

/// What a client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gets {
    /// An answer with this status and body.
    Whole(u16, &'static str),
    /// An error of ours.
    Refusal(u16),
    /// An answer that can be seen not to be whole.
    Cut,
}

/// An answer's head with these fields.
fn head(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    let fields = [&[(":status", "200")][..], fields].concat();
    frame(HEADERS, END_HEADERS | flags, stream, block(&fields))
}

fn data(stream: u32, flags: u8, bytes: &str) -> Vec<u8> {
    frame(DATA, flags, stream, bytes)
}

fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, code.to_be_bytes())
}

fn interim(stream: u32, status: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, block(&[(":status", status), ("link", "</a.css>")]))
}

/// An answer behind so many others.
fn behind(count: usize, stream: u32) -> Vec<u8> {
    [interim(stream, "103").repeat(count), head(stream, END_STREAM, &[])].concat()
}

/// A balancer whose clients may speak HTTP/2 too.
async fn before(backend: SocketAddr) -> Lb {
    let settings = "passive = { max_fails = 0 }\ntimeouts = { read = \"1s\", write = \"1s\" }";
    let config = config(settings, &[backend]);
    Lb::start(config.replace("name = \"main\"", "name = \"main\"\nhttp2 = true")).await
}

async fn over_http1(lb: &Lb) -> Gets {
    let mut client = Client::connect(lb.addr("main")).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    match client.try_read_response().await {
        Ok(response) => gets(response.status, &response.body),
        Err(_) => Gets::Cut,
    }
}

async fn over_http2(lb: &Lb) -> Gets {
    let mut peer = Peer::connect(lb.addr("main")).await;
    let (response, _) = peer.begin(peer::get("/"), true).await;
    match whole(response).await {
        Ok(got) => gets(got.status, &got.body),
        Err(_) => Gets::Cut,
    }
}

fn gets(status: u16, body: &[u8]) -> Gets {
    match status {
        500.. => Gets::Refusal(status),
        _ => Gets::Whole(status, String::from_utf8_lossy(body).into_owned().leak()),
    }
}

type Saying = fn(u32) -> Vec<u8>;

const CASES: &[(&str, Saying, Gets)] = &[
    (
        "a reset behind the head",
        |id| [head(id, 0, &[]), reset(id, INTERNAL_ERROR)].concat(),
        Gets::Cut,
    ),
    (
        "a reset in the middle of the body",
        |id| [head(id, 0, &[("content-length", "9")]), data(id, 0, "half"), reset(id, 8)].concat(),
        Gets::Cut,
    ),
    (
        "a reset without an error in the middle of the body",
        |id| [head(id, 0, &[]), data(id, 0, "half"), reset(id, NO_ERROR)].concat(),
        Gets::Cut,
    ),
    (
        "less than the length",
        |id| [head(id, 0, &[("content-length", "9")]), data(id, END_STREAM, "half")].concat(),
        Gets::Cut,
    ),
    (
        "more than the length",
        |id| [head(id, 0, &[("content-length", "2")]), data(id, END_STREAM, "half")].concat(),
        Gets::Cut,
    ),
    (
        "a length and nothing",
        |id| head(id, END_STREAM, &[("content-length", "9")]),
        Gets::Refusal(502),
    ),
    (
        "two lengths",
        |id| {
            let fields = [("content-length", "4"), ("content-length", "5")];
            [head(id, 0, &fields), data(id, END_STREAM, "half")].concat()
        },
        Gets::Refusal(502),
    ),
    (
        "a coding",
        |id| head(id, END_STREAM, &[("transfer-encoding", "chunked")]),
        Gets::Refusal(502),
    ),
    (
        "a field of the connection",
        |id| head(id, END_STREAM, &[("connection", "x-a")]),
        Gets::Refusal(502),
    ),
    (
        "an end of line in a field",
        |id| head(id, END_STREAM, &[("x-a", "b\r\nx-c: d")]),
        Gets::Refusal(502),
    ),
    ("a NUL in a field", |id| head(id, END_STREAM, &[("x-a", "b\0")]), Gets::Refusal(502)),
    ("a control in a field", |id| head(id, END_STREAM, &[("x-a", "b\x01")]), Gets::Refusal(502)),
    ("a capital in a name", |id| head(id, END_STREAM, &[("X-A", "b")]), Gets::Refusal(502)),
    ("a space in a name", |id| head(id, END_STREAM, &[("x a", "b")]), Gets::Refusal(502)),
    // The library leaves it out.
    (
        "a pseudo-field of requests",
        |id| head(id, END_STREAM, &[(":path", "/")]),
        Gets::Whole(200, ""),
    ),
    ("two statuses", |id| head(id, END_STREAM, &[(":status", "500")]), Gets::Refusal(502)),
    (
        "more fields than may be",
        |id| head(id, END_STREAM, &vec![("x-a", "b"); 101]),
        Gets::Refusal(502),
    ),
    (
        "a small block that becomes a large head",
        |id| {
            let large = [&[0x40, 3][..], b"x-a", &[127, 0xa1, 0x1e], &[b'a'; 4_000]].concat();
            let fields = [block(&[(":status", "200")]), large, vec![0xbe; 12_000]].concat();
            frame(HEADERS, END_HEADERS | END_STREAM, id, fields)
        },
        Gets::Refusal(502),
    ),
    (
        "no status",
        |id| frame(HEADERS, END_HEADERS | END_STREAM, id, block(&[("x-a", "b")])),
        Gets::Refusal(502),
    ),
    (
        "a status that is none",
        |id| frame(HEADERS, END_HEADERS | END_STREAM, id, block(&[(":status", "2x0")])),
        Gets::Refusal(502),
    ),
    (
        "a body before the head",
        |id| [data(id, 0, "half"), head(id, END_STREAM, &[])].concat(),
        Gets::Refusal(502),
    ),
    (
        "a pseudo-field among the trailers",
        |id| [head(id, 0, &[]), data(id, 0, "half"), head(id, END_STREAM, &[])].concat(),
        Gets::Whole(200, "half"),
    ),
    (
        "trailers that do not end the stream",
        |id| {
            let trailers = frame(HEADERS, END_HEADERS, id, block(&[("x-a", "b")]));
            [head(id, 0, &[]), data(id, 0, "half"), trailers].concat()
        },
        Gets::Cut,
    ),
    (
        "a length among the trailers",
        |id| {
            let fields = block(&[("content-length", "9"), ("host", "b"), ("x-a", "b")]);
            let trailers = frame(HEADERS, END_HEADERS | END_STREAM, id, fields);
            [head(id, 0, &[]), data(id, 0, "whole"), trailers].concat()
        },
        Gets::Whole(200, "whole"),
    ),
    (
        "a body behind a status without one",
        |id| {
            let status = frame(HEADERS, END_HEADERS, id, block(&[(":status", "204")]));
            [status, data(id, END_STREAM, "half")].concat()
        },
        Gets::Whole(204, ""),
    ),
    (
        "a push",
        |id| {
            let promised = [&2_u32.to_be_bytes()[..], &block(&[(":method", "GET")])].concat();
            [frame(PUSH_PROMISE, END_HEADERS, id, promised), head(id, END_STREAM, &[])].concat()
        },
        Gets::Refusal(502),
    ),
    (
        "a window that flows over",
        |id| frame(WINDOW_UPDATE, 0, id, 0x7fff_ffff_u32.to_be_bytes()),
        Gets::Refusal(504),
    ),
    (
        "the end of the connection's life in the middle of the body",
        |id| {
            let last = [0_u32.to_be_bytes(), NO_ERROR.to_be_bytes()].concat();
            [head(id, 0, &[]), data(id, 0, "half"), frame(GOAWAY, 0, 0, last)].concat()
        },
        Gets::Cut,
    ),
    (
        "a head without an end",
        |id| {
            let more = frame(CONTINUATION, 0, id, block(&[("x-a", &"b".repeat(16_000))]));
            [frame(HEADERS, 0, id, block(&[(":status", "200")])), more.repeat(40)].concat()
        },
        Gets::Refusal(502),
    ),
    ("interim answers and no other", |id| interim(id, "100").repeat(5000), Gets::Refusal(502)),
    ("a switch that nobody asked for", |id| interim(id, "101"), Gets::Refusal(502)),
    (
        "ten thousand questions whether we are there",
        |id| {
            let pings = frame(PING, 0, 0, [0; 8]).repeat(10_000);
            [pings, head(id, 0, &[]), data(id, END_STREAM, "whole")].concat()
        },
        Gets::Whole(200, "whole"),
    ),
    (
        "empty pieces without number",
        |id| [head(id, 0, &[]), data(id, 0, "").repeat(50_000)].concat(),
        Gets::Cut,
    ),
    ("as many interim answers as may be", |id| behind(16, id), Gets::Whole(200, "")),
    ("one more", |id| behind(17, id), Gets::Refusal(502)),
];

#[tokio::test]
async fn what_breaks_the_rules_is_no_answer_and_never_looks_like_a_whole_one() {
    for (what, said, expected) in CASES {
        let (backend, _) = saying(*said).await;
        let lb = before(backend).await;
        for _ in 0..2 {
            assert_eq!(over_http1(&lb).await, *expected, "{what}, over HTTP/1.1");
            assert_eq!(over_http2(&lb).await, *expected, "{what}, over HTTP/2");
        }
    }
}

#[tokio::test]
async fn a_reset_is_none_for_whatever_reason_and_costs_no_connection() {
    // Every code there is (RFC 9113 §7), and some that are not: streams have odd numbers, one after the other.
    let (backend, mut frames) = telling(Vec::new(), |id| reset(id, id / 2)).await;
    let lb = before(backend).await;
    for _ in 0..10 {
        assert_eq!(over_http1(&lb).await, Gets::Refusal(502));
        assert_eq!(over_http2(&lb).await, Gets::Refusal(502));
    }
    let mut asked = Vec::new();
    while let Ok((kind, stream)) = frames.try_recv() {
        asked.extend((kind == HEADERS).then_some(stream));
    }
    assert_eq!(asked, (0..20).map(|n| 2 * n + 1).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_answer_that_is_whole_before_the_request_is_one() {
    // RFC 9113 §8.1: the rest of the request is not wanted.
    let (backend, _) = saying(|id| {
        [head(id, 0, &[]), data(id, END_STREAM, "whole"), reset(id, NO_ERROR)].concat()
    })
    .await;
    let lb = before(backend).await;
    let mut client = Client::connect(lb.addr("main")).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nsome").await;
    assert_eq!(client.read_response().await.text(), "whole");
    client.expect_closed().await;
    let mut peer = Peer::connect(lb.addr("main")).await;
    let (response, mut stream) = peer.begin(peer::post("/"), false).await;
    stream.send_data("some".into(), false).unwrap();
    assert_eq!(whole(response).await.unwrap().body, b"whole");
}

#[tokio::test]
async fn a_backend_that_takes_no_body_is_the_one_that_is_waited_for() {
    // With no window for any request.
    let (backend, _) = with_settings(setting(4, 0), |_| Vec::new()).await;
    let lb = before(backend).await;
    let body = "x".repeat(500_000);
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    // Once before its settings have come and once after.
    for _ in 0..2 {
        let begun = Instant::now();
        let mut client = Client::connect(lb.addr("main")).await;
        client.send_what_is_taken(&head).await;
        client.upload(body.len());
        assert_eq!(client.read_response().await.status, 504);
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_backend_that_allows_no_requests_is_not_waited_for_for_ever() {
    let (backend, asked) = with_settings(setting(3, 0), |id| head(id, END_STREAM, &[])).await;
    let lb = before(backend).await;
    // The first goes out before the settings have come.
    assert_eq!(get(lb.addr("main"), "/").await.status, 200);
    for _ in 0..2 {
        assert_eq!(over_http1(&lb).await, Gets::Refusal(504));
        // The next one goes over another connection, before its settings have come.
        assert_eq!(over_http2(&lb).await, Gets::Whole(200, ""));
    }
    assert_eq!(asked.load(SeqCst), 3);
}

#[tokio::test]
async fn what_never_got_a_stream_is_sent_elsewhere_whatever_it_is() {
    let (closed, asked) = with_settings(setting(3, 0), |id| head(id, END_STREAM, &[])).await;
    let other = Origin::default().start().await;
    let settings = "timeouts = { read = \"1s\" }";
    let lb = Lb::start(config(settings, &[closed, other]) + "backup = true\n").await;
    // This one goes out before the settings have come.
    assert_eq!(get(lb.addr("main"), "/").await.body, b"");
    until("it was asked", async || asked.load(SeqCst) == 1).await;
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nwhat";
    assert_eq!(request(lb.addr("main"), post).await.text(), "got 4");
    assert_eq!(asked.load(SeqCst), 1);
}

#[tokio::test]
async fn a_request_whose_length_is_wrong_reaches_no_backend_as_a_whole_one() {
    let backend = Origin::default();
    let under_way = std::sync::Arc::clone(&backend.under_way);
    let lb = before(backend.start().await).await;
    for sent in ["four", "eleven whole"] {
        let mut peer = Peer::connect(lb.addr("main")).await;
        let mut post = peer::post("/");
        post.headers_mut().insert("content-length", http::HeaderValue::from_static("9"));
        let (response, mut stream) = peer.begin(post, false).await;
        stream.send_data(sent.into(), true).unwrap();
        assert!(whole(response).await.is_err(), "{sent}");
    }
    let _ = under_way;
    assert_eq!(request(lb.addr("main"), "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 200);
}

#[tokio::test]
async fn who_leaves_while_its_body_waits_at_an_answered_stream_frees_it() {
    // No window for a body; answers that begin at once, and end for the first request only.
    let (backend, mut frames) =
        telling(setting(4, 0), |id| head(id, if id == 1 { END_STREAM } else { 0 }, &[])).await;
    let lb = before(backend).await;
    assert_eq!(get(lb.addr("main"), "/").await.status, 200);
    let mut client = Client::connect(lb.addr("main")).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nsome").await;
    assert_eq!(client.read_response_to_head().await.status, 200);
    client.reset();
    let reset = async { while frames.recv().await != Some((RST_STREAM, 3)) {} };
    in_time("the backend is told", reset).await;
}

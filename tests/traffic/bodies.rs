//! Bodies: every framing on either side becomes the right one on the other, byte for byte.

use crate::support::{Answer, Client, Origin};
use crate::wired::Wired;
use crate::{GET, Setup, plain};

/// Ten megabytes in which no two places look alike.
fn ten_megabytes() -> Vec<u8> {
    let mut state = 1_u64;
    let mut bytes = Vec::with_capacity(10 << 20);
    while bytes.len() < 10 << 20 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

/// A body in chunks of this size.
fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in body.chunks(size) {
        bytes.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

#[tokio::test]
async fn ten_megabytes_with_a_length_go_up_and_down() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    let body = ten_megabytes();
    origin.answer(Answer::Ok(body.clone()));
    let mut client = Client::connect(lb.addr("web")).await;
    let head = format!("PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", body.len());
    for _ in 0..2 {
        client.send(&head).await;
        client.send(&body).await;
        let response = client.read_response().await;
        assert_eq!(response.header("content-length"), Some("10485760"));
        assert!(response.body == body, "what came down is what the backend sent");
    }
    let seen = origin.last();
    assert_eq!(seen.connection, 0, "both connections go on behind a large body");
    assert_eq!(seen.header("content-length").as_deref(), Some("10485760"));
    assert!(seen.body == body, "what went up is what the client sent");
}

#[tokio::test]
async fn ten_megabytes_in_chunks_go_up_and_down() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    let body = ten_megabytes();
    let chunks = body.chunks(70_001).map(<[u8]>::to_vec).collect();
    origin.answer(Answer::Chunked(chunks, vec![]));
    let mut client = Client::connect(lb.addr("web")).await;
    client.send("PUT / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    client.send(chunked(&body, 123_457)).await;
    let response = client.read_response().await;
    assert_eq!(response.header("transfer-encoding"), Some("chunked"));
    assert!(response.body == body, "what came down is what the backend sent");
    let seen = origin.last();
    assert_eq!(seen.header("transfer-encoding").as_deref(), Some("chunked"));
    assert!(seen.body == body, "what went up is what the client sent");
}

#[tokio::test]
async fn thousands_of_tiny_chunks_arrive_whole() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    let body = &ten_megabytes()[..20_000];
    let chunks = body.chunks(1).map(<[u8]>::to_vec).collect();
    origin.answer(Answer::Chunked(chunks, vec![]));
    let mut client = Client::connect(lb.addr("web")).await;
    client.send("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    client.send(chunked(body, 1)).await;
    assert_eq!(client.read_response().await.body, body);
    assert_eq!(origin.last().body, body);
}

#[tokio::test]
async fn trailers_go_both_ways_but_for_those_that_are_forbidden() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    let trailers = vec![("X-Sum", "1"), ("Content-Length", "9"), ("Set-Cookie", "a=b")];
    origin.answer(Answer::Chunked(vec![b"down".to_vec()], trailers));
    let mut client = Client::connect(lb.addr("web")).await;
    client
        .send(
            "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\r\n\
             2\r\nup\r\n0\r\nX-Up: 2\r\nHost: evil\r\nTransfer-Encoding: chunked\r\n\
             X-Forwarded-For: 1.2.3.4\r\nAuthorization: x\r\n\r\n",
        )
        .await;
    let response = client.read_response().await;
    assert_eq!(response.body, b"down");
    assert_eq!(format!("{:?}", response.trailers), r#"{"X-Sum": "1"}"#);
    let seen = origin.last();
    assert_eq!(seen.body, b"up");
    assert_eq!(format!("{:?}", seen.trailers), r#"{"X-Up": "2"}"#);
    assert_eq!(seen.header("te").as_deref(), Some("trailers"));
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_chunks_as_a_body_up_to_the_close() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    let chunks = vec![b"one".to_vec(), b"two".to_vec()];
    origin.answer(Answer::Chunked(chunks, vec![("X-Sum", "1")]));
    let mut client = Client::connect(lb.addr("web")).await;
    client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
    let response = client.read_response().await;
    assert_eq!(response.body, b"onetwo");
    assert_eq!(response.header("transfer-encoding"), None);
    assert_eq!(response.header("connection"), Some("close"));
}

#[tokio::test]
async fn a_body_up_to_the_close_becomes_chunks_and_the_client_stays() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    for body in [Vec::new(), b"body".to_vec(), ten_megabytes()] {
        origin.answer(Answer::UntilClose(body.clone()));
        let mut client = Client::connect(lb.addr("web")).await;
        for _ in 0..2 {
            client.send(GET).await;
            let response = client.read_response().await;
            assert_eq!(response.header("transfer-encoding"), Some("chunked"));
            assert!(response.body == body, "{} bytes", body.len());
        }
        client.send("GET / HTTP/1.0\r\n\r\n").await;
        let response = client.read_response().await;
        assert_eq!(response.header("transfer-encoding"), None);
        assert!(response.body == body, "{} bytes", body.len());
    }
}

#[tokio::test]
async fn responses_without_a_body_leave_both_connections_in_step() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    let mut client = Client::connect(lb.addr("web")).await;
    origin.answer(Answer::Ok(vec![b'x'; 5]));
    client.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n").await;
    let response = client.read_response_to_head().await;
    assert_eq!(response.header("content-length"), Some("5"));
    origin.answer(Answer::Chunked(vec![b"abc".to_vec()], vec![]));
    client.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n").await;
    let response = client.read_response_to_head().await;
    assert_eq!(response.header("content-length"), None);
    for (head, length) in [
        ("204 No Content\r\n", None),
        ("304 Not Modified\r\nContent-Length: 7\r\n", Some("7")),
        ("304 Not Modified\r\n", None),
        ("200 OK\r\nContent-Length: 0\r\n", Some("0")),
    ] {
        origin.answer(Answer::Raw(format!("HTTP/1.1 {head}\r\n").into_bytes()));
        client.send(GET).await;
        let response = client.read_response().await;
        assert_eq!(response.header("content-length"), length, "{head}");
        assert_eq!(response.header("transfer-encoding"), None, "{head}");
    }
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn a_request_says_of_its_body_what_the_client_said() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    let mut client = Client::connect(lb.addr("web")).await;
    for (method, field, length) in [
        ("POST", "Content-Length: 0\r\n", Some("0")),
        ("POST", "Content-Length: 000\r\n", Some("0")),
        ("POST", "", None),
        ("GET", "", None),
    ] {
        client.send(format!("{method} / HTTP/1.1\r\nHost: test\r\n{field}\r\n")).await;
        assert_eq!(client.read_response().await.status, 200);
        let seen = origin.last();
        assert_eq!(seen.header("content-length").as_deref(), length);
        assert_eq!(seen.header("transfer-encoding"), None);
    }
}

#[tokio::test]
async fn a_backend_may_answer_while_the_request_still_comes() {
    let backend = Wired::bind("127.0.0.1").await;
    let lb = Setup::default().start(&[&backend.address()]).await;
    let mut client = Client::connect(lb.addr("web")).await;
    client.send("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let mut wire = backend.accept().await;
    wire.head().await;
    wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let head = client.read_exact(17).await;
    assert_eq!(head, b"HTTP/1.1 200 OK\r\n");
    for round in 0..20 {
        let text = format!("ping {round:02}");
        client.send(format!("7\r\n{text}\r\n")).await;
        wire.read_until(&text).await;
        wire.send(format!("7\r\n{}\r\n", text.replace("ping", "pong"))).await;
        let expected = text.replace("ping", "pong").into_bytes();
        let mut got = Vec::new();
        while !got.ends_with(&expected) {
            got.extend(client.read_exact(1).await);
        }
    }
    client.send("0\r\n\r\n").await;
    wire.read_until("0\r\n\r\n").await;
    wire.send("0\r\n\r\n").await;
    assert!(client.read_to_end().await.ends_with(b"0\r\n\r\n"));
}

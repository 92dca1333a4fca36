//! Switching protocols: after the 101 the bytes belong to both ends.

use crate::support::{Answer, Client, Origin, request};
use crate::wired::{Wire, Wired};
use crate::{Setup, attempt, attempts, logged};

const ECHO: &str = "GET /chat HTTP/1.1\r\nHost: test\r\nConnection: keep-alive, Upgrade\r\n\
                    Upgrade: echo\r\nX-Own: 1\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                      Upgrade: echo\r\nX-Chat: 1\r\n\r\n";
const IN_FLIGHT: &str = "plimsoll_backend_in_flight";

fn setup() -> Setup<'static> {
    Setup { route: "upgrades = [\"echo\"]", ..Setup::default() }
}

/// A tunnel that stands: both ends of it.
async fn tunnel(lb: &crate::support::Lb, backend: &Wired) -> (Client, Wire) {
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(ECHO).await;
    let mut wire = backend.accept().await;
    wire.head().await;
    wire.send(SWITCH).await;
    assert_eq!(client.read_response().await.status, 101);
    (client, wire)
}

#[tokio::test]
async fn bytes_go_both_ways_and_the_end_of_input_is_passed_on() {
    let origin = Origin::start("a").await;
    let lb = setup().before(&[&origin]).await;
    origin.answer(Answer::Upgrade);
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(ECHO).await;
    let response = client.read_response().await;
    assert_eq!(response.status, 101);
    assert_eq!(response.header("upgrade"), Some("echo"));
    assert_eq!(response.header("connection"), Some("upgrade"));
    let seen = origin.last();
    assert_eq!(seen.header("upgrade").as_deref(), Some("echo"));
    assert_eq!(seen.header("connection").as_deref(), Some("upgrade"));
    assert_eq!(seen.header("x-own").as_deref(), Some("1"));
    let piece = vec![b'x'; 65_536];
    for _ in 0..50 {
        client.send(&piece).await;
        assert_eq!(client.read_exact(piece.len()).await, piece);
    }
    lb.until_metric(IN_FLIGHT, 1.0).await;
    client.half_close().await;
    assert_eq!(client.read_to_end().await, b"bye");
    lb.until_metric(IN_FLIGHT, 0.0).await;
    let line = logged(&lb, "/chat").await;
    assert_eq!(
        (line["status"].as_u64(), line["response_bytes"].as_u64()),
        (Some(101), Some(50 * 65_536 + 3))
    );
    assert_eq!(attempts(&line), [attempt("ok", None)]);
}

#[tokio::test]
async fn bytes_that_came_with_the_heads_are_not_lost() {
    let backend = Wired::bind("127.0.0.1").await;
    let lb = setup().start(&[&backend.address()]).await;
    let mut client = Client::connect(lb.addr("web")).await;
    client.send([ECHO, "early up"].concat()).await;
    let mut wire = backend.accept().await;
    let head = wire.head().await;
    assert!(head.ends_with("Upgrade: echo\r\n\r\n"), "{head}");
    wire.send([SWITCH, "early down"].concat()).await;
    assert_eq!(client.read_response().await.status, 101);
    assert_eq!(client.read_exact(10).await, b"early down");
    wire.read_until("early up").await;
}

#[tokio::test]
async fn nothing_behind_the_request_is_sent_on_before_the_switch() {
    let backend = Wired::bind("127.0.0.1").await;
    let lb = setup().start(&[&backend.address()]).await;
    let mut client = Client::connect(lb.addr("web")).await;
    let next = "GET /next HTTP/1.1\r\nHost: test\r\n\r\n";
    client.send([ECHO, next].concat()).await;
    let mut wire = backend.accept().await;
    wire.head().await;
    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno").await;
    assert_eq!(client.read_response().await.text(), "no");
    let head = wire.head().await;
    assert!(head.starts_with("GET /next "), "{head}");
    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes").await;
    assert_eq!(client.read_response().await.text(), "yes");
}

#[tokio::test]
async fn the_backend_may_end_its_half_first() {
    let backend = Wired::bind("127.0.0.1").await;
    let lb = setup().start(&[&backend.address()]).await;
    let (mut client, mut wire) = tunnel(&lb, &backend).await;
    wire.send("last word").await;
    wire.half_close().await;
    assert_eq!(client.read_to_end().await, b"last word");
    client.send("I heard").await;
    wire.read_until("I heard").await;
    client.half_close().await;
    assert_eq!(wire.rest().await, b"");
    lb.until_metric(IN_FLIGHT, 0.0).await;
}

#[tokio::test]
async fn a_tunnel_ends_when_the_backend_is_gone() {
    let backend = Wired::bind("127.0.0.1").await;
    let lb = setup().start(&[&backend.address()]).await;
    let (mut client, wire) = tunnel(&lb, &backend).await;
    drop(wire);
    client.expect_closed().await;
    drop(client);
    lb.until_metric(IN_FLIGHT, 0.0).await;
}

#[tokio::test]
async fn an_idle_tunnel_is_ended() {
    let backend = Wired::bind("127.0.0.1").await;
    let setup =
        Setup { route: "upgrades = [\"echo\"]\ntimeouts = { read = \"1s\" }", ..Setup::default() };
    let lb = setup.start(&[&backend.address()]).await;
    let (mut client, mut wire) = tunnel(&lb, &backend).await;
    client.expect_closed().await;
    assert_eq!(wire.rest().await, b"");
    lb.until_metric(IN_FLIGHT, 0.0).await;
}

#[tokio::test]
async fn an_upgrade_that_the_route_does_not_list_is_a_plain_request() {
    let origin = Origin::start("a").await;
    let lb = setup().before(&[&origin]).await;
    let other = "GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade, HTTP2-Settings\r\n\
                 Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n";
    assert_eq!(request(lb.addr("web"), other).await.text(), "a");
    let seen = origin.last();
    for name in ["upgrade", "connection", "http2-settings"] {
        assert_eq!(seen.header(name), None);
    }
}

#[tokio::test]
async fn a_switch_to_another_protocol_than_asked_is_an_invalid_response() {
    let origin = Origin::start("a").await;
    let lb = setup().before(&[&origin]).await;
    let other = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    origin.answer(Answer::Raw(other.as_bytes().to_vec()));
    assert_eq!(request(lb.addr("web"), ECHO).await.status, 502);
}

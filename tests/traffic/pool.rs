//! Idle connections to backends: used again when that is safe, and never otherwise.

use std::time::{Duration, Instant};

use crate::support::{Answer, Client, Lb, Origin, request, until};
use crate::wired::Wired;
use crate::{GET, Setup, attempt, attempts, logged, plain, until_none_open};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const POST: &str = "POST /post HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc";

/// Two requests of two clients, one after the other.
async fn two_requests(lb: &Lb) {
    for _ in 0..2 {
        assert_eq!(request(lb.addr("web"), GET).await.status, 200);
    }
}

#[tokio::test]
async fn a_connection_is_used_again_by_other_clients() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    for _ in 0..10 {
        assert_eq!(request(lb.addr("web"), GET).await.status, 200);
        assert_eq!(request(lb.addr("web"), POST).await.status, 200);
    }
    assert_eq!((origin.requests(), origin.connections()), (20, 1));
}

#[tokio::test]
async fn a_pool_of_none_closes_each_connection() {
    let origin = Origin::start("a").await;
    let setup = Setup { upstream: "pool = { max_idle = 0 }", ..Setup::default() };
    let lb = setup.before(&[&origin]).await;
    two_requests(&lb).await;
    assert_eq!(origin.connections(), 2);
    until_none_open(&origin).await;
}

#[tokio::test]
async fn no_more_connections_are_kept_than_allowed() {
    let origin = Origin::start("a").await;
    let setup = Setup { upstream: "pool = { max_idle = 2 }", ..Setup::default() };
    let lb = setup.before(&[&origin]).await;
    origin.hold();
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = Client::connect(lb.addr("web")).await;
        client.send(GET).await;
        clients.push(client);
    }
    origin.until_requests(5).await;
    origin.release();
    for client in &mut clients {
        assert_eq!(client.read_response().await.status, 200);
    }
    origin.until_open(2).await;
}

#[tokio::test]
async fn a_connection_serves_no_more_requests_than_allowed() {
    let origin = Origin::start("a").await;
    let setup = Setup { upstream: "pool = { max_requests = 3 }", ..Setup::default() };
    let lb = setup.before(&[&origin]).await;
    for _ in 0..7 {
        assert_eq!(request(lb.addr("web"), GET).await.status, 200);
    }
    let used: Vec<_> = origin.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(used, [0, 0, 0, 1, 1, 1, 2]);
}

#[tokio::test]
async fn a_connection_is_used_no_longer_than_allowed() {
    let origin = Origin::start("a").await;
    let setup = Setup { upstream: "pool = { max_lifetime = \"1s\" }", ..Setup::default() };
    let lb = setup.before(&[&origin]).await;
    let begun = Instant::now();
    // It has no time to idle.
    until("a second connection", async || {
        assert_eq!(request(lb.addr("web"), GET).await.status, 200);
        origin.connections() == 2
    })
    .await;
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    let seen = origin.seen();
    let (last, before) = seen.split_last().unwrap();
    assert!(before.iter().all(|one| one.connection == 0) && last.connection == 1);
    // Nobody uses the old one, which need not wait for its time to idle.
    origin.until_open(1).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_time() {
    let origin = Origin::start("a").await;
    let setup = Setup { upstream: "pool = { idle_timeout = \"1s\" }", ..Setup::default() };
    let lb = setup.before(&[&origin]).await;
    two_requests(&lb).await;
    assert_eq!(origin.connections(), 1);
    until_none_open(&origin).await;
    two_requests(&lb).await;
    assert_eq!(origin.connections(), 2);
}

#[tokio::test]
async fn a_backend_that_wants_to_close_is_believed() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    origin.close_after_each_answer();
    let mut client = Client::connect(lb.addr("web")).await;
    for _ in 0..3 {
        client.send(GET).await;
        let response = client.read_response().await;
        assert_eq!(response.header("connection"), None, "that is the backend's side");
    }
    assert_eq!(origin.connections(), 3);
}

#[tokio::test]
async fn connections_that_the_backend_closed_cost_no_request() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    for method in ["GET", "HEAD", "PUT", "DELETE"] {
        for _ in 0..3 {
            let head = format!("{method} / HTTP/1.1\r\nHost: test\r\n\r\n");
            let mut client = Client::connect(lb.addr("web")).await;
            client.send(head).await;
            assert_eq!(client.read_response_to_head().await.status, 200);
            origin.cut_connections().await;
        }
    }
}

#[tokio::test]
async fn a_request_on_a_dead_connection_is_sent_again_on_a_fresh_one() {
    let (backend, other) = (Wired::bind("127.0.0.1").await, Origin::start("other").await);
    let setup = Setup { upstream: "retry = { tries = 1 }", ..Setup::default() };
    let lb = setup.start(&[&backend.address(), &other.address()]).await;
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(GET).await;
    let mut wire = backend.accept().await;
    wire.head().await;
    wire.send(OK).await;
    assert_eq!(client.read_response().await.status, 200);
    // The backend closes in the very moment in which the next request comes.
    client.send("PUT /again HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc").await;
    wire.read_until("\r\n\r\nabc").await;
    drop(wire);
    let mut wire = backend.accept().await;
    wire.read_until("\r\n\r\nabc").await;
    wire.send(OK).await;
    assert_eq!(client.read_response().await.status, 200);
    let line = logged(&lb, "/again").await;
    let expected = [attempt("reset", Some("stale_connection")), attempt("ok", None)];
    assert_eq!(attempts(&line), expected);
    assert_eq!(other.requests(), 0, "it says nothing about the backend");
    assert_eq!(lb.metric("plimsoll_pool_stale_replays_total").await, Some(1.0));
}

#[tokio::test]
async fn a_post_on_a_dead_connection_is_not_sent_twice() {
    let backend = Wired::bind("127.0.0.1").await;
    let lb = Setup::default().start(&[&backend.address()]).await;
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(GET).await;
    let mut wire = backend.accept().await;
    wire.head().await;
    wire.send(OK).await;
    assert_eq!(client.read_response().await.status, 200);
    client.send(POST).await;
    wire.read_until("\r\n\r\nabc").await;
    drop(wire);
    assert_eq!(client.read_response().await.status, 502);
    let line = logged(&lb, "/post").await;
    assert_eq!(attempts(&line), [attempt("reset", None)]);
}

#[tokio::test]
async fn a_response_that_broke_off_in_its_head_is_no_dead_connection() {
    let (backend, other) = (Wired::bind("127.0.0.1").await, Origin::start("other").await);
    let lb = Setup::default().start(&[&backend.address(), &other.address()]).await;
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(GET).await;
    let mut wire = backend.accept().await;
    wire.head().await;
    wire.send(OK).await;
    assert_eq!(client.read_response().await.status, 200);
    client.send("GET /half HTTP/1.1\r\nHost: test\r\n\r\n").await;
    wire.head().await;
    wire.send("HTTP/1.1 200 OK\r\nConte").await;
    drop(wire);
    assert_eq!(client.read_response().await.text(), "other");
    let line = logged(&lb, "/half").await;
    assert_eq!(attempts(&line), [attempt("reset", Some("reset")), attempt("ok", None)]);
}

#[tokio::test]
async fn bytes_behind_a_response_reach_nobody() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    let extra = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON";
    let whole = [
        format!("{OK}{extra}"),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{extra}"),
        format!("HTTP/1.1 204 No Content\r\n\r\n{extra}"),
        format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok{extra}"),
    ];
    for answer in whole {
        let mut client = Client::connect(lb.addr("web")).await;
        for _ in 0..5 {
            origin.answer(Answer::Raw(answer.clone().into_bytes()));
            client.send(GET).await;
            let response = client.read_response().await;
            assert!(!response.text().contains("POISON"), "{answer}");
            origin.answer(Answer::Status(200));
            client.send(GET).await;
            assert_eq!(client.read_response().await.text(), "a", "{answer}");
        }
    }
    let per_connection = |number| {
        let seen = origin.seen();
        seen.iter().filter(|seen| seen.connection == number).count()
    };
    assert!((0..origin.connections()).all(|number| per_connection(number) <= 2));
}

#[tokio::test]
async fn bytes_that_come_while_a_connection_is_idle_reach_nobody() {
    let backend = Wired::bind("127.0.0.1").await;
    let lb = Setup::default().start(&[&backend.address()]).await;
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(GET).await;
    let mut wire = backend.accept().await;
    wire.head().await;
    wire.send(OK).await;
    assert_eq!(client.read_response().await.text(), "ok");
    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON").await;
    assert_eq!(wire.rest().await, b"", "the program closes it");
    client.send(GET).await;
    let mut wire = backend.accept().await;
    wire.head().await;
    wire.send(OK).await;
    assert_eq!(client.read_response().await.text(), "ok");
}

#[tokio::test]
async fn a_connection_with_half_a_request_on_it_is_not_used_again() {
    let backend = Wired::bind("127.0.0.1").await;
    let lb = Setup::default().start(&[&backend.address()]).await;
    let mut client = Client::connect(lb.addr("web")).await;
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\nabc").await;
    let mut wire = backend.accept().await;
    wire.read_until("\r\n\r\nabc").await;
    wire.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
    let response = client.read_response().await;
    assert_eq!((response.status, response.text().as_str()), (403, "no"));
    assert_eq!(response.header("connection"), Some("close"));
    assert_eq!(wire.rest().await, b"", "the program closes it");
}

#[tokio::test]
async fn of_all_backends_connections_the_longest_idle_is_closed() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let upstream = "pool = { max_idle_total = 1 }\nsticky = { route = [\"${arg.to}\"] }";
    let text = |origin: &Origin, route: &str| {
        let address = origin.address();
        format!("[[upstream.app.backend]]\naddress = \"{address}\"\nroute = \"{route}\"\n")
    };
    let lb = Lb::start(format!(
        "workers = 1\n[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n\
         [[route]]\nupstream = \"app\"\n[upstream.app]\n{upstream}\n{}{}",
        text(&a, "a"),
        text(&b, "b")
    ))
    .await;
    for (path, open) in [("/?to=a", (1, 0)), ("/?to=b", (0, 1)), ("/?to=b", (0, 1))] {
        let _ = request(lb.addr("web"), format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n")).await;
        until("one is kept", async || (a.open(), b.open()) == open).await;
    }
    assert_eq!((a.connections(), b.connections()), (1, 1));
}

#[tokio::test]
async fn connections_leave_from_the_address_that_is_set() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let setup = Setup { upstream: "source = \"127.0.0.77\"", ..Setup::default() };
    let lb = setup.start(&[&address]).await;
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(GET).await;
    let (_, peer) = crate::support::in_time("a connection", listener.accept()).await.unwrap();
    assert_eq!(peer.ip().to_string(), "127.0.0.77");
}

#[tokio::test]
async fn a_backend_is_told_that_its_connection_is_not_kept() {
    let origin = Origin::start("a").await;
    let setup = Setup { upstream: "nginx = { connection_close = true }", ..Setup::default() };
    let lb = setup.before(&[&origin]).await;
    for _ in 0..2 {
        let _ = request(lb.addr("web"), GET).await;
        assert_eq!(origin.last().header("connection").as_deref(), Some("close"));
    }
    assert_eq!(origin.connections(), 2);
}

#[tokio::test]
async fn a_text_says_which_address_a_connection_leaves_from() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let setup = Setup { upstream: "source = \"${arg.from}\"", ..Setup::default() };
    let lb = setup.start(&[&address]).await;
    for (from, came) in [("127.0.0.78", "127.0.0.78"), ("nowhere", "127.0.0.1"), ("", "127.0.0.1")]
    {
        let mut client = Client::connect(lb.addr("web")).await;
        client.send(crate::ask(&format!("/?from={from}"))).await;
        let (_, peer) = crate::support::in_time("a connection", listener.accept()).await.unwrap();
        assert_eq!(peer.ip().to_string(), came, "{from}");
    }
}

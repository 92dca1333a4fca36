//! How many connections, requests and fields are taken, and for how long.

use crate::support::{Client, Lb, Origin, request};
use crate::{GET, Setup, until_clients};

async fn before(origin: &Origin, listener: &str) -> Lb {
    let setup = Setup { listener, ..Setup::default() };
    setup.before(&[origin]).await
}

#[tokio::test]
async fn a_listener_takes_no_more_connections_than_allowed() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "max_connections = 2").await;
    let mut first = Client::connect(lb.addr("web")).await;
    let second = Client::connect(lb.addr("web")).await;
    until_clients(&lb, 2).await;
    let mut third = Client::connect(lb.addr("web")).await;
    third.expect_closed().await;
    let refused = "plimsoll_listener_connections_total{listener=\"web\",result=\"refused\"}";
    lb.until_metric(refused, 1.0).await;
    first.send(GET).await;
    assert_eq!(first.read_response().await.status, 200);
    drop(second);
    until_clients(&lb, 1).await;
    assert_eq!(request(lb.addr("web"), GET).await.status, 200);
}

#[tokio::test]
async fn a_connection_serves_no_more_requests_than_allowed() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "max_requests = 3").await;
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(GET.repeat(5)).await;
    for closes in [None, None, Some("close")] {
        assert_eq!(client.read_response().await.header("connection"), closes);
    }
    client.expect_closed().await;
    assert_eq!(origin.requests(), 3);
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_a_word() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "idle_timeout = \"100ms\"").await;
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(GET).await;
    assert_eq!(client.read_response().await.status, 200);
    client.expect_closed().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_given_up() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "write_timeout = \"200ms\"").await;
    origin.answer(crate::support::Answer::Stream(256 << 20));
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(GET).await;
    origin.until_requests(1).await;
    origin.until_open(0).await;
    until_clients(&lb, 0).await;
}

#[tokio::test]
async fn a_backend_that_is_full_is_passed_over() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let config = format!(
        "workers = 1\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n\
         [[route]]\nupstream = \"app\"\n[[upstream.app.backend]]\naddress = \"{}\"\n\
         max_connections = 1\n[[upstream.app.backend]]\naddress = \"{}\"\n\
         max_connections = 1\nbackup = true",
        a.address(),
        b.address()
    );
    let lb = Lb::start(config).await;
    a.hold();
    b.hold();
    let mut clients = Vec::new();
    for origin in [&a, &b] {
        let mut client = Client::connect(lb.addr("web")).await;
        client.send(GET).await;
        origin.until_requests(1).await;
        clients.push(client);
    }
    let response = request(lb.addr("web"), GET).await;
    assert_eq!((response.status, response.header("retry-after")), (503, Some("1")));
    assert_eq!((a.requests(), b.requests()), (1, 1));
    a.release();
    b.release();
    for client in &mut clients {
        assert_eq!(client.read_response().await.status, 200);
    }
    lb.until_metric("plimsoll_backend_in_flight", 0.0).await;
    assert_eq!(request(lb.addr("web"), GET).await.text(), "a");
}

#[tokio::test]
async fn heads_may_be_as_large_as_allowed() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "max_headers = 3\nmax_head = 2000\nmax_target = 100").await;
    let head = |target: usize, fields: usize, value: usize| {
        let target = "x".repeat(target - 1);
        let fields = format!("X: {}\r\n", "v".repeat(value)).repeat(fields);
        format!("GET /{target} HTTP/1.1\r\nHost: test\r\n{fields}\r\n")
    };
    for (head, status) in [
        (head(100, 2, 10), 200),
        (head(101, 2, 10), 414),
        (head(10, 3, 10), 431),
        (head(10, 2, 800), 200),
        (head(10, 2, 1000), 431),
    ] {
        assert_eq!(request(lb.addr("web"), head).await.status, status);
    }
}

//! Many connections, slow ones and large ones: how much of everything is taken at most.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::io::AsyncReadExt;
use tokio::net::TcpSocket;

use crate::support::{Answer, Client, Lb, Origin, at_rest, get, until};
use crate::{GET, Setup, logged, until_clients};

/// Whether a client of this address is served, rather than closed.
async fn is_served(address: SocketAddr, from: &str) -> bool {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(from.parse().unwrap()).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, GET.as_bytes()).await;
    matches!(stream.read(&mut [0; 9]).await, Ok(1..))
}

#[tokio::test]
async fn one_client_takes_no_more_connections_than_allowed() {
    let origin = Origin::start("a").await;
    let limit = "max_connections_per_client = 2";
    let lb = Setup { listener: limit, ..Setup::default() }.before(&[&origin]).await;
    let first = Client::connect(lb.addr("web")).await;
    let second = Client::connect(lb.addr("web")).await;
    until_clients(&lb, 2).await;
    Client::connect(lb.addr("web")).await.expect_closed().await;
    assert!(is_served(lb.addr("web"), "127.0.0.2:0").await, "another client");
    drop((first, second));
    until_clients(&lb, 0).await;
    assert!(is_served(lb.addr("web"), "127.0.0.1:0").await);
}

#[tokio::test]
async fn a_trusted_proxy_speaks_for_many_clients() {
    let origin = Origin::start("a").await;
    let listener = "max_connections_per_client = 1\ntrusted_proxies = [\"127.0.0.1\"]";
    let lb = Setup { listener, ..Setup::default() }.before(&[&origin]).await;
    let clients = [(); 3].map(|()| Client::connect(lb.addr("web")));
    for client in clients {
        let mut client = client.await;
        client.send(GET).await;
        assert_eq!(client.read_response().await.status, 200);
    }
}

#[tokio::test]
async fn all_listeners_together_take_no_more_connections_than_allowed() {
    let lb = Lb::start(
        "max_connections = 2\nworkers = 2\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\nname = \"other\"\naddress = \"127.0.0.1:0\"\n[[route]]\nrespond = {}\n",
    )
    .await;
    let first = Client::connect(lb.addr("web")).await;
    let second = Client::connect(lb.addr("other")).await;
    lb.until_metric("plimsoll_listener_connections_active", 2.0).await;
    for listener in ["web", "other"] {
        Client::connect(lb.addr(listener)).await.expect_closed().await;
        let refused = format!(
            "plimsoll_listener_connections_total{{listener=\"{listener}\",result=\"refused\"}}"
        );
        lb.until_metric(&refused, 1.0).await;
    }
    drop((first, second));
    lb.until_metric("plimsoll_listener_connections_active", 0.0).await;
    assert_eq!(get(lb.addr("web"), "/").await.status, 200);
}

#[tokio::test]
async fn clients_cannot_use_up_the_descriptors_of_all_else() {
    let origin = Origin::start("a").await;
    let config = format!(
        "workers = 2\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n[[route]]\nupstream = \"app\"\n\
         [[upstream.app.backend]]\naddress = \"{}\"\n",
        origin.address()
    );
    let lb = Lb::start_with_descriptors(&config, 200).await;
    let mut clients = Vec::new();
    for _ in 0..300 {
        clients.push(Client::connect(lb.addr("web")).await);
    }
    let accepted = "plimsoll_listener_connections_total";
    lb.until_metric(accepted, 300.0).await;
    let served = lb.metric("plimsoll_listener_connections_active").await.unwrap();
    assert!((80.0..150.0).contains(&served), "{served} connections");
    lb.until_log("no descriptor for a client's connection").await;
    // Backends are within reach, and the admin listener is.
    let first = &mut clients[0];
    first.send(GET).await;
    assert_eq!(first.read_response().await.status, 200);
    assert_eq!(get(lb.admin_addr(), "/livez").await.status, 200);
    drop(clients);
    lb.until_metric("plimsoll_listener_connections_active", 0.0).await;
    assert_eq!(get(lb.addr("web"), "/").await.status, 200);
}

#[tokio::test]
async fn a_client_that_trickles_its_body_is_answered_408() {
    let origin = Origin::start("a").await;
    let listener = "min_rate = \"1KiB\"\nmin_rate_over = \"300ms\"";
    for route in ["", "request_buffering = {}"] {
        let lb = Setup { listener, route, ..Setup::default() }.before(&[&origin]).await;
        let mut client = Client::connect(lb.addr("web")).await;
        client.send("POST /slow HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n").await;
        let begun = Instant::now();
        let mut pace = tokio::time::interval(Duration::from_millis(10));
        while lb.out().is_empty() {
            pace.tick().await;
            client.send_what_is_taken("x").await;
            assert!(begun.elapsed() < Duration::from_secs(20), "it goes on for ever");
        }
        let line = logged(&lb, "/slow").await;
        assert_eq!((&line["status"], &line["failure"]), (&408.into(), &"body_timeout".into()));
    }
}

#[tokio::test]
async fn a_client_that_trickles_its_response_is_given_up() {
    let origin = Origin::start("a").await;
    origin.answer(Answer::Stream(256 << 20));
    let listener = "min_rate = \"1GiB\"\nmin_rate_over = \"300ms\"";
    let lb = Setup { listener, ..Setup::default() }.before(&[&origin]).await;
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(GET).await;
    let begun = Instant::now();
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    while lb.out().is_empty() {
        pace.tick().await;
        let _ = tokio::time::timeout(Duration::from_millis(10), client.read_exact(1000)).await;
        assert!(begun.elapsed() < Duration::from_secs(20), "it goes on for ever");
    }
    assert_eq!(logged(&lb, "client_gone").await["status"], 200);
    origin.until_open(0).await;
}

#[tokio::test]
async fn a_request_that_is_cut_at_the_end_of_a_drain_has_its_line() {
    let origin = Origin::start("a").await;
    let config = format!(
        "workers = 1\ndrain_timeout = \"50ms\"\n[access_log]\nformat = \"json\"\n\
         [[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n[[route]]\nname = \"all\"\n\
         upstream = \"app\"\n[[upstream.app.backend]]\naddress = \"{}\"\n",
        origin.address()
    );
    let mut lb = Lb::start(config).await;
    origin.hold();
    let mut client = Client::connect(lb.addr("web")).await;
    client.send("GET /held HTTP/1.1\r\nHost: test\r\n\r\n").await;
    origin.until_requests(1).await;
    lb.signal(Signal::TERM);
    client.expect_closed().await;
    assert!(lb.exit().await.success());
    let line = logged(&lb, "/held").await;
    assert_eq!(line["status"], 500);
    assert_eq!((&line["failure"], &line["route"]), (&"drain_timeout".into(), &"all".into()));
}

/// Memory that the program has, in bytes.
async fn memory(lb: &Lb) -> u64 {
    lb.metric("process_resident_memory_bytes").await.unwrap() as u64
}

#[tokio::test]
async fn a_connection_has_no_more_memory_than_the_manual_says() {
    let origin = Origin::start("a").await;
    let lb = Setup::default().before(&[&origin]).await;
    let address = lb.addr("web");
    let before = memory(&lb).await;
    let mut clients = Vec::new();
    // Idle ones.
    for _ in 0..200 {
        let mut client = Client::connect(address).await;
        client.send(GET).await;
        assert_eq!(client.read_response().await.status, 200);
        clients.push(client);
    }
    let idle = memory(&lb).await.saturating_sub(before);
    assert!(idle < 200 * (8 << 10) + (8 << 20), "{idle} bytes for 200 idle connections");
    // Heads without an end.
    for client in &mut clients {
        client.send(format!("GET / HTTP/1.1\r\nHost: test\r\nX: {}", "x".repeat(30_000))).await;
    }
    let read = "plimsoll_listener_connections_active{listener=\"web\"}";
    lb.until_metric(read, 200.0).await;
    let heads = at_rest_memory(&lb).await.saturating_sub(before);
    assert!(heads < 200 * (128 << 10) + (8 << 20), "{heads} bytes for 200 heads");
    drop(clients);
    until_clients(&lb, 0).await;
    // Bodies that neither side takes.
    origin.answer(Answer::Stream(64 << 20));
    let mut clients = Vec::new();
    for _ in 0..60 {
        let mut client = Client::connect(address).await;
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
        clients.push(client);
    }
    until("all are under way", async || origin.requests() >= 260).await;
    at_rest(|| origin.written()).await;
    let bodies = memory(&lb).await.saturating_sub(before);
    assert!(bodies < 60 * (768 << 10) + (16 << 20), "{bodies} bytes for 60 bodies");
}

/// The same once it does not grow any more.
async fn at_rest_memory(lb: &Lb) -> u64 {
    let mut last = 0;
    let mut same = 0;
    until("memory is at rest", async || {
        let now = memory(lb).await;
        same = if now == last { same + 1 } else { 0 };
        last = now;
        same > 5
    })
    .await;
    last
}

//! Connections that are passed through, byte for byte.

use std::fmt::Write as _;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Authority, Client, Lb, Origin, until};
use crate::wired::{Wire, Wired};
use crate::{GET, logged};

/// The program with one listener `db` with these settings and these upstreams.
async fn passing(listener: &str, upstreams: &str) -> Lb {
    Lb::start(format!(
        "workers = 1\n[admin]\naddress = \"127.0.0.1:0\"\n[access_log]\nformat = \"json\"\n\
         [[listener]]\nname = \"db\"\naddress = \"127.0.0.1:0\"\nmode = \"tcp\"\n{listener}\n{upstreams}"
    ))
    .await
}

/// An upstream with these backends, the second and later ones as backups.
fn upstream(name: &str, settings: &str, backends: &[&str]) -> String {
    let mut text = format!("[upstream.{name}]\n{settings}\n");
    for (place, backend) in backends.iter().enumerate() {
        let backup = place > 0;
        write!(text, "[[upstream.{name}.backend]]\naddress = \"{backend}\"\nbackup = {backup}\n")
            .unwrap();
    }
    text
}

/// Both ends of a connection through the program.
async fn connect(lb: &Lb, backend: &Wired) -> (Client, Wire) {
    let client = Client::connect(lb.addr("db")).await;
    (client, backend.accept().await)
}

async fn line(lb: &Lb) -> Value {
    logged(lb, "\"route\":\"_tcp\"").await
}

#[tokio::test]
async fn bytes_go_both_ways_and_each_side_may_end_first() {
    let backend = Wired::bind("127.0.0.1").await;
    let lb = passing("upstream = \"db\"", &upstream("db", "", &[&backend.address()])).await;
    // Who speaks first is nobody's business.
    let (mut client, mut wire) = connect(&lb, &backend).await;
    wire.send("220 hello\r\n").await;
    assert_eq!(client.read_exact(11).await, b"220 hello\r\n");
    client.send(b"\0\xff\r\nQUIT").await;
    wire.read_until("QUIT").await;
    client.half_close().await;
    assert_eq!(wire.rest().await, b"");
    wire.send("bye").await;
    wire.half_close().await;
    assert_eq!(client.read_to_end().await, b"bye");
    let line = line(&lb).await;
    assert_eq!((&line["status"], &line["failure"]), (&200.into(), &Value::Null));
    assert_eq!((&line["request_bytes"], &line["response_bytes"]), (&8.into(), &14.into()));
    assert_eq!((&line["client"], &line["upstream"]), (&"127.0.0.1".into(), &"db".into()));
    assert_eq!(line["attempts"][0]["backend"], backend.address());
    let requests = "plimsoll_requests_total{listener=\"db\",route=\"_tcp\",code=\"2xx\"}";
    lb.until_metric(requests, 1.0).await;
    // The backend may end first, too.
    let (mut client, mut wire) = connect(&lb, &backend).await;
    wire.half_close().await;
    client.expect_closed().await;
    client.send("still").await;
    client.half_close().await;
    assert_eq!(wire.rest().await, b"still");
}

#[tokio::test]
async fn much_goes_through_unchanged() {
    let backend = Wired::bind("127.0.0.1").await;
    let lb = passing("upstream = \"db\"", &upstream("db", "", &[&backend.address()])).await;
    let (mut client, mut wire) = connect(&lb, &backend).await;
    let much: Vec<u8> = (0..8 << 20).map(|n: u32| (n % 251) as u8).collect();
    let (there, back) = (much.clone(), much.clone());
    let backend = tokio::spawn(async move {
        wire.send(&back).await;
        wire.half_close().await;
        wire.rest().await
    });
    let got = client.read_exact(much.len()).await;
    assert!(got == much, "from the backend");
    client.send(&there).await;
    client.half_close().await;
    assert!(backend.await.unwrap() == there, "to the backend");
}

#[tokio::test]
async fn messages_and_much_take_turns_and_all_is_counted() {
    let backend = Wired::bind("127.0.0.1").await;
    let lb = passing("upstream = \"db\"", &upstream("db", "", &[&backend.address()])).await;
    let (mut client, mut wire) = connect(&lb, &backend).await;
    let much: Vec<u8> = (0..3 << 20).map(|n: u32| (n % 251) as u8).collect();
    let pieces = [&b"one"[..], &much, b"two", &much[..70_000], b"three"];
    for piece in pieces {
        let (got, ()) = tokio::join!(client.read_exact(piece.len()), wire.send(piece));
        assert!(got == piece, "{} bytes from the backend", piece.len());
    }
    wire.half_close().await;
    let backend = tokio::spawn(async move { wire.rest().await });
    for piece in pieces {
        client.send(piece).await;
    }
    client.half_close().await;
    assert!(backend.await.unwrap() == pieces.concat(), "to the backend");
    let (line, all) = (line(&lb).await, pieces.concat().len());
    assert_eq!((&line["request_bytes"], &line["response_bytes"]), (&all.into(), &all.into()));
}

#[tokio::test]
async fn a_backend_that_refuses_is_passed_over_and_parked() {
    let gone = Wired::bind("127.0.0.1").await;
    let address = gone.address();
    drop(gone);
    let backend = Wired::bind("127.0.0.1").await;
    let settings = "passive = { max_fails = 1, fail_timeout = \"1h\" }";
    let upstreams = upstream("db", settings, &[&address, &backend.address()]);
    let lb = passing("upstream = \"db\"", &upstreams).await;
    let (mut client, mut wire) = connect(&lb, &backend).await;
    client.send("x").await;
    wire.read_until("x").await;
    drop((client, wire));
    let line = line(&lb).await;
    assert_eq!(line["attempts"][0]["outcome"], "connect_failed");
    assert_eq!(line["attempts"][1]["outcome"], "ok");
    let parked = "plimsoll_backend_eligible";
    let text = format!("{parked}{{upstream=\"db\",backend=\"{address}\"}}");
    until("the backend is parked", async || {
        let backends = lb.api("/api/v1/ha/load-balancer/backends").await.to_string();
        backends.contains("parked") || lb.metric(&text).await == Some(0.0)
    })
    .await;
}

#[tokio::test]
async fn without_a_backend_the_connection_is_closed() {
    let gone = Wired::bind("127.0.0.1").await;
    let address = gone.address();
    drop(gone);
    let lb = passing("upstream = \"db\"", &upstream("db", "", &[&address])).await;
    Client::connect(lb.addr("db")).await.expect_closed().await;
    let line = line(&lb).await;
    assert_eq!((&line["status"], &line["failure"]), (&502.into(), &"connect_failed".into()));
}

#[tokio::test]
async fn a_connection_on_which_nothing_moves_ends() {
    let backend = Wired::bind("127.0.0.1").await;
    let listener = "upstream = \"db\"\ntunnel_timeout = \"100ms\"";
    let lb = passing(listener, &upstream("db", "", &[&backend.address()])).await;
    let (mut client, mut wire) = connect(&lb, &backend).await;
    client.expect_closed().await;
    wire.rest().await;
}

#[tokio::test]
async fn connections_count_as_in_flight_and_are_limited() {
    let (a, b) = (Wired::bind("127.0.0.1").await, Wired::bind("127.0.0.1").await);
    let upstreams = upstream("db", "", &[&a.address(), &b.address()])
        .replace("backup = false", "max_connections = 1");
    let lb = passing("upstream = \"db\"\nmax_connections = 2", &upstreams).await;
    let first = connect(&lb, &a).await;
    let second = connect(&lb, &b).await;
    Client::connect(lb.addr("db")).await.expect_closed().await;
    let in_flight = "plimsoll_backend_in_flight{upstream=\"db\"}";
    lb.until_metric(in_flight, 2.0).await;
    drop(first);
    lb.until_metric(in_flight, 1.0).await;
    let third = connect(&lb, &a).await;
    drop((second, third));
    lb.until_metric(in_flight, 0.0).await;
}

#[tokio::test]
async fn a_drain_lets_connections_go_on_and_then_cuts_them() {
    let backend = Wired::bind("127.0.0.1").await;
    let upstreams = upstream("db", "", &[&backend.address()]);
    let lb = passing("upstream = \"db\"", &upstreams).await;
    let (mut client, mut wire) = connect(&lb, &backend).await;
    lb.signal(Signal::TERM);
    lb.until_log("draining").await;
    client.send("during the drain").await;
    wire.read_until("during the drain").await;
    lb.signal(Signal::TERM);
    client.read_to_end().await;
    let line = line(&lb).await;
    assert_eq!((&line["failure"], &line["request_bytes"]), (&"drain_timeout".into(), &16.into()));
}

#[tokio::test]
async fn a_reload_leaves_connections_alone() {
    let (a, b) = (Wired::bind("127.0.0.1").await, Wired::bind("127.0.0.1").await);
    let lb = passing("upstream = \"db\"", &upstream("db", "", &[&a.address()])).await;
    let (mut client, mut wire) = connect(&lb, &a).await;
    let text = std::fs::read_to_string(lb.config_path()).unwrap();
    lb.reload(text.replace(&a.address(), &b.address()));
    lb.until_generation(2).await;
    client.send("to the first").await;
    wire.read_until("to the first").await;
    let (mut other, mut second) = connect(&lb, &b).await;
    other.send("to the second").await;
    second.read_until("to the second").await;
}

#[tokio::test]
async fn who_the_client_is_comes_in_and_goes_out() {
    let backend = Wired::bind("127.0.0.1").await;
    let upstreams = upstream("db", "send_proxy = \"v1\"", &[&backend.address()]);
    let listener = "upstream = \"db\"\nproxy_protocol = true\ntrusted_proxies = [\"127.0.0.1\"]";
    let lb = passing(listener, &upstreams).await;
    let mut client = Client::connect(lb.addr("db")).await;
    client.send("PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\nhello").await;
    let mut wire = backend.accept().await;
    let got = wire.read_until("hello").await;
    assert_eq!(got, "PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\nhello");
    drop((client, wire));
    assert_eq!(line(&lb).await["client"], "192.0.2.1");
}

#[tokio::test]
async fn one_address_goes_to_one_backend() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let (address_a, address_b) = (a.address(), b.address());
    for strategy in [
        "strategy = \"ip_hash\"",
        "strategy = \"consistent_hash\"\nkey = \"${client_ip}\"",
        "strategy = \"url_hash\"\nkey = \"${client_ip}\"",
    ] {
        let (before_a, before_b) = (a.connections(), b.connections());
        let upstreams = upstream("db", strategy, &[&address_a, &address_b])
            .replace("backup = true", "")
            .replace("backup = false", "");
        let lb = passing("upstream = \"db\"", &upstreams).await;
        for _ in 0..6 {
            let mut client = Client::connect(lb.addr("db")).await;
            client.send(GET).await;
            assert_eq!(client.read_response().await.status, 200);
        }
        let (to_a, to_b) = (a.connections() - before_a, b.connections() - before_b);
        assert!(matches!((to_a, to_b), (6, 0) | (0, 6)), "{strategy}: {to_a} and {to_b}");
    }
}

/// The first message of TLS that asks for this name, as OpenSSL's but for the name.
fn hello(name: &str) -> Vec<u8> {
    const OURS: &[u8] = include_bytes!("../../src/net/client_hello.openssl");
    // As long as that in the recording.
    assert_eq!(name.len(), "www.example.com".len());
    let at = OURS.windows(15).position(|bytes| bytes == b"www.example.com").unwrap();
    [&OURS[..at], name.as_bytes(), &OURS[at + 15..]].concat()
}

#[tokio::test]
async fn connections_of_tls_go_where_their_name_says() {
    let exact = Wired::bind("127.0.0.1").await;
    let wild = Wired::bind("127.0.0.1").await;
    let other = Wired::bind("127.0.0.1").await;
    let upstreams = [
        upstream("exact", "", &[&exact.address()]),
        upstream("wild", "", &[&wild.address()]),
        upstream("other", "", &[&other.address()]),
    ]
    .concat();
    let listener = "upstream = \"other\"\nheader_timeout = \"300ms\"\n\
                    sni = [{ names = [\"WWW.example.com\"], upstream = \"exact\" }, \
                    { names = [\"*.example.com\", \"*.a.test\"], upstream = \"wild\" }]";
    let lb = passing(listener, &upstreams).await;
    for (name, backend) in [
        ("www.example.com", &exact),
        ("WWW.EXAMPLE.COM", &exact),
        ("abc.example.com", &wild),
        ("abcdefgh.a.test", &wild),
        ("www-example.com", &other),
    ] {
        let mut client = Client::connect(lb.addr("db")).await;
        let hello = hello(name);
        // However it trickles in, it comes out whole.
        client.send(&hello[..7]).await;
        client.send(&hello[7..300]).await;
        client.send(&hello[300..]).await;
        client.half_close().await;
        let mut wire = backend.accept().await;
        assert!(wire.rest().await == hello, "{name}");
    }
    assert_eq!(line(&lb).await["target"], "www.example.com");
    // What is no TLS has no name.
    let mut client = Client::connect(lb.addr("db")).await;
    client.send(GET).await;
    let mut wire = other.accept().await;
    assert_eq!(wire.head().await, GET);
    // Who says nothing is not waited for.
    Client::connect(lb.addr("db")).await.expect_closed().await;
    logged(&lb, "header_timeout").await;
}

/// The first message of a client that offers these protocols.
fn offering(name: &str, protocols: &[&str]) -> Vec<u8> {
    let mut config = Authority::new("nobody").client();
    config.alpn_protocols = protocols.iter().map(|one| one.as_bytes().to_vec()).collect();
    let name = name.to_owned().try_into().unwrap();
    let mut session = rustls::ClientConnection::new(config.into(), name).unwrap();
    let mut hello = Vec::new();
    session.write_tls(&mut hello).unwrap();
    hello
}

#[tokio::test]
async fn connections_of_tls_go_where_the_protocols_they_offer_say() {
    let names = ["acme", "grpc", "web", "other"];
    let mut backends = Vec::new();
    for _ in names {
        backends.push(Wired::bind("127.0.0.1").await);
    }
    let upstreams = names.iter().zip(&backends);
    let upstreams: String =
        upstreams.map(|(name, backend)| upstream(name, "", &[&backend.address()])).collect();
    let listener = "upstream = \"other\"\n\
        sni = [{ names = [\"www.example.com\"], upstream = \"web\" }, \
        { names = [\"www.example.com\", \"*.a.test\"], protocols = [\"h2\", \"grpc-exp\"], upstream = \"grpc\" }, \
        { protocols = [\"acme-tls/1\"], upstream = \"acme\" }]";
    let lb = passing(listener, &upstreams).await;
    for (name, protocols, place) in [
        ("www.example.com", &["h2", "http/1.1"][..], 1),
        ("www.example.com", &["http/1.1"], 2),
        ("www.example.com", &["acme-tls/1"], 2),
        ("b.a.test", &["grpc-exp"], 1),
        ("b.a.test", &["acme-tls/1"], 0),
        ("b.a.test", &["http/1.1"], 3),
        ("other.test", &["acme-tls/1"], 0),
        ("other.test", &[], 3),
    ] {
        let mut client = Client::connect(lb.addr("db")).await;
        let hello = offering(name, protocols);
        client.send(&hello).await;
        client.half_close().await;
        let mut wire = backends[place].accept().await;
        assert!(wire.rest().await == hello, "{name} {protocols:?}");
    }
}

#[tokio::test]
async fn a_name_that_nobody_serves_is_closed() {
    let web = Wired::bind("127.0.0.1").await;
    let listener = "sni = [{ names = [\"www.example.org\"], upstream = \"web\" }]";
    let lb = passing(listener, &upstream("web", "", &[&web.address()])).await;
    let mut client = Client::connect(lb.addr("db")).await;
    client.send(hello("www.example.com")).await;
    client.expect_closed().await;
    let line = line(&lb).await;
    assert_eq!((&line["status"], &line["failure"]), (&404.into(), &"no_route".into()));
}

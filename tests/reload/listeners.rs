//! Listeners come, go and move.

use std::net::{SocketAddr, TcpListener};

use tokio::net::TcpStream;

use super::{ask, reload};
use crate::support::{Client, Lb, Load, Origin, at, config, free_port, get, until};

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

/// The usual configuration with one more listener.
fn with_listener(name: &str, address: impl std::fmt::Display, a: &Origin) -> String {
    let listener = format!("[[listener]]\nname = \"{name}\"\naddress = \"{address}\"\n");
    config("", "", &[at(a)]) + &listener
}

/// Addresses on which nobody listens.
fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    [(); N].map(|()| ([127, 0, 0, 1], free_port()).into())
}

async fn until_refused(address: SocketAddr) {
    until("nobody listens", async || TcpStream::connect(address).await.is_err()).await;
}

#[tokio::test]
async fn new_listener_is_bound_and_a_removed_one_closes_when_its_requests_are_finished() {
    let a = Origin::start("a").await;
    let lb = Lb::start(config("", "", &[at(&a)])).await;
    reload(&lb, with_listener("more", "127.0.0.1:0", &a)).await;
    let more = lb.addr("more");
    assert_eq!(get(more, "/").await.text(), "a");
    let mut idle = Client::connect(more).await;
    idle.send(GET).await;
    idle.read_response().await;
    a.hold();
    let mut busy = Client::connect(more).await;
    busy.send(GET).await;
    a.until_requests(3).await;
    reload(&lb, config("", "", &[at(&a)])).await;
    until_refused(more).await;
    idle.expect_closed().await;
    a.release();
    let last = busy.read_response().await;
    assert_eq!((last.text().as_str(), last.header("connection")), ("a", Some("close")));
    busy.expect_closed().await;
    assert_eq!(ask(&lb, "/").await.1, "a");
    let series = "plimsoll_listener_connections_total{listener=\"more\"}";
    until("its series have left", async || lb.metric(series).await.is_none()).await;
}

#[tokio::test]
async fn request_that_comes_as_its_listener_goes_is_answered() {
    let a = Origin::start("a").await;
    let lb = Lb::start(with_listener("more", "127.0.0.1:0", &a)).await;
    // Accepted, but silent so far.
    let mut silent = Client::connect(lb.addr("more")).await;
    lb.until_metric("plimsoll_listener_connections_active{listener=\"more\"}", 1.0).await;
    reload(&lb, config("", "", &[at(&a)])).await;
    silent.send(GET).await;
    assert_eq!(silent.read_response().await.text(), "a");
    silent.expect_closed().await;
}

#[tokio::test]
async fn listener_that_cannot_be_bound_refuses_the_reload_and_nothing_changes() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let lb = Lb::start(config("", "", &[at(&a)])).await;
    let generation = lb.generation().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    // One that could be bound, one that cannot, and another backend.
    let next = with_listener("free", "127.0.0.1:0", &b)
        + &format!("[[listener]]\nname = \"taken\"\naddress = \"{address}\"\n");
    lb.reload(&next);
    lb.until_metric("plimsoll_config_last_reload_successful", 0.0).await;
    assert_eq!(lb.generation().await, generation);
    assert_eq!(ask(&lb, "/").await.1, "a");
    lb.until_log(&address.to_string()).await;
    let log = lb.log_text();
    assert!(log.contains("in use"), "{log}");
    assert!(!log.contains("\"listener\":\"free\""), "{log}");
    drop(taken);
    reload(&lb, next).await;
    assert_eq!(get(address, "/").await.text(), "b");
    assert_eq!(get(lb.addr("free"), "/").await.text(), "b");
}

#[tokio::test]
async fn address_that_was_given_up_a_moment_ago_is_taken_again() {
    let a = Origin::start("a").await;
    let [address] = free_addresses();
    let lb = Lb::start(with_listener("more", address, &a)).await;
    for name in ["again", "once_more"] {
        reload(&lb, config("", "", &[at(&a)])).await;
        reload(&lb, with_listener(name, address, &a)).await;
        assert_eq!(get(address, "/").await.text(), "a");
    }
}

#[tokio::test]
async fn moved_listener_serves_at_its_new_address_only() {
    let a = Origin::start("a").await;
    let lb = Lb::start(config("", "", &[at(&a)])).await;
    let old = lb.addr("main");
    let mut idle = Client::connect(old).await;
    idle.send(GET).await;
    idle.read_response().await;
    let next = config("", "", &[at(&a)]).replace(
        "name = \"main\"\naddress = \"127.0.0.1:0\"",
        "name = \"main\"\naddress = \"[::1]:0\"",
    );
    reload(&lb, next).await;
    until_refused(old).await;
    idle.expect_closed().await;
    assert!(lb.addr("main").is_ipv6());
    assert_eq!(ask(&lb, "/").await.1, "a");
}

#[tokio::test]
async fn renamed_listener_keeps_its_address_and_no_request_fails() {
    let a = Origin::start("a").await;
    let [address] = free_addresses();
    let lb = Lb::start(with_listener("before", address, &a)).await;
    let load = Load::start(address, 4);
    load.until_answered(50).await;
    reload(&lb, with_listener("after", address, &a)).await;
    load.until_answered(50).await;
    load.expect_all_good().await;
    assert_eq!(get(address, "/").await.text(), "a");
    let accepted = "plimsoll_listener_connections_total{listener=\"after\",result=\"accepted\"}";
    assert!(lb.metric(accepted).await.unwrap() >= 1.0);
}

#[tokio::test]
async fn listeners_that_swap_their_addresses_are_served() {
    let a = Origin::start("a").await;
    let [x, y] = free_addresses();
    let both = |first: SocketAddr, second: SocketAddr| {
        with_listener("first", first, &a)
            + &format!("[[listener]]\nname = \"second\"\naddress = \"{second}\"\n")
    };
    let lb = Lb::start(both(x, y)).await;
    reload(&lb, both(y, x)).await;
    assert_eq!(get(x, "/").await.status, 200);
    assert_eq!(get(y, "/").await.status, 200);
    assert_eq!((lb.addr("first"), lb.addr("second")), (y, x));
}

#[tokio::test]
async fn listener_narrows_from_every_address_to_one_on_the_same_port() {
    let a = Origin::start("a").await;
    let [address] = free_addresses();
    let every = format!("0.0.0.0:{}", address.port());
    let lb = Lb::start(with_listener("more", every, &a)).await;
    assert_eq!(get(address, "/").await.text(), "a");
    reload(&lb, with_listener("more", address, &a)).await;
    assert_eq!(get(address, "/").await.text(), "a");
    assert_eq!(lb.addr("more"), address);
}

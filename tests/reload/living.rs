//! What lives on over a reload: connections of both sides, counters, cursors.

use super::{ask, reload};
use crate::support::{Answer, Client, Lb, Origin, at, config};

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

/// One worker, so that its pool and its cursor are the only ones.
fn single(upstream: &str, backends: &[String]) -> String {
    config("", upstream, backends).replace("workers = 2", "workers = 1")
}

#[tokio::test]
async fn idle_client_connection_lives_on() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let lb = Lb::start(config("", "", &[at(&a)])).await;
    let mut client = Client::connect(lb.addr("main")).await;
    client.send(GET).await;
    assert_eq!(client.read_response().await.text(), "a");
    reload(&lb, config("", "", &[at(&b)])).await;
    client.send(GET).await;
    assert_eq!(client.read_response().await.text(), "b");
}

#[tokio::test]
async fn request_under_way_at_a_removed_backend_is_finished() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.hold();
    let lb = Lb::start(config("", "", &[at(&a)])).await;
    let mut client = Client::connect(lb.addr("main")).await;
    client.send(GET).await;
    a.until_requests(1).await;
    reload(&lb, config("", "", &[at(&b)])).await;
    assert_eq!(ask(&lb, "/").await.1, "b");
    a.release();
    assert_eq!(client.read_response().await.text(), "a");
    client.send(GET).await;
    assert_eq!(client.read_response().await.text(), "b");
    // Its connection is not kept for anybody.
    a.until_open(0).await;
}

#[tokio::test]
async fn stream_to_a_slow_client_and_websocket_of_a_removed_backend_live_on() {
    let total = 8 << 20;
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let upgrades = |backends: &[String]| {
        config("", "", backends).replace("name = \"all\"", "name = \"all\"\nupgrades = [\"echo\"]")
    };
    let lb = Lb::start(upgrades(&[at(&a)])).await;
    a.answer(Answer::Stream(total));
    let mut slow = Client::connect(lb.addr("main")).await;
    slow.send(GET).await;
    a.until_requests(1).await;
    a.answer(Answer::Upgrade);
    let mut socket = Client::connect(lb.addr("main")).await;
    socket
        .send("GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        .await;
    assert_eq!(socket.read_response().await.status, 101);
    for origin in [&b, &a, &b] {
        reload(&lb, upgrades(&[at(origin)])).await;
    }
    socket.send("still there").await;
    assert_eq!(socket.read_exact(11).await, b"still there");
    assert_eq!(slow.read_response().await.body.len(), total);
    socket.half_close().await;
    assert_eq!(socket.read_to_end().await, b"bye");
    a.until_open(0).await;
}

#[tokio::test]
async fn kept_connections_stay_for_untouched_backends_and_close_for_removed_ones() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let lb = Lb::start(single("", &[at(&a), at(&b)])).await;
    for _ in 0..4 {
        ask(&lb, "/").await;
    }
    assert_eq!((a.connections(), b.connections()), (1, 1));
    reload(&lb, single("", &[at(&a)])).await;
    b.until_open(0).await;
    for _ in 0..4 {
        assert_eq!(ask(&lb, "/").await.1, "a");
    }
    assert_eq!((a.connections(), a.open()), (1, 1));
    // A whole upstream leaves the same way.
    let other = single("", &[at(&b)]).replace("api", "other");
    reload(&lb, other).await;
    a.until_open(0).await;
    assert_eq!(ask(&lb, "/").await.1, "b");
}

#[tokio::test]
async fn a_backend_that_moves_under_its_name_is_met_where_it_is_now() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let named = |origin: &Origin| format!("{}\nname = \"one\"", at(origin));
    let lb = Lb::start(single("", &[named(&a)])).await;
    assert_eq!(ask(&lb, "/").await.1, "a");
    reload(&lb, single("", &[named(&b)])).await;
    a.until_open(0).await;
    assert_eq!(ask(&lb, "/").await.1, "b");
    reload(&lb, single("", &[named(&a)])).await;
    assert_eq!(ask(&lb, "/").await.1, "a");
}

#[tokio::test]
async fn counters_and_requests_in_flight_are_carried_over() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let lb = Lb::start(single("", &[at(&a)])).await;
    for _ in 0..5 {
        ask(&lb, "/").await;
    }
    a.hold();
    let mut client = Client::connect(lb.addr("main")).await;
    client.send(GET).await;
    a.until_requests(6).await;
    let label = format!("{{upstream=\"api\",backend=\"{}\"}}", a.address());
    let in_flight = format!("plimsoll_backend_in_flight{label}");
    lb.until_metric(&in_flight, 1.0).await;
    reload(&lb, single("strategy = \"least_connections\"", &[at(&a), at(&b)])).await;
    assert_eq!(lb.metric(&in_flight).await, Some(1.0));
    assert_eq!(lb.metric(&format!("plimsoll_backend_picks_total{label}")).await, Some(6.0));
    assert_eq!(lb.metric("plimsoll_requests_total{route=\"all\"}").await, Some(5.0));
    // The strategy counts it too.
    assert_eq!(ask(&lb, "/").await.1, "b");
    a.release();
    client.read_response().await;
    lb.until_metric(&in_flight, 0.0).await;
    lb.until_metric("plimsoll_requests_total{route=\"all\"}", 7.0).await;
}

#[tokio::test]
async fn round_robin_goes_on_where_it_was() {
    let mut origins = Vec::new();
    for name in ["a", "b", "c"] {
        origins.push(Origin::start(name).await);
    }
    let backends: Vec<_> = origins.iter().map(at).collect();
    let upstream = |tries| format!("strategy = \"round_robin\"\nretry = {{ tries = {tries} }}");
    let lb = Lb::start(single(&upstream(1), &backends)).await;
    let mut names = Vec::new();
    for tries in 2..12 {
        names.push(ask(&lb, "/").await.1);
        reload(&lb, single(&upstream(tries), &backends)).await;
    }
    for three in names.windows(3) {
        let mut three = three.to_vec();
        three.sort();
        assert_eq!(three, ["a", "b", "c"], "{names:?}");
    }
}

#[tokio::test]
async fn parked_backend_stays_parked() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.answer(Answer::Reset);
    let parking = |weight| {
        let passive = "passive = { max_fails = 1, fail_timeout = \"1h\" }";
        single(passive, &[format!("{}\nweight = {weight}", at(&a)), at(&b)])
    };
    let lb = Lb::start(parking(1)).await;
    let state = format!("plimsoll_backend_state{{backend=\"{}\"}}", a.address());
    ask(&lb, "/").await;
    ask(&lb, "/").await;
    lb.until_metric(&state, 4.0).await;
    reload(&lb, parking(9)).await;
    assert_eq!(lb.metric(&state).await, Some(4.0));
    let failed = a.requests();
    for _ in 0..10 {
        assert_eq!(ask(&lb, "/").await.1, "b");
    }
    assert_eq!(a.requests(), failed);
}

//! Requests over HTTP/2 that are given up while they wait for a backend, for one of two, or for the next one.

use crate::peer::{Peer, get, whole};
use crate::support::{Answer, Lb, Origin, at, at_with, config};

/// The program with clients over HTTP/2 before these backends.
async fn start(upstream: &str, backends: &[String]) -> Lb {
    let named = "name = \"main\"\n";
    let text = config("", upstream, backends).replace(named, &format!("{named}http2 = true\n"));
    Lb::start(text.replace("workers = 2", "workers = 1")).await
}

/// Waits until nothing is left of any request.
async fn until_nothing_is_left(lb: &Lb) {
    for gauge in ["requests_in_flight", "backend_in_flight", "upstream_queue_depth"] {
        lb.until_metric(&format!("plimsoll_{gauge}"), 0.0).await;
    }
}

#[tokio::test]
async fn who_is_given_up_in_line_leaves_its_turn_to_the_next() {
    let origin = Origin::start("a").await;
    origin.hold();
    let one = at_with(&origin, "max_connections = 1");
    let lb = start("queue = { timeout = \"1m\" }", &[one]).await;
    let mut peer = Peer::connect(lb.addr("main")).await;
    let (first, _) = peer.begin(get("/first"), true).await;
    origin.until_requests(1).await;
    let leaves = peer.begin(get("/leaves"), true).await;
    lb.until_metric("plimsoll_upstream_queue_depth", 1.0).await;
    let (stays, _) = peer.begin(get("/stays"), true).await;
    lb.until_metric("plimsoll_upstream_queue_depth", 2.0).await;
    drop(leaves);
    lb.until_metric("plimsoll_upstream_queue_rejected_total{reason=\"client_gone\"}", 1.0).await;
    origin.release();
    assert_eq!(whole(first).await.unwrap().status, 200);
    assert_eq!(whole(stays).await.unwrap().status, 200);
    assert_eq!(origin.requests(), 2);
    until_nothing_is_left(&lb).await;
}

#[tokio::test]
async fn who_is_given_up_at_two_backends_is_so_at_both() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.hold();
    b.hold();
    let hedge = "hedge = { after = \"20ms\", budget = 100 }\nmax_in_flight = 2";
    let lb = start(hedge, &[at(&a), at(&b)]).await;
    let mut peer = Peer::connect(lb.addr("main")).await;
    let asked = peer.begin(get("/"), true).await;
    a.until_requests(1).await;
    b.until_requests(1).await;
    drop(asked);
    until_nothing_is_left(&lb).await;
    for origin in [&a, &b] {
        origin.release();
        origin.until_open(0).await;
    }
    // The limit has room for as many as before.
    let answers = [peer.begin(get("/"), true).await.0, peer.begin(get("/"), true).await.0];
    for answer in answers {
        assert_eq!(whole(answer).await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn who_is_given_up_before_it_is_sent_again_is_not() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.answer(Answer::Reset);
    b.answer(Answer::Reset);
    let lb = start("retry = { backoff = \"24h\" }", &[at(&a), at(&b)]).await;
    let mut peer = Peer::connect(lb.addr("main")).await;
    let asked = peer.begin(get("/"), true).await;
    lb.until_metric("plimsoll_upstream_retries_total{reason=\"reset\"}", 1.0).await;
    drop(asked);
    until_nothing_is_left(&lb).await;
    assert_eq!(a.requests() + b.requests(), 1);
    assert_eq!(lb.metric("plimsoll_upstream_attempts_total").await, Some(1.0));
}

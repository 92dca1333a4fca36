//! When a connection ends, and that no request is lost by it.

use h2::Reason;
use rustix::process::Signal;

use crate::peer::{Peer, get, whole};
use crate::support::frames::{
    END_HEADERS, END_STREAM, Frames, HEADERS, RST_STREAM, asking, block, frame,
};
use crate::support::{Answer, Client, Lb, Origin};
use crate::{before, logged, text};

#[tokio::test]
async fn a_drain_lets_requests_end_and_takes_no_more() {
    let origin = Origin::start("a").await;
    let mut lb = before(&origin, "", "").await;
    let mut peer = Peer::connect(lb.addr("main")).await;
    origin.hold();
    let (response, _) = peer.begin(get("/"), true).await;
    origin.until_requests(1).await;
    lb.signal(Signal::TERM);
    lb.until_log("draining").await;
    origin.release();
    assert_eq!(whole(response).await.unwrap().status, 200);
    assert_eq!(peer.ended().await, None, "it ended without an error");
    assert!(lb.exit().await.success());
}

#[tokio::test]
async fn a_listener_that_leaves_tells_its_clients_to_go() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "", "").await;
    let mut peer = Peer::connect(lb.addr("main")).await;
    assert_eq!(peer.get("/").await.status, 200);
    let other = text(&origin, "", "").replace("name = \"main\"", "name = \"other\"");
    lb.reload(other.replace("127.0.0.1:0\"\n\n[[route", "127.0.0.2:0\"\n\n[[route"));
    assert_eq!(peer.ended().await, None, "it ended without an error");
}

#[tokio::test]
async fn a_reload_costs_no_request() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "", "").await;
    let mut peer = Peer::connect(lb.addr("main")).await;
    origin.hold();
    let (response, _) = peer.begin(get("/"), true).await;
    origin.until_requests(1).await;
    let generation = lb.generation().await;
    lb.reload(text(&origin, "", "\n[[route]]\npath = \"/new\"\nrespond = { status = 204 }\n"));
    lb.until_generation(generation + 1).await;
    assert_eq!(peer.get("/new").await.status, 204, "a later request goes by what is new");
    origin.release();
    assert_eq!(whole(response).await.unwrap().status, 200);
}

#[tokio::test]
async fn so_many_requests_are_enough() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "max_requests = 3", "").await;
    let mut peer = Peer::connect(lb.addr("main")).await;
    for _ in 0..3 {
        assert_eq!(peer.get("/").await.status, 200);
    }
    assert_eq!(peer.ended().await, None, "it ended without an error");
    assert_eq!(origin.requests(), 3);
}

#[tokio::test]
async fn who_asks_nothing_is_let_go() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "idle_timeout = \"2s\"", "").await;
    let mut peer = Peer::connect(lb.addr("main")).await;
    origin.hold();
    let (response, _) = peer.begin(get("/"), true).await;
    origin.until_requests(1).await;
    // However long it takes, one that waits for an answer is not idle.
    let mut other = Peer::connect(lb.addr("main")).await;
    assert_eq!(other.ended().await, None);
    origin.release();
    assert_eq!(whole(response).await.unwrap().status, 200);
    assert_eq!(peer.ended().await, None);
}

#[tokio::test]
async fn a_preface_that_does_not_go_on_is_not_waited_for() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "header_timeout = \"200ms\"", "").await;
    let mut client = Client::connect(lb.addr("main")).await;
    client.send("PRI * HTTP/2.0\r\n\r\n").await;
    client.read_to_end().await;
}

#[tokio::test]
async fn a_request_too_many_is_refused_as_one_that_was_never_seen() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "max_streams = 1", "").await;
    origin.answer(Answer::Never);
    let mut frames = Frames::open(lb.addr("main")).await;
    let ask = |stream| frame(HEADERS, END_STREAM | END_HEADERS, stream, block(&asking("GET", "/")));
    frames.send([ask(1), ask(3)].concat()).await;
    let refused = frames.until(|frame| frame.kind == RST_STREAM).await.unwrap();
    assert_eq!((refused.stream, refused.code()), (3, u32::from(Reason::REFUSED_STREAM)));
    origin.until_requests(1).await;
}

#[tokio::test]
async fn what_the_end_of_a_drain_cuts_has_its_line() {
    let origin = Origin::start("a").await;
    let text = format!("drain_timeout = \"100ms\"\n{}", text(&origin, "", ""));
    let mut lb = Lb::start(text).await;
    origin.answer(Answer::Never);
    let mut peer = Peer::connect(lb.addr("main")).await;
    let (response, _) = peer.begin(get("/a"), true).await;
    origin.until_requests(1).await;
    lb.signal(Signal::TERM);
    assert!(whole(response).await.is_err());
    lb.exit().await;
    assert_eq!(logged(&lb, "drain_timeout").await["target"], "/a");
}

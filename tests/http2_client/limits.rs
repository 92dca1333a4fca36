//! What holds for every client holds for one stream too: how slow it may be, and what it gets when
//! there is no memory.

use std::time::Duration;

use tokio::time::{Instant, interval};

use crate::peer::Peer;
use crate::support::frames::{
    DATA, END_HEADERS, END_STREAM, Frames, HEADERS, WINDOW_UPDATE, asking, block, frame, setting,
};
use crate::support::{Answer, Lb, Origin, until};
use crate::{before, logged, text};

/// Sends a piece every 10 ms until the request has its line in the log.
async fn trickle(lb: &Lb, frames: &mut Frames, piece: &[u8]) {
    let (begun, mut pace) = (Instant::now(), interval(Duration::from_millis(10)));
    while lb.out().is_empty() {
        pace.tick().await;
        frames.send(piece).await;
        assert!(begun.elapsed() < Duration::from_secs(20), "it goes on for ever");
    }
}

#[tokio::test]
async fn a_body_that_trickles_in_is_answered_408() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "min_rate = \"1KiB\"\nmin_rate_over = \"300ms\"", "").await;
    let mut frames = Frames::open(lb.addr("main")).await;
    frames.send(frame(HEADERS, END_HEADERS, 1, block(&asking("POST", "/slow")))).await;
    trickle(&lb, &mut frames, &frame(DATA, 0, 1, [b'x'])).await;
    let line = logged(&lb, "/slow").await;
    assert_eq!((&line["status"], &line["failure"]), (&408.into(), &"body_timeout".into()));
    origin.until_open(0).await;
}

#[tokio::test]
async fn an_answer_that_is_taken_byte_by_byte_is_given_up() {
    let origin = Origin::start("a").await;
    origin.answer(Answer::Ok(vec![b'x'; 1 << 20]));
    let lb = before(&origin, "min_rate = \"1KiB\"\nmin_rate_over = \"300ms\"", "").await;
    let mut frames = Frames::with_settings(lb.addr("main"), &setting(4, 1)).await;
    let ask = frame(HEADERS, END_STREAM | END_HEADERS, 1, block(&asking("GET", "/slow")));
    frames.send(ask).await;
    trickle(&lb, &mut frames, &frame(WINDOW_UPDATE, 0, 1, [0, 0, 0, 1])).await;
    assert_eq!(logged(&lb, "/slow").await["failure"], "client_gone");
    origin.until_open(0).await;
}

#[tokio::test]
async fn without_memory_requests_are_refused_and_their_connection_ends() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "", "").await;
    let mut peer = Peer::connect(lb.addr("main")).await;
    assert_eq!(peer.get("/").await.status, 200);
    // It has more than this by now.
    lb.reload(format!("memory_limit = \"1MiB\"\n{}", text(&origin, "", "")));
    let is_so = |line: &serde_json::Value| line.to_string().contains("\"exhausted\"");
    until("memory is short", async || lb.event("memory", is_so).is_some()).await;
    let refused = peer.get("/late").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(logged(&lb, "/late").await["failure"], "memory_short");
    assert_eq!(peer.ended().await, None, "it ended without an error");
    assert_eq!(origin.requests(), 1);
}

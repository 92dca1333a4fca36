//! Clients that mean harm: what they can claim is bounded, and others are served all the while.

use std::net::SocketAddr;

use h2::Reason;

use crate::before;
use crate::peer::Peer;
use crate::support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PING, PRIORITY,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, asking, block, frame, setting,
};
use crate::support::{Answer, Origin};

/// Sends this over and over, up to so many bytes, without reading; gives whether all was taken.
async fn flood(frames: &mut Frames, piece: &[u8], bytes: usize) -> bool {
    let batch = piece.repeat((64 * 1024 / piece.len()).max(1));
    let mut sent = 0;
    while sent < bytes {
        let send = tokio::time::timeout(std::time::Duration::from_millis(500), frames.send(&batch));
        match send.await {
            Ok(true) => sent += batch.len(),
            // It waits in our own socket, or the connection is over.
            Ok(false) | Err(_) => return false,
        }
    }
    true
}

async fn is_served(address: SocketAddr) {
    assert_eq!(Peer::connect(address).await.get("/").await.status, 200);
}

fn ask(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, block(&asking("GET", "/")))
}

/// Has one misdeed after another done, each with a stream of its own, until the client is told to be calm.
/// Others are served then.
async fn is_calmed(most: u32, misdeed: impl Fn(u32) -> [Vec<u8>; 2]) {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "", "").await;
    origin.answer(Answer::Never);
    let mut frames = Frames::open(lb.addr("main")).await;
    let mut streams = (1..most).step_by(2);
    let told = loop {
        let batch = streams.by_ref().take(10).flat_map(&misdeed).collect::<Vec<_>>().concat();
        assert!(!batch.is_empty(), "it may go on for ever");
        frames.send([batch, frame(PING, 0, 0, [1; 8])].concat()).await;
        match frames.until(|frame| matches!(frame.kind, PING | GOAWAY)).await {
            Some(frame) if frame.kind == PING => {}
            Some(told) => break told,
            None => panic!("it ended without a word"),
        }
    };
    assert_eq!(told.code(), u32::from(Reason::ENHANCE_YOUR_CALM));
    origin.until_open(0).await;
    origin.answer(Answer::Status(200));
    is_served(lb.addr("main")).await;
}

#[tokio::test]
async fn whoever_gives_up_request_after_request_is_told_to_be_calm() {
    is_calmed(20_000, |stream| [ask(stream), frame(RST_STREAM, 0, stream, [0, 0, 0, 8])]).await;
}

#[tokio::test]
async fn whoever_gives_up_answer_after_answer_is_told_to_be_calm() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "", "").await;
    origin.answer(Answer::Stream(64 << 20));
    let mut frames = Frames::open(lb.addr("main")).await;
    let mut streams = (1..2_000).step_by(2);
    let told = 'all: loop {
        let stream = streams.next().expect("an end before long");
        frames.send(ask(stream)).await;
        // The answer is under way, and waits for room.
        let mut came = 0;
        while came < 65_535 {
            let frame = frames.until(|one| matches!(one.kind, DATA | GOAWAY)).await.unwrap();
            if frame.kind == GOAWAY {
                break 'all frame;
            }
            came += frame.payload.len() as u32;
        }
        let room = frame(WINDOW_UPDATE, 0, 0, came.to_be_bytes());
        let reset = frame(RST_STREAM, 0, stream, [0, 0, 0, 8]);
        frames.send([room, reset].concat()).await;
    };
    assert_eq!(told.code(), u32::from(Reason::ENHANCE_YOUR_CALM));
    origin.answer(Answer::Status(200));
    is_served(lb.addr("main")).await;
}

/// Streams that it makes us reset, by windows that grow beyond all bounds (CVE-2025-8671).
#[tokio::test]
async fn whoever_makes_us_give_up_request_after_request_is_told_to_be_calm() {
    is_calmed(5_000, |stream| {
        let asked = frame(HEADERS, END_HEADERS, stream, block(&asking("POST", "/")));
        // The largest step there is, and too large for a window that is open.
        [asked, frame(WINDOW_UPDATE, 0, stream, [0x7f, 0xff, 0xff, 0xff])]
    })
    .await;
}

#[tokio::test]
async fn a_head_without_an_end_is_cut() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "", "").await;
    let mut frames = Frames::open(lb.addr("main")).await;
    let before = lb.memory();
    frames.send(frame(HEADERS, END_STREAM, 1, block(&asking("GET", "/")))).await;
    let piece = frame(CONTINUATION, 0, 1, block(&[("x-a", &"a".repeat(8_000))]));
    flood(&mut frames, &piece, 64 << 20).await;
    // And one whose pieces are empty.
    let mut frames = Frames::open(lb.addr("main")).await;
    frames.send(frame(HEADERS, END_STREAM, 1, block(&asking("GET", "/")))).await;
    flood(&mut frames, &frame(CONTINUATION, 0, 1, []), 16 << 20).await;
    is_served(lb.addr("main")).await;
    assert!(lb.memory() < before + (32 << 10), "{before} KiB before, {} now", lb.memory());
}

#[tokio::test]
async fn a_small_block_does_not_become_a_large_head() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "", "").await;
    let mut frames = Frames::open(lb.addr("main")).await;
    let before = lb.memory();
    // One large field into the table, and then its index, thousands of times.
    let large = [&[0x40, 3][..], b"x-a", &[127, 0xa1, 0x1e], &[b'a'; 4_000]].concat();
    let fields = [block(&asking("GET", "/")), large].concat();
    frames.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, fields)).await;
    frames.until(|frame| frame.stream == 1).await.unwrap();
    for n in 1..50 {
        let bomb = [block(&asking("GET", "/")), vec![0xbe; 16_000]].concat();
        frames.send(frame(HEADERS, END_STREAM | END_HEADERS, 2 * n + 1, bomb)).await;
    }
    while let Some(next) = frames.next().await {
        if next.kind == GOAWAY || next.stream == 99 {
            break;
        }
    }
    is_served(lb.addr("main")).await;
    assert_eq!(origin.requests(), 2, "one of before and one of after");
    assert!(lb.memory() < before + (32 << 10), "{before} KiB before, {} now", lb.memory());
}

#[tokio::test]
async fn floods_of_small_frames_wait_in_the_clients_own_socket_or_end_it() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "", "").await;
    let post = frame(HEADERS, END_HEADERS, 1, block(&asking("POST", "/")));
    let before = lb.memory();
    for (name, first, piece) in [
        ("settings", Vec::new(), frame(SETTINGS, 0, 0, setting(4, 65_535))),
        ("pings", Vec::new(), frame(PING, 0, 0, [7; 8])),
        ("empty data", post.clone(), frame(DATA, 0, 1, [])),
        ("data of one byte", post.clone(), frame(DATA, 0, 1, [1])),
        ("data of padding", post.clone(), frame(DATA, 8, 1, [1, 0])),
        ("priorities", Vec::new(), frame(PRIORITY, 0, 1, [0, 0, 0, 3, 9])),
        ("windows", post.clone(), frame(WINDOW_UPDATE, 0, 1, [0, 0, 0, 1])),
        ("resets", post, frame(RST_STREAM, 0, 1, [0, 0, 0, 8])),
        ("unknown frames", Vec::new(), frame(0xee, 0, 0, [0; 8])),
    ] {
        let mut frames = Frames::open(lb.addr("main")).await;
        frames.send(first).await;
        flood(&mut frames, &piece, 8 << 20).await;
        is_served(lb.addr("main")).await;
        let now = lb.memory();
        assert!(now < before + (32 << 10), "{name}: {before} KiB before, {now} now");
    }
}

#[tokio::test]
async fn answers_that_are_not_taken_hold_little_memory() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "", "").await;
    origin.answer(Answer::Ok(vec![b'x'; 4 << 20]));
    is_served(lb.addr("main")).await;
    let before = lb.memory();
    let mut clients = Vec::new();
    for round in 1..=4 {
        let mut frames = Frames::with_settings(lb.addr("main"), &setting(4, 0)).await;
        frames.send((0..100).flat_map(|n| ask(2 * n + 1)).collect::<Vec<_>>()).await;
        clients.push(frames);
        origin.until_requests(1 + round * 100).await;
    }
    for frames in &mut clients {
        for _ in 0..100 {
            frames.until(|frame| frame.kind == HEADERS).await.unwrap();
        }
    }
    // Of each answer 64 KiB, and of the buffers what a worker keeps for the next ones.
    let now = lb.memory();
    assert!(now < before + 400 * 100 + (16 << 10), "{before} KiB before, {now} now");
    origin.answer(Answer::Status(200));
    is_served(lb.addr("main")).await;
}

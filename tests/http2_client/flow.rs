//! Many requests at once, and how much of each is under way.

use bytes::Bytes;
use h2::client::Builder;

use crate::peer::{Peer, get, head, post, rest, whole};
use crate::support::frames::{
    ACK, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PREFACE, SETTINGS, asking, block,
    frame,
};
use crate::support::{Answer, Origin, at_rest, until};
use crate::{before, logged};

#[tokio::test]
async fn requests_of_one_connection_do_not_wait_for_each_other() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "", "").await;
    let mut peer = Peer::connect(lb.addr("main")).await;
    origin.hold();
    let mut waiting = Vec::new();
    for n in 0..50 {
        waiting.push(peer.begin(get(&format!("/{n}")), true).await.0);
    }
    origin.until_requests(50).await;
    assert_eq!(lb.metric("plimsoll_listener_connections_active").await, Some(1.0));
    origin.release();
    for response in waiting {
        assert_eq!(whole(response).await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_up_its_own_answer_only() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "", "").await;
    let mut builder = Builder::new();
    builder.initial_connection_window_size(1 << 20);
    let mut peer = Peer::with(lb.addr("main"), &builder).await;
    origin.answer(Answer::Stream(64 << 20));
    let (response, _) = peer.begin(get("/much"), true).await;
    let much = head(response).await;
    let written = at_rest(|| origin.written()).await;
    assert!(written < 8 << 20, "{written} bytes were taken of the backend");
    origin.answer(Answer::Ok(b"small".to_vec()));
    assert_eq!(peer.get("/").await.body, b"small");
    assert_eq!(rest(much.into_body()).await.unwrap().0.len(), 64 << 20);
}

#[tokio::test]
async fn a_backend_that_does_not_read_holds_up_its_own_request_only() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "body_timeout = \"1h\"", "").await;
    let mut peer = Peer::connect(lb.addr("main")).await;
    origin.answer(Answer::Never);
    origin.hold();
    let (_response, mut stream) = peer.begin(post("/"), false).await;
    // What the sockets and both windows hold is bounded; the rest has to stay here.
    stream.send_data(vec![0; 64 << 20].into(), false).unwrap();
    origin.until_requests(1).await;
    origin.release();
    origin.answer(Answer::Ok(b"small".to_vec()));
    assert_eq!(peer.get("/").await.body, b"small");
}

#[tokio::test]
async fn small_windows_pass_everything_piece_by_piece() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "", "").await;
    let mut builder = Builder::new();
    builder.initial_window_size(10).initial_connection_window_size(65_535);
    let mut peer = Peer::with(lb.addr("main"), &builder).await;
    let body = b"0123456789".repeat(500);
    let trailers = vec![("x-sum", "7")];
    origin.answer(Answer::Chunked(body.chunks(333).map(<[u8]>::to_vec).collect(), trailers));
    let got = peer.get("/").await;
    assert!(got.body == body);
    assert_eq!(got.trailers["x-sum"], "7");
}

#[tokio::test]
async fn both_ways_may_be_under_way_at_once() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "", "").await;
    let mut peer = Peer::connect(lb.addr("main")).await;
    // The answer comes before the body has.
    origin.answer(Answer::BeforeBody(200));
    let (response, mut stream) = peer.begin(post("/"), false).await;
    stream.send_data(Bytes::from_static(b"abc"), false).unwrap();
    assert_eq!(whole(response).await.unwrap().status, 200);
    assert_eq!(peer.get("/").await.status, 200, "the connection goes on");
}

#[tokio::test]
async fn a_request_that_is_given_up_frees_the_backend_at_once() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "", "").await;
    let mut peer = Peer::connect(lb.addr("main")).await;
    origin.answer(Answer::Never);
    let (response, mut stream) = peer.begin(get("/waits"), true).await;
    origin.until_requests(1).await;
    stream.send_reset(h2::Reason::CANCEL);
    drop(response);
    origin.until_open(0).await;
    let line = logged(&lb, "/waits").await;
    assert_eq!(
        (line["status"].as_u64(), line["failure"].as_str()),
        (Some(499), Some("client_gone"))
    );

    origin.answer(Answer::Stream(256 << 20));
    let (response, _) = peer.begin(get("/reads"), true).await;
    drop(head(response).await);
    origin.until_open(0).await;
    assert_eq!(logged(&lb, "/reads").await["attempts"][0]["outcome"], "client_gone");

    let (response, mut stream) = peer.begin(post("/sends"), false).await;
    stream.send_data(Bytes::from_static(b"abc"), false).unwrap();
    origin.until_requests(3).await;
    stream.send_reset(h2::Reason::CANCEL);
    drop(response);
    origin.until_open(0).await;
    assert_eq!(logged(&lb, "/sends").await["status"], 499);
    origin.answer(Answer::Status(200));
    assert_eq!(peer.get("/").await.status, 200, "the connection goes on");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_whole_one() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "", "").await;
    let mut peer = Peer::connect(lb.addr("main")).await;
    for answer in [Answer::Cut { declared: 100, sent: 50 }, Answer::CutChunked(b"half".to_vec())] {
        origin.answer(answer.clone());
        let (response, _) = peer.begin(get("/"), true).await;
        let broken = whole(response).await.unwrap_err();
        assert_eq!(broken.reason(), Some(h2::Reason::INTERNAL_ERROR), "{answer:?}");
    }
    origin.answer(Answer::Status(200));
    assert_eq!(peer.get("/").await.status, 200, "the connection goes on");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_not_waited_for_for_ever() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "write_timeout = \"300ms\"", "").await;
    let mut builder = Builder::new();
    builder.initial_window_size(0);
    let mut peer = Peer::with(lb.addr("main"), &builder).await;
    origin.answer(Answer::Ok(b"0123456789".to_vec()));
    let (response, _) = peer.begin(get("/"), true).await;
    let response = head(response).await;
    assert!(rest(response.into_body()).await.is_err());
    assert_eq!(logged(&lb, "client_gone").await["status"], 200, "that is what it was sent");
    until("no request is under way", async || {
        lb.metric("plimsoll_requests_in_flight").await == Some(0.0)
    })
    .await;
}

#[tokio::test]
async fn clients_are_told_how_much_of_a_body_may_come_ahead() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "http2_window = \"128KiB\"", "").await;
    let mut frames = Frames::silent(lb.addr("main")).await;
    frames.send([PREFACE, &frame(SETTINGS, 0, 0, [])].concat()).await;
    let settings = frames.until(|one| one.kind == SETTINGS && one.flags & ACK == 0).await.unwrap();
    // RFC 9113 §6.5.2: SETTINGS_INITIAL_WINDOW_SIZE is 4.
    let window = settings.payload.chunks(6).find(|one| one[..2] == [0, 4]);
    assert_eq!(window.unwrap()[2..], (128_u32 << 10).to_be_bytes());
}

#[tokio::test]
async fn a_window_may_be_full_of_the_smallest_messages() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "", "").await;
    let mut frames = Frames::open(lb.addr("main")).await;
    // Of a call of gRPC, each with nothing but its length.
    let message = frame(DATA, 0, 1, [0; 5]);
    let count = 65_535 / 5;
    frames.send(frame(HEADERS, END_HEADERS, 1, block(&asking("POST", "/")))).await;
    frames.send([message.repeat(count - 1), frame(DATA, END_STREAM, 1, [0; 5])].concat()).await;
    let told = frames.until(|frame| matches!(frame.kind, HEADERS | GOAWAY)).await.unwrap();
    assert_eq!(told.kind, HEADERS, "{told:?}");
    assert_eq!(origin.last().body.len(), count * 5);
}

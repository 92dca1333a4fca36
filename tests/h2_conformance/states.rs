//! RFC 9113 §5.1: what may be sent on a stream, and when.

use crate::support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, PRIORITY, RST_STREAM,
    WINDOW_UPDATE, WITH_PRIORITY, asking, block, frame,
};
use crate::{
    Answered, PROTOCOL_ERROR, REFUSED_STREAM, STREAM_CLOSED, Send, Server, Then, get, headers,
    post, run,
};

const PROTOCOL: Then = Then::ConnectionError(&[PROTOCOL_ERROR]);
const CLOSED: Then = Then::StreamError(&[STREAM_CLOSED]);
const CLOSED_OR_PROTOCOL: Then = Then::StreamError(&[STREAM_CLOSED, PROTOCOL_ERROR]);

#[tokio::test]
async fn idle_streams() {
    run(vec![
        ("DATA", vec![Send(frame(DATA, END_STREAM, 1, "test"))], CLOSED_OR_PROTOCOL),
        ("RST_STREAM", vec![Send(frame(RST_STREAM, 0, 1, [0, 0, 0, 8]))], PROTOCOL),
        ("WINDOW_UPDATE", vec![Send(frame(WINDOW_UPDATE, 0, 1, [0, 0, 0, 9]))], PROTOCOL),
        (
            "CONTINUATION",
            vec![Send(frame(CONTINUATION, END_HEADERS, 1, block(&asking("GET", "/"))))],
            PROTOCOL,
        ),
    ])
    .await;
}

#[tokio::test]
async fn streams_of_which_the_request_has_ended() {
    let block = block(&asking("GET", "/"));
    let request = headers(END_STREAM | END_HEADERS, 1, &asking("POST", "/"));
    run(vec![
        ("DATA", vec![Send([request.clone(), frame(DATA, END_STREAM, 1, "a")].concat())], CLOSED),
        ("HEADERS", vec![Send([request.clone(), request.clone()].concat())], CLOSED),
        (
            "CONTINUATION",
            vec![Send([request, frame(CONTINUATION, END_HEADERS, 1, &block)].concat())],
            CLOSED_OR_PROTOCOL,
        ),
    ])
    .await;
}

#[tokio::test]
async fn streams_that_the_client_has_reset() {
    let block = block(&asking("GET", "/"));
    let reset = [post(1), frame(RST_STREAM, 0, 1, [0, 0, 0, 8])].concat();
    run(vec![
        ("DATA", vec![Send([reset.clone(), frame(DATA, END_STREAM, 1, "a")].concat())], CLOSED),
        ("HEADERS", vec![Send([reset.clone(), get(1)].concat())], CLOSED_OR_PROTOCOL),
        (
            "CONTINUATION",
            vec![Send([reset, frame(CONTINUATION, END_HEADERS, 1, &block)].concat())],
            CLOSED_OR_PROTOCOL,
        ),
    ])
    .await;
}

#[tokio::test]
async fn streams_that_are_over() {
    let block = block(&asking("GET", "/"));
    let done = |then| vec![Send(get(1)), Answered(1), Send(then)];
    run(vec![
        ("DATA", done(frame(DATA, END_STREAM, 1, "a")), CLOSED),
        ("HEADERS", done(get(1)), CLOSED_OR_PROTOCOL),
        ("CONTINUATION", done(frame(CONTINUATION, END_HEADERS, 1, &block)), CLOSED_OR_PROTOCOL),
    ])
    .await;
}

#[tokio::test]
async fn numbers_and_dependencies() {
    let on_itself = [&[0, 0, 0, 1, 9][..], &block(&asking("GET", "/"))].concat();
    let flags = END_STREAM | END_HEADERS | WITH_PRIORITY;
    run(vec![
        ("a stream of an even number", vec![Send(get(2))], PROTOCOL),
        (
            "a stream of a lower number",
            vec![Send(get(5)), Answered(5), Send(get(3))],
            CLOSED_OR_PROTOCOL,
        ),
        (
            "HEADERS that depends on itself",
            vec![Send(frame(HEADERS, flags, 1, on_itself))],
            Then::StreamError(&[PROTOCOL_ERROR]),
        ),
        (
            "PRIORITY that depends on itself",
            vec![Send(frame(PRIORITY, 0, 1, [0, 0, 0, 1, 9]))],
            Then::StreamError(&[PROTOCOL_ERROR]),
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_stream_too_many_is_refused_and_the_others_go_on() {
    let server = Server::start().await;
    let mut frames = Frames::open(server.lb.addr("main")).await;
    let streams: Vec<u32> = (0..101).map(|n| 2 * n + 1).collect();
    let all: Vec<u8> = streams.iter().flat_map(|stream| post(*stream)).collect();
    frames.send(all).await;
    let refused = frames.until(|frame| frame.kind == RST_STREAM).await.unwrap();
    assert_eq!((refused.stream, refused.code()), (201, REFUSED_STREAM));
    frames.send(frame(DATA, END_STREAM, 1, "a")).await;
    frames.until(|frame| frame.stream == 1 && frame.ends_stream()).await.unwrap();
}

#[tokio::test]
async fn continuations() {
    let block = block(&asking("GET", "/"));
    let (a, rest) = block.split_at(5);
    let (b, c) = rest.split_at(5);
    let open = frame(HEADERS, END_STREAM, 1, a);
    let last = |part: &[u8]| frame(CONTINUATION, END_HEADERS, 1, part);
    run(vec![
        (
            "several of them",
            vec![Send([open.clone(), frame(CONTINUATION, 0, 1, b), last(c)].concat())],
            Then::Answer(1, 200),
        ),
        (
            "one that is followed by something else",
            vec![Send(
                [open.clone(), frame(CONTINUATION, 0, 1, b), frame(DATA, 0, 1, "a")].concat(),
            )],
            PROTOCOL,
        ),
        ("one behind a whole block", vec![Send([get(1), last(c)].concat())], CLOSED_OR_PROTOCOL),
        (
            "one behind the last one",
            vec![Send([open, last(rest), last(c)].concat())],
            CLOSED_OR_PROTOCOL,
        ),
        (
            "one behind DATA",
            vec![Send([post(1), frame(DATA, 0, 1, "a"), last(c)].concat())],
            PROTOCOL,
        ),
    ])
    .await;
}

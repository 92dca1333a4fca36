//! What a server has to cope with, whatever it makes of it.

use crate::support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PRIORITY,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, WITH_PRIORITY, asking, block, frame, setting,
};
use crate::{Answered, Case, Send, Then, get, headers, post, run};

const OK: Then = Then::Answer(1, 200);

/// A dependency on a stream, with a weight.
fn on(stream: u32, weight: u8) -> Vec<u8> {
    [&stream.to_be_bytes()[..], &[weight]].concat()
}

#[tokio::test]
async fn streams() {
    run(vec![
        ("PRIORITY of an idle stream", vec![Send(frame(PRIORITY, 0, 1, on(0, 0)))], Then::Alive),
        (
            "WINDOW_UPDATE behind the end of a request",
            vec![Send([get(1), frame(WINDOW_UPDATE, 0, 1, [0, 0, 0, 1])].concat())],
            OK,
        ),
        (
            "PRIORITY behind the end of a request",
            vec![Send([get(1), frame(PRIORITY, 0, 1, on(0, 0))].concat())],
            OK,
        ),
        (
            "RST_STREAM behind the end of a request",
            vec![Send([get(1), frame(RST_STREAM, 0, 1, [0, 0, 0, 8])].concat())],
            Then::Alive,
        ),
        (
            "PRIORITY of a closed stream",
            vec![Send(get(1)), Answered(1), Send(frame(PRIORITY, 0, 1, on(0, 0)))],
            Then::Alive,
        ),
    ])
    .await;
}

#[tokio::test]
async fn frames_of_a_request() {
    let block = block(&asking("GET", "/"));
    let (a, rest) = block.split_at(5);
    let (b, c) = rest.split_at(5);
    let padded = [&[4][..], &block, &[0; 4]].concat();
    let prioritised = [on(0, 255), block.clone()].concat();
    let end = END_STREAM | END_HEADERS;
    let cases: Vec<Case> = vec![
        ("DATA", vec![Send([post(1), frame(DATA, END_STREAM, 1, "test")].concat())], OK),
        (
            "several DATA",
            vec![Send([post(1), frame(DATA, 0, 1, "a"), frame(DATA, END_STREAM, 1, "b")].concat())],
            OK,
        ),
        (
            "DATA with padding",
            vec![Send(
                [post(1), frame(DATA, END_STREAM | PADDED, 1, b"\x05test\0\0\0\0\0")].concat(),
            )],
            OK,
        ),
        ("HEADERS", vec![Send(get(1))], OK),
        ("HEADERS with padding", vec![Send(frame(HEADERS, end | PADDED, 1, padded))], OK),
        (
            "HEADERS with priority",
            vec![Send(frame(HEADERS, end | WITH_PRIORITY, 1, prioritised))],
            OK,
        ),
        (
            "CONTINUATION",
            vec![Send(
                [frame(HEADERS, END_STREAM, 1, a), frame(CONTINUATION, END_HEADERS, 1, rest)]
                    .concat(),
            )],
            OK,
        ),
        (
            "several CONTINUATION",
            vec![Send(
                [
                    frame(HEADERS, END_STREAM, 1, a),
                    frame(CONTINUATION, 0, 1, b),
                    frame(CONTINUATION, END_HEADERS, 1, c),
                ]
                .concat(),
            )],
            OK,
        ),
    ];
    run(cases).await;
}

#[tokio::test]
async fn frames_beside_requests() {
    let priority = |payload| Send([frame(PRIORITY, 0, 1, payload), get(1)].concat());
    let exclusive = on(1 << 31, 0);
    run(vec![
        ("PRIORITY with the least weight", vec![priority(on(0, 0))], OK),
        ("PRIORITY with the greatest weight", vec![priority(on(0, 255))], OK),
        ("PRIORITY that depends on another stream", vec![priority(on(3, 0))], OK),
        ("PRIORITY that is exclusive", vec![priority(exclusive)], OK),
        (
            "PRIORITY of a later stream",
            vec![Send([frame(PRIORITY, 0, 5, on(0, 0)), get(3)].concat())],
            Then::Answer(3, 200),
        ),
        (
            "RST_STREAM",
            vec![Send([post(1), frame(RST_STREAM, 0, 1, [0, 0, 0, 8])].concat())],
            Then::Alive,
        ),
        ("SETTINGS", vec![Send(frame(SETTINGS, 0, 0, setting(3, 100)))], Then::Acknowledged),
        ("PING", vec![Send(frame(PING, 0, 0, b"01234567"))], Then::Pong(*b"01234567")),
        ("GOAWAY", vec![Send([get(1), frame(GOAWAY, 0, 0, [0; 8])].concat())], OK),
        (
            "WINDOW_UPDATE of the connection",
            vec![Send([frame(WINDOW_UPDATE, 0, 0, [0, 0, 0, 1]), get(1)].concat())],
            OK,
        ),
        (
            "WINDOW_UPDATE of a stream",
            vec![Send(
                [
                    post(1),
                    frame(WINDOW_UPDATE, 0, 1, [0, 0, 0, 1]),
                    frame(DATA, END_STREAM, 1, "a"),
                ]
                .concat(),
            )],
            OK,
        ),
    ])
    .await;
}

#[tokio::test]
async fn messages() {
    let head = headers(END_STREAM | END_HEADERS, 1, &asking("HEAD", "/"));
    let trailers = headers(END_STREAM | END_HEADERS, 1, &[("x-test", "ok")]);
    run(vec![
        ("GET", vec![Send(get(1)), Answered(1)], Then::Alive),
        ("HEAD", vec![Send(head)], OK),
        ("POST", vec![Send([post(1), frame(DATA, END_STREAM, 1, "test")].concat())], OK),
        (
            "POST with trailers",
            vec![Send([post(1), frame(DATA, 0, 1, "test"), trailers].concat())],
            OK,
        ),
    ])
    .await;
}

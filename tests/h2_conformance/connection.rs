//! RFC 9113 §3.4, §4, §5.4, §5.5 and the frames of §6 that are malformed.

use crate::support::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PADDED, PING,
    PREFACE, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, asking, block, frame,
    setting,
};
use crate::{
    Answered, COMPRESSION_ERROR, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, PROTOCOL_ERROR,
    STREAM_CLOSED, Send, Server, Then, data, get, post, run,
};

const OK: Then = Then::Answer(1, 200);
const PROTOCOL: Then = Then::ConnectionError(&[PROTOCOL_ERROR]);
const SIZE: Then = Then::ConnectionError(&[FRAME_SIZE_ERROR]);
const FLOW: Then = Then::ConnectionError(&[FLOW_CONTROL_ERROR]);

#[tokio::test]
async fn the_preface_begins_a_connection_and_nothing_else_does() {
    let server = Server::start().await;
    let mut frames = Frames::silent(server.lb.addr("main")).await;
    frames.send([PREFACE, &frame(SETTINGS, 0, 0, [])].concat()).await;
    assert_eq!(frames.next().await.unwrap().kind, SETTINGS);
    for bad in [&b"INVALID CONNECTION PREFACE\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"] {
        let mut frames = Frames::silent(server.lb.addr("main")).await;
        frames.send(bad).await;
        while frames.next().await.is_some() {}
    }
}

#[tokio::test]
async fn the_form_of_frames() {
    let mut reserved = frame(PING, 0, 0, b"01234567");
    reserved[5] |= 0x80;
    let large = vec![0; 16_385];
    run(vec![
        ("a frame of an unknown type", vec![Send(frame(22, 0, 0, [0; 4]))], Then::Alive),
        (
            "a frame with flags that are unknown",
            vec![Send(frame(PING, 0x16, 0, b"01234567"))],
            Then::Pong(*b"01234567"),
        ),
        ("a frame with the reserved bit", vec![Send(reserved)], Then::Pong(*b"01234567")),
        (
            "DATA of the greatest size",
            vec![Send([post(1), frame(DATA, END_STREAM, 1, &large[1..])].concat())],
            OK,
        ),
        (
            "DATA that is too large",
            vec![Send([post(1), frame(DATA, END_STREAM, 1, &large)].concat())],
            Then::StreamError(&[FRAME_SIZE_ERROR]),
        ),
        (
            "HEADERS that is too large",
            vec![Send(frame(HEADERS, END_STREAM | END_HEADERS, 1, &large))],
            SIZE,
        ),
        ("an extension's frame", vec![Send([frame(0xff, 0, 0, [0; 8]), get(1)].concat())], OK),
        (
            "an extension's frame within a header block",
            vec![Send(
                [frame(HEADERS, END_STREAM, 1, block(&asking("GET", "/"))), frame(0xff, 0, 0, [])]
                    .concat(),
            )],
            PROTOCOL,
        ),
    ])
    .await;
}

#[tokio::test]
async fn header_blocks_are_whole() {
    let open = frame(HEADERS, END_STREAM, 1, block(&asking("GET", "/")));
    run(vec![
        (
            "a block that cannot be read",
            vec![Send(frame(HEADERS, END_STREAM | END_HEADERS, 1, [0x40]))],
            Then::ConnectionError(&[COMPRESSION_ERROR]),
        ),
        (
            "PRIORITY within a block",
            vec![Send([open.clone(), frame(PRIORITY, 0, 1, [0, 0, 0, 0, 9])].concat())],
            PROTOCOL,
        ),
        (
            "HEADERS of another stream within a block",
            vec![Send([open.clone(), get(3)].concat())],
            PROTOCOL,
        ),
        (
            "DATA within a block",
            vec![Send([open, frame(DATA, END_STREAM, 1, "a")].concat())],
            PROTOCOL,
        ),
    ])
    .await;
}

#[tokio::test]
async fn frames_on_streams_that_they_are_not_for() {
    let block = block(&asking("GET", "/"));
    let end = END_STREAM | END_HEADERS;
    run(vec![
        ("DATA of stream 0", vec![Send(frame(DATA, END_STREAM, 0, "a"))], PROTOCOL),
        ("HEADERS of stream 0", vec![Send(frame(HEADERS, end, 0, &block))], PROTOCOL),
        ("PRIORITY of stream 0", vec![Send(frame(PRIORITY, 0, 0, [0, 0, 0, 1, 9]))], PROTOCOL),
        ("RST_STREAM of stream 0", vec![Send(frame(RST_STREAM, 0, 0, [0, 0, 0, 8]))], PROTOCOL),
        ("SETTINGS of a stream", vec![Send(frame(SETTINGS, 0, 1, setting(3, 100)))], PROTOCOL),
        ("PING of a stream", vec![Send(frame(PING, 0, 1, [0; 8]))], PROTOCOL),
        ("GOAWAY of a stream", vec![Send(frame(GOAWAY, 0, 1, [0; 8]))], PROTOCOL),
        (
            "CONTINUATION of stream 0",
            vec![Send(
                [frame(HEADERS, END_STREAM, 1, &block), frame(CONTINUATION, END_HEADERS, 0, [])]
                    .concat(),
            )],
            PROTOCOL,
        ),
        (
            "PUSH_PROMISE of a client",
            vec![Send(frame(PUSH_PROMISE, END_HEADERS, 1, [&[0, 0, 0, 3][..], &block].concat()))],
            PROTOCOL,
        ),
    ])
    .await;
}

#[tokio::test]
async fn frames_of_another_size() {
    run(vec![
        (
            "DATA with more padding than there is",
            vec![Send([post(1), frame(DATA, END_STREAM | PADDED, 1, b"\x06test")].concat())],
            PROTOCOL,
        ),
        (
            "HEADERS with more padding than there is",
            vec![Send(frame(HEADERS, END_STREAM | END_HEADERS | PADDED, 1, b"\x20\x82\x84\x86"))],
            PROTOCOL,
        ),
        (
            "PRIORITY of four bytes",
            vec![Send(frame(PRIORITY, 0, 1, [0; 4]))],
            Then::StreamError(&[FRAME_SIZE_ERROR]),
        ),
        (
            "RST_STREAM of three bytes",
            vec![Send([post(1), frame(RST_STREAM, 0, 1, [0; 3])].concat())],
            SIZE,
        ),
        ("SETTINGS of three bytes", vec![Send(frame(SETTINGS, 0, 0, [0; 3]))], SIZE),
        ("an acknowledgement that says something", vec![Send(frame(SETTINGS, ACK, 0, [0]))], SIZE),
        ("PING of six bytes", vec![Send(frame(PING, 0, 0, [0; 6]))], SIZE),
        ("WINDOW_UPDATE of three bytes", vec![Send(frame(WINDOW_UPDATE, 0, 0, [0, 0, 1]))], SIZE),
    ])
    .await;
}

#[tokio::test]
async fn settings() {
    let set = |id, value| vec![Send(frame(SETTINGS, 0, 0, setting(id, value)))];
    run(vec![
        ("ENABLE_PUSH of 2", set(2, 2), PROTOCOL),
        ("INITIAL_WINDOW_SIZE above the greatest", set(4, 1 << 31), FLOW),
        ("MAX_FRAME_SIZE below the least", set(5, 16_383), PROTOCOL),
        ("MAX_FRAME_SIZE above the greatest", set(5, 1 << 24), PROTOCOL),
        ("a setting that is unknown", set(0xff, 1), Then::Acknowledged),
        ("settings", set(1, 4096), Then::Acknowledged),
    ])
    .await;
}

#[tokio::test]
async fn pings_and_errors() {
    let unknown = [0, 0, 0, 0xff];
    run(vec![
        ("a ping", vec![Send(frame(PING, 0, 0, b"01234567"))], Then::Pong(*b"01234567")),
        ("a pong that nobody asked for", vec![Send(frame(PING, ACK, 0, b"invalid!"))], Then::Alive),
        (
            "GOAWAY for an unknown reason",
            vec![Send(frame(GOAWAY, 0, 0, [0, 0, 0, 0, 0, 0, 0, 0xff]))],
            Then::EndOr(200),
        ),
        (
            "RST_STREAM for an unknown reason",
            vec![Send([post(1), frame(RST_STREAM, 0, 1, unknown)].concat())],
            Then::Alive,
        ),
    ])
    .await;
}

#[tokio::test]
async fn an_error_of_the_connection_is_told_and_ends_it() {
    let server = Server::start().await;
    let mut frames = Frames::open(server.lb.addr("main")).await;
    frames.send(get(1)).await;
    frames.until(|frame| frame.stream == 1 && frame.ends_stream()).await.unwrap();
    frames.send(frame(PING, 0, 3, [0; 8])).await;
    let told = frames.until(|frame| frame.kind == GOAWAY).await.expect("a word of why");
    assert_eq!((told.code(), &told.payload[..4]), (PROTOCOL_ERROR, &[0, 0, 0, 1][..]));
    while frames.next().await.is_some() {}
}

#[tokio::test]
async fn windows() {
    let update = |stream, by: u32| frame(WINDOW_UPDATE, 0, stream, by.to_be_bytes());
    let most = (1 << 31) - 1;
    run(vec![
        ("WINDOW_UPDATE by 0 of the connection", vec![Send(update(0, 0))], PROTOCOL),
        (
            "WINDOW_UPDATE by 0 of a stream",
            vec![Send([post(1), update(1, 0)].concat())],
            Then::StreamError(&[PROTOCOL_ERROR]),
        ),
        (
            "a window of the connection above the greatest",
            vec![Send([update(0, most), update(0, most)].concat())],
            FLOW,
        ),
        (
            "a window of a stream above the greatest",
            vec![Send([post(1), update(1, most), update(1, most)].concat())],
            Then::StreamError(&[FLOW_CONTROL_ERROR]),
        ),
        (
            "an initial window that makes one of a stream too great",
            vec![Send(
                [post(1), update(1, most - 65_535), frame(SETTINGS, 0, 0, setting(4, 1 << 17))]
                    .concat(),
            )],
            Then::StreamError(&[FLOW_CONTROL_ERROR]),
        ),
        (
            "a window of a stream that is over",
            vec![Send(get(1)), Answered(1), Send(update(1, 1))],
            Then::Alive,
        ),
        (
            "a window of a stream that never was",
            vec![Send(update(1, 100))],
            Then::ConnectionError(&[PROTOCOL_ERROR, STREAM_CLOSED]),
        ),
    ])
    .await;
}

#[tokio::test]
async fn data_comes_as_windows_allow() {
    let server = Server::start().await;
    let address = server.lb.addr("main");
    // One byte at first, and the last of several values counts.
    let mut frames = Frames::with_settings(address, &setting(4, 1)).await;
    frames.send(get(1)).await;
    assert_eq!(data(&mut frames, 1, 1).await, b"0");
    let mut frames =
        Frames::with_settings(address, &[setting(4, 100), setting(4, 1)].concat()).await;
    frames.send(get(1)).await;
    assert_eq!(data(&mut frames, 1, 1).await, b"0");
    // Another value holds for streams that are open.
    let mut frames = Frames::with_settings(address, &setting(4, 0)).await;
    frames.send(get(1)).await;
    frames.until(|frame| frame.kind == HEADERS).await.unwrap();
    frames.send(frame(SETTINGS, 0, 0, setting(4, 1))).await;
    assert_eq!(data(&mut frames, 1, 1).await, b"0");
}

#[tokio::test]
async fn a_window_may_be_below_zero() {
    let server = Server::start().await;
    let mut frames = Frames::with_settings(server.lb.addr("main"), &setting(4, 3)).await;
    frames.send(get(1)).await;
    assert_eq!(data(&mut frames, 1, 3).await, b"012");
    // 3 less, of which 2 are spent: 1 below zero.
    frames.send(frame(SETTINGS, 0, 0, setting(4, 2))).await;
    frames.until(|frame| frame.kind == SETTINGS && frame.flags & ACK != 0).await.unwrap();
    frames.send(frame(WINDOW_UPDATE, 0, 1, [0, 0, 0, 2])).await;
    assert_eq!(data(&mut frames, 1, 1).await, b"3");
}

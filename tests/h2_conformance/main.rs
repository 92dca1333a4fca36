//! What RFC 9113 and RFC 7541 ask of a server, frame by frame over real sockets: every case that
//! h2spec tests, in our words.
//!
//! A case says what is sent behind the handshake, and what has to come of it. Errors may be told as
//! h2spec takes them: one of a stream by `RST_STREAM`, by `GOAWAY` or by the end of the connection, one of
//! the connection by the latter two. The library says `PROTOCOL_ERROR` where the RFC has a closer word;
//! that is taken for any of them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod compression;
mod connection;
mod generic;
mod messages;
mod states;

use support::frames::{
    ACK, DATA, END_HEADERS, END_STREAM, Frame, Frames, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS,
    asking, block, frame,
};
use support::{Answer, Lb, Origin, PATIENCE, at};

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;
const COMPRESSION_ERROR: u32 = 9;

/// One thing to do.
enum Step {
    /// Send these bytes.
    Send(Vec<u8>),
    /// Wait until this stream is answered whole.
    Answered(u32),
}

use Step::{Answered, Send};

/// What has to come of it.
#[derive(Debug, Clone, Copy)]
enum Then {
    /// The stream is answered with this status.
    Answer(u32, u16),
    /// The connection goes on.
    Alive,
    /// The settings are acknowledged.
    Acknowledged,
    /// The ping comes back.
    Pong([u8; 8]),
    /// The stream breaks for one of these reasons.
    StreamError(&'static [u32]),
    /// The connection breaks for one of these reasons.
    ConnectionError(&'static [u32]),
    /// The connection ends, or the stream is answered with this status.
    EndOr(u16),
}

/// A case: its name, what is done, and what has to come of it.
type Case = (&'static str, Vec<Step>, Then);

/// A balancer before an origin that answers `200` with a body.
struct Server {
    lb: Lb,
    origin: Origin,
}

impl Server {
    async fn start() -> Self {
        let origin = Origin::start("a").await;
        origin.answer(Answer::Ok(b"0123456789".to_vec()));
        let text = support::config("", "", &[at(&origin)]);
        let text = text.replace("name = \"main\"", "name = \"main\"\nhttp2 = true");
        Self { lb: Lb::start(text).await, origin }
    }
}

/// A request without a body.
fn get(stream: u32) -> Vec<u8> {
    headers(END_STREAM | END_HEADERS, stream, &asking("GET", "/"))
}

/// The head of a request with a body.
fn post(stream: u32) -> Vec<u8> {
    headers(END_HEADERS, stream, &asking("POST", "/"))
}

fn headers(flags: u8, stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, flags, stream, block(fields))
}

/// The usual fields of a request, and these behind them.
fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&asking("GET", "/")[..], more].concat()
}

/// The status of a response, of which the first field is always that.
fn status(head: &Frame) -> u16 {
    match head.payload[..] {
        [0x88, ..] => 200,
        [0x89, ..] => 204,
        [0x8c, ..] => 400,
        [0x8d, ..] => 404,
        // A literal, indexed by the name of `:status`, as the other side has indexed it or not.
        [0x08 | 0x48, 0x03, a, b, c, ..] => {
            [a, b, c].iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'))
        }
        // The same in Huffman's code.
        ref other => panic!("no status that is known here: {other:02x?}"),
    }
}

/// Runs all cases, each on a connection of its own; tells of all that fail.
async fn run(cases: Vec<Case>) {
    let server = Server::start().await;
    let mut failed = Vec::new();
    for (name, steps, then) in cases {
        let mut frames = Frames::open(server.lb.addr("main")).await;
        let mut early = None;
        for step in steps {
            match step {
                Send(bytes) => {
                    frames.send(bytes).await;
                }
                Answered(stream) => {
                    let is_end = |frame: &Frame| frame.stream == stream && frame.ends_stream();
                    if frames.until(is_end).await.is_none() {
                        early = Some("the connection ended before".to_owned());
                    }
                }
            }
        }
        let verdict = match early {
            Some(early) => Err(early),
            None => match tokio::time::timeout(PATIENCE / 2, judge(&mut frames, then)).await {
                Ok(verdict) => verdict,
                Err(_) => Err("nothing came".to_owned()),
            },
        };
        if let Err(why) = verdict {
            failed.push(format!("{name}: {why}, and not {then:?}"));
        }
    }
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

/// Whether the error is one of these.
fn says(told: &Frame, codes: &[u32]) -> bool {
    told.code() == PROTOCOL_ERROR || codes.contains(&told.code())
}

/// Whether what comes is what has to come.
async fn judge(frames: &mut Frames, then: Then) -> Result<(), String> {
    const LAST: [u8; 8] = *b"the last";
    if matches!(then, Then::Alive) {
        frames.send(frame(PING, 0, 0, LAST)).await;
    }
    while let Some(next) = frames.next().await {
        let bad = match (next.kind, then) {
            (PING, Then::Alive) if next.payload == LAST => return Ok(()),
            (PING, Then::Pong(sent)) if next.flags & ACK != 0 && next.payload == sent => {
                return Ok(());
            }
            (SETTINGS, Then::Acknowledged) if next.flags & ACK != 0 => return Ok(()),
            (HEADERS, Then::Answer(stream, wanted)) if next.stream == stream => {
                let got = status(&next);
                return if got == wanted { Ok(()) } else { Err(format!("status {got}")) };
            }
            (HEADERS, Then::EndOr(wanted)) if status(&next) == wanted => return Ok(()),
            (RST_STREAM, Then::StreamError(codes)) => !says(&next, codes),
            (GOAWAY, Then::StreamError(codes) | Then::ConnectionError(codes)) => {
                !says(&next, codes)
            }
            (GOAWAY, Then::EndOr(_)) => return Ok(()),
            (GOAWAY | RST_STREAM, _) => true,
            _ => continue,
        };
        return if bad { Err(format!("code {} of {next:?}", next.code())) } else { Ok(()) };
    }
    match then {
        Then::StreamError(_) | Then::ConnectionError(_) | Then::EndOr(_) => Ok(()),
        _ => Err("the connection ended".to_owned()),
    }
}

/// The data of one stream until it has come to `bytes`; fails if there is more.
async fn data(frames: &mut Frames, stream: u32, bytes: usize) -> Vec<u8> {
    let mut got = Vec::new();
    while got.len() < bytes {
        let next = frames.until(|frame| frame.kind == DATA && frame.stream == stream).await;
        got.extend(next.expect("more data").payload);
    }
    assert_eq!(got.len(), bytes);
    got
}

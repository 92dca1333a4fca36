//! The little HTTP/2 that load and origins need (RFC 9113): frames of a connection one after the other,
//! and heads that are made once.
//!
//! Heads are not decompressed: of an answer the status is looked at, which every proxy here sends as the
//! one byte that RFC 7541 has for `200`; everything else that can go wrong (resets, lengths, pauses for
//! want of a window) is an error.

use crate::Result;
use crate::wire::shown;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// Padding and priorities, which nobody here sends.
const ODD: u8 = 0x8 | 0x20;

/// What a client says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How far a peer may be ahead of us on the connection, and by how much it is raised again.
const WINDOW: u32 = 1 << 30;

/// Whether a connection begins as one of HTTP/2.
pub(crate) fn is_preface(data: &[u8]) -> bool {
    data.starts_with(PREFACE)
}

/// What a frame that has come means to whoever reads.
enum Came {
    /// A head; whether it is all of its stream.
    Head { stream: u32, ok: bool, ends: bool },
    /// Content, and whether it is the last of its stream.
    Content { stream: u32, bytes: usize, ends: bool },
    /// The peer may be sent so much more.
    Window { stream: u32, more: u32 },
}

/// Frames as they come.
#[derive(Default)]
struct Reader {
    /// A frame that has come in part; not of content.
    partial: Vec<u8>,
    /// Content that is still to come of a frame: its stream, bytes, and whether it is the last.
    open: Option<(u32, usize, bool)>,
}

impl Reader {
    /// Takes the next bytes. What is owed for them is written to `out`.
    fn feed(
        &mut self,
        data: &[u8],
        out: &mut Vec<u8>,
        mut each: impl FnMut(Came) -> Result<()>,
    ) -> Result<()> {
        let whole;
        let mut data = data;
        if !self.partial.is_empty() {
            self.partial.extend_from_slice(data);
            whole = std::mem::take(&mut self.partial);
            data = &whole;
        }
        loop {
            if let Some((stream, left, last)) = self.open.take() {
                let bytes = left.min(data.len());
                data = &data[bytes..];
                let ends = last && bytes == left;
                each(Came::Content { stream, bytes, ends })?;
                if bytes < left {
                    self.open = Some((stream, left - bytes, last));
                    return Ok(());
                }
            }
            let Some((head, rest)) = data.split_first_chunk::<9>() else { break };
            let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let (kind, flags) = (head[3], head[4]);
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            if flags & ODD != 0 && matches!(kind, DATA | HEADERS) {
                return Err(format!("padding or priorities: {}", shown(data)).into());
            }
            if kind == DATA {
                self.open = Some((stream, len, flags & END_STREAM != 0));
                data = rest;
                continue;
            }
            let Some((payload, rest)) = rest.split_at_checked(len) else { break };
            match kind {
                HEADERS if flags & END_HEADERS != 0 => {
                    let ends = flags & END_STREAM != 0;
                    each(Came::Head { stream, ok: says_200(payload), ends })?;
                }
                SETTINGS if flags & ACK == 0 => push_frame(out, SETTINGS, ACK, 0, &[]),
                PING if flags & ACK == 0 => push_frame(out, PING, ACK, 0, payload),
                WINDOW_UPDATE if len == 4 => {
                    let more = u32::from_be_bytes([payload[0], payload[1], payload[2], payload[3]]);
                    each(Came::Window { stream, more })?;
                }
                SETTINGS | PING => {}
                // A connection that is not needed any more; what is under way is still due.
                GOAWAY if payload.get(4..8) == Some(&[0; 4]) => {}
                // Resets among them.
                _ => {
                    return Err(format!("frame of kind {kind}: {}", shown(data)).into());
                }
            }
            data = rest;
        }
        self.partial.extend_from_slice(data);
        Ok(())
    }
}

/// Whether a block begins with status 200, behind changes of the table's size.
fn says_200(mut block: &[u8]) -> bool {
    while let Some((&byte, rest)) = block.split_first() {
        if byte & 0xe0 != 0x20 {
            return byte == 0x88;
        }
        let more = if byte & 0x1f == 0x1f {
            rest.iter().position(|byte| byte & 0x80 == 0).map_or(rest.len(), |last| last + 1)
        } else {
            0
        };
        block = &rest[more..];
    }
    false
}

/// A client's connection: some streams at once, each a request without a body.
pub(crate) struct Client<T> {
    reader: Reader,
    /// Streams under way, with what the load keeps of each and how much of its content is missing.
    streams: Vec<(u32, T, usize)>,
    next: u32,
    /// Content since the connection's window was last raised.
    taken: u32,
    /// Bytes on their way to the proxy.
    pub(crate) out: Vec<u8>,
}

/// A request's head: the first time, and once the peer's table holds it.
pub(crate) struct Request {
    first: Vec<u8>,
    again: Vec<u8>,
}

impl Request {
    /// A `GET` with these fields, named by their place in the static table (RFC 7541, appendix A).
    pub(crate) fn get(https: bool, fields: &[(u8, &str)]) -> Self {
        let mut first = vec![0x82, if https { 0x87 } else { 0x86 }];
        let mut again = first.clone();
        for (place, (name, value)) in fields.iter().enumerate() {
            // With incremental indexing, so that it has a place in the table from then on, the newest
            // one the lowest.
            first.extend([0x40 | name, value.len() as u8]);
            first.extend_from_slice(value.as_bytes());
            again.push(0x80 | (61 + fields.len() - place) as u8);
        }
        Self { first, again }
    }
}

impl<T> Client<T> {
    /// A connection that says hello.
    pub(crate) fn new() -> Self {
        let mut out = PREFACE.to_vec();
        // No pushes, and streams that are as wide as the connection.
        let settings = [[0, 2, 0, 0, 0, 0], [0, 4, 0x40, 0, 0, 0]].concat();
        push_frame(&mut out, SETTINGS, 0, 0, &settings);
        push_frame(&mut out, WINDOW_UPDATE, 0, 0, &WINDOW.to_be_bytes());
        Self { reader: Reader::default(), streams: Vec::new(), next: 1, taken: 0, out }
    }

    /// Begins a request whose answer has so much content.
    pub(crate) fn ask(&mut self, request: &Request, content: usize, kept: T) {
        let block = if self.next == 1 { &request.first } else { &request.again };
        push_frame(&mut self.out, HEADERS, END_STREAM | END_HEADERS, self.next, block);
        self.streams.push((self.next, kept, content));
        self.next += 2;
    }

    /// Takes what came; what was kept of each request whose answer is complete goes to `done`.
    pub(crate) fn feed(&mut self, data: &[u8], done: &mut Vec<T>) -> Result<()> {
        let Self { reader, streams, taken, out, .. } = self;
        reader.feed(data, out, |came| {
            let (stream, ends) = match came {
                Came::Head { ok: false, stream, .. } => {
                    return Err(format!("no status 200 on stream {stream}").into());
                }
                Came::Head { stream, ends, .. } => (stream, ends),
                Came::Window { .. } => return Ok(()),
                Came::Content { stream, bytes, ends } => {
                    *taken += bytes as u32;
                    let (_, _, missing) = streams
                        .iter_mut()
                        .find(|(known, ..)| *known == stream)
                        .ok_or("content of no request")?;
                    *missing = missing.checked_sub(bytes).ok_or("more content than asked for")?;
                    (stream, ends)
                }
            };
            if !ends {
                return Ok(());
            }
            let place = streams
                .iter()
                .position(|(known, ..)| *known == stream)
                .ok_or("the end of no request")?;
            let (_, kept, missing) = streams.swap_remove(place);
            done.push(kept);
            if missing == 0 { Ok(()) } else { Err(format!("{missing} bytes missing").into()) }
        })?;
        if self.taken > WINDOW / 2 {
            push_frame(&mut self.out, WINDOW_UPDATE, 0, 0, &self.taken.to_be_bytes());
            self.taken = 0;
        }
        Ok(())
    }
}

/// An origin's connection: every request is answered with the same content.
pub(crate) struct Server {
    reader: Reader,
    /// How much content the proxy has room for.
    window: i64,
}

impl Server {
    /// A connection whose preface is still to be fed. Says hello to `out`.
    pub(crate) fn new(out: &mut Vec<u8>) -> Self {
        // So many streams at once.
        push_frame(out, SETTINGS, 0, 0, &[0, 3, 0, 0, 4, 0]);
        Self { reader: Reader::default(), window: 65_535 }
    }

    /// Takes what came behind the preface, and answers.
    pub(crate) fn feed(&mut self, data: &[u8], content: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let (mut asked, mut more) = (Vec::new(), 0);
        self.reader.feed(data, out, |came| {
            match came {
                Came::Head { stream, ends: true, .. } => asked.push(stream),
                Came::Window { stream: 0, more: n } => more += i64::from(n),
                Came::Window { .. } => {}
                _ => return Err("origin got a body over HTTP/2".into()),
            }
            Ok(())
        })?;
        self.window += more;
        let block = answer_block(content.len());
        for stream in asked {
            self.window -= content.len() as i64;
            if self.window < 0 {
                return Err("a proxy's window is too small for this bench".into());
            }
            push_frame(out, HEADERS, END_HEADERS, stream, &block);
            push_frame(out, DATA, END_STREAM, stream, content);
        }
        Ok(())
    }

    /// Bytes of the preface.
    pub(crate) const PREFACE: usize = PREFACE.len();
}

/// The fields that answers over HTTP/1 have, each a literal that no table keeps.
fn answer_block(content: usize) -> Vec<u8> {
    let length = content.to_string();
    let fields = [
        (54, "origin/1.0"),
        (33, "Sat, 06 Jul 2024 10:00:00 GMT"),
        (31, "application/octet-stream"),
        (28, &length),
        (44, "Fri, 05 Jul 2024 09:30:00 GMT"),
        (34, "\"6687be28-80\""),
        (24, "public, max-age=3600"),
        (18, "bytes"),
    ];
    let mut block = vec![0x88];
    for (name, value) in fields {
        block.extend([0x0f, name - 15, value.len() as u8]);
        block.extend_from_slice(value.as_bytes());
    }
    block
}

fn push_frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend([kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

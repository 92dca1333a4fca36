//! Takes the framing off a body as it arrives (RFC 9112 §6 and §7). Called by `proxy` with whatever a
//! read gave; holds no data itself, except trailers.
//!
//! Chunked bodies are read without any lenience: sizes are 1 to 16 hexadecimal digits, lines end in
//! CRLF, extensions are dropped and bounded. Chunks are not preserved: what is sent on is framed anew.

use std::ops::Range;

use crate::http1::{
    Framing, Known, classify,
    grammar::{hex_digit, is_field_value, split_field},
};

/// Bytes of chunk extensions that one message may carry.
const MAX_EXTENSION_BYTES: usize = 16 << 10;
/// Bytes of trailers that one message may carry, those that are dropped included.
const MAX_TRAILER_BYTES: usize = 8 << 10;

/// Why a body was refused. The connection that it came on must be closed, and the message must not
/// look complete to whom it was relayed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BodyError {
    /// A chunk size, a chunk extension or the end of a chunk is malformed.
    #[error("malformed chunk")]
    BadChunk,
    /// The chunk extensions of the message are above 16 KiB.
    #[error("chunk extensions too large")]
    ExtensionsTooLarge,
    /// A trailer field is malformed.
    #[error("malformed trailer field")]
    BadTrailer,
    /// The trailers are above 8 KiB.
    #[error("trailers too large")]
    TrailersTooLarge,
    /// The connection ended before the body.
    #[error("body cut short")]
    Truncated,
}

/// What one call of the decoder found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of the input that were used up. The rest is for the next call, or, when `done`, belongs
    /// to the next message.
    pub consumed: usize,
    /// The part of the input that is data; within the consumed bytes, often empty.
    pub data: Range<usize>,
    /// Whether the body is complete.
    pub done: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// So much of a body with a length is left, never 0.
    Length(u64),
    UntilClose,
    /// In the digits of a chunk size.
    Size {
        value: u64,
        digits: u8,
    },
    /// In the extensions after a chunk size.
    Extension(u64),
    /// After the CR of a size line.
    SizeEnd(u64),
    /// So much of a chunk is left, never 0.
    Chunk(u64),
    /// After the data of a chunk, before its CR.
    ChunkEnd,
    /// After that CR.
    ChunkEndLf,
    /// After the last chunk.
    Trailers,
    Done,
}

const SIZE: State = State::Size { value: 0, digits: 0 };

/// Decodes one body. After an error it must not be used any more.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    extension_bytes: usize,
    trailer_bytes: usize,
    /// Complete and permitted trailer lines, then the line being read.
    trailers: Vec<u8>,
    /// Where the line being read begins.
    line: usize,
}

impl Default for Decoder {
    /// A decoder for no body.
    fn default() -> Self {
        Self::new(Framing::None)
    }
}

impl Decoder {
    /// A decoder for a body that was announced like this.
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => SIZE,
            Framing::UntilClose => State::UntilClose,
        };
        Self { state, extension_bytes: 0, trailer_bytes: 0, trailers: Vec::new(), line: 0 }
    }

    /// Reads on: takes off framing up to the next piece of data and that piece. Call it until `done`
    /// or until the input is used up.
    pub fn decode(&mut self, input: &[u8]) -> Result<Decoded, BodyError> {
        self.decode_up_to(input, usize::MAX)
    }

    /// The same with at most so many bytes of data.
    pub fn decode_up_to(&mut self, input: &[u8], most: usize) -> Result<Decoded, BodyError> {
        let mut start = 0;
        while start < input.len() && self.in_framing() {
            self.state = self.step(input[start])?;
            start += 1;
        }
        let available = (input.len() - start).min(most);
        let len = match &mut self.state {
            State::Length(left) | State::Chunk(left) => {
                let len = usize::try_from(*left).map_or(available, |left| left.min(available));
                *left -= len as u64;
                len
            }
            State::UntilClose => available,
            _ => 0,
        };
        match self.state {
            State::Length(0) => self.state = State::Done,
            State::Chunk(0) => self.state = State::ChunkEnd,
            _ => {}
        }
        let end = start + len;
        Ok(Decoded { consumed: end, data: start..end, done: self.is_done() })
    }

    /// Takes note of bytes of a body with a length that went by unseen, at most what
    /// [`remaining`](Self::remaining) says.
    pub fn pass(&mut self, bytes: u64) {
        if let State::Length(left) = self.state {
            debug_assert!(bytes <= left, "{bytes} of {left}");
            self.state = match left.saturating_sub(bytes) {
                0 => State::Done,
                left => State::Length(left),
            };
        }
    }

    /// Like [`decode`](Self::decode) until `done` or the end of the input, with all data moved together
    /// behind its first piece, so that many small chunks of one read become one piece. An error hides
    /// the data before it.
    pub fn decode_in_place(&mut self, input: &mut [u8]) -> Result<Decoded, BodyError> {
        let mut all = self.decode(input)?;
        while !all.done && all.consumed < input.len() {
            let next = self.decode(&input[all.consumed..])?;
            // Only the end of the input or of the body leaves a step without data, so there is a
            // piece already.
            let (to, len) = (all.data.end, next.data.len());
            let from = all.consumed + next.data.start;
            input.copy_within(from..from + len, to);
            all.data.end += len;
            all.consumed += next.consumed;
            all.done = next.done;
        }
        Ok(all)
    }

    /// Bytes still to come, when the framing tells.
    pub fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            State::Done => Some(0),
            _ => None,
        }
    }

    /// Whether the body is complete.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The connection has ended.
    ///
    /// # Errors
    /// [`BodyError::Truncated`], unless the body was complete or lasts until the connection ends.
    pub fn on_eof(&mut self) -> Result<(), BodyError> {
        match self.state {
            State::Done | State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            _ => Err(BodyError::Truncated),
        }
    }

    /// The trailer fields as whole lines, each with its CRLF; for
    /// [`push_last_chunk`](crate::http1::encode::push_last_chunk). Complete when the body is. Fields
    /// about framing, routing, identity or content are not among them (RFC 9110 §6.5.1); the others
    /// must never be merged into the head.
    pub fn trailers(&self) -> &[u8] {
        &self.trailers[..self.line]
    }

    /// The trailer fields as names and values.
    pub fn trailer_fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let lines = self.trailers().split(|&byte| byte == b'\n');
        lines.filter_map(|line| split_field(line.strip_suffix(b"\r")?))
    }

    /// Whether the next byte is framing and not data.
    fn in_framing(&self) -> bool {
        !matches!(self.state, State::Length(_) | State::UntilClose | State::Chunk(_) | State::Done)
    }

    /// The state after one byte of framing.
    fn step(&mut self, byte: u8) -> Result<State, BodyError> {
        Ok(match (self.state, byte) {
            (State::Size { value, digits }, _) if let Some(digit) = hex_digit(byte) => {
                if digits == 16 {
                    return Err(BodyError::BadChunk);
                }
                State::Size { value: value << 4 | u64::from(digit), digits: digits + 1 }
            }
            (State::Size { digits: 0, .. }, _) => return Err(BodyError::BadChunk),
            (State::Size { value, .. } | State::Extension(value), b'\r') => State::SizeEnd(value),
            (State::Size { value, .. }, b';') => self.extend(value)?,
            (State::Extension(value), _) if is_field_value(&[byte]) => self.extend(value)?,
            (State::SizeEnd(0), b'\n') => State::Trailers,
            (State::SizeEnd(size), b'\n') => State::Chunk(size),
            (State::ChunkEnd, b'\r') => State::ChunkEndLf,
            (State::ChunkEndLf, b'\n') => SIZE,
            (State::Trailers, _) => self.take_trailer_byte(byte)?,
            _ => return Err(BodyError::BadChunk),
        })
    }

    fn extend(&mut self, size: u64) -> Result<State, BodyError> {
        self.extension_bytes += 1;
        if self.extension_bytes > MAX_EXTENSION_BYTES {
            return Err(BodyError::ExtensionsTooLarge);
        }
        Ok(State::Extension(size))
    }

    /// Collects the trailer section line by line; an empty line ends the body.
    fn take_trailer_byte(&mut self, byte: u8) -> Result<State, BodyError> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > MAX_TRAILER_BYTES {
            return Err(BodyError::TrailersTooLarge);
        }
        self.trailers.push(byte);
        if byte != b'\n' {
            return Ok(State::Trailers);
        }
        let line = self.trailers[self.line..].strip_suffix(b"\r\n").ok_or(BodyError::BadTrailer)?;
        if line.is_empty() {
            self.trailers.truncate(self.line);
            return Ok(State::Done);
        }
        let field = is_field_value(line).then(|| split_field(line)).flatten();
        let (name, _) = field.ok_or(BodyError::BadTrailer)?;
        if is_trailer(name) {
            self.line = self.trailers.len();
        } else {
            self.trailers.truncate(self.line);
        }
        Ok(State::Trailers)
    }
}

/// Whether a field may come as a trailer: not when it is about framing, routing, identity, request
/// handling or the content itself (RFC 9110 §6.5.1), which we or others have acted on by then.
pub fn is_trailer(name: &[u8]) -> bool {
    const FORBIDDEN: [&str; 20] = [
        "accept-encoding",
        "age",
        "authentication-info",
        "cache-control",
        "content-encoding",
        "content-range",
        "expires",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "max-forwards",
        "pragma",
        "proxy-authenticate",
        "proxy-authentication-info",
        "range",
        "vary",
        "warning",
        "www-authenticate",
    ];
    classify(name) == Known::Other
        && !name.get(..12).is_some_and(|start| start.eq_ignore_ascii_case(b"x-forwarded-"))
        && !FORBIDDEN.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden.as_bytes()))
}

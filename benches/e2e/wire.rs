//! The little HTTP/1.1 that load and origins need: heads are searched, not parsed into fields.
//!
//! The tool speaks to proxies that are known to be right; what it checks of an answer is what a
//! benchmark can get wrong: the status, the framing and the length. Source: RFC 9112 §4, §6, §7.

use memchr::{memchr, memmem};

use crate::Result;

/// How a message's body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// After this many bytes.
    Known(usize),
    /// After the last chunk.
    Chunked,
}

/// What was learnt from a response head.
pub(crate) struct ResponseHead {
    /// Bytes up to and with the empty line.
    pub(crate) bytes: usize,
    /// The status code.
    pub(crate) status: u16,
    /// How the body ends.
    pub(crate) length: Length,
}

/// Bytes of the head at the start of `buffer`, with its empty line; `None` if more has to come.
pub(crate) fn head_end(buffer: &[u8]) -> Option<usize> {
    memmem::find(buffer, b"\r\n\r\n").map(|at| at + 4)
}

/// The value of the first field called `name` (lower case).
pub(crate) fn field<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = head;
    while let Some(end) = memchr(b'\n', rest) {
        rest = &rest[end + 1..];
        if rest.len() > name.len()
            && rest[name.len()] == b':'
            && rest[..name.len()].eq_ignore_ascii_case(name)
        {
            let value = &rest[name.len() + 1..];
            return Some(value[..memchr(b'\r', value)?].trim_ascii());
        }
    }
    None
}

/// The value of `Content-Length`.
pub(crate) fn content_length(head: &[u8]) -> Option<usize> {
    std::str::from_utf8(field(head, b"content-length")?).ok()?.parse().ok()
}

/// Reads the response head at the start of `buffer`; `None` if more has to come.
pub(crate) fn response_head(buffer: &[u8]) -> Result<Option<ResponseHead>> {
    let Some(bytes) = head_end(buffer) else {
        return Ok(None);
    };
    let head = &buffer[..bytes];
    let status = head
        .strip_prefix(b"HTTP/1.1 ")
        .and_then(|rest| std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok())
        .ok_or_else(|| format!("no HTTP/1.1 status line: {}", shown(head)))?;
    let length = match content_length(head) {
        Some(length) => Length::Known(length),
        None if field(head, b"transfer-encoding") == Some(b"chunked") => Length::Chunked,
        None if status == 101 => Length::Known(0),
        None => return Err(format!("neither length nor chunks: {}", shown(head)).into()),
    };
    Ok(Some(ResponseHead { bytes, status, length }))
}

/// The beginning of what came, for a message.
pub(crate) fn shown(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(400)].escape_ascii().to_string()
}

/// Follows a chunked body (RFC 9112 §7.1) without keeping it; trailers are not expected.
#[derive(Default)]
pub(crate) struct Chunks {
    place: Place,
    /// Bytes of content so far.
    pub(crate) content: usize,
}

#[derive(Default)]
enum Place {
    /// Before a size line: at least one digit has to come.
    #[default]
    SizeStart,
    /// In a size line, with the value so far.
    Size(usize),
    /// In content; this much is missing, its CRLF included.
    Data(usize),
    /// After the last chunk's size line; this many bytes of the final CRLF are missing.
    Last(usize),
}

impl Chunks {
    /// Takes the next bytes; how many were left over once the body is complete, else `None`.
    pub(crate) fn feed(&mut self, mut data: &[u8]) -> Result<Option<usize>> {
        while let Some((&byte, after)) = data.split_first() {
            match &mut self.place {
                Place::Data(missing) => {
                    let taken = data.len().min(*missing);
                    *missing -= taken;
                    if *missing == 0 {
                        self.place = Place::SizeStart;
                    }
                    data = &data[taken..];
                    continue;
                }
                Place::Last(missing) => {
                    *missing -= 1;
                    if *missing == 0 {
                        return Ok(Some(after.len()));
                    }
                }
                Place::SizeStart => self.place = Place::Size(digit(byte)?),
                Place::Size(0) if byte == b'\n' => self.place = Place::Last(2),
                Place::Size(size) if byte == b'\n' => {
                    self.content += *size;
                    self.place = Place::Data(*size + 2);
                }
                Place::Size(_) if byte == b'\r' => {}
                Place::Size(size) => *size = (*size << 4) | digit(byte)?,
            }
            data = after;
        }
        Ok(None)
    }
}

fn digit(byte: u8) -> Result<usize> {
    char::from(byte)
        .to_digit(16)
        .map(|digit| digit as usize)
        .ok_or_else(|| format!("bad chunk size digit {:?}", char::from(byte)).into())
}

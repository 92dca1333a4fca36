//! HTTP/1.1 as the harness reads it: straight from RFC 9112, sharing no code with what it tests.

use std::fmt;

/// Header or trailer fields in their order, with the case in which they came.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields(pub(crate) Vec<(String, String)>);

impl Fields {
    /// The only field called `name`, in any case; fails if there are several.
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "several fields called {name}: {self:?}");
        all.first().copied()
    }

    /// The values of all fields called `name`, in any case.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let same = self.0.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.as_str()).collect()
    }

    /// Reads the lines behind a start line, up to the empty one.
    pub(crate) fn parse(lines: &[u8]) -> Self {
        let text = String::from_utf8_lossy(lines);
        let fields = text.split("\r\n").filter(|line| !line.is_empty()).map(|line| {
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no colon: {line}"));
            (name.to_owned(), value.trim_matches([' ', '\t']).to_owned())
        });
        Self(fields.collect())
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(name, value)| (name, value))).finish()
    }
}

/// A response as it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Response {
    /// `HTTP/1.1` or `HTTP/1.0`.
    pub(crate) version: String,
    /// The status code.
    pub(crate) status: u16,
    /// The text behind it.
    pub(crate) reason: String,
    /// The header fields.
    pub(crate) headers: Fields,
    /// The content, without its framing; of a broken response what came of it.
    pub(crate) body: Vec<u8>,
    /// The trailer fields of a chunked body.
    pub(crate) trailers: Fields,
    /// The interim (1xx) responses that came before it.
    pub(crate) interim: Vec<Response>,
}

impl Response {
    /// The only header field called `name`; fails if there are several.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.one(name)
    }

    /// The content as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Reads a head, which ends with its empty line.
    pub(crate) fn parse(head: &[u8]) -> Self {
        let (line, fields) = start_line(head);
        let mut words = line.splitn(3, ' ').map(str::to_owned);
        let mut word = || words.next().unwrap_or_default();
        let (version, status, reason) = (word(), word(), word());
        assert!(matches!(version.as_str(), "HTTP/1.1" | "HTTP/1.0"), "status line: {line}");
        let status = status.parse().unwrap_or_else(|_| panic!("status line: {line}"));
        Self { version, status, reason, headers: Fields::parse(fields), ..Self::default() }
    }
}

/// A head's first line, and the lines behind it.
pub(crate) fn start_line(head: &[u8]) -> (String, &[u8]) {
    let end = find(head, b"\r\n").unwrap_or_else(|| panic!("no line: {}", head.escape_ascii()));
    (String::from_utf8_lossy(&head[..end]).into_owned(), &head[end + 2..])
}

/// Where `part` begins in `bytes`.
pub(crate) fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// How a message's body ends (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// After so many bytes.
    Length(usize),
    /// After the last chunk and the trailers.
    Chunked,
    /// With the connection.
    Close,
}

impl Framing {
    /// As the fields say; `otherwise` if they say nothing. Fails on what is not allowed to be sent.
    pub(crate) fn of(fields: &Fields, otherwise: Self) -> Self {
        let codings = fields.all("transfer-encoding");
        let lengths = fields.all("content-length");
        match (codings.as_slice(), lengths.as_slice()) {
            ([], []) => otherwise,
            ([], [length]) => Self::Length(length.parse().unwrap_or_else(|_| panic!("{fields:?}"))),
            ([coding], []) if coding.eq_ignore_ascii_case("chunked") => Self::Chunked,
            _ => panic!("ambiguous framing: {fields:?}"),
        }
    }
}

/// A message body on its way in.
#[derive(Debug, Default)]
pub(crate) struct Body {
    /// The content so far.
    pub(crate) content: Vec<u8>,
    /// The trailer fields, once the body is complete.
    pub(crate) trailers: Fields,
}

impl Body {
    /// Takes what it can from the front of `buffer`; whether the body is complete.
    /// Bytes behind the body stay in `buffer`.
    pub(crate) fn take(&mut self, framing: Framing, buffer: &mut Vec<u8>) -> bool {
        match framing {
            Framing::Length(length) => {
                let missing = (length - self.content.len()).min(buffer.len());
                self.content.extend(buffer.drain(..missing));
                self.content.len() == length
            }
            Framing::Close => {
                self.content.append(buffer);
                false
            }
            Framing::Chunked => {
                while let Some(line) = find(buffer, b"\r\n") {
                    let text = String::from_utf8_lossy(&buffer[..line]).into_owned();
                    let digits = text.split(';').next().unwrap_or_default();
                    let size = usize::from_str_radix(digits, 16)
                        .unwrap_or_else(|_| panic!("chunk size: {text:?}"));
                    if size == 0 {
                        return self.take_trailers(line + 2, buffer);
                    }
                    let end = line + 2 + size;
                    if buffer.len() < end + 2 {
                        return false;
                    }
                    assert_eq!(&buffer[end..end + 2], b"\r\n", "end of a chunk");
                    self.content.extend_from_slice(&buffer[line + 2..end]);
                    buffer.drain(..end + 2);
                }
                false
            }
        }
    }

    /// The trailer section, which begins at `start`.
    fn take_trailers(&mut self, start: usize, buffer: &mut Vec<u8>) -> bool {
        let rest = &buffer[start..];
        let end = if rest.starts_with(b"\r\n") {
            2
        } else if let Some(end) = find(rest, b"\r\n\r\n") {
            end + 4
        } else {
            return false;
        };
        self.trailers = Fields::parse(&rest[..end]);
        buffer.drain(..start + end);
        true
    }
}

//! The head of a response: status line, and what status, fields and the request's method say about the
//! body (RFC 9112 §4 and §6.3). Called by `proxy` for each response of a backend; any error there is an
//! invalid response (502), and nothing of it reaches the client.

use crate::http1::{
    Field, Framing, HeadError, Known, Limits, Parse, Version, encode,
    section::{Section, Span, field_access},
};

/// A response head with a copy of its text. Made once and refilled, it stops allocating soon.
///
/// The accessors speak of the head that the last call of [`parse`](Self::parse) completed. When it was
/// partial or an error they mean nothing, but harm nobody.
#[derive(Debug, Default)]
pub struct ResponseHead {
    section: Section,
    version: Version,
    status: u16,
    reason: Span,
    framing: Framing,
    content_length: Option<u64>,
    keep_alive: bool,
    names_upgrade: bool,
}

field_access!(ResponseHead);

impl ResponseHead {
    /// Forgets a head that was left partial, for the first head of another connection.
    pub fn reset(&mut self) {
        self.section.finish();
    }

    /// Parses the head at the start of `input`, the answer to a request with this method. Resumes as
    /// [`RequestHead::parse`](crate::http1::RequestHead::parse) does.
    ///
    /// # Errors
    /// See [`HeadError`]; the connection is lost.
    pub fn parse(
        &mut self,
        input: &[u8],
        limits: &Limits,
        request_method: &[u8],
    ) -> Result<Parse, HeadError> {
        if self.section.begins(input) {
            *self = Self { section: std::mem::take(&mut self.section), ..Self::default() };
        }
        let result = self.advance(input, limits, request_method);
        if result != Ok(Parse::Partial) {
            self.section.finish();
        }
        result
    }

    /// The status, 100 to 599.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The reason phrase, often empty.
    pub fn reason(&self) -> &[u8] {
        self.reason.of(&self.section.bytes)
    }

    /// The version of the status line.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Where the body ends: none after HEAD and for 1xx, 204 and 304, whatever the fields say.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// The value of `Content-Length`, also when [`framing`](Self::framing) is none after HEAD or for
    /// 304. A 1xx or 204 has none (RFC 9110 §8.6); the field is removed there.
    pub fn content_length(&self) -> Option<u64> {
        self.content_length
    }

    /// Whether the head allows to use the connection again, once the body was read to its end. Not
    /// after 101, after a body that ends with the connection, after a 204 that announces a body, and after
    /// chunks of HTTP/1.0 where these are taken, as their sender does not keep to the rules.
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// The protocols of `Upgrade`, when `Connection` names it and the field is there once.
    pub fn upgrade(&self) -> Option<&[u8]> {
        self.section.only(Known::Upgrade).filter(|_| self.names_upgrade)
    }

    /// Whether this is a 1xx after which the final response follows: any but 101.
    pub fn is_informational(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// Whether this is a 101 to exactly the protocol that was asked for (RFC 9110 §7.8). Any other 101
    /// must not reach the client.
    pub fn switches_to(&self, asked: &[u8]) -> bool {
        self.status == 101 && self.upgrade().is_some_and(|got| got.eq_ignore_ascii_case(asked))
    }

    /// Makes it the answer that a body without a head stands for (HTTP/0.9), which lasts until the
    /// connection ends.
    pub fn without_head(&mut self, request_method: &[u8]) {
        *self = Self::default();
        self.section.finish();
        (self.version, self.status) = (Version::Http10, 200);
        self.framing = if request_method == b"HEAD" { Framing::None } else { Framing::UntilClose };
    }

    /// Lets it have another status, with the usual reason. Where the status before forbade a body,
    /// there is an empty one.
    pub fn set_status(&mut self, status: u16) {
        if matches!(self.status, 204 | 304) && self.content_length.is_none() {
            self.content_length = Some(0);
        }
        let reason = encode::reason(status).as_bytes();
        self.status = status;
        self.reason = Span::new(self.section.bytes.len(), reason.len());
        self.section.bytes.extend_from_slice(reason);
    }

    /// Makes it an answer to the method of the client, where another one was sent: to HEAD no body
    /// goes, and what was answered to HEAD has none.
    pub fn answer_to(&mut self, client: &[u8], sent: &[u8]) {
        match (client == b"HEAD", sent == b"HEAD") {
            // The body that comes is nobody's, and so is the connection behind it.
            (true, false) => (self.framing, self.keep_alive) = (Framing::None, false),
            (false, true) if !matches!(self.status, 100..=199 | 204 | 304) => {
                self.content_length = Some(0);
            }
            _ => {}
        }
    }

    /// Adds a field behind those that came. Name and value must be valid.
    pub fn add(&mut self, name: &[u8], value: &[u8]) {
        self.section.push(name, value);
    }

    fn advance(
        &mut self,
        input: &[u8],
        limits: &Limits,
        request_method: &[u8],
    ) -> Result<Parse, HeadError> {
        if self.section.awaits_start_line() {
            // What cannot become a status line is refused before its end.
            let begun = self.section.pending(input).iter().zip(b"HTTP/");
            if !begun.into_iter().all(|(got, wanted)| got == wanted) {
                return Err(HeadError::BadStatusLine);
            }
            let line = self.section.next_line(input, limits).map_err(|error| match error {
                HeadError::BadHeader => HeadError::BadStatusLine,
                error => error,
            })?;
            let Some(line) = line else {
                return Ok(Parse::Partial);
            };
            self.read_status_line(line)?;
            self.section.start_fields();
        }
        let parse = self.section.read_fields(input, limits)?;
        if parse != Parse::Partial {
            self.judge(limits, request_method)?;
        }
        Ok(parse)
    }

    /// `version SP status [SP reason]` (RFC 9112 §4). The space before an empty reason is required
    /// there, but left out by too many to insist.
    fn read_status_line(&mut self, line: &[u8]) -> Result<(), HeadError> {
        const MALFORMED: HeadError = HeadError::BadStatusLine;
        let (version, rest) = line.split_first_chunk().ok_or(MALFORMED)?;
        self.version = Version::parse(*version, MALFORMED)?;
        let (status, reason_at) = match rest {
            [b' ', status @ ..] if status.len() == 3 => (status, line.len()),
            [b' ', a, b, c, b' ', ..] => (&[*a, *b, *c][..], 13),
            _ => return Err(MALFORMED),
        };
        let &[a @ b'1'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9'] = status else {
            return Err(MALFORMED);
        };
        let digit = |byte: u8| u16::from(byte - b'0');
        self.status = digit(a) * 100 + digit(b) * 10 + digit(c);
        self.reason = Span::new(reason_at, line.len() - reason_at);
        Ok(())
    }

    /// The rules that need the whole head (RFC 9112 §6.3).
    fn judge(&mut self, limits: &Limits, request_method: &[u8]) -> Result<(), HeadError> {
        let options = self.section.connection_options()?;
        let chunked = self.section.is_chunked()?;
        let old_chunks = chunked && self.version == Version::Http10;
        if old_chunks && !limits.chunked_http10 {
            return Err(HeadError::BadFraming);
        }
        self.content_length = self.section.content_length()?;
        self.names_upgrade = options.upgrade;
        let never_has_body = matches!(self.status, 100..=199 | 204);
        self.framing = match self.content_length {
            _ if never_has_body || self.status == 304 || request_method == b"HEAD" => Framing::None,
            _ if chunked => Framing::Chunked,
            Some(0) => Framing::None,
            Some(length) => Framing::Length(length),
            None => Framing::UntilClose,
        };
        let announces_body = chunked || self.content_length.is_some_and(|length| length > 0);
        self.keep_alive = options.persists(self.version)
            && self.framing != Framing::UntilClose
            && self.status != 101
            && !old_chunks
            && !(never_has_body && announces_body);
        if never_has_body {
            self.section.remove(Known::ContentLength);
            self.content_length = None;
        }
        Ok(())
    }
}

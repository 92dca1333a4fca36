//! The rules about where a message ends and whether its connection lives on (RFC 9112 §6 and §9), for
//! both kinds of head. What is ambiguous is refused. What is left over in `fields` says the same as the
//! verdict: one `Content-Length` in canonical form at most, so that copying it is safe.

use crate::http1::{
    HeadError, Version,
    encode::push_decimal,
    grammar::{decimal, elements, is_same, is_token},
    known::Known,
    section::{Section, Span},
};

/// Options of `Connection` that are looked at. Each is compared with every field, so their number has
/// to be bounded; real clients send three at most.
const MAX_CONNECTION_OPTIONS: usize = 64;

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    #[default]
    None,
    /// This many bytes follow; 1 to 2^63 − 1.
    Length(u64),
    /// Chunks follow.
    Chunked,
    /// The body lasts until the connection is closed. Only for responses.
    UntilClose,
}

/// What `Connection` says.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Options {
    close: bool,
    keep_alive: bool,
    pub(super) upgrade: bool,
}

impl Options {
    /// Whether the connection persists after this message (RFC 9112 §9.3).
    pub(super) fn persists(self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
    }
}

impl Section {
    /// Reads all `Connection` fields, and marks the fields that they nominate.
    pub(super) fn connection_options(&mut self) -> Result<Options, HeadError> {
        let mut options = Options::default();
        if !self.has(Known::Connection) {
            return Ok(options);
        }
        let mut left = MAX_CONNECTION_OPTIONS;
        for at in 0..self.fields.len() {
            let field = self.fields[at];
            if field.known != Known::Connection {
                continue;
            }
            for option in elements(field.value.of(&self.bytes)) {
                left = left.checked_sub(1).ok_or(HeadError::BadHeader)?;
                if is_same(option, b"keep-alive") {
                    options.keep_alive = true;
                } else if is_same(option, b"close") {
                    options.close = true;
                } else if is_same(option, b"upgrade") {
                    options.upgrade = true;
                } else if may_be_nominated(option) {
                    for field in &mut self.fields {
                        let name = field.name.of(&self.bytes);
                        field.nominated |= name.eq_ignore_ascii_case(option);
                    }
                }
            }
        }
        Ok(options)
    }

    /// Whether the body is chunked. Exactly one `Transfer-Encoding: chunked` says so; any other use of
    /// the field is an error, and so is its use beside `Content-Length`.
    pub(super) fn is_chunked(&self) -> Result<bool, HeadError> {
        if !self.has(Known::TransferEncoding) {
            return Ok(false);
        }
        if self.has(Known::ContentLength) {
            return Err(HeadError::BadFraming);
        }
        let codings = self.only(Known::TransferEncoding).ok_or(HeadError::BadFraming)?;
        let is_chunked = |coding: &[u8]| is_same(coding, b"chunked");
        if is_chunked(codings) {
            Ok(true)
        } else if elements(codings).all(is_token) && !elements(codings).all(is_chunked) {
            Err(HeadError::UnknownTransferCoding)
        } else {
            Err(HeadError::BadFraming)
        }
    }

    /// The value of `Content-Length`. Several equal values count as one, which is what stays in the
    /// fields; different ones are an error.
    pub(super) fn content_length(&mut self) -> Result<Option<u64>, HeadError> {
        if !self.has(Known::ContentLength) {
            return Ok(None);
        }
        // Nearly always: one field of one number.
        if let Some(text) = self.only(Known::ContentLength)
            && let Some(number) = decimal(text)
            && is_canonical(text)
        {
            return Ok(Some(number));
        }
        let mut length = None;
        let mut as_one = true;
        for text in self.all(Known::ContentLength).flat_map(elements) {
            let number = decimal(text).ok_or(HeadError::BadFraming)?;
            if length.is_some_and(|length| length != number) {
                return Err(HeadError::BadFraming);
            }
            as_one &= length.is_none() && is_canonical(text);
            length = Some(number);
        }
        if let (Some(number), false) = (length, as_one) {
            let start = self.bytes.len();
            push_decimal(&mut self.bytes, number);
            self.replace(Known::ContentLength, Span::new(start, self.bytes.len() - start));
        }
        Ok(length)
    }
}

/// Whether a number has no leading zeros.
fn is_canonical(digits: &[u8]) -> bool {
    digits.len() == 1 || digits[0] != b'0'
}

/// Fields of requests that have one value (after nginx's `ngx_http_process_unique_header_line`).
const SINGLE: [&[u8]; 10] = [
    b"authorization",
    b"content-length",
    b"content-range",
    b"expect",
    b"if-match",
    b"if-modified-since",
    b"if-none-match",
    b"if-range",
    b"if-unmodified-since",
    b"transfer-encoding",
];

impl Section {
    /// Whether a field of [`SINGLE`] is there more than once.
    pub(super) fn repeats_a_single_field(&self) -> bool {
        let mut seen = 0_u16;
        self.fields.iter().any(|field| {
            let name = field.name.of(&self.bytes);
            let Some(place) = SINGLE.iter().position(|one| one.eq_ignore_ascii_case(name)) else {
                return false;
            };
            let before = seen;
            seen |= 1 << place;
            before == seen
        })
    }
}

/// A client must not make us drop what others rely on for framing, identity or origin.
fn may_be_nominated(option: &[u8]) -> bool {
    const PROTECTED: [&[u8]; 7] = [
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"authorization",
        b"cookie",
        b"forwarded",
        b"x-real-ip",
    ];
    const PROTECTED_PREFIX: &[u8] = b"x-forwarded-";
    let prefix = option.get(..PROTECTED_PREFIX.len());
    !prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(PROTECTED_PREFIX))
        && !PROTECTED.iter().any(|name| option.eq_ignore_ascii_case(name))
}

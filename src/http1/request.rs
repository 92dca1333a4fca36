//! The head of a request: request line, target, `Host` and what the fields say about body and
//! connection (RFC 9112 §3, RFC 9110 §7). Called by `proxy` for each request that a client sends.

use crate::http1::{
    Field, Framing, HeadError, Known, Limits, Parse, Version,
    grammar::{host_name_len, is_target, token_len},
    section::{Section, Span, field_access},
};

/// Empty lines that are skipped before a request line (RFC 9112 §2.2).
const MAX_EMPTY_LINES: usize = 4;
/// The longest method that is accepted.
const MAX_METHOD_BYTES: usize = 32;

/// A request head with a copy of its text. Made once and refilled, it stops allocating soon.
///
/// The accessors speak of the head that the last call of [`parse`](Self::parse) completed. When it was
/// partial or an error they mean nothing, but harm nobody.
#[derive(Debug, Default, Clone)]
pub struct RequestHead {
    pub(super) section: Section,
    version: Version,
    pub(super) method: Span,
    /// The method of the request that a question of ours is about, while it is asked.
    pub(super) about: Option<Span>,
    pub(super) target: Span,
    /// The target before it was changed on the way.
    asked: Span,
    pub(super) received_target: Span,
    pub(super) path: Span,
    pub(super) query: Option<Span>,
    /// From an absolute-form target, else from `Host`.
    authority: Option<Span>,
    pub(super) host_name: Span,
    pub(super) framing: Framing,
    keep_alive: bool,
    pub(super) expect_continue: bool,
    pub(super) upgrade: Option<Span>,
}

field_access!(RequestHead);

impl RequestHead {
    /// Forgets a head that was left partial, for the first head of another connection.
    pub fn reset(&mut self) {
        self.section.finish();
    }

    /// Tells that the head, which is parsed, came over HTTP/2 and was put into this form.
    pub fn came_over_http2(&mut self) {
        self.version = Version::Http2;
    }

    /// Parses the head at the start of `input`. At most four empty lines before it are skipped.
    ///
    /// After [`Parse::Partial`], call again with the same bytes and more behind them: reading goes on
    /// where it stopped, so bytes that trickle in cost no more than at once. After anything else the
    /// next call begins another head. Each line is judged as soon as it is complete.
    ///
    /// # Errors
    /// See [`HeadError`]; the connection is lost.
    pub fn parse(&mut self, input: &[u8], limits: &Limits) -> Result<Parse, HeadError> {
        if self.section.begins(input) {
            *self = Self { section: std::mem::take(&mut self.section), ..Self::default() };
        }
        let result = self.advance(input, limits);
        if result != Ok(Parse::Partial) {
            self.section.finish();
        }
        result
    }

    /// The method, a token of 1 to 32 bytes. Case matters.
    pub fn method(&self) -> &[u8] {
        self.method.of(&self.section.bytes)
    }

    /// The target to forward: origin-form, also when it came in absolute-form, or `*`.
    pub fn target(&self) -> &[u8] {
        self.target.of(&self.section.bytes)
    }

    /// The target that the client asked for, in origin-form or `*`, wherever the request went on.
    pub fn asked_target(&self) -> &[u8] {
        self.asked.of(&self.section.bytes)
    }

    /// The target as received, for the access log.
    pub fn received_target(&self) -> &[u8] {
        self.received_target.of(&self.section.bytes)
    }

    /// The path of the target as received, without the query; `*` for `OPTIONS *`.
    pub fn path(&self) -> &[u8] {
        self.path.of(&self.section.bytes)
    }

    /// What follows the first `?` of the target.
    pub fn query(&self) -> Option<&[u8]> {
        self.query.map(|query| query.of(&self.section.bytes))
    }

    /// `host[:port]` of an absolute-form target, else of `Host`; the field then has the same value.
    /// Empty for an HTTP/1.0 request that names no host. HTTP/1.0 may also leave out the field when the
    /// target names the host; what is sent on needs one.
    pub fn host(&self) -> &[u8] {
        self.authority.map_or(&[], |authority| authority.of(&self.section.bytes))
    }

    /// The host to route by: lower case, without port and final dot.
    pub fn host_name(&self) -> &[u8] {
        self.host_name.of(&self.section.bytes)
    }

    /// The version of the request line.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Where the body ends; never [`Framing::UntilClose`].
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the client will use the connection for another request.
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// Whether the client waits for a `100 Continue` before it sends its body.
    pub fn expect_continue(&self) -> bool {
        self.expect_continue
    }

    /// The protocols of `Upgrade`, when `Connection` names it and nothing forbids to follow: HTTP/1.1,
    /// one `Upgrade` field, no body. Ignoring an upgrade is always allowed (RFC 9110 §7.8).
    pub fn upgrade(&self) -> Option<&[u8]> {
        self.upgrade.map(|upgrade| upgrade.of(&self.section.bytes))
    }

    fn advance(&mut self, input: &[u8], limits: &Limits) -> Result<Parse, HeadError> {
        while self.section.awaits_start_line() {
            let line = self.section.next_line(input, limits).map_err(|error| match error {
                HeadError::TooLarge => HeadError::TargetTooLong,
                _ => HeadError::BadRequestLine,
            })?;
            match line {
                None => return Ok(Parse::Partial),
                Some([]) => {
                    if self.section.skip_line() > MAX_EMPTY_LINES * b"\r\n".len() {
                        return Err(HeadError::BadRequestLine);
                    }
                }
                Some(line) => {
                    self.read_request_line(line, limits)?;
                    self.section.start_fields();
                }
            }
        }
        let parse = self.section.read_fields(input, limits)?;
        if parse != Parse::Partial {
            if limits.unique && self.section.repeats_a_single_field() {
                return Err(HeadError::RepeatedField);
            }
            self.judge()?;
        }
        Ok(parse)
    }

    /// `method SP target SP version`, each separator exactly one space (RFC 9112 §3).
    fn read_request_line(&mut self, line: &[u8], limits: &Limits) -> Result<(), HeadError> {
        const MALFORMED: HeadError = HeadError::BadRequestLine;
        if line == b"PRI * HTTP/2.0" {
            return Err(HeadError::Http2Preface);
        }
        let (rest, version) = line.split_last_chunk().ok_or(MALFORMED)?;
        let (method, rest) = rest.split_at(token_len(rest));
        let target = rest.strip_prefix(b" ").and_then(|rest| rest.strip_suffix(b" "));
        let target = target.ok_or(MALFORMED)?;
        if method.is_empty() || method.len() > MAX_METHOD_BYTES {
            return Err(MALFORMED);
        }
        self.version = Version::parse(*version, MALFORMED)?;
        // A tunnel would be a mode of its own, and TRACE echoes secrets (RFC 9110 §9.3.6, §9.3.8).
        if matches!(method, b"CONNECT" | b"TRACE") {
            return Err(HeadError::MethodNotAllowed);
        }
        if target.len() > limits.max_target_bytes {
            return Err(HeadError::TargetTooLong);
        }
        if !is_target(target) {
            return Err(MALFORMED);
        }
        self.method = Span::new(0, method.len());
        self.read_target(target, method)
    }

    /// The forms of a target (RFC 9112 §3.2) except authority-form, which only CONNECT has.
    fn read_target(&mut self, target: &[u8], method: &[u8]) -> Result<(), HeadError> {
        let mut start = method.len() + 1;
        self.received_target = Span::new(start, target.len());
        let mut rest = target;
        if rest.first() != Some(&b'/') && (rest != b"*" || method != b"OPTIONS") {
            let scheme_len = scheme_len(rest).ok_or(HeadError::BadRequestLine)?;
            rest = &rest[scheme_len..];
            let authority_len = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
            self.authority = Some(Span::new(start + scheme_len, authority_len));
            rest = &rest[authority_len..];
            start += scheme_len + authority_len;
        }
        let path_len = memchr::memchr(b'?', rest).unwrap_or(rest.len());
        self.target = Span::new(start, rest.len());
        self.path = Span::new(start, path_len);
        self.query = (path_len < rest.len())
            .then(|| Span::new(start + path_len + 1, rest.len() - path_len - 1));
        Ok(())
    }

    /// The rules that need the whole head.
    fn judge(&mut self) -> Result<(), HeadError> {
        self.complete_target();
        self.asked = self.target;
        self.judge_host()?;
        let options = self.section.connection_options()?;
        if self.version == Version::Http10 && self.section.has(Known::TransferEncoding) {
            // Who does not know chunks would take the body for the next request.
            return Err(HeadError::BadFraming);
        }
        let chunked = self.section.is_chunked()?;
        self.framing = match self.section.content_length()? {
            _ if chunked => Framing::Chunked,
            None | Some(0) => Framing::None,
            Some(length) => Framing::Length(length),
        };
        self.keep_alive = options.persists(self.version);
        self.expect_continue = self.judge_expectation()?;
        let upgrade = self.section.fields.iter().find(|field| field.known == Known::Upgrade);
        self.upgrade = upgrade.map(|field| field.value).filter(|_| {
            options.upgrade
                && self.version == Version::Http11
                && self.framing == Framing::None
                && self.section.only(Known::Upgrade).is_some()
        });
        Ok(())
    }

    /// An absolute-form target without a path means `/`, or `*` for OPTIONS (RFC 9112 §3.2.1, §3.2.4).
    fn complete_target(&mut self) {
        if self.path.len() > 0 {
            return;
        }
        let is_asterisk = self.query.is_none() && self.method() == b"OPTIONS";
        let bytes = &mut self.section.bytes;
        let start = bytes.len();
        bytes.push(if is_asterisk { b'*' } else { b'/' });
        self.path = Span::new(start, 1);
        // The old target is empty or the query with its `?`.
        let query = self.target.start()..self.target.start() + self.target.len();
        bytes.extend_from_within(query);
        self.target = Span::new(start, bytes.len() - start);
    }

    /// One valid `Host` in HTTP/1.1, one at most in HTTP/1.0; an absolute-form target wins and is
    /// written over it (RFC 9112 §3.2, §3.2.2).
    fn judge_host(&mut self) -> Result<(), HeadError> {
        let mut hosts = self.section.fields.iter().filter(|field| field.known == Known::Host);
        let host = hosts.next().map(|field| field.value);
        if hosts.next().is_some() || (host.is_none() && self.version == Version::Http11) {
            return Err(HeadError::BadHost);
        }
        let bytes = &self.section.bytes;
        if let (Some(_), Some(host)) = (self.authority, host)
            && host_name_len(host.of(bytes)).is_none()
        {
            return Err(HeadError::BadHost);
        }
        self.authority = self.authority.or(host);
        let Some(authority) = self.authority else {
            return Ok(());
        };
        let name_len = host_name_len(authority.of(bytes)).ok_or(HeadError::BadHost)?;
        let name = &authority.of(bytes)[..name_len];
        let name = name.strip_suffix(b".").unwrap_or(name);
        if name.is_empty() {
            return Err(HeadError::BadHost);
        }
        self.host_name = Span::new(authority.start(), name.len());
        if name.iter().any(u8::is_ascii_uppercase) {
            let bytes = &mut self.section.bytes;
            let start = bytes.len();
            bytes.extend_from_within(authority.start()..authority.start() + self.host_name.len());
            bytes[start..].make_ascii_lowercase();
            self.host_name = Span::new(start, self.host_name.len());
        }
        if host.is_some_and(|host| host != authority) {
            self.section.replace(Known::Host, authority);
        }
        Ok(())
    }

    /// `100-continue` is the only expectation there is. It means nothing in HTTP/1.0 and without a
    /// body (RFC 9110 §10.1.1).
    fn judge_expectation(&self) -> Result<bool, HeadError> {
        if !self.section.has(Known::Expect) {
            return Ok(false);
        }
        let mut expectations = self.section.all(Known::Expect);
        if !expectations.all(|expectation| expectation.eq_ignore_ascii_case(b"100-continue")) {
            return Err(HeadError::UnknownExpectation);
        }
        Ok(self.version == Version::Http11 && self.framing != Framing::None)
    }
}

/// The length of `http://` or `https://`, in any case, at the start of a target.
fn scheme_len(target: &[u8]) -> Option<usize> {
    [&b"http://"[..], b"https://"].into_iter().map(<[u8]>::len).find(|&len| {
        let start = target.get(..len).unwrap_or_default();
        start.eq_ignore_ascii_case(b"http://") || start.eq_ignore_ascii_case(b"https://")
    })
}

//! Field names that a rule of ours asks for, recognised once per field while a head is parsed, so that
//! every later pass compares a byte instead of a name. Called by `section`; by `proxy` for the names in
//! an operator's header rules.

use crate::http1::grammar::is_same;

/// A field name that some rule asks for, or [`Known::Other`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Known {
    /// Any other name.
    Other,
    /// `Authorization`
    Authorization,
    /// `Connection`
    Connection,
    /// `Content-Length`
    ContentLength,
    /// `Content-Type`
    ContentType,
    /// `Cookie`
    Cookie,
    /// `Date`
    Date,
    /// `Expect`
    Expect,
    /// `Forwarded`
    Forwarded,
    /// `Host`
    Host,
    /// `HTTP2-Settings`
    Http2Settings,
    /// `Keep-Alive`
    KeepAlive,
    /// `Location`
    Location,
    /// `Proxy-Authorization`
    ProxyAuthorization,
    /// `Proxy-Connection`
    ProxyConnection,
    /// `Referer`
    Referer,
    /// `Retry-After`
    RetryAfter,
    /// `Server`
    Server,
    /// `Set-Cookie`
    SetCookie,
    /// `TE`
    Te,
    /// `Trailer`
    Trailer,
    /// `Transfer-Encoding`
    TransferEncoding,
    /// `Upgrade`
    Upgrade,
    /// `User-Agent`
    UserAgent,
    /// `Via`
    Via,
    /// `X-Forwarded-For`
    XForwardedFor,
    /// `X-Forwarded-Host`
    XForwardedHost,
    /// `X-Forwarded-Proto`
    XForwardedProto,
    /// `X-Real-IP`
    XRealIp,
    /// `X-Request-Id`
    XRequestId,
}

impl Known {
    /// One bit per name, for sets of names in a `u64`.
    pub(super) fn bit(self) -> u64 {
        1 << self as u8
    }
}

/// Recognises a field name, a token, in any case. Length and first letter leave one candidate, so the
/// cost is one comparison at most.
#[inline]
pub fn classify(name: &[u8]) -> Known {
    let Some(first) = name.first() else {
        return Known::Other;
    };
    let (is_known, known) = match (name.len(), first.to_ascii_lowercase()) {
        (2, b't') => (is_same(name, b"te"), Known::Te),
        (3, b'v') => (is_same(name, b"via"), Known::Via),
        (4, b'd') => (is_same(name, b"date"), Known::Date),
        (4, b'h') => (is_same(name, b"host"), Known::Host),
        (6, b'c') => (is_same(name, b"cookie"), Known::Cookie),
        (6, b'e') => (is_same(name, b"expect"), Known::Expect),
        (6, b's') => (is_same(name, b"server"), Known::Server),
        (7, b'r') => (is_same(name, b"referer"), Known::Referer),
        (7, b't') => (is_same(name, b"trailer"), Known::Trailer),
        (7, b'u') => (is_same(name, b"upgrade"), Known::Upgrade),
        (8, b'l') => (is_same(name, b"location"), Known::Location),
        (9, b'f') => (is_same(name, b"forwarded"), Known::Forwarded),
        (9, b'x') => (is_same(name, b"x-real-ip"), Known::XRealIp),
        (10, b'c') => (is_same(name, b"connection"), Known::Connection),
        (10, b'k') => (is_same(name, b"keep-alive"), Known::KeepAlive),
        (10, b's') => (is_same(name, b"set-cookie"), Known::SetCookie),
        (10, b'u') => (is_same(name, b"user-agent"), Known::UserAgent),
        (11, b'r') => (is_same(name, b"retry-after"), Known::RetryAfter),
        (12, b'c') => (is_same(name, b"content-type"), Known::ContentType),
        (12, b'x') => (is_same(name, b"x-request-id"), Known::XRequestId),
        (13, b'a') => (is_same(name, b"authorization"), Known::Authorization),
        (14, b'c') => (is_same(name, b"content-length"), Known::ContentLength),
        (14, b'h') => (is_same(name, b"http2-settings"), Known::Http2Settings),
        (15, b'x') => (is_same(name, b"x-forwarded-for"), Known::XForwardedFor),
        (16, b'p') => (is_same(name, b"proxy-connection"), Known::ProxyConnection),
        (16, b'x') => (is_same(name, b"x-forwarded-host"), Known::XForwardedHost),
        (17, b't') => (is_same(name, b"transfer-encoding"), Known::TransferEncoding),
        (17, b'x') => (is_same(name, b"x-forwarded-proto"), Known::XForwardedProto),
        (19, b'p') => (is_same(name, b"proxy-authorization"), Known::ProxyAuthorization),
        _ => return Known::Other,
    };
    if is_known { known } else { Known::Other }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [(&str, Known); 29] = [
        ("Authorization", Known::Authorization),
        ("Connection", Known::Connection),
        ("Content-Length", Known::ContentLength),
        ("Content-Type", Known::ContentType),
        ("Cookie", Known::Cookie),
        ("Date", Known::Date),
        ("Expect", Known::Expect),
        ("Forwarded", Known::Forwarded),
        ("Host", Known::Host),
        ("HTTP2-Settings", Known::Http2Settings),
        ("Keep-Alive", Known::KeepAlive),
        ("Location", Known::Location),
        ("Proxy-Authorization", Known::ProxyAuthorization),
        ("Proxy-Connection", Known::ProxyConnection),
        ("Referer", Known::Referer),
        ("Retry-After", Known::RetryAfter),
        ("Server", Known::Server),
        ("Set-Cookie", Known::SetCookie),
        ("TE", Known::Te),
        ("Trailer", Known::Trailer),
        ("Transfer-Encoding", Known::TransferEncoding),
        ("Upgrade", Known::Upgrade),
        ("User-Agent", Known::UserAgent),
        ("Via", Known::Via),
        ("X-Forwarded-For", Known::XForwardedFor),
        ("X-Forwarded-Host", Known::XForwardedHost),
        ("X-Forwarded-Proto", Known::XForwardedProto),
        ("X-Real-IP", Known::XRealIp),
        ("X-Request-Id", Known::XRequestId),
    ];

    #[test]
    fn every_name_is_recognised_in_any_case() {
        for (place, (name, known)) in NAMES.into_iter().enumerate() {
            assert_eq!(known as usize, place + 1, "{name} is missing or out of order");
            assert_eq!(classify(name.as_bytes()), known);
            assert_eq!(classify(name.to_ascii_lowercase().as_bytes()), known);
            assert_eq!(classify(name.to_ascii_uppercase().as_bytes()), known);
        }
    }

    #[test]
    fn a_name_that_differs_in_one_byte_is_another_name() {
        for (name, known) in NAMES {
            for at in 0..name.len() {
                let mut other = name.as_bytes().to_vec();
                other[at] = b'_';
                assert_ne!(classify(&other), known, "{}", other.escape_ascii());
            }
        }
        assert_eq!(classify(b""), Known::Other);
        assert_eq!(classify(b"Accept"), Known::Other);
    }
}

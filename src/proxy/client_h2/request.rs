//! The head of a request, from HTTP/2's fields to the text that a client over HTTP/1.1 would have
//! sent (RFC 9113 §8.3.1).
//!
//! Our parser then judges it as it judges all others: hosts, lengths, targets and the size of it all
//! have one rule. What only HTTP/2 can say is looked at here; what makes a request malformed there
//! (§8.1.1: names in upper case, fields about the connection, pseudo-fields out of place, lengths
//! that do not fit the data) has been refused by `h2` with a reset.

use h2::ext::Protocol;
use http::header;
use http::request::Parts;
use http::{HeaderValue, Method};

use crate::http1::HeadError;
use crate::http1::encode::{CRLF, push_end, push_field, push_request_line};
use crate::proxy::client_h2::channel::{Asked, Form};

/// The fields of a WebSocket's opening that HTTP/2 has none of (RFC 8441 §5). Answers are matched to
/// their streams, so that the key need not be a surprise to anybody.
const KEY: &[u8] = b"cGxpbXNvbGwgb3ZlciBoMg==";

/// What was told of a request beside its fields.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    pub(super) asked: Asked,
    pub(super) form: Form,
    /// Bytes of the body, if it says so and is no tunnel's.
    pub(super) length: Option<u64>,
}

/// Writes the head as HTTP/1.1. `empty`: no body follows.
///
/// # Errors
/// It says two things at once, or asks for what no backend would be asked for.
pub(super) fn write(out: &mut Vec<u8>, parts: &Parts, empty: bool) -> Result<Told, HeadError> {
    let tunnel = parts.extensions.get::<Protocol>();
    let asked = match parts.method {
        Method::CONNECT if tunnel.is_some() => Asked::Tunnel,
        Method::HEAD => Asked::Head,
        _ => Asked::Other,
    };
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let method = if asked == Asked::Tunnel { "GET" } else { parts.method.as_str() };
    if method == "CONNECT" {
        return Err(HeadError::MethodNotAllowed);
    }
    // Another form would name a host once more.
    if !target.starts_with('/') && (target != "*" || parts.method != Method::OPTIONS) {
        return Err(HeadError::BadRequestLine);
    }
    if !crate::http1::is_target(target.as_bytes()) {
        return Err(HeadError::BadRequestLine);
    }
    if parts.uri.scheme_str().is_some_and(|scheme| scheme != "http" && scheme != "https") {
        return Err(HeadError::BadRequestLine);
    }
    push_request_line(out, method.as_bytes(), target.as_bytes());
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    if let Some(authority) = authority {
        push_field(out, b"Host", authority.as_bytes());
    }
    let (mut cookies, mut length, mut has_host) = (0, None, false);
    for (name, value) in &parts.headers {
        match *name {
            header::HOST if has_host => return Err(HeadError::BadHost),
            header::HOST if authority.is_some_and(|named| is_same(named, value)) => {
                has_host = true;
                continue;
            }
            header::HOST if authority.is_some() => return Err(HeadError::BadHost),
            header::COOKIE => {
                cookies += 1;
                continue;
            }
            header::CONTENT_LENGTH => {
                length = value.to_str().ok().and_then(|length| length.parse().ok());
                // Whether nothing follows is known at the end of the stream only.
                if length == Some(0) && !empty {
                    continue;
                }
            }
            _ => {}
        }
        push_field(out, name.as_ref(), value.as_bytes());
    }
    if cookies > 0 {
        push_cookies(out, parts);
    }
    if let Some(protocol) = tunnel {
        push_field(out, b"Connection", b"upgrade");
        push_field(out, b"Upgrade", protocol.as_str().as_bytes());
        if protocol.as_str().eq_ignore_ascii_case("websocket")
            && !parts.headers.contains_key(header::SEC_WEBSOCKET_KEY)
        {
            push_field(out, b"Sec-WebSocket-Key", KEY);
        }
    }
    let form = if empty || length.is_some_and(|length| length > 0) || asked == Asked::Tunnel {
        Form::Plain
    } else {
        push_field(out, b"Transfer-Encoding", b"chunked");
        Form::Chunks
    };
    push_end(out);
    Ok(Told { asked, form, length: length.filter(|_| asked != Asked::Tunnel) })
}

/// Whether `Host` names what `:authority` does.
fn is_same(authority: &str, host: &HeaderValue) -> bool {
    host.as_bytes().eq_ignore_ascii_case(authority.as_bytes())
}

/// Cookies that came in pieces are one field again (§8.2.3).
fn push_cookies(out: &mut Vec<u8>, parts: &Parts) {
    let crumbs = parts.headers.get_all(header::COOKIE).iter();
    let before = out.len();
    for crumb in crumbs {
        let between: &[u8] = if out.len() == before { b"Cookie: " } else { b"; " };
        out.extend_from_slice(between);
        out.extend_from_slice(crumb.as_bytes());
    }
    out.extend_from_slice(CRLF);
}

/// The first line of a request that was refused, for the access log.
pub(super) fn first_line(parts: &Parts) -> Vec<u8> {
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    format!("{} {target} HTTP/2.0", parts.method).into_bytes()
}

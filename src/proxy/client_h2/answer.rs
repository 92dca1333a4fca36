//! The head of an answer, from the text that our writers make to HTTP/2's fields (RFC 9113 §8.2.2,
//! §8.3.2).

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use crate::http1::Framing;
use crate::proxy::client_h2::channel::Asked;

/// An answer's head, and how its body is framed where it follows.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) response: Response<()>,
    pub(super) body: Framing,
}

/// Fields for which there is room from the start.
const USUAL_FIELDS: usize = 12;

/// The length of the head that begins these bytes, if it is whole.
pub(super) fn head_len(bytes: &[u8]) -> Option<usize> {
    Some(memchr::memmem::find(bytes, b"\r\n\r\n")? + 4)
}

/// Reads a whole head. `None`: it cannot be said in HTTP/2, which would be a fault of our writers, or
/// it would open a tunnel that the backend has not.
pub(super) fn read(head: &[u8], request: Asked) -> Option<Answer> {
    let text = Bytes::copy_from_slice(head);
    let mut status = StatusCode::from_bytes(head.get(9..12)?).ok()?;
    let switched = status == StatusCode::SWITCHING_PROTOCOLS;
    if request == Asked::Tunnel {
        // Only this status says that the backend has switched (RFC 8441 §5).
        if switched {
            status = StatusCode::OK;
        } else if status.is_success() {
            return None;
        }
    } else if switched {
        return None;
    }
    let mut response = Response::new(());
    *response.status_mut() = status;
    let fields = response.headers_mut();
    // As many as usual answers have: growing means to sort all of them in again.
    fields.reserve(USUAL_FIELDS);
    let mut body = Framing::None;
    let mut begin = memchr::memchr(b'\n', head)? + 1;
    loop {
        let end = begin + memchr::memchr(b'\r', head.get(begin..)?)?;
        if end == begin {
            break;
        }
        let line = &head[begin..end];
        let colon = memchr::memchr(b':', line)?;
        let value = begin + colon + 1 + usize::from(line.get(colon + 1) == Some(&b' '));
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        match name.as_str() {
            "transfer-encoding" => body = Framing::Chunked,
            "connection" | "keep-alive" | "proxy-connection" | "upgrade" => {}
            // Of the handshake that HTTP/2 has none of (RFC 8441 §5).
            "sec-websocket-accept" if switched => {}
            _ => {
                let value = HeaderValue::from_maybe_shared(text.slice(value..end)).ok()?;
                if name == CONTENT_LENGTH {
                    body = Framing::Length(value.to_str().ok()?.parse().ok()?);
                }
                fields.append(name, value);
            }
        }
        begin = end + 2;
    }
    if request == Asked::Head || switched || matches!(status.as_u16(), 204 | 304) {
        body = Framing::None;
    }
    Some(Answer { response, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(answer: &Answer) -> Vec<(&str, &str)> {
        let fields = answer.response.headers().iter();
        fields.map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect()
    }

    #[test]
    fn what_is_about_the_connection_stays_behind() {
        let head = b"HTTP/1.1 200 OK\r\nDate: now\r\nX-A: 1\r\nx-a:2\r\nX-Empty: \r\n\
            Content-Length: 7\r\nConnection: close\r\nKeep-Alive: timeout=5\r\n\r\n";
        assert_eq!(head_len(head), Some(head.len()));
        assert_eq!(head_len(&head[..head.len() - 1]), None);
        let answer = read(head, Asked::Other).unwrap();
        assert_eq!(answer.response.status(), 200);
        assert_eq!(answer.body, Framing::Length(7));
        let expected =
            [("date", "now"), ("x-a", "1"), ("x-a", "2"), ("x-empty", ""), ("content-length", "7")];
        assert_eq!(fields(&answer), expected);
    }

    #[test]
    fn bodies_are_where_http_has_them() {
        let body = |text: &str, request| {
            read(format!("HTTP/1.1 {text}\r\n\r\n").as_bytes(), request).map(|answer| answer.body)
        };
        let length = Some(Framing::Length(3));
        assert_eq!(body("200 OK\r\nContent-Length: 3", Asked::Other), length);
        assert_eq!(
            body("200 \r\nTransfer-Encoding: chunked", Asked::Other),
            Some(Framing::Chunked)
        );
        for (text, request) in [
            ("200 OK\r\nContent-Length: 3", Asked::Head),
            ("304 Not Modified\r\nContent-Length: 3", Asked::Other),
            ("204 No Content", Asked::Other),
            ("200 OK", Asked::Other),
        ] {
            assert_eq!(body(text, request), Some(Framing::None), "{text}");
        }
        assert_eq!(body("2x0 OK", Asked::Other), None);
    }

    #[test]
    fn a_tunnel_is_open_when_the_backend_has_switched_and_only_then() {
        let switched = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\
            Upgrade: websocket\r\nSec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
        let answer = read(switched, Asked::Tunnel).unwrap();
        assert_eq!(answer.response.status(), 200);
        assert_eq!(fields(&answer), [("sec-websocket-protocol", "chat")]);
        assert!(read(switched, Asked::Other).is_none());
        assert!(read(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Asked::Tunnel).is_none());
        let refused = read(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", Asked::Tunnel).unwrap();
        assert_eq!(refused.response.status(), 403);
    }
}

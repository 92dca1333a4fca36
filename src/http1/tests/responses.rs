//! Raw responses: the class of attack or rule, the request's method, the bytes, the verdict.

use super::heads::{Verdict, parse_response};
use crate::http1::{
    Framing::{self, Chunked, Length, UntilClose},
    HeadError::{BadFraming, BadHeader, BadStatusLine, UnknownTransferCoding, UnsupportedVersion},
};

const NONE: Verdict = Ok(Some(Framing::None));
const CHUNKED: Verdict = Ok(Some(Chunked));
const FIVE: Verdict = Ok(Some(Length(5)));
const CLOSE: Verdict = Ok(Some(UntilClose));
const PARTIAL: Verdict = Ok(None);

/// Every response of the corpus: source, method of the request, bytes, verdict.
pub(super) const CORPUS: &[(&str, &str, &[u8], Verdict)] = &[
    // Framing by status, method and fields.
    ("9112 6.3 length", "GET", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", FIVE),
    ("9112 6.3 length 0", "GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", NONE),
    ("9112 6.3 chunked", "GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", CHUNKED),
    ("9112 6.3 until close", "GET", b"HTTP/1.1 200 OK\r\n\r\n", CLOSE),
    ("9112 6.3 until close, 1.0", "GET", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", CLOSE),
    ("9112 6.3 HEAD", "HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", NONE),
    ("9112 6.3 HEAD chunked", "HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", NONE),
    ("9112 6.3 HEAD without fields", "HEAD", b"HTTP/1.1 200 OK\r\n\r\n", NONE),
    ("9112 6.3 method is case-sensitive", "head", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", FIVE),
    ("9112 6.3 204", "GET", b"HTTP/1.1 204 No Content\r\n\r\n", NONE),
    ("204 with a body", "GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", NONE),
    ("204 chunked", "GET", b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", NONE),
    ("9112 6.3 304", "GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", NONE),
    ("205 has a body", "GET", b"HTTP/1.1 205 Reset Content\r\nContent-Length: 5\r\n\r\n", FIVE),
    ("9110 15.2 100", "GET", b"HTTP/1.1 100 Continue\r\n\r\n", NONE),
    ("9110 15.2 103", "GET", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200", NONE),
    ("9110 15.2 100 with a length", "GET", b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n", NONE),
    ("9110 15.2.2 101", "GET", b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x00", NONE),
    ("unknown status 9110 15", "GET", b"HTTP/1.1 599 \r\nContent-Length: 5\r\n\r\n", FIVE),
    // Contradictory framing.
    ("CL twice, equal", "GET", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", FIVE),
    ("CL twice, differing", "GET", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", Err(BadFraming)),
    ("CL list, differing", "GET", b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n", Err(BadFraming)),
    ("CL twice, differing, to HEAD", "HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", Err(BadFraming)),
    ("CL malformed", "GET", b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n", Err(BadFraming)),
    ("CL +5", "GET", b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n", Err(BadFraming)),
    ("CL empty", "GET", b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", Err(BadFraming)),
    ("CL 2^63", "GET", b"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\n", Err(BadFraming)),
    ("CL malformed in a 304", "GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: x\r\n\r\n", Err(BadFraming)),
    ("CL and TE", "GET", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", Err(BadFraming)),
    ("CL and TE to HEAD", "HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", Err(BadFraming)),
    ("TE unknown", "GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Err(UnknownTransferCoding)),
    ("TE identity", "GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", Err(UnknownTransferCoding)),
    ("TE twice", "GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", Err(BadFraming)),
    ("TE list", "GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", Err(BadFraming)),
    ("TE in 1.0 9112 6.1", "GET", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Err(BadFraming)),
    // Status line.
    ("no reason, no space", "GET", b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n", FIVE),
    ("9112 4 empty reason", "GET", b"HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\n", FIVE),
    ("9112 4 obs-text in the reason", "GET", b"HTTP/1.1 404 Nicht gef\xfcnden\r\nContent-Length: 5\r\n\r\n", FIVE),
    ("control in the reason", "GET", b"HTTP/1.1 200 O\x00K\r\nContent-Length: 5\r\n\r\n", Err(BadStatusLine)),
    ("bare CR in the reason", "GET", b"HTTP/1.1 200 OK\rX: y\r\nContent-Length: 5\r\n\r\n", Err(BadStatusLine)),
    ("bad status: two digits", "GET", b"HTTP/1.1 20 OK\r\n\r\n", Err(BadStatusLine)),
    ("bad status: four digits", "GET", b"HTTP/1.1 2000 OK\r\n\r\n", Err(BadStatusLine)),
    ("bad status: 099", "GET", b"HTTP/1.1 099 X\r\n\r\n", Err(BadStatusLine)),
    ("bad status: 600", "GET", b"HTTP/1.1 600 X\r\n\r\n", Err(BadStatusLine)),
    ("bad status: 999", "GET", b"HTTP/1.1 999 X\r\n\r\n", Err(BadStatusLine)),
    ("bad status: letters", "GET", b"HTTP/1.1 2x0 X\r\n\r\n", Err(BadStatusLine)),
    ("bad status: sign", "GET", b"HTTP/1.1 +20 X\r\n\r\n", Err(BadStatusLine)),
    ("bad status: none", "GET", b"HTTP/1.1\r\n\r\n", Err(BadStatusLine)),
    ("bad status: glued reason", "GET", b"HTTP/1.1 200OK\r\n\r\n", Err(BadStatusLine)),
    ("two spaces before the status", "GET", b"HTTP/1.1  200 OK\r\n\r\n", Err(BadStatusLine)),
    ("tab before the status", "GET", b"HTTP/1.1\t200 OK\r\n\r\n", Err(BadStatusLine)),
    ("tab after the status", "GET", b"HTTP/1.1 200\tOK\r\n\r\n", Err(BadStatusLine)),
    ("HTTP/2.0", "GET", b"HTTP/2.0 200 OK\r\n\r\n", Err(UnsupportedVersion)),
    ("HTTP/1.2", "GET", b"HTTP/1.2 200 OK\r\n\r\n", Err(UnsupportedVersion)),
    ("HTTP/1.10", "GET", b"HTTP/1.10 200 OK\r\n\r\n", Err(BadStatusLine)),
    ("lower-case version", "GET", b"http/1.1 200 OK\r\n\r\n", Err(BadStatusLine)),
    ("HTTP/0.9 garbage", "GET", b"<html>", Err(BadStatusLine)),
    ("another protocol", "GET", b"ICY 200 OK\r\n\r\n", Err(BadStatusLine)),
    ("SSH", "GET", b"SSH-2.0-OpenSSH_9.2\r\n", Err(BadStatusLine)),
    ("empty line before", "GET", b"\r\nHTTP/1.1 200 OK\r\n\r\n", Err(BadStatusLine)),
    ("space before", "GET", b" HTTP/1.1 200 OK\r\n\r\n", Err(BadStatusLine)),
    // Lines.
    ("bare LF after the status line", "GET", b"HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\n", Err(BadStatusLine)),
    ("bare LF after a field", "GET", b"HTTP/1.1 200 OK\r\nContent-Length: 5\n\r\n", Err(BadHeader)),
    ("bare LF as the end", "GET", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\n", Err(BadHeader)),
    ("obs-fold 9112 5.2", "GET", b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", Err(BadHeader)),
    ("space before colon 9112 5.1", "GET", b"HTTP/1.1 200 OK\r\nX : a\r\n\r\n", Err(BadHeader)),
    ("empty name", "GET", b"HTTP/1.1 200 OK\r\n: a\r\n\r\n", Err(BadHeader)),
    ("no colon", "GET", b"HTTP/1.1 200 OK\r\nX\r\n\r\n", Err(BadHeader)),
    ("NUL in a value", "GET", b"HTTP/1.1 200 OK\r\nX: a\x00\r\n\r\n", Err(BadHeader)),
    ("bare CR in a value: splitting", "GET", b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\n\r\n", Err(BadHeader)),
    ("control in a value", "GET", b"HTTP/1.1 200 OK\r\nX: a\x08b\r\n\r\n", Err(BadHeader)),
    ("8-bit in a value", "GET", b"HTTP/1.1 200 OK\r\nX: \xff\r\nContent-Length: 5\r\n\r\n", FIVE),
    ("HTAB in a value", "GET", b"HTTP/1.1 200 OK\r\nX: a\tb\r\nContent-Length: 5\r\n\r\n", FIVE),
    // Not complete yet.
    ("nothing yet", "GET", b"", PARTIAL),
    ("half a version", "GET", b"HTT", PARTIAL),
    ("half a status line", "GET", b"HTTP/1.1 20", PARTIAL),
    ("no empty line", "GET", b"HTTP/1.1 200 OK\r\nX: a\r\n", PARTIAL),
];

#[test]
fn every_response_gets_its_verdict() {
    for (source, method, input, verdict) in CORPUS {
        assert_eq!(parse_response(input, method), *verdict, "{source}");
    }
    assert!(CORPUS.len() >= 50, "{} responses", CORPUS.len());
}

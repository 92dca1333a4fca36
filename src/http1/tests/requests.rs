//! Raw requests: the class of attack or rule, the bytes, the verdict.

use super::heads::{Verdict, parse_request};
use crate::http1::{
    Framing::{self, Chunked, Length},
    HeadError::{
        BadFraming, BadHeader, BadHost, BadRequestLine, Http2Preface, MethodNotAllowed,
        UnknownExpectation, UnknownTransferCoding, UnsupportedVersion,
    },
    Parse, RequestHead,
};

const NONE: Verdict = Ok(Some(Framing::None));
const CHUNKED: Verdict = Ok(Some(Chunked));
const FIVE: Verdict = Ok(Some(Length(5)));
const PARTIAL: Verdict = Ok(None);

/// Every request of the corpus: source, bytes, verdict.
pub(super) const CORPUS: &[(&str, &[u8], Verdict)] = &[
    // Plain messages.
    ("9112 2.1 plain", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", NONE),
    ("9112 2.1 no fields, 1.0", b"GET / HTTP/1.0\r\n\r\n", NONE),
    ("9112 2.1 body follows", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", FIVE),
    ("9112 2.1 next request follows", b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n", NONE),
    ("9112 2.1 nothing yet", b"", PARTIAL),
    ("9112 2.1 start line only", b"GET / HTTP/1.1\r\n", PARTIAL),
    ("9112 2.1 no empty line", b"GET / HTTP/1.1\r\nHost: a\r\n", PARTIAL),
    ("9112 2.1 half an empty line", b"GET / HTTP/1.1\r\nHost: a\r\n\r", PARTIAL),
    ("9110 9.1 extension method", b"PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n", NONE),
    ("9110 9.1 lower-case method is another", b"get / HTTP/1.1\r\nHost: a\r\n\r\n", NONE),
    ("9110 9.1 token method", b"M-SEARCH!#$%&'*+.^_`|~1 / HTTP/1.1\r\nHost: a\r\n\r\n", NONE),
    ("9110 9.1 32 bytes of method", b"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF / HTTP/1.1\r\nHost: a\r\n\r\n", NONE),
    ("9110 9.1 33 bytes of method", b"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    // CL.TE, TE.CL.
    ("CL.TE 9112 6.1", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", Err(BadFraming)),
    ("TE.CL 9112 6.1", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", Err(BadFraming)),
    ("CL.TE with CL 0", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", Err(BadFraming)),
    ("CL.TE with bad CL", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\nTransfer-Encoding: chunked\r\n\r\n", Err(BadFraming)),
    ("CL.TE with unknown TE", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: gzip\r\n\r\n", Err(BadFraming)),
    ("CL.TE hidden by nomination", b"POST / HTTP/1.1\r\nHost: a\r\nConnection: Content-Length\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", Err(BadFraming)),
    // TE.TE.
    ("TE 9112 7.1", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", CHUNKED),
    ("TE case", b"POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: CHUNKED\r\n\r\n", CHUNKED),
    ("TE white space around", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\t chunked \t\r\n\r\n", CHUNKED),
    ("TE.TE xchunked", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", Err(UnknownTransferCoding)),
    ("TE.TE chunked twice in a list", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", Err(BadFraming)),
    ("TE.TE two lines", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", Err(BadFraming)),
    ("TE.TE two lines, second odd", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", Err(BadFraming)),
    ("TE.TE two lines, first odd", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\ntransfer-encoding: chunked\r\n\r\n", Err(BadFraming)),
    ("TE.TE trailing comma", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked,\r\n\r\n", Err(BadFraming)),
    ("TE.TE leading comma", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: , chunked\r\n\r\n", Err(BadFraming)),
    ("TE.TE VT", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n", Err(BadHeader)),
    ("TE.TE NUL", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\x00\r\n\r\n", Err(BadHeader)),
    ("TE.TE quotes", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n", Err(BadFraming)),
    ("TE.TE parameter", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n", Err(BadFraming)),
    ("TE.TE fold", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n", Err(BadHeader)),
    ("TE.TE empty", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", Err(BadFraming)),
    ("TE.TE two words", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked identity\r\n\r\n", Err(BadFraming)),
    ("TE.TE 8-bit", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \xa0chunked\r\n\r\n", Err(BadFraming)),
    ("TE.TE space before colon", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n", Err(BadHeader)),
    ("TE.TE underscore is another name", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\n\r\n", NONE),
    ("TE 9112 6.1 unknown coding", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Err(UnknownTransferCoding)),
    ("TE 9112 6.3 final coding not chunked", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", Err(UnknownTransferCoding)),
    ("TE identity", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", Err(UnknownTransferCoding)),
    ("TE in 1.0 9112 6.1", b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", Err(BadFraming)),
    ("TE in 1.0 unknown", b"POST / HTTP/1.0\r\nTransfer-Encoding: x\r\n\r\n", Err(BadFraming)),
    // CL.0, TE.0.
    ("CL.0 GET with a body 9110 9.3.1", b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", FIVE),
    ("CL.0 HEAD with a body", b"HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", FIVE),
    ("CL.0 DELETE with a body", b"DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", FIVE),
    ("TE.0 OPTIONS with a body", b"OPTIONS * HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", CHUNKED),
    ("9112 6.3 POST without length", b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", NONE),
    ("9112 6.3 length 0", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", NONE),
    // Duplicate and listed lengths.
    ("CL twice, equal 9112 6.3", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", FIVE),
    ("CL list, equal", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5,5\r\n\r\n", FIVE),
    ("CL twice, equal numbers", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\ncontent-length: 05\r\n\r\n", FIVE),
    ("CL twice, differing", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", Err(BadFraming)),
    ("CL list, differing", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 6\r\n\r\n", Err(BadFraming)),
    ("CL twice, one empty", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length:\r\n\r\n", Err(BadFraming)),
    ("CL list, empty element", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5,\r\n\r\n", Err(BadFraming)),
    // Syntax of lengths.
    ("CL +5 CVE-2021-32715", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n", Err(BadFraming)),
    ("CL -5", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n", Err(BadFraming)),
    ("CL 0x5", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\n", Err(BadFraming)),
    ("CL 5abc", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5abc\r\n\r\n", Err(BadFraming)),
    ("CL empty CVE-2023-40225", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", Err(BadFraming)),
    ("CL VT", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \x0b5\r\n\r\n", Err(BadHeader)),
    ("CL inner space", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 5\r\n\r\n", Err(BadFraming)),
    ("CL fraction", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5.0\r\n\r\n", Err(BadFraming)),
    ("CL quotes", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \"5\"\r\n\r\n", Err(BadFraming)),
    ("CL underscore in digits", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1_0\r\n\r\n", Err(BadFraming)),
    ("CL 2^63-1", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775807\r\n\r\n", Ok(Some(Length(9_223_372_036_854_775_807)))),
    ("CL 2^63", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\n", Err(BadFraming)),
    ("CL 2^64", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n", Err(BadFraming)),
    ("CL 2^64+5", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\n", Err(BadFraming)),
    ("CL leading zeros", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0000000000000000000000005\r\n\r\n", FIVE),
    // Line ends.
    ("bare LF after the request line 9112 2.2", b"GET / HTTP/1.1\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("bare LF after a field", b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", Err(BadHeader)),
    ("bare LF as the end", b"GET / HTTP/1.1\r\nHost: a\r\n\n", Err(BadHeader)),
    ("bare LF only", b"GET / HTTP/1.1\nHost: a\n\n", Err(BadRequestLine)),
    ("bare CR in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: b\rY: c\r\n\r\n", Err(BadHeader)),
    ("bare CR as line end", b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", Err(BadHeader)),
    ("CR CR LF after a field", b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", Err(BadHeader)),
    ("CR CR LF as the end", b"GET / HTTP/1.1\r\nHost: a\r\n\r\r\n", Err(BadHeader)),
    ("CR CR LF after the request line", b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("bare CR in the request line", b"GET /\rX HTTP/1.1\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("empty lines before 9112 2.2", b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", NONE),
    ("four empty lines before", b"\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", NONE),
    ("five empty lines before", b"\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("bare LF before", b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("bare CR before", b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("space before", b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    // obs-fold.
    ("obs-fold 9112 5.2 SP", b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", Err(BadHeader)),
    ("obs-fold HTAB", b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc: d\r\n\r\n", Err(BadHeader)),
    ("obs-fold on the first field 9112 2.2", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", Err(BadHeader)),
    ("obs-fold of nothing", b"GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n", Err(BadHeader)),
    // Names.
    ("space before colon 9112 5.1", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", Err(BadHeader)),
    ("tab before colon", b"GET / HTTP/1.1\r\nHost: a\r\nX\t: b\r\n\r\n", Err(BadHeader)),
    ("empty name CVE-2023-25725", b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", Err(BadHeader)),
    ("no colon", b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", Err(BadHeader)),
    ("space in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX Y: b\r\n\r\n", Err(BadHeader)),
    ("NUL in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX\x00: b\r\n\r\n", Err(BadHeader)),
    ("8-bit in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX\xe4: b\r\n\r\n", Err(BadHeader)),
    ("delimiter in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX(Y): b\r\n\r\n", Err(BadHeader)),
    ("slash in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX/Y: b\r\n\r\n", Err(BadHeader)),
    ("DEL in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX\x7f: b\r\n\r\n", Err(BadHeader)),
    ("underscore in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX_Y: b\r\n\r\n", NONE),
    ("every token byte in a name", b"GET / HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~09azAZ: b\r\n\r\n", NONE),
    ("CVE-2021-40346 a name of 270 bytes", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length0aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:\r\nContent-Length: 5\r\n\r\n", FIVE),
    // Values.
    ("NUL in a value 9110 5.5", b"GET / HTTP/1.1\r\nHost: a\r\nX: b\x00c\r\n\r\n", Err(BadHeader)),
    ("control in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: b\x01c\r\n\r\n", Err(BadHeader)),
    ("ESC in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: \x1b[0m\r\n\r\n", Err(BadHeader)),
    ("DEL in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: b\x7f\r\n\r\n", Err(BadHeader)),
    ("control at the end of a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: b\x0c\r\n\r\n", Err(BadHeader)),
    ("HTAB in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: b\tc\r\n\r\n", NONE),
    ("8-bit in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: \xc3\xa4\r\n\r\n", NONE),
    ("empty value", b"GET / HTTP/1.1\r\nHost: a\r\nX:\r\n\r\n", NONE),
    ("colons in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX:b: c:\r\n\r\n", NONE),
    // Request line.
    ("two spaces before the target 9112 3", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("two spaces before the version", b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("tab as separator", b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("tab before the version", b"GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("space after the version", b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("space in the target", b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("no target", b"GET HTTP/1.1\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("empty target", b"GET  HTTP/1.1\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("no method", b"/ HTTP/1.1\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("delimiter in the method", b"GE(T / HTTP/1.1\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("NUL in the method", b"GE\x00T / HTTP/1.1\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("a lone word", b"GET\r\n\r\n", Err(BadRequestLine)),
    ("TLS instead of HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Err(BadRequestLine)),
    // Version.
    ("HTTP/0.9", b"GET /\r\n", Err(BadRequestLine)),
    ("HTTP/1.2 9112 2.3", b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", Err(UnsupportedVersion)),
    ("HTTP/2.0", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", Err(UnsupportedVersion)),
    ("HTTP/9.9", b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", Err(UnsupportedVersion)),
    ("HTTP/0.9 named", b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", Err(UnsupportedVersion)),
    ("HTTP/1.10", b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("HTTP/01.1", b"GET / HTTP/01.1\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("HTTP/1", b"GET / HTTP/1\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("HTTP/1,1", b"GET / HTTP/1,1\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("lower-case version", b"GET / http/1.1\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("another protocol", b"GET / ICAP/1.0\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("HTTP/2 preface 9113 3.4", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Err(Http2Preface)),
    ("not quite the preface", b"PRI / HTTP/2.0\r\n\r\n", Err(UnsupportedVersion)),
    // Target.
    ("NUL in the target", b"GET /a\x00b HTTP/1.1\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("control in the target", b"GET /a\x1fb HTTP/1.1\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("DEL in the target", b"GET /a\x7fb HTTP/1.1\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("8-bit in the target", b"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("fragment CVE-2023-45539", b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("fragment in the query", b"GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("backslash is passed on", b"GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n", NONE),
    ("escapes and dots are passed on", b"GET //a/%2e%2e/..;/b%2Fc?%00 HTTP/1.1\r\nHost: a\r\n\r\n", NONE),
    ("asterisk-form 9112 3.2.4", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", NONE),
    ("asterisk-form for GET", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("asterisk and more", b"OPTIONS *x HTTP/1.1\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("relative target", b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("query only", b"GET ?a HTTP/1.1\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("absolute-form 9112 3.2.2", b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", NONE),
    ("absolute-form https", b"GET HTTPS://b:443/x?y HTTP/1.1\r\nHost: a\r\n\r\n", NONE),
    ("absolute-form without a path", b"GET http://b HTTP/1.1\r\nHost: a\r\n\r\n", NONE),
    ("absolute-form without a Host field", b"GET http://b/ HTTP/1.1\r\n\r\n", Err(BadHost)),
    ("absolute-form with a bad Host field", b"GET http://b/ HTTP/1.1\r\nHost: a b\r\n\r\n", Err(BadHost)),
    ("absolute-form without a host", b"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", Err(BadHost)),
    ("absolute-form with a user 9110 4.2.4", b"GET http://u@b/ HTTP/1.1\r\nHost: a\r\n\r\n", Err(BadHost)),
    ("absolute-form of another scheme", b"GET ftp://b/ HTTP/1.1\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("absolute-form with one slash", b"GET http:/b HTTP/1.1\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("absolute-form in 1.0", b"GET http://b/ HTTP/1.0\r\n\r\n", NONE),
    ("authority-form for GET", b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", Err(BadRequestLine)),
    ("CONNECT 9110 9.3.6", b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", Err(MethodNotAllowed)),
    ("CONNECT with a path", b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", Err(MethodNotAllowed)),
    ("TRACE 9110 9.3.8", b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", Err(MethodNotAllowed)),
    // Host.
    ("Host missing 9112 3.2", b"GET / HTTP/1.1\r\n\r\n", Err(BadHost)),
    ("Host missing in 1.0", b"GET / HTTP/1.0\r\nX: a\r\n\r\n", NONE),
    ("Host twice", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Err(BadHost)),
    ("Host twice, equal", b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", Err(BadHost)),
    ("Host twice in 1.0", b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", Err(BadHost)),
    ("Host empty", b"GET / HTTP/1.1\r\nHost:\r\n\r\n", Err(BadHost)),
    ("Host with a port", b"GET / HTTP/1.1\r\nHost: example.com:8080\r\n\r\n", NONE),
    ("Host IPv6", b"GET / HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n\r\n", NONE),
    ("Host bad IPv6", b"GET / HTTP/1.1\r\nHost: [2001:db8::1\r\n\r\n", Err(BadHost)),
    ("Host with a user", b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", Err(BadHost)),
    ("Host with a path", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Err(BadHost)),
    ("Host with a space", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Err(BadHost)),
    ("Host list", b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", Err(BadHost)),
    ("Host bad port", b"GET / HTTP/1.1\r\nHost: a:x\r\n\r\n", Err(BadHost)),
    ("Host 8-bit", b"GET / HTTP/1.1\r\nHost: \xc3\xa4\r\n\r\n", Err(BadHost)),
    ("Host nominated", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: host\r\n\r\n", NONE),
    // Expect.
    ("Expect 9110 10.1.1", b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\n", FIVE),
    ("Expect unknown", b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\nContent-Length: 5\r\n\r\n", Err(UnknownExpectation)),
    ("Expect obfuscated", b"POST / HTTP/1.1\r\nHost: a\r\nExpect: y 100-continue\r\nContent-Length: 5\r\n\r\n", Err(UnknownExpectation)),
    // Upgrade: never an error, ignoring it is allowed.
    ("Upgrade 9110 7.8", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", NONE),
    ("Upgrade h2c", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", NONE),
    ("Upgrade and bytes before the 101 CVE-2026-2833", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n", NONE),
];

#[test]
fn every_request_gets_its_verdict() {
    for (source, input, verdict) in CORPUS {
        assert_eq!(parse_request(input), *verdict, "{source}");
    }
    assert!(CORPUS.len() >= 120, "{} requests", CORPUS.len());
}

#[test]
fn a_complete_request_ends_with_its_first_empty_line() {
    for (source, input, verdict) in CORPUS {
        if !matches!(verdict, Ok(Some(_))) {
            continue;
        }
        let parse = RequestHead::default().parse(input, &crate::http1::Limits::default());
        let skipped = input.iter().take_while(|byte| b"\r\n".contains(byte)).count();
        let end = memchr::memmem::find(&input[skipped..], b"\r\n\r\n").unwrap() + skipped + 4;
        assert_eq!(parse, Ok(Parse::Complete { len: end }), "{source}");
    }
}

//! RFC 9113 §8: what a request has to be.

use crate::support::frames::{DATA, END_HEADERS, END_STREAM, Frames, asking, frame};
use crate::{PROTOCOL_ERROR, Send, Server, Then, headers, post, run, with};

const MALFORMED: Then = Then::StreamError(&[PROTOCOL_ERROR]);

/// A request of these fields.
fn request(fields: &[(&str, &str)]) -> Vec<crate::Step> {
    vec![Send(headers(END_STREAM | END_HEADERS, 1, fields))]
}

#[tokio::test]
async fn fields() {
    let mut late = asking("GET", "/");
    late.insert(1, ("x-test", "ok"));
    run(vec![
        ("a name in upper case", request(&with(&[("X-TEST", "ok")])), MALFORMED),
        ("a name with a space", request(&with(&[("x test", "ok")])), MALFORMED),
        ("a name with a line's end", request(&with(&[("x\r\ntest", "ok")])), MALFORMED),
        ("an empty name", request(&with(&[("", "ok")])), MALFORMED),
        ("a value with a line's end", request(&with(&[("x-test", "a\r\nb: c")])), MALFORMED),
        ("a value with a NUL", request(&with(&[("x-test", "a\0b")])), MALFORMED),
        ("a name with a NUL", request(&with(&[("x\0test", "ok")])), MALFORMED),
        ("a name with a colon", request(&with(&[("x:test", "ok")])), MALFORMED),
        ("a value with a CR", request(&with(&[("x-test", "a\rb")])), MALFORMED),
        ("a value with a control", request(&with(&[("x-test", "a\x01b")])), MALFORMED),
        ("a value with DEL", request(&with(&[("x-test", "a\x7fb")])), MALFORMED),
        ("a protocol without CONNECT", request(&with(&[(":protocol", "websocket")])), MALFORMED),
        ("a pseudo-field that is unknown", request(&with(&[(":test", "ok")])), MALFORMED),
        ("a pseudo-field of responses", request(&with(&[(":status", "200")])), MALFORMED),
        ("a pseudo-field behind others", request(&late), MALFORMED),
        ("Connection", request(&with(&[("connection", "keep-alive")])), MALFORMED),
        ("Transfer-Encoding", request(&with(&[("transfer-encoding", "chunked")])), MALFORMED),
        ("Upgrade", request(&with(&[("upgrade", "h2c")])), MALFORMED),
        ("Keep-Alive", request(&with(&[("keep-alive", "timeout=5")])), MALFORMED),
        ("Proxy-Connection", request(&with(&[("proxy-connection", "close")])), MALFORMED),
        ("TE that is not trailers", request(&with(&[("te", "trailers, deflate")])), MALFORMED),
        ("TE twice", request(&with(&[("te", "trailers"), ("te", "gzip")])), MALFORMED),
        ("TE with a weight", request(&with(&[("te", "trailers;q=0.5")])), MALFORMED),
        ("TE", request(&with(&[("te", "trailers")])), Then::Answer(1, 200)),
    ])
    .await;
}

#[tokio::test]
async fn what_a_request_asks_for() {
    let all = asking("GET", "/");
    let without = |name| {
        let fields: Vec<_> = all.iter().copied().filter(|(other, _)| *other != name).collect();
        request(&fields)
    };
    let twice = |name| {
        let again = all.iter().copied().find(|(other, _)| *other == name).unwrap();
        request(&[&[again], &all[..]].concat())
    };
    let scheme = |scheme| {
        request(&[(":method", "GET"), (":scheme", scheme), (":path", "/"), (":authority", "test")])
    };
    let bad = Then::Answer(1, 400);
    run(vec![
        ("an empty path", request(&asking("GET", "")), MALFORMED),
        ("no method", without(":method"), MALFORMED),
        ("no scheme", without(":scheme"), MALFORMED),
        ("no path", without(":path"), MALFORMED),
        ("two methods", twice(":method"), MALFORMED),
        ("two schemes", twice(":scheme"), MALFORMED),
        ("two paths", twice(":path"), MALFORMED),
        ("two authorities", twice(":authority"), MALFORMED),
        ("a path that is a URL", request(&asking("GET", "http://other/")), MALFORMED),
        ("a path with a line's end", request(&asking("GET", "/ HTTP/1.1\r\nX: y")), MALFORMED),
        ("a method with a space", request(&asking("GET /x", "/")), MALFORMED),
        ("a path with a space", request(&asking("GET", "/a b")), MALFORMED),
        ("a scheme that is not HTTP's", scheme("gopher"), bad),
        ("no host", without(":authority"), bad),
        ("a host that is another", request(&with(&[("host", "other")])), bad),
        ("a host that is the same", request(&with(&[("host", "TEST")])), Then::Answer(1, 200)),
        ("the same twice", request(&with(&[("host", "test"), ("host", "test")])), bad),
        (
            "a host with a user",
            request(&[
                (":method", "GET"),
                (":scheme", "http"),
                (":path", "/"),
                (":authority", "a@b"),
            ]),
            bad,
        ),
    ])
    .await;
}

#[tokio::test]
async fn bodies() {
    let with_length = |length| {
        let fields = [&asking("POST", "/")[..], &[("content-length", length)]].concat();
        headers(END_HEADERS, 1, &fields)
    };
    let body = |length, parts: &[&str]| {
        let mut bytes = with_length(length);
        for (n, part) in parts.iter().enumerate() {
            let flags = if n + 1 == parts.len() { END_STREAM } else { 0 };
            bytes.extend(frame(DATA, flags, 1, part));
        }
        vec![Send(bytes)]
    };
    let twice = |one, other| {
        let lengths = [("content-length", one), ("content-length", other)];
        let head = headers(END_HEADERS, 1, &[&asking("POST", "/")[..], &lengths].concat());
        vec![Send([head, frame(DATA, END_STREAM, 1, "test")].concat())]
    };
    let trailers = |flags, fields| headers(flags | END_HEADERS, 1, fields);
    let behind = |fields: &[(&str, &str)]| {
        let trailers = headers(END_STREAM | END_HEADERS, 1, fields);
        vec![Send([post(1), frame(DATA, 0, 1, "test"), trailers].concat())]
    };
    let head_only = [&asking("POST", "/")[..], &[("content-length", "3")]].concat();
    run(vec![
        ("a length that is not that of the data", body("1", &["test"]), MALFORMED),
        ("a length that is less than all data", body("1", &["te", "st"]), MALFORMED),
        ("a length that is more than all data", body("9", &["te", "st"]), MALFORMED),
        ("a length and no data", request(&head_only), MALFORMED),
        ("a length that is no number", body("+4", &["test"]), MALFORMED),
        ("one that is empty", body("", &["test"]), MALFORMED),
        ("one below zero", body("-1", &["test"]), MALFORMED),
        ("one in hexadecimal", body("0x4", &["test"]), MALFORMED),
        ("a list of them", body("4, 4", &["test"]), MALFORMED),
        ("one that no number holds", body("18446744073709551620", &["test"]), MALFORMED),
        ("two that differ", twice("4", "5"), MALFORMED),
        ("two that do not", twice("4", "4"), Then::Answer(1, 200)),
        ("a length that fits", body("4", &["te", "st"]), Then::Answer(1, 200)),
        ("a coding among trailers", behind(&[("transfer-encoding", "chunked")]), MALFORMED),
        ("a field of the connection there", behind(&[("connection", "x-test")]), MALFORMED),
        ("a capital in a name there", behind(&[("X-Test", "ok")]), MALFORMED),
        ("a line's end in a value there", behind(&[("x-test", "a\r\nb: c")]), MALFORMED),
        (
            "a second head that does not end the request",
            vec![Send([post(1), trailers(0, &[("x-test", "ok")])].concat())],
            MALFORMED,
        ),
    ])
    .await;
}

/// `h2` leaves it out where RFC 9113 §8.1 has the message malformed. What matters holds: it is not
/// passed on.
#[tokio::test]
async fn a_pseudo_field_among_trailers_goes_nowhere() {
    let server = Server::start().await;
    let mut frames = Frames::open(server.lb.addr("main")).await;
    let trailers = [(":method", "GET"), ("x-test", "ok")];
    let trailers = headers(END_STREAM | END_HEADERS, 1, &trailers);
    frames.send([post(1), frame(DATA, 0, 1, "test"), trailers].concat()).await;
    frames.until(|frame| frame.stream == 1 && frame.ends_stream()).await.unwrap();
    let seen = server.origin.last();
    assert_eq!((seen.line().as_str(), &*seen.body), ("POST / HTTP/1.1", &b"test"[..]));
    assert_eq!(seen.trailers.0, [("x-test".to_owned(), "ok".to_owned())]);
}

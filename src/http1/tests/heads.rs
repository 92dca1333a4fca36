//! What parsed heads say: targets, hosts, persistence, nomination, limits, reuse; and what was encoded.

use crate::http1::{
    Field, Framing,
    HeadError::{self, TargetTooLong, TooLarge, TooManyFields},
    Known, Limits, Parse, RequestHead, ResponseHead, Version, encode,
};

/// The framing of a complete head, nothing for a partial one.
pub(super) type Verdict = Result<Option<Framing>, HeadError>;

pub(super) fn parse_request(input: &[u8]) -> Verdict {
    let mut head = RequestHead::default();
    let parse = head.parse(input, &Limits::default())?;
    Ok((parse != Parse::Partial).then(|| head.framing()))
}

pub(super) fn parse_response(input: &[u8], method: &str) -> Verdict {
    let mut head = ResponseHead::default();
    let parse = head.parse(input, &Limits::default(), method.as_bytes())?;
    Ok((parse != Parse::Partial).then(|| head.framing()))
}

fn request(input: &str) -> RequestHead {
    let mut head = RequestHead::default();
    let parse = head.parse(input.as_bytes(), &Limits::default());
    assert_eq!(parse, Ok(Parse::Complete { len: input.len() }), "{input:?}");
    head
}

fn response(input: &str) -> ResponseHead {
    let mut head = ResponseHead::default();
    let parse = head.parse(input.as_bytes(), &Limits::default(), b"GET");
    assert_eq!(parse, Ok(Parse::Complete { len: input.len() }), "{input:?}");
    head
}

/// The fields as a caller copies them.
fn request_fields(head: &RequestHead) -> Vec<String> {
    let line = |field| [head.name(field), b": ", head.value(field)].concat();
    head.fields().iter().map(|&field| String::from_utf8(line(field)).unwrap()).collect()
}

#[test]
fn a_request_is_taken_apart() {
    let head = request(
        "POST /a/b?c=d?e HTTP/1.1\r\nHost: Example.COM:8080\r\nUser-Agent: \tx y\t\r\n\
         Content-Length: 5\r\nX-A: 1\r\nx-a: 2\r\n\r\n",
    );
    assert_eq!(head.method(), b"POST");
    assert_eq!(head.target(), b"/a/b?c=d?e");
    assert_eq!(head.path(), b"/a/b");
    assert_eq!(head.query(), Some(&b"c=d?e"[..]));
    assert_eq!(head.host(), b"Example.COM:8080");
    assert_eq!(head.host_name(), b"example.com");
    assert_eq!(head.version(), Version::Http11);
    assert_eq!(head.framing(), Framing::Length(5));
    assert!(head.keep_alive());
    assert!(!head.expect_continue());
    assert_eq!(head.upgrade(), None);
    assert_eq!(head.first(Known::UserAgent), Some(&b"x y"[..]));
    assert_eq!(head.first(Known::Cookie), None);
    assert_eq!(head.find("x-a"), Some(&b"1"[..]));
    assert_eq!(head.find("x-b"), None);
    assert_eq!(head.fields().len(), 5);
    assert_eq!(head.fields()[2].known, Known::ContentLength);
}

#[test]
fn all_values_of_a_name_come_in_order() {
    let head = request(
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1\r\nX: y\r\nx-forwarded-for: 2\r\n\r\n",
    );
    let values: Vec<_> = head.all(Known::XForwardedFor).collect();
    assert_eq!(values, [b"1", b"2"]);
    assert_eq!(head.all(Known::Via).count(), 0);
}

#[test]
fn absolute_form_is_rewritten_to_what_is_forwarded() {
    for (line, target, path, query) in [
        ("GET http://B:81/x?y", "/x?y", "/x", Some("y")),
        ("GET http://B:81/", "/", "/", None),
        ("GET http://B:81", "/", "/", None),
        ("GET HTTPS://B:81?y/z", "/?y/z", "/", Some("y/z")),
        ("GET http://B:81?", "/?", "/", Some("")),
        ("OPTIONS http://B:81", "*", "*", None),
        ("OPTIONS http://B:81/", "/", "/", None),
        ("OPTIONS http://B:81?y", "/?y", "/", Some("y")),
    ] {
        let head = request(&format!("{line} HTTP/1.1\r\nX: y\r\nHost: a\r\n\r\n"));
        assert_eq!(head.target(), target.as_bytes(), "{line}");
        assert_eq!(head.path(), path.as_bytes(), "{line}");
        assert_eq!(head.query(), query.map(str::as_bytes), "{line}");
        assert_eq!(head.host(), b"B:81", "{line}");
        assert_eq!(head.host_name(), b"b", "{line}");
        assert_eq!(request_fields(&head), ["X: y", "Host: B:81"], "{line}");
    }
    let head = request("GET http://b/ HTTP/1.0\r\n\r\n");
    assert_eq!(head.host(), b"b");
    assert!(head.fields().is_empty());
}

#[test]
fn a_route_sees_the_host_without_port_case_and_final_dot() {
    for (host, name) in [
        ("a", "a"),
        ("A.b.", "a.b"),
        ("a.b.:80", "a.b"),
        ("[2001:DB8::1]:80", "[2001:db8::1]"),
        ("a:", "a"),
    ] {
        let head = request(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(head.host_name(), name.as_bytes());
        assert_eq!(head.host(), host.as_bytes());
    }
    let head = request("GET / HTTP/1.0\r\n\r\n");
    assert_eq!((head.host(), head.host_name()), (&b""[..], &b""[..]));
}

#[test]
fn content_length_is_forwarded_once_and_in_canonical_form() {
    for lengths in [
        "Content-Length: 12",
        "Content-Length: 012",
        "Content-Length: 12, 12",
        "Content-Length: 12\r\ncontent-length: 12",
        "Content-Length: 12,0012\r\nCONTENT-LENGTH: 12",
    ] {
        let head = request(&format!("PUT / HTTP/1.1\r\nHost: a\r\n{lengths}\r\nX: y\r\n\r\n"));
        assert_eq!(request_fields(&head), ["Host: a", "Content-Length: 12", "X: y"], "{lengths}");
        assert_eq!(head.framing(), Framing::Length(12));
    }
    for (length, forwarded) in [("0", "0"), ("00", "0"), ("0,0", "0")] {
        let head =
            request(&format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
        assert_eq!(head.first(Known::ContentLength), Some(forwarded.as_bytes()));
        assert_eq!(head.framing(), Framing::None);
    }
}

#[test]
fn persistence_follows_version_and_connection() {
    for (version, connection, keep_alive) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: Keep-Alive\r\n", true),
        ("1.1", "Connection: keep-alive, CLOSE\r\n", false),
        ("1.1", "Connection: x\r\nConnection: close\r\n", false),
        ("1.1", "Connection: closed\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: keep-alive\r\n", true),
        ("1.0", "Connection: x ,keep-alive\t, y\r\n", true),
        ("1.0", "Connection: keep-alive\r\nConnection: close\r\n", false),
    ] {
        let head = request(&format!("GET / HTTP/{version}\r\nHost: a\r\n{connection}\r\n"));
        assert_eq!(head.keep_alive(), keep_alive, "request {version} {connection:?}");
        let head =
            response(&format!("HTTP/{version} 200 OK\r\nContent-Length: 0\r\n{connection}\r\n"));
        assert_eq!(head.keep_alive(), keep_alive, "response {version} {connection:?}");
    }
}

#[test]
fn a_backend_connection_is_not_reused_after_what_leaves_its_end_in_doubt() {
    for (head, keep_alive) in [
        ("HTTP/1.1 200 OK\r\n\r\n", false),
        ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", false),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", false),
        ("HTTP/1.1 204 No Content\r\n\r\n", true),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", true),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", false),
        ("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", false),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true),
    ] {
        assert_eq!(response(head).keep_alive(), keep_alive, "{head:?}");
    }
}

#[test]
fn connection_nominates_any_field_but_the_protected_ones() {
    let head = request(
        "POST / HTTP/1.1\r\nConnection: X-Secret, te, Host, Content-Length, transfer-encoding\r\n\
         Connection: Authorization, cookie, Forwarded, X-Real-IP, X-Forwarded-For, x-forwarded-odd\r\n\
         connection: ,, keep-alive ,X-ID,\r\nHost: a\r\nContent-Length: 5\r\nX-SECRET: 1\r\nx-secret: 2\r\n\
         TE: trailers\r\nAuthorization: b\r\nCookie: c\r\nForwarded: for=d\r\nX-Real-IP: e\r\n\
         X-Forwarded-For: f\r\nX-Forwarded-Odd: g\r\nX-Id: 3\r\nX-Secrets: 4\r\n\r\n",
    );
    let nominated = head.fields().iter().filter(|&&field| head.is_nominated(field));
    let names: Vec<_> = nominated.map(|&field| String::from_utf8_lossy(head.name(field))).collect();
    assert_eq!(names, ["X-SECRET", "x-secret", "TE", "X-Id"]);
}

#[test]
fn connection_options_are_bounded() {
    let parse = |options: usize| {
        let list = vec!["x"; options].join(",");
        parse_request(format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: {list}\r\n\r\n").as_bytes())
    };
    assert_eq!(parse(64), Ok(Some(Framing::None)));
    assert_eq!(parse(65), Err(HeadError::BadHeader));
}

#[test]
fn an_expectation_counts_in_1_1_with_a_body_only() {
    let expects = |version: &str, length: usize| {
        let fields = format!("Host: a\r\nExpect: 100-CONTINUE\r\nContent-Length: {length}");
        request(&format!("PUT / HTTP/{version}\r\n{fields}\r\n\r\n")).expect_continue()
    };
    assert!(expects("1.1", 5));
    assert!(!expects("1.1", 0));
    assert!(!expects("1.0", 5));
}

#[test]
fn an_upgrade_needs_connection_and_one_field_and_1_1_and_no_body() {
    let upgrade = |version: &str, fields: &str| {
        let head = request(&format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n"));
        head.upgrade().map(<[u8]>::to_vec)
    };
    let asked = "Connection: x, Upgrade\r\nUpgrade: websocket\r\n";
    assert_eq!(upgrade("1.1", asked).as_deref(), Some(&b"websocket"[..]));
    assert_eq!(upgrade("1.0", asked), None);
    assert_eq!(upgrade("1.1", "Upgrade: websocket\r\n"), None);
    assert_eq!(upgrade("1.1", "Connection: upgrade\r\n"), None);
    assert_eq!(upgrade("1.1", &format!("{asked}Upgrade: h2c\r\n")), None);
    assert_eq!(upgrade("1.1", &format!("{asked}Content-Length: 5\r\n")), None);
    assert_eq!(upgrade("1.1", &format!("{asked}Transfer-Encoding: chunked\r\n")), None);
}

#[test]
fn only_a_101_to_what_was_asked_switches() {
    let switch = |head: &str| response(head).switches_to(b"websocket");
    let fields = "Connection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n";
    assert!(switch(&format!("HTTP/1.1 101 Switching Protocols\r\n{fields}")));
    assert!(!switch(&format!("HTTP/1.1 200 OK\r\n{fields}")));
    assert!(!switch("HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n"));
    assert!(!switch("HTTP/1.1 101 X\r\nConnection: upgrade\r\n\r\n"));
    assert!(!switch("HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"));
    assert!(!switch(
        "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n\r\n"
    ));
}

#[test]
fn a_response_is_taken_apart() {
    let head = response("HTTP/1.0 404 Not Found\r\nServer: x\r\nContent-Length: 007\r\n\r\n");
    assert_eq!(head.status(), 404);
    assert_eq!(head.reason(), b"Not Found");
    assert_eq!(head.version(), Version::Http10);
    assert_eq!(head.framing(), Framing::Length(7));
    assert_eq!(head.content_length(), Some(7));
    assert_eq!(head.first(Known::ContentLength), Some(&b"7"[..]));
    assert_eq!(head.first(Known::Server), Some(&b"x"[..]));
    assert!(!head.is_informational());
    for (line, reason) in [("HTTP/1.1 200", ""), ("HTTP/1.1 200 ", ""), ("HTTP/1.1 200  a ", " a ")]
    {
        assert_eq!(response(&format!("{line}\r\n\r\n")).reason(), reason.as_bytes());
    }
}

#[test]
fn informational_responses_are_told_from_final_ones() {
    for (status, informational) in
        [(100, true), (101, false), (103, true), (199, true), (200, false)]
    {
        let head = response(&format!("HTTP/1.1 {status} X\r\n\r\n"));
        assert_eq!(head.is_informational(), informational, "{status}");
    }
}

#[test]
fn content_length_stays_readable_where_it_does_not_frame() {
    let input = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    let mut head = ResponseHead::default();
    head.parse(input, &Limits::default(), b"HEAD").unwrap();
    assert_eq!((head.framing(), head.content_length()), (Framing::None, Some(5)));
    assert_eq!(head.fields().len(), 1);
    assert!(head.keep_alive());
    let head = response("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(head.content_length(), Some(5));
    // RFC 9110 §8.6 forbids it here, so it is not passed on.
    let head = response("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\nX: y\r\n\r\n");
    assert_eq!(head.content_length(), None);
    assert_eq!(head.first(Known::ContentLength), None);
    assert_eq!(head.find("content-length"), None);
    assert_eq!(head.fields().len(), 1);
}

#[test]
fn limits_hold_to_the_byte() {
    let limits =
        Limits { max_head_bytes: 64, max_fields: 2, max_target_bytes: 10, ..Limits::DEFAULT };
    let parse = |input: &str| {
        let whole = RequestHead::default().parse(input.as_bytes(), &limits);
        let mut head = RequestHead::default();
        let grown = (1..=input.len())
            .map(|len| head.parse(&input.as_bytes()[..len], &limits))
            .find(|parse| *parse != Ok(Parse::Partial));
        assert_eq!(grown.unwrap_or(Ok(Parse::Partial)), whole, "{input:?}");
        whole
    };
    let of_size =
        |size: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(size - 32));
    assert_eq!(parse(&of_size(64)), Ok(Parse::Complete { len: 64 }));
    assert_eq!(parse(&of_size(65)), Err(TooLarge));
    assert_eq!(parse(&of_size(64)[..63]), Ok(Parse::Partial));
    assert_eq!(parse(&format!("\r\n{}", of_size(64))), Ok(Parse::Complete { len: 66 }));
    assert_eq!(parse("GET / HTTP/1.1\r\nHost: a\r\nA: \r\nB: \r\n\r\n"), Err(TooManyFields));
    assert_eq!(
        parse("GET /234567890 HTTP/1.1\r\nHost: a\r\n\r\n"),
        Ok(Parse::Complete { len: 36 })
    );
    assert_eq!(parse("GET /2345678901 HTTP/1.1\r\nHost: a\r\n\r\n"), Err(TargetTooLong));
    // A request line that fills the whole limit is a long target as well.
    assert_eq!(parse(&format!("GET /{}", "a".repeat(60))), Err(TargetTooLong));
    let parse = ResponseHead::default().parse(
        &[b"HTTP/1.1 200 ", &[b'x'; 60][..]].concat(),
        &limits,
        b"GET",
    );
    assert_eq!(parse, Err(TooLarge));
}

#[test]
fn bytes_that_trickle_in_are_looked_at_once() {
    // A control that is put, against the rules, where the parser has been already is not seen.
    let limits = Limits::default();
    let mut head = RequestHead::default();
    let mut input = b"GET / HTTP/1.1\r\nHost: a\r\nX: abcdefgh".to_vec();
    assert_eq!(head.parse(&input, &limits), Ok(Parse::Partial));
    let last = input.len() - 1;
    for seen in [0, 20, last] {
        input[seen] = 1;
    }
    input.extend_from_slice(b"\r\n\r\n");
    assert_eq!(head.parse(&input, &limits), Ok(Parse::Complete { len: input.len() }));
    assert_eq!(head.parse(&input, &limits), Err(HeadError::BadRequestLine));
}

#[test]
fn a_hundred_fields_and_32_kib_by_default() {
    let head = |fields: usize| {
        format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(fields - 1))
    };
    assert_eq!(parse_request(head(100).as_bytes()), Ok(Some(Framing::None)));
    assert_eq!(parse_request(head(101).as_bytes()), Err(TooManyFields));
    let long = |len: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(len - 1));
    assert_eq!(parse_request(long(8192).as_bytes()), Ok(Some(Framing::None)));
    assert_eq!(parse_request(long(8193).as_bytes()), Err(TargetTooLong));
    let wide = |len: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(len - 28));
    assert_eq!(parse_request(wide(32_766).as_bytes()), Ok(None));
    assert_eq!(parse_request(wide(32_767).as_bytes()), Err(TooLarge));
}

#[test]
fn a_head_is_refilled_after_success_and_after_refusal() {
    let mut head = RequestHead::default();
    let limits = Limits::default();
    assert_eq!(head.method(), b"");
    assert_eq!(head.path(), b"");
    let first =
        b"POST http://b?q HTTP/1.1\r\nHost: A\r\nConnection: close, upgrade\r\nUpgrade: x\r\n\r\n";
    assert_eq!(head.parse(first, &limits), Ok(Parse::Complete { len: first.len() }));
    assert_eq!(head.upgrade(), Some(&b"x"[..]));
    assert_eq!(head.parse(b"GET / HTTP/1.1\r\nHost: a\r\nX", &limits), Ok(Parse::Partial));
    // What was there is gone, and asking for it harms nobody.
    assert_eq!((head.method(), head.query(), head.upgrade()), (&b""[..], None, None));
    assert_eq!(
        head.parse(b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n", &limits),
        Err(HeadError::BadHeader)
    );
    let second = b"GET / HTTP/1.0\r\n\r\n";
    assert_eq!(head.parse(second, &limits), Ok(Parse::Complete { len: second.len() }));
    assert_eq!(head.target(), b"/");
    assert_eq!((head.host(), head.host_name()), (&b""[..], &b""[..]));
    assert_eq!((head.query(), head.upgrade()), (None, None));
    assert_eq!(head.first(Known::Host), None);
    assert!(!head.keep_alive());
    // Fewer bytes than before are another head.
    assert_eq!(head.parse(b"GET / HTTP/1.1\r\nHost: a\r\n", &limits), Ok(Parse::Partial));
    assert_eq!(head.parse(second, &limits), Ok(Parse::Complete { len: second.len() }));
}

#[test]
fn fields_of_a_partial_head_have_no_text_and_harm_nobody() {
    let mut head = RequestHead::default();
    let parse = head.parse(b"GET / HTTP/1.1\r\nX:y\r\n", &Limits::default());
    assert_eq!(parse, Ok(Parse::Partial));
    let field = head.fields()[0];
    assert_eq!((head.name(field), head.value(field)), (&b""[..], &b""[..]));
    assert_eq!(head.first(Known::Host), None);
    assert_eq!(head.find("x"), None);
    assert!(!head.is_nominated(field));
}

#[test]
fn statuses_and_reasons_of_refusals_are_complete() {
    for error in HeadError::ALL {
        assert!(!encode::reason(error.status()).is_empty(), "{error:?}");
        assert!(!error.reason().is_empty());
        assert_eq!(error.to_string(), error.reason());
    }
    assert_eq!(HeadError::Http2Preface.status(), 505);
    assert_eq!(TooManyFields.status(), 431);
}

#[test]
fn what_is_encoded_is_parsed_again() {
    let mut out = Vec::new();
    encode::push_request_line(&mut out, b"GET", b"/a?b");
    encode::push_field(&mut out, b"Host", b"a");
    encode::push_field(&mut out, b"X-Empty", b"");
    encode::push_end(&mut out);
    assert_eq!(out, b"GET /a?b HTTP/1.1\r\nHost: a\r\nX-Empty: \r\n\r\n");
    assert_eq!(parse_request(&out), Ok(Some(Framing::None)));
    for status in 100..=599 {
        out.clear();
        encode::push_status_line(&mut out, status, encode::reason(status).as_bytes());
        encode::push_end(&mut out);
        let head = response(std::str::from_utf8(&out).unwrap());
        assert_eq!(head.status(), status);
        assert_eq!(head.reason(), encode::reason(status).as_bytes());
    }
    assert_eq!(parse_response(encode::CONTINUE, "GET"), Ok(Some(Framing::None)));
}

#[test]
fn a_field_is_sent_on_in_one_form_however_it_was_spaced() {
    let head = request(
        "GET http://b/ HTTP/1.1\r\nA: 1\r\nB:2\r\nC:\t3\r\nD:  4\r\nE: 5 \r\nF: 6\t \r\nG:\r\nH: \r\n\
         Host: a\r\nContent-Length: 00\r\nI: j: k\r\n\r\n",
    );
    let mut out = Vec::new();
    head.push_fields(&mut out, |_| true);
    let expected = "A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\nF: 6\r\nG: \r\nH: \r\nHost: b\r\n\
        Content-Length: 0\r\nI: j: k\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    // Whoever stays away takes no neighbour along.
    for chosen in 0..1_u32 << head.fields().len() {
        let place = |field: &Field| head.fields().iter().position(|one| one.name == field.name);
        let mut out = Vec::new();
        head.push_fields(&mut out, |field| chosen >> place(field).unwrap() & 1 == 1);
        let lines = expected.split_inclusive('\n').enumerate();
        let lines = lines.filter(|(place, _)| chosen >> place & 1 == 1).map(|(_, line)| line);
        assert_eq!(String::from_utf8(out).unwrap(), lines.collect::<String>());
    }
}

#[test]
fn decimals_are_written_as_the_standard_library_does() {
    for number in [0, 1, 9, 10, 99, 100, 12_345, u64::from(u32::MAX), u64::MAX] {
        let mut out = b"x".to_vec();
        encode::push_decimal(&mut out, number);
        assert_eq!(out, format!("x{number}").as_bytes());
    }
}

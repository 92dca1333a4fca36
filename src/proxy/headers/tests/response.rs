use super::*;

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// How a response comes in and is passed on.
struct Case {
    head: Vec<u8>,
    method: &'static str,
    framing: Framing,
    persistence: Persistence,
    edits: Vec<HeaderEdit>,
}

/// A response to GET with this start and these field lines.
fn response(start: &str, fields: &str, framing: Framing) -> Case {
    Case {
        head: format!("{start}\r\n{fields}\r\n").into_bytes(),
        method: "GET",
        framing,
        persistence: Persistence::Implied,
        edits: Vec::new(),
    }
}

impl Case {
    fn write<R>(&self, look: impl FnOnce(&[u8], &Vars<'_>) -> R) -> R {
        let request = format!("{} /a HTTP/1.1\r\nHost: h\r\nAccept: x/y\r\n\r\n", self.method);
        let request = request_head(request.as_bytes());
        let client = ClientIdentity::new(address("192.0.2.1"), "http", &request, &forwarded());
        let vars = Vars {
            request_id: b"id-1",
            route: "shop",
            upstream: "api",
            backend: "127.0.0.1:9000",
            ..Vars::new(&request, &client)
        };
        let ctx = ResponseContext {
            vars: &vars,
            framing: self.framing,
            persistence: self.persistence,
            date: DATE.as_bytes(),
            edits: &self.edits,
            rules: None,
        };
        let mut out = b"before".to_vec();
        write_response_head(&mut out, &response_head(&self.head, self.method), &ctx);
        look(out.strip_prefix(b"before").expect("what is in the buffer stays there"), &vars)
    }

    fn sent(&self) -> String {
        self.write(|out, _| String::from_utf8(out.to_vec()).unwrap())
    }
}

#[test]
fn a_plain_response_passes_with_the_fields_in_order_and_case() {
    let fields = "Server: s\r\nDATE: then\r\nset-cookie: a=1\r\nContent-Length: 5\r\n\
                  Set-Cookie: b=2\r\nVia: 1.1 x\r\n";
    let case = response("HTTP/1.1 200 Very Fine", fields, Framing::Length(5));
    assert_eq!(
        case.sent(),
        "HTTP/1.1 200 Very Fine\r\n\
         Server: s\r\n\
         DATE: then\r\n\
         set-cookie: a=1\r\n\
         Set-Cookie: b=2\r\n\
         Via: 1.1 x\r\n\
         Content-Length: 5\r\n\
         \r\n"
    );
}

#[test]
fn a_final_response_without_a_date_gets_one() {
    let sent = response("HTTP/1.0 204", "", Framing::None).sent();
    assert_eq!(sent, format!("HTTP/1.1 204 \r\nDate: {DATE}\r\n\r\n"));
}

#[test]
fn an_interim_response_passes_without_fields_of_the_connection() {
    let fields = "Link: </a.css>; rel=preload\r\nConnection: x-secret\r\nX-Secret: 1\r\n";
    let head = format!("HTTP/1.1 103 Early Hints\r\n{fields}\r\n");
    let mut out = Vec::new();
    write_informational(&mut out, &response_head(head.as_bytes(), "GET"));
    let expected = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn what_a_client_is_told_depends_on_its_version() {
    for (persists, client, expected) in [
        (true, Version::Http11, Persistence::Implied),
        (true, Version::Http10, Persistence::KeepAlive),
        (false, Version::Http11, Persistence::Close),
        (false, Version::Http10, Persistence::Close),
    ] {
        assert_eq!(Persistence::of(persists, client, None), expected);
    }
}

#[test]
fn fields_of_the_connection_stay_here() {
    let fields = "Connection: x-secret, close\r\nKeep-Alive: timeout=5\r\nX-Secret: 1\r\n\
                  Proxy-Connection: close\r\nUpgrade: h2c\r\nDate: then\r\nTE: trailers\r\n\
                  Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n";
    let case = response("HTTP/1.1 200 OK", fields, Framing::Chunked);
    assert_eq!(
        case.sent(),
        "HTTP/1.1 200 OK\r\nDate: then\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
}

#[test]
fn framing_is_what_the_caller_decided() {
    let ending = |fields: &str, framing| {
        let sent = response("HTTP/1.1 200 OK", &format!("Date: d\r\n{fields}"), framing).sent();
        sent.strip_prefix("HTTP/1.1 200 OK\r\nDate: d\r\n").unwrap().to_owned()
    };
    let chunked = "Transfer-Encoding: chunked\r\n";
    assert_eq!(ending(chunked, Framing::Length(3)), "Content-Length: 3\r\n\r\n");
    assert_eq!(ending(chunked, Framing::UntilClose), "\r\n");
    assert_eq!(ending("", Framing::Chunked), "Transfer-Encoding: chunked\r\n\r\n");
    assert_eq!(ending("Content-Length: 0\r\n", Framing::None), "Content-Length: 0\r\n\r\n");
}

#[test]
fn the_length_of_the_body_that_get_would_have_is_told_after_head_and_in_304() {
    let sent =
        |start, method, fields| Case { method, ..response(start, fields, Framing::None) }.sent();
    let length = "Date: d\r\nContent-Length: 1234\r\n";
    for (start, method) in [("HTTP/1.1 200 OK", "HEAD"), ("HTTP/1.1 304 Not Modified", "GET")] {
        assert_eq!(sent(start, method, length), format!("{start}\r\n{length}\r\n"));
        let chunked = sent(start, method, "Date: d\r\nTransfer-Encoding: chunked\r\n");
        assert_eq!(chunked, format!("{start}\r\nDate: d\r\n\r\n"));
    }
    assert!(!sent("HTTP/1.1 204 No Content", "GET", length).contains("Length"));
}

#[test]
fn the_client_is_told_what_becomes_of_its_connection() {
    let ending = |persistence| {
        let fields = "Date: d\r\nConnection: x\r\n";
        let case = response("HTTP/1.1 204 No Content", fields, Framing::None);
        let sent = Case { persistence, ..case }.sent();
        sent.strip_prefix("HTTP/1.1 204 No Content\r\nDate: d\r\n").unwrap().to_owned()
    };
    assert_eq!(ending(Persistence::Implied), "\r\n");
    assert_eq!(ending(Persistence::KeepAlive), "Connection: keep-alive\r\n\r\n");
    assert_eq!(ending(Persistence::Close), "Connection: close\r\n\r\n");
}

#[test]
fn a_switch_of_protocols_keeps_its_upgrade() {
    let fields = "Upgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n";
    let case = response("HTTP/1.1 101 Switching Protocols", fields, Framing::None);
    let case = Case { persistence: Persistence::Upgraded, ..case };
    assert_eq!(
        case.sent(),
        "HTTP/1.1 101 Switching Protocols\r\n\
         Sec-WebSocket-Accept: x\r\n\
         Connection: upgrade\r\n\
         Upgrade: WebSocket\r\n\
         \r\n"
    );
}

#[test]
fn edits_are_made_one_after_the_other_on_what_would_be_sent() {
    let edits = vec![
        remove("server"),
        set("Date", text("now")),
        set("X-Asked", variable(Variable::Header("accept".to_owned()))),
        add("Set-Cookie", text("b=2")),
    ];
    let fields = "Server: s\r\nSet-Cookie: a=1\r\nContent-Length: 5\r\n";
    let case = Case { edits, ..response("HTTP/1.1 200 OK", fields, Framing::Length(5)) };
    assert_eq!(
        case.sent(),
        "HTTP/1.1 200 OK\r\n\
         Set-Cookie: a=1\r\n\
         Date: now\r\n\
         X-Asked: x/y\r\n\
         Set-Cookie: b=2\r\n\
         Content-Length: 5\r\n\
         \r\n"
    );
}

const NAMES: &[&str] = &[
    "Server",
    "Set-Cookie",
    "X-Nominated",
    "Via",
    "Keep-Alive",
    "Proxy-Connection",
    "Upgrade",
    "Trailer",
    "Date",
    "Location",
    "ETag",
];
const HOP_BY_HOP: &[&str] = &["keep-alive", "proxy-connection", "upgrade"];

proptest! {
    #[test]
    fn every_end_to_end_field_passes_in_order_and_nothing_else(
        fields in any_fields(NAMES),
        nominating in any::<bool>(),
        edits in any_edits(&["server", "SET-COOKIE", "x-new"]),
    ) {
        let mut head = b"HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 3\r\n".to_vec();
        if nominating {
            head.extend_from_slice(b"Connection: x-Nominated, close\r\n");
        }
        let mut expected = vec![("Date".to_owned(), b"d".to_vec())];
        for (name, value) in fields {
            head.extend_from_slice(&[name.as_bytes(), b": ", &value, b"\r\n"].concat());
            let lower = name.to_lowercase();
            let stays = HOP_BY_HOP.contains(&lower.as_str())
                || lower == "x-nominated" && nominating;
            if !stays {
                expected.push((name, value));
            }
        }
        head.extend_from_slice(b"\r\n");

        let case = Case { head, edits, ..response("", "", Framing::Length(3)) };
        case.write(|out, vars| {
            let mut sent = lines(out);
            prop_assert_eq!(sent.pop(), Some(("Content-Length".to_owned(), b"3".to_vec())));
            prop_assert_eq!(sent, edited(expected, &case.edits, vars));
            Ok(())
        })?;
    }
}

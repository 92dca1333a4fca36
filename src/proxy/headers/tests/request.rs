use super::*;

/// How a request comes in and is passed on.
struct Case {
    head: Vec<u8>,
    downstream: &'static str,
    forwarded: Forwarded,
    rewrite: PathRewrite,
    prefix: &'static str,
    host: HostPolicy,
    framing: Framing,
    upgrade: Option<&'static str>,
    close: bool,
    edits: Vec<HeaderEdit>,
}

/// A GET with these field lines, passed on without forwarding headers.
fn get(fields: &str) -> Case {
    Case {
        head: format!("GET /a?b HTTP/1.1\r\nHost: Shop.test:8080\r\n{fields}\r\n").into_bytes(),
        downstream: "192.0.2.1",
        forwarded: Forwarded { x_forwarded: XForwarded::all(ForwardPolicy::Remove), ..forwarded() },
        rewrite: PathRewrite::Keep,
        prefix: "",
        host: HostPolicy::Preserve,
        framing: Framing::None,
        upgrade: None,
        close: false,
        edits: Vec::new(),
    }
}

impl Case {
    fn with_target(self, target: &str) -> Self {
        let head = format!("GET {target} HTTP/1.1\r\nHost: Shop.test:8080\r\n\r\n");
        Self { head: head.into_bytes(), ..self }
    }

    fn write<R>(&self, look: impl FnOnce(&[u8], &Vars<'_>) -> R) -> R {
        let head = request_head(&self.head);
        let client = ClientIdentity::new(address(self.downstream), "https", &head, &self.forwarded);
        let vars = Vars {
            request_id: b"id-1",
            route: "shop",
            upstream: "api",
            backend: "127.0.0.1:9000",
            ..Vars::new(&head, &client)
        };
        let mut scratch = Vec::new();
        let path = crate::http1::target::normalise(head.path(), &mut scratch).unwrap();
        let mut out = b"before".to_vec();
        let ctx = RequestContext {
            grpc_timeout: None,
            otherwise: None,
            vars: &vars,
            forwarded: &self.forwarded,
            rewrite: &self.rewrite,
            prefix: self.prefix,
            path,
            host: &self.host,
            authority: "127.0.0.1:9000",
            trace: None,
            framing: self.framing,
            trailers: true,
            upgrade: self.upgrade.map(str::as_bytes),
            close: self.close,
            edits: &self.edits,
        };
        write_request_head(&mut out, &ctx);
        look(out.strip_prefix(b"before").expect("what is in the buffer stays there"), &vars)
    }

    fn sent(&self) -> String {
        self.write(|out, _| String::from_utf8(out.to_vec()).unwrap())
    }

    /// The request line's target.
    fn target(&self) -> String {
        self.sent().split(' ').nth(1).unwrap().to_owned()
    }

    /// The lines between `Host` and `X-Request-Id`.
    fn passed(&self) -> String {
        let sent = self.sent();
        let start =
            sent.find("Host: Shop.test:8080\r\n").unwrap() + "Host: Shop.test:8080\r\n".len();
        sent[start..sent.find("X-Request-Id: id-1\r\n").unwrap()].to_owned()
    }

    /// The lines after `X-Request-Id`.
    fn ending(&self) -> String {
        let sent = self.sent();
        sent[sent.find("X-Request-Id: id-1\r\n").unwrap() + 20..].to_owned()
    }
}

#[test]
fn a_plain_request_passes_with_the_fields_in_order_and_case() {
    let case = Case {
        forwarded: forwarded(),
        ..get("User-Agent: t\r\naccept: */*\r\nX-ODD:  a  b \r\nAccept: text/html\r\n")
    };
    assert_eq!(
        case.sent(),
        "GET /a?b HTTP/1.1\r\n\
         Host: Shop.test:8080\r\n\
         User-Agent: t\r\n\
         accept: */*\r\n\
         X-ODD: a  b\r\n\
         Accept: text/html\r\n\
         X-Forwarded-For: 192.0.2.1\r\n\
         X-Forwarded-Proto: https\r\n\
         X-Forwarded-Host: Shop.test:8080\r\n\
         X-Request-Id: id-1\r\n\
         \r\n"
    );
}

#[test]
fn fields_of_the_connection_stay_here() {
    let fields = "Connection: x-secret, Close, X-Forwarded-For, cookie\r\nKeep-Alive: timeout=5\r\n\
                  Proxy-Connection: keep-alive\r\nHTTP2-Settings: AAMAAABk\r\nUpgrade: h2c\r\n\
                  TE: gzip\r\nX-Secret: 1\r\nx-secret: 2\r\nCookie: a=b\r\nTrailer: X-Sum\r\n";
    assert_eq!(get(fields).passed(), "Cookie: a=b\r\nTrailer: X-Sum\r\n");
    assert_eq!(get(fields).ending(), "\r\n");
}

#[test]
fn trailers_are_accepted_on_behalf_of_a_client_that_does() {
    for te in ["trailers", "gzip;q=0.5, Trailers", "gzip\r\nTE: trailers"] {
        let ending = get(&format!("Connection: TE\r\nTE: {te}\r\n")).ending();
        assert_eq!(ending, "Connection: TE\r\nTE: trailers\r\n\r\n", "{te}");
    }
    assert_eq!(get("TE: trailersx\r\n").ending(), "\r\n");
}

#[test]
fn an_upgrade_is_asked_for_only_when_the_attempt_does() {
    let fields = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket, h2c\r\nTE: trailers\r\n";
    let asking = Case { upgrade: Some("websocket"), ..get(fields) };
    assert_eq!(asking.ending(), "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert!(!get(fields).sent().contains("websocket"));
}

#[test]
fn framing_is_what_the_caller_decided() {
    let post = |fields: &str, framing| Case { framing, ..get(fields) }.ending();
    let chunked = "Transfer-Encoding: chunked\r\n";
    assert_eq!(post(chunked, Framing::Chunked), "Transfer-Encoding: chunked\r\n\r\n");
    assert_eq!(post(chunked, Framing::Length(12)), "Content-Length: 12\r\n\r\n");
    assert_eq!(post("content-length: 7\r\n", Framing::Length(7)), "Content-Length: 7\r\n\r\n");
    assert_eq!(post("Content-Length: 0\r\n", Framing::None), "Content-Length: 0\r\n\r\n");
    assert_eq!(post("", Framing::None), "\r\n");
}

#[test]
fn the_proxy_answers_expectations_itself() {
    let case = get("Content-Length: 5\r\nExpect: 100-continue\r\n");
    assert!(!case.sent().contains("Expect"));
}

#[test]
fn host_follows_its_policy() {
    let host = |host, head: &str| {
        let case = Case { host, head: head.into(), ..get("") };
        case.sent().lines().nth(1).unwrap().to_owned()
    };
    let named = "GET / HTTP/1.1\r\nHost: Shop.test\r\n\r\n";
    assert_eq!(host(HostPolicy::Preserve, named), "Host: Shop.test");
    assert_eq!(host(HostPolicy::Backend, named), "Host: 127.0.0.1:9000");
    assert_eq!(host(HostPolicy::Set(text("in.test")), named), "Host: in.test");
    let absolute = "GET http://abs.test/ HTTP/1.1\r\nHost: Shop.test\r\n\r\n";
    assert_eq!(host(HostPolicy::Preserve, absolute), "Host: abs.test");
    let nameless = "GET / HTTP/1.0\r\n\r\n";
    assert_eq!(host(HostPolicy::Preserve, nameless), "Host: 127.0.0.1:9000");
}

#[test]
fn a_target_that_is_kept_passes_byte_for_byte() {
    let target = "/a/%2e%2E//b%2Fc/./%C3%A4?x=%20&&y=?/..";
    assert_eq!(get("").with_target(target).target(), target);
}

#[test]
fn a_prefix_is_stripped_or_replaced_on_the_normalised_path() {
    let strip = |prefix, target: &str| {
        let rewrite = PathRewrite::StripPrefix;
        Case { rewrite, prefix, ..get("") }.with_target(target).target()
    };
    assert_eq!(strip("/api", "/api/x?q=%2F?"), "/x?q=%2F?");
    assert_eq!(strip("/api/", "/api/x"), "/x");
    assert_eq!(strip("/api", "/api"), "/");
    assert_eq!(strip("/api", "/api?"), "/?");
    assert_eq!(strip("/api", "/api/"), "/");
    assert_eq!(strip("/api", "/%61pi//x/../y"), "/y");
    assert_eq!(strip("/api", "/api/%20%25%3f%c3%A4;v=1"), "/%20%25%3F%C3%A4;v=1");
    assert_eq!(strip("/", "/x/"), "/x/");

    let replace = |prefix, by: &str, target: &str| {
        let rewrite = PathRewrite::ReplacePrefix(by.to_owned());
        Case { rewrite, prefix, ..get("") }.with_target(target).target()
    };
    assert_eq!(replace("/api", "/v2", "/api/x?q"), "/v2/x?q");
    assert_eq!(replace("/api", "/v2/", "/api/x"), "/v2/x");
    assert_eq!(replace("/api", "/v2", "/api"), "/v2");
    assert_eq!(replace("/api", "/v2", "/api/"), "/v2/");
    assert_eq!(replace("/api", "/", "/api"), "/");
    assert_eq!(replace("/api", "/", "/api/x"), "/x");
    assert_eq!(replace("/", "/v2", "/x"), "/v2/x");
    assert_eq!(replace("/a", "/b%20c", "/a/x"), "/b%20c/x");

    let bytes = |prefix, by: &str, target: &str| {
        let rewrite = PathRewrite::ReplaceBytes(by.to_owned());
        Case { rewrite, prefix, ..get("") }.with_target(target).target()
    };
    assert_eq!(bytes("/api/", "/v2/", "/api/x?q"), "/v2/x?q");
    assert_eq!(bytes("/api/", "/v2", "/api/x"), "/v2x");
    assert_eq!(bytes("/api", "/", "/api/x"), "//x");
    assert_eq!(bytes("/api", "/", "/apix"), "/x");
    assert_eq!(bytes("/api", "/v%20/", "/api%20x"), "/v%20/%20x");
    assert_eq!(bytes("/api", "/v2", "/api"), "/v2");
    assert_eq!(strip("/api", "/apix"), "/x");
}

#[test]
fn the_asterisk_of_options_is_never_rewritten() {
    let case = Case { rewrite: PathRewrite::StripPrefix, prefix: "/", ..get("") };
    let head = b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n".to_vec();
    assert_eq!(Case { head, ..case }.target(), "*");
}

const CAME: &str = "X-Forwarded-For: 1.1.1.1\r\nForwarded: for=1.1.1.1\r\nX-Real-IP: 6.6.6.6\r\n\
                    x-forwarded-for: 10.9.9.9\r\nX-Forwarded-Proto: http\r\n\
                    X-Forwarded-Host: out.test\r\nforwarded: for=10.9.9.9;secret=x\r\n";

fn forwarding(downstream: &'static str, x_forwarded: ForwardPolicy, fields: &str) -> String {
    let forwarded = Forwarded { x_forwarded: XForwarded::all(x_forwarded), ..forwarded() };
    Case { downstream, forwarded, ..get(fields) }.passed().replace("X-Real-IP: 6.6.6.6\r\n", "")
}

#[test]
fn x_forwarded_fields_follow_policy_and_trust() {
    const OURS: &str = "X-Forwarded-Proto: https\r\nX-Forwarded-Host: Shop.test:8080\r\n";
    const THEIRS: &str = "X-Forwarded-Proto: http\r\nX-Forwarded-Host: out.test\r\n";
    const PROXY: &str = "10.0.0.1";
    const STRANGER: &str = "192.0.2.1";
    let stranger = format!("X-Forwarded-For: 192.0.2.1\r\n{OURS}");
    assert_eq!(forwarding(STRANGER, ForwardPolicy::Auto, CAME), stranger);
    assert_eq!(forwarding(STRANGER, ForwardPolicy::Set, CAME), stranger);
    assert_eq!(
        forwarding(STRANGER, ForwardPolicy::Append, CAME),
        format!("X-Forwarded-For: 1.1.1.1, 10.9.9.9, 192.0.2.1\r\n{THEIRS}")
    );
    assert_eq!(
        forwarding(PROXY, ForwardPolicy::Auto, CAME),
        format!("X-Forwarded-For: 1.1.1.1, 10.9.9.9, 10.0.0.1\r\n{THEIRS}")
    );
    assert_eq!(
        forwarding(PROXY, ForwardPolicy::Auto, "X-Forwarded-For:\r\n"),
        format!("X-Forwarded-For: 10.0.0.1\r\n{OURS}")
    );
    assert_eq!(
        forwarding(PROXY, ForwardPolicy::Set, CAME),
        format!("X-Forwarded-For: 1.1.1.1\r\n{OURS}"),
        "a list that begins anew names the client"
    );
    assert_eq!(forwarding(PROXY, ForwardPolicy::Remove, CAME), "");
    assert_eq!(
        forwarding(PROXY, ForwardPolicy::Off, CAME),
        "X-Forwarded-For: 1.1.1.1\r\nx-forwarded-for: 10.9.9.9\r\nX-Forwarded-Proto: http\r\n\
         X-Forwarded-Host: out.test\r\n"
    );
}

#[test]
fn each_of_the_x_forwarded_fields_may_go_its_own_way() {
    let x_forwarded = XForwarded {
        address: ForwardPolicy::Append,
        proto: ForwardPolicy::Off,
        host: ForwardPolicy::Remove,
    };
    let case = Case { forwarded: Forwarded { x_forwarded, ..forwarded() }, ..get(CAME) };
    let expected = "X-Real-IP: 6.6.6.6\r\nX-Forwarded-Proto: http\r\n\
                    X-Forwarded-For: 1.1.1.1, 10.9.9.9, 192.0.2.1\r\n";
    assert_eq!(case.passed(), expected);
    let x_forwarded = XForwarded::all(ForwardPolicy::Off);
    let case = Case { forwarded: Forwarded { x_forwarded, ..forwarded() }, ..get("") };
    assert_eq!(case.passed(), "");
}

#[test]
fn the_request_id_goes_in_its_field_or_in_none() {
    let sent = |field: Option<&str>| {
        let request_id = field.map(|name| RequestIdField::Named(name.to_owned()));
        let forwarded = Forwarded { request_id, ..get("").forwarded };
        let fields = "X-Request-Id: theirs\r\nX-Trace: a\r\n";
        Case { forwarded, ..get(fields) }.sent()
    };
    assert!(sent(None).contains("X-Request-Id: theirs\r\nX-Trace: a\r\n\r\n"));
    assert!(sent(Some("x-trace")).contains("X-Request-Id: theirs\r\nx-trace: id-1\r\n\r\n"));
}

#[test]
fn forwarded_is_written_as_rfc_7239_has_it() {
    let sent = |downstream, policy, fields: &str| {
        let x_forwarded = XForwarded::all(ForwardPolicy::Remove);
        let forwarded = Forwarded { x_forwarded, forwarded: policy, ..forwarded() };
        Case { downstream, forwarded, ..get(fields) }.passed().replace("X-Real-IP: 6.6.6.6\r\n", "")
    };
    assert_eq!(
        sent("192.0.2.1", ForwardPolicy::Auto, CAME),
        "Forwarded: for=192.0.2.1;host=\"Shop.test:8080\";proto=https\r\n"
    );
    assert_eq!(
        sent("fd00::1", ForwardPolicy::Auto, CAME),
        "Forwarded: for=1.1.1.1, for=10.9.9.9;secret=x, \
         for=\"[fd00::1]\";host=\"Shop.test:8080\";proto=https\r\n"
    );
    assert_eq!(sent("fd00::1", ForwardPolicy::Remove, CAME), "");
    assert_eq!(
        sent("fd00::1", ForwardPolicy::Off, CAME),
        "Forwarded: for=1.1.1.1\r\nforwarded: for=10.9.9.9;secret=x\r\n"
    );
    let plain = Case {
        head: b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n".to_vec(),
        forwarded: Forwarded { forwarded: ForwardPolicy::Set, ..forwarded() },
        ..get("")
    };
    assert!(plain.sent().contains("\r\nForwarded: for=192.0.2.1;host=shop.test;proto=https\r\n"));
}

#[test]
fn x_real_ip_is_the_client_behind_trusted_proxies() {
    let forwarded = Forwarded { x_real_ip: true, ..get("").forwarded };
    let case = Case { downstream: "10.0.0.1", forwarded, ..get(CAME) };
    assert_eq!(case.passed(), "X-Real-IP: 1.1.1.1\r\n");
}

#[test]
fn a_request_without_host_forwards_none() {
    let head = b"GET / HTTP/1.0\r\n\r\n".to_vec();
    let forwarded = Forwarded { forwarded: ForwardPolicy::Set, ..forwarded() };
    let sent = Case { head, forwarded, ..get("") }.sent();
    assert!(!sent.contains("X-Forwarded-Host"), "{sent}");
    assert!(sent.contains("Forwarded: for=192.0.2.1;proto=https\r\n"), "{sent}");
}

#[test]
fn edits_are_made_one_after_the_other_on_what_would_be_sent() {
    let mixed = Template(vec![
        Piece::Text("r=".to_owned()),
        Piece::Variable(Variable::Route),
        Piece::Text(" x=".to_owned()),
        Piece::Variable(Variable::Header("x-a".to_owned())),
    ]);
    let edits = vec![
        remove("X-Gone"),
        set("X-A", mixed),
        add("x-a", text("two")),
        add("X-Brief", text("here")),
        remove("x-brief"),
        set("x-request-id", variable(Variable::Backend)),
        remove("X-Forwarded-Proto"),
        remove("X-Forwarded"),
    ];
    let fields = "x-gone: 1\r\nx-a: one\r\nX-Gone: 2\r\nX-Gone-Not: 3\r\nX-A: uno\r\n";
    let case = Case { edits, forwarded: forwarded(), ..get(fields) };
    assert_eq!(
        case.sent(),
        "GET /a?b HTTP/1.1\r\n\
         Host: Shop.test:8080\r\n\
         X-Gone-Not: 3\r\n\
         X-Forwarded-For: 192.0.2.1\r\n\
         X-Forwarded-Host: Shop.test:8080\r\n\
         X-A: r=shop x=one, uno\r\n\
         x-a: two\r\n\
         x-request-id: 127.0.0.1:9000\r\n\
         \r\n"
    );
}

const NAMES: &[&str] = &[
    "Accept",
    "Cookie",
    "User-Agent",
    "X-Nominated",
    "X-Other",
    "Via",
    "Keep-Alive",
    "TE",
    "Proxy-Connection",
    "HTTP2-Settings",
    "Upgrade",
    "X-Forwarded-For",
    "Forwarded",
    "X-Real-IP",
    "X-Request-Id",
    "Trailer",
    "Date",
];
const END_TO_END: &[&str] =
    &["accept", "cookie", "user-agent", "x-other", "via", "trailer", "date"];

proptest! {
    #[test]
    fn every_end_to_end_field_passes_in_order_and_nothing_else(
        fields in any_fields(NAMES),
        nominating in any::<bool>(),
        policy in select(&[ForwardPolicy::Auto, ForwardPolicy::Append, ForwardPolicy::Remove][..]),
        downstream in select(&["192.0.2.1", "10.0.0.1", "fd00::1"][..]),
        edits in any_edits(&["accept", "X-Other", "x-new", "COOKIE"]),
    ) {
        let mut head = b"GET /a HTTP/1.1\r\nHost: h\r\n".to_vec();
        if nominating {
            head.extend_from_slice(b"Connection: x-Nominated, cookie, close, host\r\n");
        }
        let mut expected: Vec<(String, Vec<u8>)> = Vec::new();
        for (name, value) in &fields {
            head.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
            let lower = name.to_lowercase();
            let passes = END_TO_END.contains(&lower.as_str());
            if passes || lower == "x-nominated" && !nominating {
                expected.push((name.clone(), value.clone()));
            }
        }
        head.extend_from_slice(b"\r\n");
        let forwarded = Forwarded {
            x_forwarded: XForwarded::all(policy),
            forwarded: policy,
            x_real_ip: true,
            ..forwarded()
        };
        let case = Case { head, downstream, forwarded, edits, ..get("") };
        case.write(|out, vars| {
            let ours = |name: &str| {
                let name = name.to_lowercase();
                name.starts_with("x-forwarded-")
                    || ["host", "forwarded", "x-real-ip", "x-request-id"].contains(&name.as_str())
            };
            let sent = lines(out);
            let passed: Vec<_> = sent.iter().filter(|field| !ours(&field.0)).cloned().collect();
            prop_assert_eq!(passed, edited(expected, &case.edits, vars));

            let count = |wanted: &str| sent.iter().filter(|field| field.0 == wanted).count();
            prop_assert_eq!(&sent[0], &("Host".to_owned(), b"h".to_vec()));
            prop_assert_eq!(count("Host"), 1);
            prop_assert_eq!(count("X-Request-Id"), 1);
            prop_assert_eq!(count("X-Real-IP"), 1);
            let told = usize::from(policy != ForwardPolicy::Remove);
            prop_assert_eq!(count("X-Forwarded-For"), told);
            prop_assert_eq!(count("Forwarded"), told);
            Ok(())
        })?;
    }
}

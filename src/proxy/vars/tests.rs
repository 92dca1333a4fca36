//! Every variable has its value.

use super::*;
use crate::http1::Limits;
use crate::snapshot::settings::{LimitKind, TlsFact};
use crate::tls::ClientCertificate;

fn head(text: &str) -> RequestHead {
    let mut head = RequestHead::default();
    head.parse(text.as_bytes(), &Limits::default()).unwrap();
    head
}

fn rendered(template: Vec<Piece>, text: &str, address: &str) -> String {
    let head = head(text);
    let address = address.parse().unwrap();
    let client = ClientIdentity { address, downstream: address, trusted: false, scheme: "https" };
    let ends = ("192.0.2.7:5000".parse().unwrap(), "192.0.2.8:80".parse().unwrap());
    let client_certificate = ClientCertificate {
        subject: "CN=me".to_owned(),
        issuer: "CN=ca".to_owned(),
        serial: "01AB".to_owned(),
        fingerprint: "00ff".to_owned(),
        pem: "-----BEGIN\n+/=".to_owned(),
    };
    let secured = Secured {
        version: "TLSv1.3",
        cipher: "TLS_AES_128_GCM_SHA256",
        server_name: Some("shop.test".into()),
        resumed: true,
        protocol: Some((*b"http/1.1").into()),
        client: Some(Box::new(client_certificate)),
    };
    let vars = Vars {
        request_id: b"id-1",
        path: b"/a b",
        route: "sh\rop",
        upstream: "api",
        backend: "127.0.0.1:9000",
        link: Link {
            listener: "web",
            number: 7,
            served: 3,
            ends: Some(ends),
            proxied: Some(&ends),
            secured: Some(&secured),
        },
        limited: Verdicts {
            rate: Some(Verdict::Delayed { dry: true }),
            concurrency: Some(Verdict::Passed),
        },
        answer: Answer {
            status: 204,
            head: b"HTTP/1.1 204 No Content\r\nX-A: 1\r\nx-a:2\r\n\r\n",
            trailers: b"X-Sum: 1\r\nx-sum: 2\r\n",
            length: 300,
            body: 0,
            request_body: 5,
        },
        ..Vars::new(&head, &client)
    };
    let mut out = b"a\r\nb: ".to_vec();
    render(&Template(template), &vars, &mut out);
    let rendered = out.strip_prefix(b"a\r\nb: ").expect("what was there stays as it is");
    String::from_utf8(rendered.to_vec()).unwrap()
}

const REQUEST: &str = "PUT /a%20b?x=1&y&xx=2&x=3&=4 HTTP/1.1\r\nHost: Shop.Test:81\r\n\
                       X-A: one\r\nx-a: two\r\nCookie: s=1; theme=\"a=b\"\r\n\
                       Cookie: t=;S=2;s=3;flag\r\nAuthorization: Basic bWU6c2VjcmV0\r\n\
                       X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2\r\n\r\n";

#[test]
fn every_variable_has_its_value() {
    for (variable, expected) in [
        (Variable::ClientIp, "192.0.2.10"),
        (Variable::UpstreamTrailer("x-sum".to_owned()), "1, 2"),
        (Variable::UpstreamTrailer("x-su".to_owned()), ""),
        (Variable::Limited(LimitKind::Rate), "DELAYED_DRY_RUN"),
        (Variable::Limited(LimitKind::Concurrency), "PASSED"),
        (Variable::Host, "shop.test"),
        (Variable::Method, "PUT"),
        (Variable::Path, "/a%20b"),
        (Variable::Query, "x=1&y&xx=2&x=3&=4"),
        (Variable::Uri, "/a%20b?x=1&y&xx=2&x=3&=4"),
        (Variable::Scheme, "https"),
        (Variable::Https, "on"),
        (Variable::Tls(TlsFact::Version), "TLSv1.3"),
        (Variable::Tls(TlsFact::Cipher), "TLS_AES_128_GCM_SHA256"),
        (Variable::Tls(TlsFact::ServerName), "shop.test"),
        (Variable::Tls(TlsFact::Protocol), "http/1.1"),
        (Variable::Tls(TlsFact::Resumed), "r"),
        (Variable::Tls(TlsFact::ClientVerified), "SUCCESS"),
        (Variable::Tls(TlsFact::ClientSubject), "CN=me"),
        (Variable::Tls(TlsFact::ClientIssuer), "CN=ca"),
        (Variable::Tls(TlsFact::ClientSerial), "01AB"),
        (Variable::Tls(TlsFact::ClientFingerprint), "00ff"),
        (Variable::Tls(TlsFact::ClientCertificate), "-----BEGIN%0A%2B%2F%3D"),
        (Variable::RequestId, "id-1"),
        (Variable::Route, "shop"),
        (Variable::Upstream, "api"),
        (Variable::Backend, "127.0.0.1:9000"),
        (Variable::NormalizedPath, "/a b"),
        (Variable::QueryMark, "?"),
        (Variable::Version, "HTTP/1.1"),
        (Variable::RequestLine, "PUT /a%20b?x=1&y&xx=2&x=3&=4 HTTP/1.1"),
        (Variable::User, "me"),
        (Variable::ForwardedFor, "10.0.0.1, 10.0.0.2, 192.0.2.10"),
        (Variable::ClientPort, "5000"),
        (Variable::ServerIp, "192.0.2.8"),
        (Variable::ServerPort, "80"),
        (Variable::Connection, "7"),
        (Variable::ConnectionRequests, "3"),
        (Variable::Listener, "web"),
        (Variable::Status, "204"),
        (Variable::ResponseLength, "300"),
        (Variable::BodyLength, "0"),
        (Variable::ResponseHeader("x-a".to_owned()), "1, 2"),
        (Variable::ResponseHeader("x-b".to_owned()), ""),
        (Variable::Time(TimeForm::Seconds), ""),
        (Variable::Header("x-a".to_owned()), "one, two"),
        (Variable::Header("cookie".to_owned()), "s=1; theme=\"a=b\"; t=;S=2;s=3;flag"),
        (Variable::Header("x-b".to_owned()), ""),
        (Variable::Cookie("s".to_owned()), "1"),
        (Variable::Cookie("S".to_owned()), "2"),
        (Variable::Cookie("theme".to_owned()), "\"a=b\""),
        (Variable::Cookie("t".to_owned()), ""),
        (Variable::Cookie("flag".to_owned()), ""),
        (Variable::Arg("x".to_owned()), "1"),
        (Variable::Arg("xx".to_owned()), "2"),
        (Variable::Arg("y".to_owned()), ""),
        (Variable::Arg("z".to_owned()), ""),
    ] {
        let template = vec![Piece::Variable(variable.clone())];
        assert_eq!(rendered(template, REQUEST, "192.0.2.10"), expected, "{variable:?}");
    }
    let template = vec![Piece::Variable(Variable::ClientIp)];
    assert_eq!(rendered(template, REQUEST, "2001:db8::1"), "2001:db8::1");
}

#[test]
fn what_would_end_a_line_is_left_out() {
    let template =
        vec![Piece::Text("a\r\nX: b\0\t\u{7f}\u{e4}".to_owned()), Piece::Variable(Variable::Route)];
    assert_eq!(rendered(template, REQUEST, "::1"), "aX: b\t\u{e4}shop");
}

#[test]
fn times_are_told_from_an_anchor() {
    let head = head(REQUEST);
    let address = "192.0.2.1".parse().unwrap();
    let client = ClientIdentity { address, downstream: address, trusted: false, scheme: "http" };
    let anchor = Instant::now();
    let zone = Zone::utc();
    let clock = Clock {
        now: anchor + Duration::from_millis(1_250),
        started: anchor + Duration::from_millis(200),
        anchor: (anchor, Duration::from_hours(498_677)),
        zone: &zone,
    };
    let vars = Vars { clock: Some(clock), ..Vars::new(&head, &client) };
    let told = |variable: Variable| {
        let mut out = Vec::new();
        assert!(push_variable(&variable, &vars, &mut out));
        String::from_utf8(out).unwrap()
    };
    assert_eq!(told(Variable::Time(TimeForm::Seconds)), "1795237201.250");
    assert_eq!(told(Variable::Time(TimeForm::Local)), "21/Nov/2026:05:00:01 +0000");
    assert_eq!(told(Variable::Time(TimeForm::Iso8601)), "2026-11-21T05:00:01+00:00");
    let later = Variable::Time(TimeForm::Http(3600));
    assert_eq!(told(later), "Sat, 21 Nov 2026 06:00:01 GMT");
    assert_eq!(told(Variable::Duration), "1.050");
}

#[test]
fn cookies_and_arguments_that_are_not_there_are_none() {
    let head = head(REQUEST);
    assert_eq!(cookie(&head, "flag"), None);
    assert_eq!(cookie(&head, "hem"), None);
    assert_eq!(arg(&head, "z"), None);
    assert_eq!(arg(&head, "y"), Some(&b""[..]));
}

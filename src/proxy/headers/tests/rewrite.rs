use regex::bytes::Regex;

use super::*;
use crate::snapshot::settings::{
    CookieFlags, CookieName, CookieRules, Fits, Flags, ResponseRules, Rewrite, Statuses, ToPiece,
    Trailer,
};

/// What a client of `http://front.test:8080` gets of these field lines.
fn passed(rules: &ResponseRules, fields: &str) -> String {
    let request = request_head(b"GET /a HTTP/1.1\r\nHost: Front.test:8080\r\n\r\n");
    let client = ClientIdentity::new(address("192.0.2.1"), "http", &request, &forwarded());
    let vars = Vars {
        request_id: b"id-1",
        route: "shop",
        upstream: "api",
        backend: "127.0.0.1:9000",
        ..Vars::new(&request, &client)
    };
    let head = response_head(format!("HTTP/1.1 200 OK\r\n{fields}\r\n").as_bytes(), "GET");
    let ctx = ResponseContext {
        vars: &vars,
        framing: Framing::None,
        persistence: Persistence::Implied,
        date: b"now",
        edits: &[],
        rules: Some(Rules { rules, port: 8080 }),
    };
    let mut out = Vec::new();
    write_response_head(&mut out, &head, &ctx);
    let text = String::from_utf8(out).unwrap();
    text.strip_prefix("HTTP/1.1 200 OK\r\n").unwrap().replace("\r\n", "\n").trim_end().to_owned()
}

fn pair(from: &str, to: &str) -> Rewrite {
    Rewrite { from: Fits::Text(text(from)), to: vec![ToPiece::Text(text(to))] }
}

fn regex(from: &str, to: Vec<ToPiece>) -> Rewrite {
    Rewrite { from: Fits::Regex(Regex::new(from).unwrap()), to }
}

#[test]
fn the_first_rule_that_fits_changes_a_redirect() {
    let rules = ResponseRules {
        redirects: vec![
            pair("http://a.test/x/", "/one/"),
            regex(
                "^http://(.*?)/(.*)$",
                vec![ToPiece::Group(2), ToPiece::Text(text("@")), ToPiece::Group(1)],
            ),
        ],
        ..ResponseRules::default()
    };
    for (field, expected) in [
        ("Location: http://a.test/x/y", "Location: /one/y"),
        ("LOCATION: http://a.test/y", "LOCATION: y@a.test"),
        ("Location: /x/y", "Location: /x/y"),
        ("Refresh: 3; URL=http://a.test/x/", "Refresh: 3; URL=/one/"),
        ("Refresh: 3", "Refresh: 3"),
        ("X-Location: http://a.test/x/", "X-Location: http://a.test/x/"),
    ] {
        assert_eq!(passed(&rules, &format!("{field}\r\n")), format!("{expected}\nDate: now"));
    }
    let absolute = ResponseRules { absolute_redirects: true, ..rules };
    assert_eq!(
        passed(&absolute, "Location: http://a.test/x/y\r\nDate: then\r\n"),
        "Location: http://front.test:8080/one/y\nDate: then"
    );
    let untouched = passed(&absolute, "Location: /x/y\r\nDate: then\r\n");
    assert_eq!(untouched, "Location: /x/y\nDate: then", "what no rule changed stays as it is");
}

#[test]
fn only_what_a_rule_is_about_changes_in_a_cookie() {
    let secure = CookieFlags {
        cookie: CookieName::Exact(text("S")),
        flags: Flags { secure: Some(true), http_only: Some(false), ..Flags::default() },
        words: vec![text("SameSite=Strict"), text("nosecure"), text(""), text("other")],
    };
    let rules = ResponseRules {
        cookies: CookieRules {
            domain: vec![pair("in.test", "front.test")],
            path: vec![pair("/in/", "/")],
            flags: vec![secure],
        },
        ..ResponseRules::default()
    };
    for (cookie, expected) in [
        ("a=b; Path=/in/x; Domain=.IN.test", "a=b; Path=/x; Domain=.front.test"),
        ("a=b;Path=/out;Domain=x.in.test", "a=b;Path=/out;Domain=x.in.test"),
        ("path=/in/; other=/in/", "path=/in/; other=/in/"),
        ("path; path=/in/", "path; path=/in/"),
        ("s=1; httponly", "s=1; Secure; SameSite=Strict"),
        ("s=1; SameSite=Lax; secure; x", "s=1; SameSite=Strict; secure; x"),
    ] {
        let got = passed(&rules, &format!("Set-Cookie: {cookie}\r\nDate: then\r\n"));
        assert_eq!(got, format!("Set-Cookie: {expected}\nDate: then"));
    }
}

#[test]
fn fields_of_nginx_are_hidden_unless_let_pass() {
    let rules =
        ResponseRules { hides: true, passed: vec!["x-pad".to_owned()], ..ResponseRules::default() };
    let fields = "Date: then\r\nServer: s\r\nX-Pad: 1\r\nX-ACCEL-Redirect: /\r\nX-Accel-Mapping: m\r\n\
                  X-Accel-Buffering: no\r\nX-Accel-Limit-Rate: 1\r\nX-Accel-Expires: 1\r\n\
                  X-Accel-Charset: u\r\nVia: v\r\n";
    assert_eq!(passed(&rules, fields), "X-Pad: 1\nX-Accel-Mapping: m\nVia: v\nDate: now");
}

#[test]
fn changes_and_trailers_hold_for_their_statuses() {
    let statuses = Statuses(vec![(200, 204), (304, 304)]);
    for (status, has) in [(199, false), (200, true), (204, true), (205, false), (304, true)] {
        assert_eq!(statuses.has(status), has, "{status}");
    }
    let trailer = |value| Trailer { name: "X-T".to_owned(), value, statuses: statuses.clone() };
    let request = request_head(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let client = ClientIdentity::new(address("192.0.2.1"), "http", &request, &forwarded());
    let vars = Vars { route: "shop", ..Vars::new(&request, &client) };
    let trailers = [trailer(variable(Variable::Route)), trailer(variable(Variable::Upstream))];
    assert_eq!(trailer_lines(&trailers, 200, &vars), b"X-T: shop\r\n", "an empty one is not sent");
    assert_eq!(trailer_lines(&trailers, 500, &vars), b"");
    let edits = [HeaderEdit::When(statuses, Box::new(set("x-a", text("2"))))];
    for (status, expected) in [(200, &b"x-a: 2\r\n"[..]), (500, b"X-A: 1\r\n")] {
        let mut out = b"X-A: 1\r\n".to_vec();
        apply_edits(&mut out, 0, &edits, status, &vars);
        assert_eq!(out, expected, "{status}");
    }
}

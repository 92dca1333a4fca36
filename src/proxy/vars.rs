//! The variables of templates: what a request gives for `${name}`.
//!
//! Header edits, redirects and hash keys are templates that were parsed with the configuration; here
//! their pieces are put together for one request. Pure; called by `proxy::headers` for edits and by
//! `proxy::service` for redirects and keys.

use std::io::Write;
use std::net::IpAddr;

use crate::http1::{Known, RequestHead, is_field_value};
use crate::proxy::headers::ClientIdentity;
use crate::snapshot::settings::{Piece, Template, Variable};

/// Everything that variables speak of.
#[derive(Debug, Clone, Copy)]
pub struct Vars<'a> {
    /// The request.
    pub head: &'a RequestHead,
    /// Who sent it.
    pub client: &'a ClientIdentity,
    /// Its id, as [`request_id`](crate::proxy::headers::request_id) gives it.
    pub request_id: &'a [u8],
    /// The route's name.
    pub route: &'a str,
    /// The upstream's name; empty where none is chosen.
    pub upstream: &'a str,
    /// The backend's address as written; empty where none is chosen.
    pub backend: &'a str,
}

/// Appends the text of `template` for this request.
///
/// What is appended may stand in a field: control characters other than HTAB are left out, so no
/// value can end a line (RFC 9110 §5.5). A variable without a value gives nothing.
pub fn render(template: &Template, vars: &Vars<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    for piece in &template.0 {
        match piece {
            Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
            Piece::Variable(variable) => push_variable(variable, vars, out),
        }
    }
    if !is_field_value(&out[start..]) {
        remove_controls(out, start);
    }
}

/// Appends the value of `variable`.
pub(super) fn push_variable(variable: &Variable, vars: &Vars<'_>, out: &mut Vec<u8>) {
    let head = vars.head;
    let value = match variable {
        Variable::ClientIp => return push_address(out, vars.client.address),
        Variable::Host => head.host_name(),
        Variable::Method => head.method(),
        Variable::Path => head.path(),
        Variable::Query => head.query().unwrap_or_default(),
        Variable::Uri => head.asked_target(),
        Variable::Scheme => vars.client.scheme.as_bytes(),
        Variable::RequestId => vars.request_id,
        Variable::Route => vars.route.as_bytes(),
        Variable::Upstream => vars.upstream.as_bytes(),
        Variable::Backend => vars.backend.as_bytes(),
        Variable::Header(name) => head.find(name).unwrap_or_default(),
        Variable::Cookie(name) => cookie(head, name).unwrap_or_default(),
        Variable::Arg(name) => arg(head, name).unwrap_or_default(),
    };
    out.extend_from_slice(value);
}

/// The value of the first cookie of that name (RFC 6265 §5.4), as sent. Case matters.
pub fn cookie<'h>(head: &'h RequestHead, name: &str) -> Option<&'h [u8]> {
    let pairs = head.all(Known::Cookie).flat_map(|line| line.split(|byte| *byte == b';'));
    pairs
        .map(<[u8]>::trim_ascii)
        .find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// The value of the first query argument of that name, not decoded; empty when it has no `=`. Case
/// matters.
pub fn arg<'h>(head: &'h RequestHead, name: &str) -> Option<&'h [u8]> {
    let mut pairs = head.query()?.split(|byte| *byte == b'&');
    pairs.find_map(|pair| match pair.strip_prefix(name.as_bytes())? {
        [] => Some(&[][..]),
        [b'=', value @ ..] => Some(value),
        _ => None,
    })
}

/// Appends an address. IPv4, the usual one, goes without formatting machinery.
pub(super) fn push_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let (mut text, mut len) = ([0; 16], 0);
            for octet in address.octets() {
                let ([digits @ .., count], place) = (OCTETS[usize::from(octet)], &mut text[len..]);
                place[..4].copy_from_slice(&digits);
                len += usize::from(count);
            }
            // Without the last dot.
            out.extend_from_slice(&text[..len - 1]);
        }
        IpAddr::V6(address) => {
            // Writing to a vector does not fail.
            let _ = write!(out, "{address}");
        }
    }
}

/// Each octet in decimal digits with a dot behind it, and how many bytes that are.
static OCTETS: [[u8; 5]; 256] = {
    let mut table = [[0; 5]; 256];
    let mut octet = 0;
    while octet < table.len() {
        let [hundreds, tens, ones] = [octet / 100, octet / 10 % 10, octet % 10];
        let digits = [b'0' + hundreds as u8, b'0' + tens as u8, b'0' + ones as u8, b'.'];
        let skip = if octet < 10 { 2 } else { (octet < 100) as usize };
        let mut at = skip;
        while at < digits.len() {
            table[octet][at - skip] = digits[at];
            at += 1;
        }
        table[octet][4] = (digits.len() - skip) as u8;
        octet += 1;
    }
    table
};

/// Removes what may not stand in a field from `out[start..]`.
fn remove_controls(out: &mut Vec<u8>, start: usize) {
    let mut at = 0;
    out.retain(|byte| {
        at += 1;
        at <= start || *byte == b'\t' || !byte.is_ascii_control()
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http1::Limits;

    fn head(text: &str) -> RequestHead {
        let mut head = RequestHead::default();
        head.parse(text.as_bytes(), &Limits::default()).unwrap();
        head
    }

    fn rendered(template: Vec<Piece>, text: &str, address: &str) -> String {
        let head = head(text);
        let address = address.parse().unwrap();
        let client =
            ClientIdentity { address, downstream: address, trusted: false, scheme: "https" };
        let vars = Vars {
            head: &head,
            client: &client,
            request_id: b"id-1",
            route: "sh\rop",
            upstream: "api",
            backend: "127.0.0.1:9000",
        };
        let mut out = b"a\r\nb: ".to_vec();
        render(&Template(template), &vars, &mut out);
        let rendered = out.strip_prefix(b"a\r\nb: ").expect("what was there stays as it is");
        String::from_utf8(rendered.to_vec()).unwrap()
    }

    const REQUEST: &str = "PUT /a%20b?x=1&y&xx=2&x=3&=4 HTTP/1.1\r\nHost: Shop.Test:81\r\n\
                           X-A: one\r\nx-a: two\r\nCookie: s=1; theme=\"a=b\"\r\n\
                           Cookie: t=;S=2;s=3;flag\r\n\r\n";

    #[test]
    fn every_variable_has_its_value() {
        for (variable, expected) in [
            (Variable::ClientIp, "192.0.2.10"),
            (Variable::Host, "shop.test"),
            (Variable::Method, "PUT"),
            (Variable::Path, "/a%20b"),
            (Variable::Query, "x=1&y&xx=2&x=3&=4"),
            (Variable::Uri, "/a%20b?x=1&y&xx=2&x=3&=4"),
            (Variable::Scheme, "https"),
            (Variable::RequestId, "id-1"),
            (Variable::Route, "shop"),
            (Variable::Upstream, "api"),
            (Variable::Backend, "127.0.0.1:9000"),
            (Variable::Header("x-a".to_owned()), "one"),
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

    proptest! {
        #[test]
        fn addresses_are_written_as_everywhere(octets: [u8; 4]) {
            let mut out = b"for=".to_vec();
            push_address(&mut out, octets.into());
            let text = std::net::Ipv4Addr::from(octets).to_string();
            prop_assert_eq!(out, format!("for={text}").into_bytes());
        }
    }

    #[test]
    fn what_would_end_a_line_is_left_out() {
        let template = vec![
            Piece::Text("a\r\nX: b\0\t\u{7f}\u{e4}".to_owned()),
            Piece::Variable(Variable::Route),
        ];
        assert_eq!(rendered(template, REQUEST, "::1"), "aX: b\t\u{e4}shop");
    }

    #[test]
    fn cookies_and_arguments_that_are_not_there_are_none() {
        let head = head(REQUEST);
        assert_eq!(cookie(&head, "flag"), None);
        assert_eq!(cookie(&head, "hem"), None);
        assert_eq!(arg(&head, "z"), None);
        assert_eq!(arg(&head, "y"), Some(&b""[..]));
    }
}

mod identity;
mod request;
mod response;
mod rewrite;

use std::net::IpAddr;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::http1::{Framing, Limits, Parse, RequestHead, ResponseHead, Version};
use crate::snapshot::settings::{
    AddressSource, ForwardPolicy, Forwarded, HostPolicy, PathRewrite, Piece, RequestIdField,
    Variable, XForwarded,
};

fn request_head(text: &[u8]) -> RequestHead {
    let mut head = RequestHead::default();
    let parse = head.parse(text, &Limits::default());
    assert_eq!(parse, Ok(Parse::Complete { len: text.len() }), "{}", text.escape_ascii());
    head
}

fn response_head(text: &[u8], request_method: &str) -> ResponseHead {
    let mut head = ResponseHead::default();
    let parse = head.parse(text, &Limits::default(), request_method.as_bytes());
    assert_eq!(parse, Ok(Parse::Complete { len: text.len() }), "{}", text.escape_ascii());
    head
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Tells the client's address in `X-Forwarded-*` and nothing else; trusts `10.0.0.0/8`
/// and `fd00::/8`.
fn forwarded() -> Forwarded {
    Forwarded {
        trusted_proxies: vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
        client_address: AddressSource::XForwardedFor,
        recursive: true,
        x_forwarded: XForwarded::all(ForwardPolicy::Auto),
        forwarded: ForwardPolicy::Remove,
        x_real_ip: false,
        request_id: Some(RequestIdField::Usual),
    }
}

fn text(text: &str) -> Template {
    Template(vec![Piece::Text(text.to_owned())])
}

fn variable(variable: Variable) -> Template {
    Template(vec![Piece::Variable(variable)])
}

fn set(name: &str, value: Template) -> HeaderEdit {
    HeaderEdit::Set(name.to_owned(), value)
}

fn add(name: &str, value: Template) -> HeaderEdit {
    HeaderEdit::Add(name.to_owned(), value)
}

fn remove(name: &str) -> HeaderEdit {
    HeaderEdit::Remove(name.to_owned())
}

/// Field lines as text, of any value that a codec lets through.
fn any_fields(names: &'static [&'static str]) -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let name = (select(names), any::<bool>())
        .prop_map(|(name, upper)| if upper { name.to_uppercase() } else { name.to_owned() });
    let byte =
        prop_oneof![6 => b'!'..=b'~', 1 => Just(b' '), 1 => Just(b'\t'), 1 => 0x80..=0xff_u8];
    let value =
        proptest::collection::vec(byte, 0..12).prop_map(|value| value.trim_ascii().to_vec());
    proptest::collection::vec((name, value), 0..16)
}

fn any_edits(names: &'static [&'static str]) -> impl Strategy<Value = Vec<HeaderEdit>> {
    let value = prop_oneof![
        Just(variable(Variable::Header("accept".to_owned()))),
        Just(variable(Variable::Uri)),
        Just(variable(Variable::ClientIp)),
        // Not what a checked configuration has: nothing may break a line all the same.
        any::<String>().prop_map(|any| text(&any)),
    ];
    let edit = (select(names), value, 0..3).prop_map(|(name, value, kind)| match kind {
        0 => set(name, value),
        1 => add(name, value),
        _ => remove(name),
    });
    proptest::collection::vec(edit, 0..5)
}

/// What edits mean, on a list of fields.
fn edited(
    mut fields: Vec<(String, Vec<u8>)>,
    edits: &[HeaderEdit],
    vars: &Vars<'_>,
) -> Vec<(String, Vec<u8>)> {
    for edit in edits {
        if let HeaderEdit::Set(name, _) | HeaderEdit::Remove(name) = edit {
            fields.retain(|field| !field.0.eq_ignore_ascii_case(name));
        }
        if let HeaderEdit::Set(name, value) | HeaderEdit::Add(name, value) = edit {
            let mut rendered = Vec::new();
            render(value, vars, &mut rendered);
            // A value that turns out empty is not sent.
            fields.extend(Some((name.clone(), rendered)).filter(|(_, value)| !value.is_empty()));
        }
    }
    fields
}

/// The lines of a head between its start line and its empty line, which must be its end.
fn lines(out: &[u8]) -> Vec<(String, Vec<u8>)> {
    let head = out.strip_suffix(b"\r\n\r\n").expect("a head ends with an empty line");
    let mut lines = Vec::new();
    let mut rest = head;
    while !rest.is_empty() {
        let end = memchr::memmem::find(rest, b"\r\n").unwrap_or(rest.len());
        lines.push(&rest[..end]);
        rest = rest.get(end + 2..).unwrap_or_default();
    }
    for line in &lines {
        let whole = |byte: &u8| *byte == b'\t' || !byte.is_ascii_control();
        assert!(line.iter().all(whole), "{}", line.escape_ascii());
    }
    let field = |line: &&[u8]| {
        let colon = memchr::memmem::find(line, b": ").expect("a field line");
        (String::from_utf8(line[..colon].to_vec()).unwrap(), line[colon + 2..].to_vec())
    };
    lines[1..].iter().map(field).collect()
}

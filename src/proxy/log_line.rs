//! A line of the access log by a template, after nginx's `log_format`.
//!
//! Pure; called by `proxy::record`.

use crate::proxy::vars::{Vars, push_variable, render_raw};
use crate::snapshot::settings::{LogEscape, LogLine, Piece, Template, Variable};

/// Appends the line with its end.
pub(super) fn write(line: &LogLine, vars: &Vars<'_>, out: &mut Vec<u8>) {
    let mut value = Vec::new();
    for piece in &line.template.0 {
        match piece {
            Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
            Piece::Variable(variable) => {
                value.clear();
                let there = push_variable(variable, vars, &mut value);
                match line.escape {
                    LogEscape::Default if !there && !may_be_empty(variable) => out.push(b'-'),
                    LogEscape::Default => push_escaped(&value, out),
                    LogEscape::Json => push_json(&value, out),
                    LogEscape::None => out.extend_from_slice(&value),
                }
            }
        }
    }
    out.push(b'\n');
}

/// Whether a request is logged.
pub(super) fn is_wanted(when: &Template, vars: &Vars<'_>) -> bool {
    let mut text = Vec::new();
    render_raw(when, vars, &mut text);
    !matches!(&*text, b"" | b"0")
}

/// Whether nothing is a value of this variable.
fn may_be_empty(variable: &Variable) -> bool {
    matches!(variable, Variable::Made(_) | Variable::QueryMark | Variable::Host)
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

fn push_escaped(value: &[u8], out: &mut Vec<u8>) {
    for byte in value {
        match byte {
            b'"' | b'\\' | 0..=0x1f | 0x7f.. => {
                let [high, low] = [byte >> 4, byte & 15].map(|digit| HEX[usize::from(digit)]);
                out.extend_from_slice(&[b'\\', b'x', high, low]);
            }
            plain => out.push(*plain),
        }
    }
}

fn push_json(value: &[u8], out: &mut Vec<u8>) {
    for byte in value {
        let short = match byte {
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0c => b'f',
            b'"' | b'\\' => *byte,
            0..=0x1f => {
                let [high, low] = [byte >> 4, byte & 15].map(|digit| HEX[usize::from(digit)]);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
                continue;
            }
            plain => {
                out.push(*plain);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{Limits, RequestHead};
    use crate::proxy::headers::ClientIdentity;

    fn line(escape: LogEscape) -> String {
        let mut head = RequestHead::default();
        let text = "GET / HTTP/1.1\r\nHost: h\r\nX-A: a\"\\\u{e4}\tb\r\n\r\n";
        head.parse(text.as_bytes(), &Limits::default()).unwrap();
        let address = [192, 0, 2, 1].into();
        let client =
            ClientIdentity { address, downstream: address, trusted: false, scheme: "http" };
        let variable = |name: &str| Piece::Variable(Variable::Header(name.to_owned()));
        let template = Template(vec![
            variable("x-a"),
            Piece::Text("\" ".to_owned()),
            variable("x-b"),
            Piece::Variable(Variable::QueryMark),
        ]);
        let mut out = Vec::new();
        write(&LogLine { template, escape }, &Vars::new(&head, &client), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_are_escaped_and_the_text_is_not() {
        assert_eq!(line(LogEscape::Default), "a\\x22\\x5C\\xC3\\xA4\\x09b\" -\n");
        assert_eq!(line(LogEscape::Json), "a\\\"\\\\\u{e4}\\tb\" \n");
        assert_eq!(line(LogEscape::None), "a\"\\\u{e4}\tb\" \n");
    }
}

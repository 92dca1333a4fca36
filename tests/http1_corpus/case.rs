//! The form of the files: what is sent, and the verdict.
//!
//! ```text
//! # A remark.
//! case: two lengths that differ
//! > POST / HTTP/1.1
//! > Host: a
//! > Content-Length: 1
//! > Content-Length: 2
//! >
//! > xx\
//! 400
//! ```
//!
//! A case begins with its title. Lines behind `>` are sent, each with CRLF behind it unless it ends in
//! `\`. In them `\r`, `\n`, `\t`, `\s` (a space), `\\` and `\xHH` stand for one byte, and `{9000 ab}` for
//! so many times the text. Lines behind `+` are sent once all has come out that the verdict tells. `then
//! ends` ends the sender's half. What a case is to be tried with
//! otherwise stands before the lines: `on NAME` is another listener, `to METHOD …` the request to which a
//! response is the answer. The verdicts follow, one for each message, and behind `<` the bytes that have
//! to come out on the other side.

use std::fs;
use std::path::Path;

/// A case of a file.
#[derive(Debug, Default, Clone)]
pub(crate) struct Case {
    /// `file: title`.
    pub(crate) title: String,
    /// The listener that is asked.
    pub(crate) listener: Option<String>,
    /// The request line of the request to which the response is the answer.
    pub(crate) request: Option<String>,
    /// What is sent.
    pub(crate) sent: Vec<u8>,
    /// What is sent once all has come out that the verdict tells.
    pub(crate) later: Vec<u8>,
    /// The sender ends its half afterwards.
    pub(crate) ends: bool,
    /// What is to become of it.
    pub(crate) verdicts: Vec<Verdict>,
}

/// What is to become of a message.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    /// The words.
    pub(crate) words: String,
    /// What comes out on the other side.
    pub(crate) out: Vec<u8>,
}

/// All cases of a directory.
pub(crate) fn read(directory: &str) -> Vec<Case> {
    let directory =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http1_corpus").join(directory);
    let mut files: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().flat_map(|file| parse(file)).collect()
}

fn parse(file: &Path) -> Vec<Case> {
    let name = file.file_stem().unwrap().to_str().unwrap();
    let mut cases: Vec<Case> = Vec::new();
    for (number, line) in fs::read_to_string(file).unwrap().lines().enumerate() {
        if let Some(title) = line.strip_prefix("case: ") {
            cases.push(Case { title: format!("{name}: {title}"), ..Case::default() });
            continue;
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = || format!("{name}:{}: {line}", number + 1);
        let case = cases.last_mut().unwrap_or_else(|| panic!("{}: no case yet", at()));
        match line.split_at(line.find(' ').unwrap_or(line.len())) {
            (">", text) => unescape(text, &mut case.sent),
            ("+", text) => unescape(text, &mut case.later),
            ("<", text) => {
                let verdict = case.verdicts.last_mut();
                unescape(text, &mut verdict.unwrap_or_else(|| panic!("{}", at())).out);
            }
            ("on", listener) => case.listener = Some(listener.trim().to_owned()),
            ("to", request) => case.request = Some(request.trim().to_owned()),
            ("then", " ends") => case.ends = true,
            _ => case.verdicts.push(Verdict { words: line.to_owned(), out: Vec::new() }),
        }
    }
    for case in &cases {
        assert!(!case.verdicts.is_empty(), "{}: no verdict", case.title);
    }
    cases
}

/// The bytes that a line stands for. The space behind its mark is none of them.
fn unescape(text: &str, out: &mut Vec<u8>) {
    let text = text.strip_prefix(' ').unwrap_or(text);
    let (text, end) = match text.strip_suffix('\\') {
        Some(text) if !text.ends_with('\\') => (text, &b""[..]),
        _ => (text, &b"\r\n"[..]),
    };
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some((number, repeated, behind)) = repetition(rest) {
            for _ in 0..number {
                escaped(repeated, out);
            }
            rest = behind;
        } else {
            let len = match (first, rest.as_bytes().get(1)) {
                ('\\', Some(b'x')) => 4,
                ('\\', _) => 2,
                _ => first.len_utf8(),
            };
            escaped(&rest[..len], out);
            rest = &rest[len..];
        }
    }
    out.extend_from_slice(end);
}

/// `{NUMBER text}` at the start of a text, and what is behind it.
fn repetition(text: &str) -> Option<(usize, &str, &str)> {
    let (inner, behind) = text.strip_prefix('{')?.split_once('}')?;
    let (number, repeated) = inner.split_once(' ')?;
    Some((number.parse().ok()?, repeated, behind))
}

/// A text in which a backslash stands before what means another byte.
fn escaped(text: &str, out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(place) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..place]);
        let (byte, len) = match rest.as_bytes()[place + 1] {
            b'r' => (b'\r', 2),
            b'n' => (b'\n', 2),
            b't' => (b'\t', 2),
            b's' => (b' ', 2),
            b'\\' => (b'\\', 2),
            b'x' => (u8::from_str_radix(&rest[place + 2..place + 4], 16).unwrap(), 4),
            other => panic!("\\{} means nothing", char::from(other)),
        };
        out.push(byte);
        rest = &rest[place + len..];
    }
    out.extend_from_slice(rest.as_bytes());
}

#[test]
fn lines_stand_for_bytes() {
    let bytes = |text| {
        let mut out = Vec::new();
        unescape(text, &mut out);
        out
    };
    assert_eq!(bytes(" a: b"), b"a: b\r\n");
    assert_eq!(bytes(""), b"\r\n");
    assert_eq!(bytes(r" a\"), b"a");
    assert_eq!(bytes(r" \x00\r\n\t\s\\"), b"\0\r\n\t \\\r\n");
    assert_eq!(bytes(" {3 ab}{2 \\r\\n}c{d}"), b"ababab\r\n\r\nc{d}\r\n");
}

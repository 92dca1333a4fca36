//! Heads judged as nginx judges them.

use crate::http1::{HeadError, Limits, Names, Parse, RequestHead};

const PLAIN: Limits = Limits { names: Names::Plain { underscores: false }, ..Limits::DEFAULT };

/// The names that are left of a request with these field lines.
fn names(lines: &str, limits: &Limits) -> Result<Vec<String>, HeadError> {
    let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n");
    let mut head = RequestHead::default();
    let parse = head.parse(text.as_bytes(), limits)?;
    assert_eq!(parse, Parse::Complete { len: text.len() });
    let name = |field: &_| String::from_utf8_lossy(head.name(*field)).into_owned();
    Ok(head.fields().iter().skip(1).map(name).collect())
}

#[test]
fn odd_names_are_left_out_and_bad_ones_refused() {
    let lines = "A: 1\r\nx_y: 2\r\nA.B: 3\r\n(q): 4\r\n\u{e4}: 5\r\nX-9: 6";
    assert_eq!(names(lines, &PLAIN).unwrap(), ["A", "X-9"]);
    let underscores = Limits { names: Names::Plain { underscores: true }, ..PLAIN };
    assert_eq!(names(lines, &underscores).unwrap(), ["A", "x_y", "X-9"]);
    assert_eq!(names(lines, &Limits::DEFAULT), Err(HeadError::BadHeader));
    for bad in [": x", "B C: x", "B\t: x", " B: x", "no colon"] {
        assert_eq!(names(bad, &PLAIN), Err(HeadError::BadHeader), "{bad}");
    }
}

#[test]
fn a_field_that_was_left_out_frames_nothing() {
    let framing = "Content_Length: 5\r\nTransfer.Encoding: chunked";
    assert!(names(framing, &PLAIN).unwrap().is_empty());
}

#[test]
fn fields_of_one_value_are_there_once() {
    let unique = Limits { unique: true, ..Limits::DEFAULT };
    for line in ["Authorization: a", "content-length: 1", "If-None-Match: *", "If-Range: b"] {
        let twice = format!("{line}\r\n{line}");
        assert_eq!(names(&twice, &unique), Err(HeadError::RepeatedField), "{line}");
        assert!(names(&twice, &Limits::DEFAULT).is_ok(), "{line}");
        assert!(names(line, &unique).is_ok(), "{line}");
    }
    let others = "Cookie: a\r\nCookie: b\r\nAccept: c\r\nAccept: d\r\nExpect: 100-continue";
    assert!(names(others, &unique).is_ok());
}

#[test]
fn a_field_line_has_a_limit_of_its_own() {
    let limits = Limits { max_field_bytes: 20, ..Limits::DEFAULT };
    assert!(names(&format!("X: {}", "v".repeat(17)), &limits).is_ok());
    assert_eq!(names(&format!("X: {}", "v".repeat(18)), &limits), Err(HeadError::TooLarge));
}

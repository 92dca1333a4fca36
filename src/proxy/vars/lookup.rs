//! What is looked up in heads: fields, cookies, query arguments.

use memchr::memchr;

use crate::http1::{Known, RequestHead, ResponseHead};

/// The value of the first cookie of that name (RFC 6265 §5.4), as sent; else of the first whose name
/// differs by upper and lower case only, as nginx has it.
pub fn cookie<'h>(head: &'h RequestHead, name: &str) -> Option<&'h [u8]> {
    let pairs = || {
        let pairs = head.all(Known::Cookie).flat_map(|line| line.split(|byte| *byte == b';'));
        pairs.map(<[u8]>::trim_ascii)
    };
    let very = || pairs().find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
    let alike = || pairs().find_map(|pair| behind(pair, name)?.strip_prefix(b"="));
    very().or_else(alike)
}

/// What stands behind a name, in any case.
fn behind<'p>(pair: &'p [u8], name: &str) -> Option<&'p [u8]> {
    let (begin, rest) = pair.split_at_checked(name.len())?;
    begin.eq_ignore_ascii_case(name.as_bytes()).then_some(rest)
}

/// The value of the first query argument of that name, not decoded; empty when it has no `=`. Else of
/// the first whose name differs by upper and lower case only, as nginx has it.
pub fn arg<'h>(head: &'h RequestHead, name: &str) -> Option<&'h [u8]> {
    let query = head.query()?;
    let value = |rest: &'h [u8]| match rest {
        [] => Some(&[][..]),
        [b'=', value @ ..] => Some(value),
        _ => None,
    };
    let pairs = || query.split(|byte| *byte == b'&');
    let very = || pairs().find_map(|pair| value(pair.strip_prefix(name.as_bytes())?));
    let alike = || pairs().find_map(|pair| value(behind(pair, name)?));
    very().or_else(alike)
}

/// The value of the cookie of that name that the response sets last, up to its attributes (RFC 6265
/// §4.1.1). Case matters.
pub(super) fn set_cookie<'h>(head: &'h ResponseHead, name: &str) -> Option<&'h [u8]> {
    let mut last = None;
    for line in head.all(Known::SetCookie) {
        let pair = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let value = pair.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
        last = value.or(last);
    }
    last
}

/// Appends values, joined; whether there were any.
pub(super) fn push_joined<'v>(
    out: &mut Vec<u8>,
    values: impl Iterator<Item = &'v [u8]>,
    separator: &[u8],
) -> bool {
    let mut any = false;
    for value in values {
        if any {
            out.extend_from_slice(separator);
        }
        out.extend_from_slice(value);
        any = true;
    }
    any
}

/// The values of the fields of that name in a head's text as it was sent.
pub(super) fn sent_fields<'l>(
    head: &'l [u8],
    name: &'l str,
) -> impl Iterator<Item = &'l [u8]> + use<'l> {
    let first = memchr(b'\n', head).map_or(head.len(), |end| end + 1);
    fields(&head[first..], name)
}

/// The values of the fields of that name in `lines`.
pub(super) fn fields<'l>(
    lines: &'l [u8],
    name: &'l str,
) -> impl Iterator<Item = &'l [u8]> + use<'l> {
    lines.split(|byte| *byte == b'\n').filter_map(move |line| {
        let (of, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":")?;
        of.eq_ignore_ascii_case(name.as_bytes()).then(|| value.trim_ascii())
    })
}

//! The path that routes are matched with, after nginx's rules: escapes decoded, dot segments resolved,
//! slashes merged. So `/a/%2e%2e//b` is matched as `/b`, and no spelling of a path gets around a route.
//! `%2F` counts as a slash. Called by `proxy` once per request; what is forwarded is the target as
//! received, or a path written by [`push_path`] when a route rewrites it.

use crate::http1::{
    HeadError,
    grammar::{hex_pair, is_path_byte},
};

/// The normalised form of a target's path. Begins with `/`, except for `*`, which stays as it is.
///
/// A path without `%`, `//` and `/.` is normal already and returned as it is; else the result is
/// written to `scratch`, whose content is lost.
///
/// # Errors
/// [`HeadError::BadRequestLine`] for a malformed escape, for `%00`, and for `..` above the root.
pub fn normalise<'a>(path: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<&'a [u8], HeadError> {
    if is_normal(path) { Ok(path) } else { written(path, true, scratch) }
}

/// The same, but for slashes, which are not merged (after nginx's `merge_slashes off`): `..` behind an
/// empty segment takes that away.
///
/// # Errors
/// Those of [`normalise`].
pub fn normalise_unmerged<'a>(
    path: &'a [u8],
    scratch: &'a mut Vec<u8>,
) -> Result<&'a [u8], HeadError> {
    written(path, false, scratch)
}

fn written<'a>(path: &[u8], merges: bool, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], HeadError> {
    scratch.clear();
    let mut rest = path;
    loop {
        let (byte, after) = match rest {
            [] => break,
            [b'%', high, low, after @ ..] => (hex_pair(*high, *low).unwrap_or(0), after),
            [b'%', ..] => (0, rest),
            [byte, after @ ..] => (*byte, after),
        };
        match byte {
            // A NUL cannot stand in a target, so here it came from an escape.
            0 => return Err(HeadError::BadRequestLine),
            b'/' if !merges && scratch.ends_with(b"/") => scratch.push(b'/'),
            b'/' => end_segment(scratch)?,
            _ => scratch.push(byte),
        }
        rest = after;
    }
    // `/a/.` and `/a/..` name directories: the segment goes, the slash before it stays.
    if scratch.ends_with(b"/.") || scratch.ends_with(b"/..") {
        end_segment(scratch)?;
    }
    Ok(scratch)
}

/// Takes a slash: resolves the segment before it if that is empty, `.` or `..`.
fn end_segment(out: &mut Vec<u8>) -> Result<(), HeadError> {
    if out.ends_with(b"/") {
        return Ok(());
    }
    if out.ends_with(b"/.") {
        out.pop();
    } else if out.ends_with(b"/..") {
        let parent_end = out.len() - b"/..".len();
        let parent = memchr::memrchr(b'/', &out[..parent_end]).ok_or(HeadError::BadRequestLine)?;
        out.truncate(parent + 1);
    } else {
        out.push(b'/');
    }
    Ok(())
}

/// Whether a path that was put together may be asked for: it begins with `/`, and none of its segments
/// is `..`, which whoever gets it would resolve to a path that no route was looked for.
pub fn is_settled(path: &[u8]) -> bool {
    path.starts_with(b"/") && !path.split(|byte| *byte == b'/').any(|segment| segment == b"..")
}

fn is_normal(path: &[u8]) -> bool {
    let mut after_slash = false;
    for &byte in path {
        if byte == b'%' || (after_slash && (byte == b'/' || byte == b'.')) {
            return false;
        }
        after_slash = byte == b'/';
    }
    true
}

/// Appends a normalised path as it may stand in a target: what RFC 3986 does not allow in a path is
/// escaped.
pub fn push_path(out: &mut Vec<u8>, path: &[u8]) {
    push_escaped(out, path, is_path_byte);
}

/// Appends a query that may hold anything: what may not stand in a target is escaped. Escapes stay
/// as they are.
pub fn push_query(out: &mut Vec<u8>, query: &[u8]) {
    push_escaped(out, query, |byte| byte.is_ascii_graphic() && byte != b'#');
}

/// Appends `text`; the bytes that are not `plain` are escaped.
pub fn push_escaped(out: &mut Vec<u8>, text: &[u8], plain: impl Fn(u8) -> bool) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in text {
        if plain(byte) {
            out.push(byte);
        } else {
            let digit = |half: u8| HEX[usize::from(half)];
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normal(path: &[u8]) -> Option<Vec<u8>> {
        normalise(path, &mut Vec::new()).ok().map(<[u8]>::to_vec)
    }

    #[test]
    fn a_settled_path_begins_with_a_slash_and_does_not_climb() {
        for path in ["/", "/a/b", "/..a/b..", "/a/...", "//"] {
            assert!(is_settled(path.as_bytes()), "{path}");
        }
        for path in ["", "a", "@a", "http://a/", "/..", "/a/../b", "..", "/a/.."] {
            assert!(!is_settled(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn paths_are_decoded_resolved_and_merged() {
        for (path, expected) in [
            ("/", "/"),
            ("*", "*"),
            ("/a/b.html", "/a/b.html"),
            ("/a%20b", "/a b"),
            ("/%61", "/a"),
            ("/a//b///c", "/a/b/c"),
            ("//", "/"),
            ("/./a", "/a"),
            ("/a/./b", "/a/b"),
            ("/a/.", "/a/"),
            ("/a/..", "/"),
            ("/a/../b", "/b"),
            ("/a/b/../../c", "/c"),
            ("/a/b/..", "/a/"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/.%2e/b", "/b"),
            ("/a%2Fb", "/a/b"),
            ("/a%2f..%2fb", "/b"),
            ("/a//../b", "/b"),
            ("/.well-known/x", "/.well-known/x"),
            ("/...", "/..."),
            ("/a/..b/.c", "/a/..b/.c"),
            ("/a../b", "/a../b"),
            ("/%252e%252e/", "/%2e%2e/"),
            ("/a;p=1/..;/b", "/a;p=1/..;/b"),
            ("/a/..//../b", ""),
        ] {
            let expected = Some(expected.as_bytes().to_vec()).filter(|path| !path.is_empty());
            assert_eq!(normal(path.as_bytes()), expected, "{path}");
        }
        assert_eq!(normal(b"/%e4").as_deref(), Some(&b"/\xe4"[..]));
    }

    #[test]
    fn slashes_may_stay() {
        for (path, expected) in [
            ("/a//b", "/a//b"),
            ("//", "//"),
            ("/a/%2F/b", "/a///b"),
            ("/a//../b", "/a/b"),
            ("/a//.//b", "/a///b"),
            ("/a/b/..", "/a/"),
            ("/a", "/a"),
        ] {
            let normal = normalise_unmerged(path.as_bytes(), &mut Vec::new()).map(<[u8]>::to_vec);
            assert_eq!(normal.unwrap(), expected.as_bytes(), "{path}");
        }
        assert!(normalise_unmerged(b"/..", &mut Vec::new()).is_err());
    }

    #[test]
    fn what_cannot_be_understood_is_refused() {
        for path in [
            "/%", "/%2", "/%zz", "/%0g", "/a%00b", "/..", "/../", "/a/../..", "/%2e%2e", "/./..",
            "/..%2f", "/%+1", "//..",
        ] {
            assert_eq!(normal(path.as_bytes()), None, "{path}");
        }
    }

    #[test]
    fn a_normal_path_is_not_copied() {
        let mut scratch = b"old".to_vec();
        let path = b"/static/app.js";
        assert_eq!(normalise(path, &mut scratch).unwrap().as_ptr(), path.as_ptr());
        assert_eq!(scratch, b"old");
    }

    proptest! {
        #[test]
        fn a_normalised_path_has_no_empty_and_no_dot_segments(path in "/[a./%2eEfF]{0,24}") {
            if let Some(normal) = normal(path.as_bytes()) {
                prop_assert_eq!(normal[0], b'/');
                let segments: Vec<_> = normal[1..].split(|&byte| byte == b'/').collect();
                for (place, segment) in segments.iter().enumerate() {
                    prop_assert!(!segment.is_empty() || place + 1 == segments.len());
                    prop_assert!(*segment != b"." && *segment != b"..", "{:?}", normal);
                }
            }
        }

        #[test]
        fn writing_and_normalising_gives_the_path_back(path in "/[a./%\\\\ ?#\u{e4}\u{1}]{0,24}") {
            let Some(normal) = normal(path.as_bytes()) else { return Ok(()) };
            let mut written = Vec::new();
            push_path(&mut written, &normal);
            prop_assert!(crate::http1::is_target(&written));
            let mut scratch = Vec::new();
            prop_assert_eq!(normalise(&written, &mut scratch), Ok(&normal[..]));
        }

        #[test]
        fn any_bytes_are_normalised_or_refused(path: Vec<u8>) {
            let _ = normal(&path);
        }
    }
}

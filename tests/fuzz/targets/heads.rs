//! Heads of requests and responses: pieces have the verdict of the whole, and what we take a parser
//! written by others takes and reads alike.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::http1::{HeadError, Limits, Parse, RequestHead, ResponseHead};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default();
    let (mut whole, mut pieces) = (RequestHead::default(), RequestHead::default());
    let verdict = whole.parse(bytes, &limits);
    assert_eq!(in_pieces(bytes, |part| pieces.parse(part, &limits)), verdict);
    if let Ok(Parse::Complete { len }) = verdict {
        assert_eq!(pieces.framing(), whole.framing());
        let mut fields = [httparse::EMPTY_HEADER; 128];
        let mut theirs = httparse::Request::new(&mut fields);
        let read = theirs.parse(&bytes[..len]).expect("they take it");
        assert_eq!(read, httparse::Status::Complete(len));
        assert_eq!(theirs.method.expect("a method").as_bytes(), whole.method());
        let fields: Vec<_> =
            whole.fields().iter().map(|&f| (whole.name(f), whole.value(f))).collect();
        clean(&fields);
    }

    let (method, bytes) = match bytes.split_first() {
        Some((byte, rest)) if byte % 2 == 1 => (&b"HEAD"[..], rest),
        Some((_, rest)) => (&b"GET"[..], rest),
        None => return,
    };
    let (mut whole, mut pieces) = (ResponseHead::default(), ResponseHead::default());
    let verdict = whole.parse(bytes, &limits, method);
    assert_eq!(in_pieces(bytes, |part| pieces.parse(part, &limits, method)), verdict);
    if let Ok(Parse::Complete { .. }) = verdict {
        assert_eq!(pieces.framing(), whole.framing());
        let fields: Vec<_> =
            whole.fields().iter().map(|&f| (whole.name(f), whole.value(f))).collect();
        clean(&fields);
    }
});

/// The verdict when the bytes come in pieces, of one byte at first and longer ones later.
fn in_pieces(
    bytes: &[u8],
    mut parse: impl FnMut(&[u8]) -> Result<Parse, HeadError>,
) -> Result<Parse, HeadError> {
    let (mut end, mut step) = (0, 1);
    while end < bytes.len() {
        let verdict = parse(&bytes[..end]);
        if verdict != Ok(Parse::Partial) {
            return verdict;
        }
        end += step;
        step += 1;
    }
    parse(bytes)
}

/// No field could end a line or a head where it is written.
fn clean(fields: &[(&[u8], &[u8])]) {
    for (name, value) in fields {
        assert!(!name.is_empty() && !name.contains(&b':'), "{name:?}");
        let is_control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
        assert!(!name.iter().chain(*value).any(is_control), "{name:?}: {value:?}");
    }
}

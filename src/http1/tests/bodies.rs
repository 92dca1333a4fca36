//! Raw bodies: chunked ones with their verdict, and how the decoder reports what it finds.

use crate::http1::{
    BodyError::{self, BadChunk, BadTrailer, ExtensionsTooLarge, TrailersTooLarge, Truncated},
    Decoder, Framing, encode,
};

/// Data, trailers and bytes left over; `Truncated` for an input that ends too early.
type Verdict = Result<(&'static [u8], &'static [u8], &'static [u8]), BodyError>;

/// Every chunked body of the corpus: source, bytes, verdict.
pub(super) const CORPUS: &[(&str, &[u8], Verdict)] = &[
    ("9112 7.1 one chunk", b"5\r\nhello\r\n0\r\n\r\n", Ok((b"hello", b"", b""))),
    ("9112 7.1 two chunks", b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", Ok((b"hello", b"", b""))),
    ("9112 7.1 empty body", b"0\r\n\r\n", Ok((b"", b"", b""))),
    (
        "9112 7.1 upper and lower case",
        b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
        Ok((b"01234567890123456789", b"", b"")),
    ),
    ("9112 7.1 leading zeros", b"005\r\nhello\r\n000\r\n\r\n", Ok((b"hello", b"", b""))),
    ("9112 7.1 16 digits", b"0000000000000005\r\nhello\r\n0\r\n\r\n", Ok((b"hello", b"", b""))),
    ("9112 7.1 framing as data", b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", Ok((b"0\r\n\r\n", b"", b""))),
    (
        "next message follows",
        b"5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n",
        Ok((b"hello", b"", b"GET / HTTP/1.1\r\n")),
    ),
    // Size.
    ("size of 17 digits", b"00000000000000005\r\nhello\r\n0\r\n\r\n", Err(BadChunk)),
    ("size of 20 digits", b"10000000000000000005\r\nhello\r\n0\r\n\r\n", Err(BadChunk)),
    ("size overflow CVE-2021-32714", b"f0000000000000003\r\nabc\r\n0\r\n\r\n", Err(BadChunk)),
    ("size 2^64-1", b"ffffffffffffffff\r\nhello", Err(Truncated)),
    ("size with a sign", b"+5\r\nhello\r\n0\r\n\r\n", Err(BadChunk)),
    ("size negative", b"-5\r\nhello\r\n0\r\n\r\n", Err(BadChunk)),
    ("size 0x", b"0x5\r\nhello\r\n0\r\n\r\n", Err(BadChunk)),
    ("size empty", b"\r\nhello\r\n0\r\n\r\n", Err(BadChunk)),
    ("size with an underscore", b"1_0\r\nhello\r\n0\r\n\r\n", Err(BadChunk)),
    ("size with a letter", b"5g\r\nhello\r\n0\r\n\r\n", Err(BadChunk)),
    ("size quoted", b"\"5\"\r\nhello\r\n0\r\n\r\n", Err(BadChunk)),
    ("space before the size", b" 5\r\nhello\r\n0\r\n\r\n", Err(BadChunk)),
    ("space after the size", b"5 \r\nhello\r\n0\r\n\r\n", Err(BadChunk)),
    ("tab after the size", b"5\t\r\nhello\r\n0\r\n\r\n", Err(BadChunk)),
    ("NUL after the size", b"5\x00\r\nhello\r\n0\r\n\r\n", Err(BadChunk)),
    ("comma after the size", b"5,5\r\nhello\r\n0\r\n\r\n", Err(BadChunk)),
    ("semicolon without a size", b";a\r\nhello\r\n0\r\n\r\n", Err(BadChunk)),
    // Line ends.
    ("bare LF after the size, erratum 7633", b"5\nhello\r\n0\r\n\r\n", Err(BadChunk)),
    ("bare LF after the data", b"5\r\nhello\n0\r\n\r\n", Err(BadChunk)),
    ("bare LF after the last chunk", b"5\r\nhello\r\n0\n\r\n", Err(BadChunk)),
    ("bare LF as the end", b"5\r\nhello\r\n0\r\n\n", Err(BadTrailer)),
    ("bare CR after the size", b"5\rhello\r\n0\r\n\r\n", Err(BadChunk)),
    ("bare CR after the data", b"5\r\nhello\r0\r\n\r\n", Err(BadChunk)),
    ("CR CR LF after the size", b"5\r\r\nhello\r\n0\r\n\r\n", Err(BadChunk)),
    ("no CRLF after the data", b"5\r\nhello0\r\n\r\n", Err(BadChunk)),
    ("data longer than its size", b"4\r\nhello\r\n0\r\n\r\n", Err(BadChunk)),
    ("data shorter than its size", b"6\r\nhello\r\n0\r\n\r\n", Err(BadChunk)),
    // Extensions.
    ("extension 9112 7.1.1", b"5;a=b\r\nhello\r\n0;c\r\n\r\n", Ok((b"hello", b"", b""))),
    ("extension quoted", b"5;a=\"b;c\"\r\nhello\r\n0\r\n\r\n", Ok((b"hello", b"", b""))),
    ("extension with space and tab", b"5; a =\tb\r\nhello\r\n0\r\n\r\n", Ok((b"hello", b"", b""))),
    ("extension empty", b"5;\r\nhello\r\n0\r\n\r\n", Ok((b"hello", b"", b""))),
    ("extension 8-bit", b"5;\xe4\r\nhello\r\n0\r\n\r\n", Ok((b"hello", b"", b""))),
    ("TERM.EXT: LF in an extension", b"5;a\nhello\r\n0\r\n\r\n", Err(BadChunk)),
    ("EXT.TERM: CR in an extension", b"5;a\rb\r\nhello\r\n0\r\n\r\n", Err(BadChunk)),
    ("NUL in an extension", b"5;a\x00\r\nhello\r\n0\r\n\r\n", Err(BadChunk)),
    ("control in an extension", b"5;a\x1f\r\nhello\r\n0\r\n\r\n", Err(BadChunk)),
    ("DEL in an extension", b"5;a\x7f\r\nhello\r\n0\r\n\r\n", Err(BadChunk)),
    ("space before the extension", b"5 ;a\r\nhello\r\n0\r\n\r\n", Err(BadChunk)),
    // Trailers.
    ("9112 7.1.2 trailer", b"0\r\nX-Sum: 1\r\n\r\n", Ok((b"", b"X-Sum: 1\r\n", b""))),
    ("two trailers", b"0\r\nA: 1\r\nB:2\r\n\r\nrest", Ok((b"", b"A: 1\r\nB:2\r\n", b"rest"))),
    (
        "9110 6.5.1 framing as trailer",
        b"0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nA: 1\r\n\r\n",
        Ok((b"", b"A: 1\r\n", b"")),
    ),
    (
        "9110 6.5.1 routing as trailer",
        b"0\r\nA: 1\r\nHost: evil\r\nx-forwarded-for: 1.2.3.4\r\nX-Forwarded-Port: 1\r\n\r\n",
        Ok((b"", b"A: 1\r\n", b"")),
    ),
    (
        "9110 6.5.1 identity as trailer",
        b"0\r\nAuthorization: x\r\nCookie: y\r\nSet-Cookie: z\r\nWWW-Authenticate: w\r\n\r\n",
        Ok((b"", b"", b"")),
    ),
    (
        "9110 6.5.1 content as trailer",
        b"0\r\nContent-Type: a/b\r\nContent-Encoding: gzip\r\nCONTENT-RANGE: x\r\n\r\n",
        Ok((b"", b"", b"")),
    ),
    (
        "9110 6.5.1 control as trailer",
        b"0\r\nConnection: close\r\nCache-Control: x\r\nTrailer: y\r\nExpect: z\r\n\r\n",
        Ok((b"", b"", b"")),
    ),
    ("trailer without a colon", b"0\r\nA\r\n\r\n", Err(BadTrailer)),
    ("trailer with a space before the colon", b"0\r\nA : 1\r\n\r\n", Err(BadTrailer)),
    ("trailer without a name", b"0\r\n: 1\r\n\r\n", Err(BadTrailer)),
    ("trailer folded", b"0\r\nA: 1\r\n 2\r\n\r\n", Err(BadTrailer)),
    ("NUL in a trailer", b"0\r\nA: \x00\r\n\r\n", Err(BadTrailer)),
    ("bare CR in a trailer", b"0\r\nA: 1\rB: 2\r\n\r\n", Err(BadTrailer)),
    ("bare LF after a trailer", b"0\r\nA: 1\n\r\n", Err(BadTrailer)),
    ("a request as trailer", b"0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Err(BadTrailer)),
    // Cut short.
    ("cut: nothing", b"", Err(Truncated)),
    ("cut in the size", b"5", Err(Truncated)),
    ("cut after the size", b"5\r\n", Err(Truncated)),
    ("cut in the data", b"5\r\nhel", Err(Truncated)),
    ("cut after the data", b"5\r\nhello", Err(Truncated)),
    ("cut before the last chunk", b"5\r\nhello\r\n", Err(Truncated)),
    ("cut in the last chunk", b"5\r\nhello\r\n0\r\n", Err(Truncated)),
    ("cut in the end", b"5\r\nhello\r\n0\r\n\r", Err(Truncated)),
    ("cut in the trailers", b"5\r\nhello\r\n0\r\nA: 1\r\n", Err(Truncated)),
];

/// Decodes pieces of a body as they would arrive: data, trailers, how much was left over.
pub(super) fn decode(
    framing: Framing,
    pieces: &[&[u8]],
) -> Result<(Vec<u8>, Vec<u8>, usize), BodyError> {
    let mut decoder = Decoder::new(framing);
    let (mut data, mut left) = (Vec::new(), 0);
    for piece in pieces {
        let mut piece = *piece;
        while !piece.is_empty() && !decoder.is_done() {
            let step = decoder.decode(piece)?;
            assert!(step.consumed > 0, "no progress");
            assert!(step.data.end <= step.consumed);
            assert_eq!(step.done, decoder.is_done());
            data.extend_from_slice(&piece[step.data]);
            piece = &piece[step.consumed..];
        }
        left += piece.len();
    }
    decoder.on_eof()?;
    Ok((data, decoder.trailers().to_vec(), left))
}

/// The same with `decode_in_place`.
pub(super) fn decode_in_place(
    framing: Framing,
    pieces: &[&[u8]],
) -> Result<(Vec<u8>, Vec<u8>, usize), BodyError> {
    let mut decoder = Decoder::new(framing);
    let (mut data, mut left) = (Vec::new(), 0);
    for piece in pieces {
        let mut piece = piece.to_vec();
        if decoder.is_done() {
            left += piece.len();
            continue;
        }
        let step = decoder.decode_in_place(&mut piece)?;
        assert!(step.done || step.consumed == piece.len());
        data.extend_from_slice(&piece[step.data]);
        left += piece.len() - step.consumed;
    }
    decoder.on_eof()?;
    Ok((data, decoder.trailers().to_vec(), left))
}

#[test]
fn every_chunked_body_gets_its_verdict() {
    for (source, input, verdict) in CORPUS {
        let expected =
            verdict.map(|(data, trailers, left)| (data.to_vec(), trailers.to_vec(), left.len()));
        assert_eq!(decode(Framing::Chunked, &[input]), expected, "{source}");
        assert_eq!(decode_in_place(Framing::Chunked, &[input]), expected, "{source}");
    }
    assert!(CORPUS.len() >= 40, "{} bodies", CORPUS.len());
}

#[test]
fn splitting_a_chunked_body_anywhere_changes_nothing() {
    for (source, input, _) in CORPUS {
        let whole = decode(Framing::Chunked, &[input]);
        for at in 0..=input.len() {
            let (left, right) = input.split_at(at);
            assert_eq!(decode(Framing::Chunked, &[left, right]), whole, "{source} at {at}");
            assert_eq!(
                decode_in_place(Framing::Chunked, &[left, right]),
                whole,
                "{source} at {at}"
            );
        }
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(decode(Framing::Chunked, &bytes), whole, "{source} byte by byte");
    }
}

#[test]
fn extensions_are_bounded_over_the_whole_message() {
    let chunk = |extension: usize| {
        let mut chunk = b"1;".to_vec();
        chunk.resize(chunk.len() + extension - 1, b'x');
        chunk.extend_from_slice(b"\r\na\r\n");
        chunk
    };
    let mut body = [chunk(8192), chunk(8192), b"0\r\n\r\n".to_vec()].concat();
    assert_eq!(decode(Framing::Chunked, &[&body]).unwrap().0, b"aa");
    body = [chunk(8192), chunk(8192), b"0;\r\n\r\n".to_vec()].concat();
    assert_eq!(decode(Framing::Chunked, &[&body]), Err(ExtensionsTooLarge));
}

#[test]
fn trailers_are_bounded_even_when_they_are_dropped() {
    let trailer =
        |name: &str, len: usize| format!("{name}: {}\r\n", "x".repeat(len - name.len() - 4));
    let body = |last: usize| {
        format!("0\r\n{}{}\r\n", trailer("Host", 4096), trailer("A", last)).into_bytes()
    };
    let (_, trailers, _) = decode(Framing::Chunked, &[&body(4094)]).unwrap();
    assert_eq!(trailers.len(), 4094);
    assert_eq!(decode(Framing::Chunked, &[&body(4095)]), Err(TrailersTooLarge));
}

#[test]
fn trailer_fields_are_names_and_values() {
    let mut decoder = Decoder::new(Framing::Chunked);
    let input = b"0\r\nX-Sum:  1 \r\nHost: a\r\ngrpc-status: 0\r\n\r\n";
    assert!(decoder.decode(input).unwrap().done);
    let fields: Vec<_> = decoder.trailer_fields().collect();
    assert_eq!(fields, [(&b"X-Sum"[..], &b"1"[..]), (b"grpc-status", b"0")]);
}

#[test]
fn a_body_with_a_length_ends_there() {
    let mut decoder = Decoder::new(Framing::Length(5));
    assert_eq!(decoder.remaining(), Some(5));
    let step = decoder.decode(b"hel").unwrap();
    assert_eq!((step.consumed, step.data, step.done), (3, 0..3, false));
    assert_eq!(decoder.remaining(), Some(2));
    assert_eq!(decoder.on_eof(), Err(Truncated));
    let step = decoder.decode(b"loGET /").unwrap();
    assert_eq!((step.consumed, step.data, step.done), (2, 0..2, true));
    assert_eq!(decoder.remaining(), Some(0));
    assert_eq!(decoder.decode(b"GET /").unwrap().consumed, 0);
    assert_eq!(decoder.on_eof(), Ok(()));
}

#[test]
fn no_body_is_done_at_once() {
    for framing in [Framing::None, Framing::Length(0)] {
        let decoder = Decoder::new(framing);
        assert!(decoder.is_done());
        assert_eq!(decoder.remaining(), Some(0));
    }
}

#[test]
fn a_body_until_close_ends_with_the_connection_only() {
    let mut decoder = Decoder::new(Framing::UntilClose);
    let step = decoder.decode(b"hello").unwrap();
    assert_eq!((step.consumed, step.data, step.done), (5, 0..5, false));
    assert_eq!(decoder.remaining(), None);
    assert_eq!(decoder.on_eof(), Ok(()));
    assert!(decoder.is_done());
}

#[test]
fn small_chunks_become_one_piece_behind_the_first() {
    let mut decoder = Decoder::new(Framing::Chunked);
    let mut input = b"3\r\nhel\r\n1\r\nl\r\n1\r\no\r\n0\r\n\r\nGET".to_vec();
    let step = decoder.decode_in_place(&mut input).unwrap();
    assert_eq!((step.data.clone(), step.done), (3..8, true));
    assert_eq!(&input[step.data], b"hello");
    assert_eq!(&input[step.consumed..], b"GET");
}

#[test]
fn encoded_chunks_are_decoded_again() {
    for len in [1, 9, 10, 15, 16, 255, 256, 65_536] {
        let data = vec![b'x'; len];
        let mut body = Vec::new();
        encode::push_chunk_head(&mut body, len);
        assert_eq!(body, format!("{len:x}\r\n").as_bytes());
        body.extend_from_slice(&data);
        body.extend_from_slice(encode::CRLF);
        encode::push_last_chunk(&mut body, b"A: 1\r\n");
        assert_eq!(decode(Framing::Chunked, &[&body]), Ok((data, b"A: 1\r\n".to_vec(), 0)));
    }
}

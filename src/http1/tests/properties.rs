//! What holds for any input: pieces give the verdict of the whole, nothing panics, what we accept a
//! parser written by others accepts and reads alike, and what is encoded comes back.

use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    bodies::{self, decode, decode_in_place},
    requests, responses,
};
use crate::http1::{
    Framing, HeadError, Known, Limits, Parse, RequestHead, ResponseHead, classify, encode,
};

/// Either kind of head, so that the properties are written once.
#[derive(Debug, Clone, Copy)]
enum Side {
    Request,
    Response(&'static str),
}

/// All that a complete head says, for comparisons.
#[derive(Debug, PartialEq)]
struct Said {
    len: usize,
    framing: Framing,
    keep_alive: bool,
    start: Vec<Vec<u8>>,
    fields: Vec<(Vec<u8>, Vec<u8>, Known, bool)>,
}

/// Feeds growing prefixes of the input, ending at each of the lengths, until there is a verdict.
fn feed(side: Side, input: &[u8], lens: &[usize]) -> Result<Option<Said>, HeadError> {
    let limits = Limits::default();
    let mut request = RequestHead::default();
    let mut response = ResponseHead::default();
    for &len in lens {
        let parse = match side {
            Side::Request => request.parse(&input[..len], &limits)?,
            Side::Response(method) => response.parse(&input[..len], &limits, method.as_bytes())?,
        };
        let Parse::Complete { len } = parse else {
            continue;
        };
        macro_rules! fields {
            ($head:ident) => {{
                let fields = $head.fields().iter().map(|&field| {
                    let name = $head.name(field).to_vec();
                    (name, $head.value(field).to_vec(), field.known, $head.is_nominated(field))
                });
                fields.collect()
            }};
        }
        return Ok(Some(match side {
            Side::Request => Said {
                len,
                framing: request.framing(),
                keep_alive: request.keep_alive(),
                start: [request.method(), request.target(), request.path(), request.host()]
                    .into_iter()
                    .chain([request.host_name()])
                    .chain(request.query())
                    .chain(request.upgrade())
                    .map(<[u8]>::to_vec)
                    .collect(),
                fields: fields!(request),
            },
            Side::Response(_) => Said {
                len,
                framing: response.framing(),
                keep_alive: response.keep_alive(),
                start: vec![response.reason().to_vec(), response.status().to_be_bytes().to_vec()],
                fields: fields!(response),
            },
        }));
    }
    Ok(None)
}

fn corpus() -> impl Iterator<Item = (&'static str, Side, &'static [u8])> {
    let requests =
        requests::CORPUS.iter().map(|(source, input, _)| (*source, Side::Request, *input));
    let responses = responses::CORPUS
        .iter()
        .map(|(source, method, input, _)| (*source, Side::Response(method), *input));
    requests.chain(responses)
}

#[test]
fn splitting_a_head_anywhere_changes_nothing() {
    for (source, side, input) in corpus() {
        let whole = feed(side, input, &[input.len()]);
        for at in 0..=input.len() {
            assert_eq!(feed(side, input, &[at, input.len()]), whole, "{source} at {at}");
        }
        let every: Vec<_> = (0..=input.len()).collect();
        assert_eq!(feed(side, input, &every), whole, "{source} byte by byte");
    }
}

/// Pieces of which heads are made, good and bad, for random sequences of them.
const PIECES: &[&[u8]] = &[
    b"GET",
    b"POST",
    b"OPTIONS",
    b"CONNECT",
    b" ",
    b" ",
    b" ",
    b"/",
    b"/a?b",
    b"*",
    b"http://b",
    b"HTTP/1.1",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"HTTP/2.0",
    b"\r\n",
    b"\r\n",
    b"\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"Host: a",
    b"Host",
    b"Content-Length: 5",
    b"Content-Length",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding",
    b"Connection: ",
    b"close",
    b"X-A: b",
    b"X-A",
    b": ",
    b":",
    b"\t",
    b",",
    b"5",
    b"chunked",
    b"\x00",
    b"\x7f",
    b"\xff",
    b"#",
    b"200 OK",
    b"200",
    b"Upgrade: x",
    b"Expect: 100-continue",
    b"\r\n\r\n",
];

/// The same for chunked bodies.
const BODY_PIECES: &[&[u8]] =
    &[b"5\r\nhello\r\n", b"1;a=b\r\n\x00\r\n", b"0\r\n", b"A: 1\r\n", b"\r\n", b"a", b"\n"];

fn soup() -> impl Strategy<Value = Vec<u8>> {
    vec(select(PIECES), 0..24).prop_map(|pieces| pieces.concat())
}

/// Whole field lines, most of them good, each about a rule.
const LINES: &[&[u8]] = &[
    b"Host: a\r\n",
    b"X-A: b\r\n",
    b"x-a:c\t \r\n",
    b"Content-Length: 5\r\n",
    b"content-length: 05, 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close, X-A\r\n",
    b"Connection: keep-alive ,upgrade\r\n",
    b"Upgrade: x\r\n",
    b"Expect: 100-continue\r\n",
    b"Cookie: \xff=\t=\r\n",
    b"Empty:\r\n",
    b"X-B: a: b\r\n",
];

/// A start that is mostly good, field lines, now and then soup, and mostly an end.
fn head() -> impl Strategy<Value = (Side, Vec<u8>)> {
    let starts = [
        (Side::Request, &b"POST /a?b HTTP/1.1\r\nHost: a:80\r\n"[..]),
        (Side::Request, b"GET http://B?c HTTP/1.0\r\n"),
        (Side::Request, b"\r\nGET http://B HTTP/1.1\r\nHOST: a\r\n"),
        (Side::Request, b""),
        (Side::Response("GET"), b"HTTP/1.1 200 OK\r\n"),
        (Side::Response("GET"), b"HTTP/1.1 204\r\n"),
        (Side::Response("HEAD"), b"HTTP/1.0 404 Not Found\r\n"),
        (Side::Response("HEAD"), b"HTTP/1.1 "),
    ];
    let lines = vec(select(LINES), 0..6).prop_map(|lines| lines.concat());
    let soup = prop_oneof![4 => Just(Vec::new()), 1 => soup()];
    let end = prop_oneof![6 => Just(&b"\r\nrest\r\n\r\n"[..]), 1 => Just(&b""[..])];
    (select(starts.to_vec()), lines.clone(), soup, lines, end).prop_map(
        |((side, start), lines, soup, more, end)| {
            (side, [start, &lines, &soup, &more, end].concat())
        },
    )
}

type NameAndValue = (Vec<u8>, Vec<u8>);

/// The same head read by httparse: its length, and names and values.
fn read_by_httparse(side: Side, input: &[u8]) -> Option<(usize, Vec<NameAndValue>)> {
    let mut headers = [httparse::EMPTY_HEADER; 128];
    let (status, headers) = match side {
        Side::Request => {
            let mut head = httparse::Request::new(&mut headers);
            (head.parse(input), head.headers)
        }
        Side::Response(_) => {
            let mut head = httparse::Response::new(&mut headers);
            (head.parse(input), head.headers)
        }
    };
    let httparse::Status::Complete(len) = status.ok()? else {
        return None;
    };
    let field =
        |header: &httparse::Header<'_>| (header.name.as_bytes().to_vec(), header.value.to_vec());
    Some((len, headers.iter().map(field).collect()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn pieces_of_any_head_give_the_verdict_of_the_whole(
        (side, input) in head(),
        cuts in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut lens: Vec<_> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
        lens.push(input.len());
        lens.sort_unstable();
        prop_assert_eq!(feed(side, &input, &lens), feed(side, &input, &[input.len()]));
    }

    #[test]
    fn random_bytes_never_panic(input: Vec<u8>) {
        let _ = feed(Side::Request, &input, &[input.len()]);
        let _ = feed(Side::Response("GET"), &[b"HTTP/1.1 ", &input[..]].concat(), &[input.len() + 9]);
        let _ = decode(Framing::Chunked, &[&input]);
    }

    #[test]
    fn what_we_accept_httparse_reads_alike((side, input) in head()) {
        if let Ok(Some(said)) = feed(side, &input, &[input.len()]) {
            let (len, fields) = read_by_httparse(side, &input).expect("httparse refuses");
            prop_assert_eq!(len, said.len);
            // Ours may be fewer and rewritten where lengths and hosts are concerned.
            let is_rewritten = |known| matches!(known, Known::Host | Known::ContentLength);
            let ours = said.fields.into_iter().filter(|(_, _, known, _)| !is_rewritten(*known));
            let ours: Vec<_> = ours.map(|(name, value, ..)| (name, value)).collect();
            let theirs = fields.into_iter();
            let theirs: Vec<_> = theirs.filter(|(name, _)| !is_rewritten(classify(name))).collect();
            prop_assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn what_is_forwarded_is_understood_alike_by_the_next_hop((side, input) in head()) {
        let limits = Limits::default();
        let mut head = RequestHead::default();
        if matches!(side, Side::Request) && matches!(head.parse(&input, &limits), Ok(Parse::Complete { .. })) {
            let mut out = Vec::new();
            encode::push_request_line(&mut out, head.method(), head.target());
            head.push_fields(&mut out, |_| true);
            if head.first(Known::Host).is_none() {
                encode::push_field(&mut out, b"Host", if head.host().is_empty() { b"x" } else { head.host() });
            }
            encode::push_end(&mut out);
            let mut next = RequestHead::default();
            prop_assert_eq!(next.parse(&out, &limits), Ok(Parse::Complete { len: out.len() }));
            prop_assert_eq!(next.framing(), head.framing());
            prop_assert_eq!(next.target(), head.target());
            prop_assert_eq!(next.path(), head.path());
            prop_assert!(head.host().is_empty() || next.host() == head.host());
            prop_assert!(next.fields().iter().filter(|field| field.known == Known::ContentLength).count() <= 1);
        }
    }

    #[test]
    fn pieces_of_any_body_give_the_verdict_of_the_whole(
        parts in vec(select(BODY_PIECES), 0..12),
        cuts in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let input = parts.concat();
        let mut lens: Vec<_> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
        lens.extend([0, input.len()]);
        lens.sort_unstable();
        let pieces: Vec<_> = lens.windows(2).map(|ends| &input[ends[0]..ends[1]]).collect();
        let whole = decode(Framing::Chunked, &[&input]);
        prop_assert_eq!(&decode(Framing::Chunked, &pieces), &whole);
        prop_assert_eq!(&decode_in_place(Framing::Chunked, &pieces), &whole);
    }

    #[test]
    fn encoded_bodies_come_back(chunks in vec(vec(any::<u8>(), 1..300), 0..8), rest: Vec<u8>) {
        let mut body = Vec::new();
        for chunk in &chunks {
            encode::push_chunk_head(&mut body, chunk.len());
            body.extend_from_slice(chunk);
            body.extend_from_slice(encode::CRLF);
        }
        encode::push_last_chunk(&mut body, b"");
        body.extend_from_slice(&rest);
        let expected = Ok((chunks.concat(), Vec::new(), rest.len()));
        prop_assert_eq!(&decode(Framing::Chunked, &[&body]), &expected);
        prop_assert_eq!(&decode_in_place(Framing::Chunked, &[&body]), &expected);
    }

    #[test]
    fn a_changed_byte_of_a_chunked_body_never_panics_and_splits_alike(
        at: prop::sample::Index, byte: u8, case in 0..bodies::CORPUS.len(), cut: prop::sample::Index,
    ) {
        let mut input = bodies::CORPUS[case].1.to_vec();
        prop_assume!(!input.is_empty());
        let at = at.index(input.len());
        input[at] = byte;
        let (left, right) = input.split_at(cut.index(input.len() + 1));
        prop_assert_eq!(decode(Framing::Chunked, &[left, right]), decode(Framing::Chunked, &[&input]));
    }
}

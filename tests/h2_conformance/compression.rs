//! RFC 7541: every way to say a field, and the ways that say nothing.

use crate::support::frames::{END_HEADERS, END_STREAM, HEADERS, asking, block, frame};
use crate::{COMPRESSION_ERROR, Send, Step, Then, run};

const BROKEN: Then = Then::ConnectionError(&[COMPRESSION_ERROR]);
const OK: Then = Then::Answer(1, 200);

/// `user-agent` and `test` in Huffman's code.
const USER_AGENT: [u8; 7] = [0xb5, 0x05, 0xb1, 0x61, 0xcc, 0x5a, 0x93];
const TEST: [u8; 3] = [0x49, 0x50, 0x9f];

/// A request with these bytes in its block, before or behind the usual fields.
fn asked(before: &[u8], behind: &[u8]) -> Vec<Step> {
    let usual = block(&asking("GET", "/"));
    let block = [before, &usual, behind].concat();
    vec![Send(frame(HEADERS, END_STREAM | END_HEADERS, 1, block))]
}

/// The ways to say `user-agent: test` with this representation, whose index takes so many bits.
fn ways(pattern: u8, bits: u32) -> [Vec<u8>; 4] {
    // The name's index is 58, above what four bits hold.
    let most = (1 << bits) - 1;
    let indexed =
        if 58 < most { vec![pattern + 58] } else { vec![pattern | most as u8, (58 - most) as u8] };
    let plain = b"\x04test";
    let packed = [&[0x83][..], &TEST].concat();
    let name = b"\x0auser-agent";
    let packed_name = [&[0x87][..], &USER_AGENT].concat();
    [
        [&indexed[..], plain].concat(),
        [&indexed[..], &packed].concat(),
        [&[pattern][..], name, plain].concat(),
        [&[pattern][..], &packed_name, &packed].concat(),
    ]
}

#[tokio::test]
async fn every_way_to_say_a_field_is_understood() {
    let indexed = [0x82, 0x86, 0x84, 0x41, 0x04, b't', b'e', b's', b't'];
    let mut cases = vec![(
        "indexed fields",
        vec![Send(frame(HEADERS, END_STREAM | END_HEADERS, 1, indexed))],
        OK,
    )];
    for (names, pattern, bits) in [
        (
            ["indexed name, incremental", "the same, packed", "new name", "the same, packed"],
            0x40,
            6,
        ),
        (
            ["indexed name, not indexed", "the same, packed", "new name", "the same, packed"],
            0x00,
            4,
        ),
        (
            ["indexed name, never indexed", "the same, packed", "new name", "the same, packed"],
            0x10,
            4,
        ),
    ] {
        for (name, way) in names.into_iter().zip(ways(pattern, bits)) {
            cases.push((name, asked(&[], &way), OK));
        }
    }
    cases.push(("another size of the table", asked(&[0x3f, 0x61], &[]), OK));
    cases.push(("two sizes of the table", asked(&[0x3f, 0x61, 0x3f, 0x62], &[]), OK));
    run(cases).await;
}

#[tokio::test]
async fn what_says_nothing_breaks_the_connection() {
    let literal = |value: &[u8]| [&[0x00, 0x06][..], b"x-test", value].concat();
    run(vec![
        ("an index of 0", asked(&[], &[0x80]), BROKEN),
        ("an index beyond the table", asked(&[], &[0xc6]), BROKEN),
        ("a name's index beyond the table", asked(&[], &[0x7f, 0x07, 0x01, b'a']), BROKEN),
        ("a size of the table behind fields", asked(&[], &[0x3f, 0x61]), BROKEN),
        ("a size of the table above ours", asked(&[0x3f, 0xe2, 0x1f], &[]), BROKEN),
        ("padding of a byte", asked(&[], &literal(&[0x84, 0x49, 0x50, 0x9f, 0xff])), BROKEN),
        ("padding of zeros", asked(&[], &literal(&[0x83, 0x49, 0x50, 0x90])), BROKEN),
        (
            "the code's end",
            asked(&[], &literal(&[0x88, 0x49, 0x51, 0xff, 0xff, 0xff, 0xfa, 0x7f, 0xff])),
            BROKEN,
        ),
    ])
    .await;
}

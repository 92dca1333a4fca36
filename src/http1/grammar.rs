//! The character classes and small productions that heads, trailers and targets share (RFC 9110 §5,
//! RFC 3986). The public predicates are for text that did not come through a parser of this room: a
//! head that arrived as HTTP/2, or a value from a configuration, must pass them before it is encoded.

use std::net::Ipv6Addr;

use crate::http1::lanes;

const TOKEN: u8 = 1;
const HOST: u8 = 2;
const TARGET: u8 = 4;
const PATH: u8 = 8;

/// The classes of each byte, one bit per class.
static CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0u8;
    loop {
        let alphanumeric = byte.is_ascii_alphanumeric();
        let unreserved = alphanumeric || matches!(byte, b'-' | b'.' | b'_' | b'~');
        let sub_delimiter = matches!(
            byte,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
        );
        let mut class = 0;
        if unreserved
            || matches!(
                byte,
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'^' | b'`' | b'|'
            )
        {
            class |= TOKEN;
        }
        if unreserved || sub_delimiter {
            class |= HOST | PATH;
        }
        if matches!(byte, b':' | b'@' | b'/') {
            class |= PATH;
        }
        if byte.is_ascii_graphic() && byte != b'#' {
            class |= TARGET;
        }
        table[byte as usize] = class;
        if byte == u8::MAX {
            break table;
        }
        byte += 1;
    }
};

fn is(byte: u8, class: u8) -> bool {
    CLASS[usize::from(byte)] & class != 0
}

/// Whether `text`, which has no controls, is `lower` in any case. `lower` is made of lower-case letters,
/// digits and `-`; the length known at compile time makes this a few wide instructions.
pub(super) fn is_same<const N: usize>(text: &[u8], lower: &[u8; N]) -> bool {
    // Bit 5 tells the cases of a letter apart, and is set in digits and `-` already.
    let difference = |text: &[u8; N]| {
        text.iter().zip(lower).fold(0, |all, (byte, lower)| all | ((byte | 0x20) ^ lower))
    };
    <&[u8; N]>::try_from(text).is_ok_and(|text| difference(text) == 0)
}

/// How many bytes at the start of `text` may stand in a token.
#[inline]
pub(super) fn token_len(text: &[u8]) -> usize {
    // Names are mostly letters, and shorter than a block.
    let plain = text.first_chunk().map_or(0, |block| lanes::plain(*block).trailing_ones() as usize);
    let rest = text[plain..].iter().position(|&byte| !is(byte, TOKEN));
    rest.map_or(text.len(), |rest| plain + rest)
}

/// Whether `text` is a token: a method or a field name (RFC 9110 §5.6.2).
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && token_len(text) == text.len()
}

/// Whether this byte may stand in a path as it is (RFC 3986 §3.3, without `%`).
pub(super) fn is_path_byte(byte: u8) -> bool {
    is(byte, PATH)
}

/// Whether `text` may be a request target: printable ASCII without space and `#`.
pub fn is_target(text: &[u8]) -> bool {
    let is_bad = |byte: u8| !byte.is_ascii_graphic() || byte == b'#';
    !text.is_empty() && !text.iter().fold(false, |any, &byte| any | is_bad(byte))
}

/// Whether `text` may be a field value: no control but HTAB (RFC 9110 §5.5).
pub fn is_field_value(text: &[u8]) -> bool {
    find_control(text).is_none()
}

/// The place of the first control other than HTAB.
#[inline]
pub(super) fn find_control(text: &[u8]) -> Option<usize> {
    let (blocks, rest) = text.as_chunks();
    for (number, block) in blocks.iter().enumerate() {
        let controls = lanes::controls(*block);
        if controls != 0 {
            return Some(number * block.len() + controls.trailing_zeros() as usize);
        }
    }
    let is_control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
    rest.iter().position(is_control).map(|distance| text.len() - rest.len() + distance)
}

/// The elements of a comma-separated list, trimmed; empty ones too (RFC 9110 §5.6.1).
pub(super) fn elements(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

/// Splits a field line, which has no controls but HTAB, into name and trimmed value. `None` when the
/// name is empty or not a token, or when anything stands between name and colon; so an obs-fold is
/// refused too (RFC 9112 §5.1, §5.2).
#[inline]
pub(super) fn split_field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, rest) = line.split_at(token_len(line));
    let value = rest.strip_prefix(b":")?;
    let value = match value {
        // The common case: one space, and nothing to be looked for.
        [b' ', first, .., last] if *first > b' ' && *last > b' ' => &value[1..],
        value => value.trim_ascii(),
    };
    (!name.is_empty()).then_some((name, value))
}

/// A decimal number of digits only, at most 2^63 − 1 (RFC 9110 §8.6 without its lenience).
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let number = text.iter().try_fold(0u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| number.checked_mul(10)?.checked_add(u64::from(digit)))?
    })?;
    (i64::try_from(number).is_ok()).then_some(number)
}

/// The value of two hexadecimal digits.
pub(super) fn hex_pair(high: u8, low: u8) -> Option<u8> {
    Some(hex_digit(high)? << 4 | hex_digit(low)?)
}

/// The value of one hexadecimal digit.
pub(super) fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Whether `text` is `host[:port]` with a host that is not empty (RFC 3986 §3.2.2, no user, no zone).
pub fn is_host(text: &[u8]) -> bool {
    host_name_len(text).is_some()
}

/// The length of the name in `host[:port]`; `None` when that is malformed. An IPv6 address counts with
/// its brackets.
pub(super) fn host_name_len(authority: &[u8]) -> Option<usize> {
    let name_len = if authority.first() == Some(&b'[') {
        let close = memchr::memchr(b']', authority)?;
        let address = std::str::from_utf8(&authority[1..close]).ok()?;
        address.parse::<Ipv6Addr>().ok()?;
        close + 1
    } else {
        // Names are short: cheaper byte by byte than in blocks.
        let colon = authority.iter().position(|byte| *byte == b':');
        let name_len = colon.unwrap_or(authority.len());
        is_registered_name(&authority[..name_len]).then_some(name_len)?
    };
    match &authority[name_len..] {
        [] => Some(name_len),
        [b':', port @ ..] => is_port(port).then_some(name_len),
        _ => None,
    }
}

/// An empty label, as in `a..b`, names no host; nginx refuses it too.
fn is_registered_name(mut name: &[u8]) -> bool {
    // Without a branch per byte: nearly all names are good.
    let (mut plain, mut gap, mut after_dot) = (true, false, false);
    for &byte in name {
        let dot = byte == b'.';
        plain &= is(byte, HOST);
        gap |= dot & after_dot;
        after_dot = dot;
    }
    if plain || gap {
        return !gap && !name.is_empty();
    }
    // An escape or a fault.
    while let [byte, rest @ ..] = name {
        name = match (byte, rest) {
            (b'%', [high, low, rest @ ..]) if hex_pair(*high, *low).is_some() => rest,
            (byte, rest) if is(*byte, HOST) => rest,
            _ => return false,
        };
    }
    true
}

/// RFC 3986 allows a port without digits; a number must be one that TCP knows.
fn is_port(text: &[u8]) -> bool {
    text.is_empty() || (text.len() <= 5 && decimal(text).is_some_and(|port| port <= 65_535))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_follow_the_grammar() {
        for byte in 0..=u8::MAX {
            let graphic = byte.is_ascii_graphic();
            let token = graphic && !b"\"(),/:;<=>?@[\\]{}".contains(&byte);
            assert_eq!(is_token(&[byte]), token, "token {byte:#x}");
            assert_eq!(is_target(&[byte]), graphic && byte != b'#', "target {byte:#x}");
            assert_eq!(
                is_field_value(&[byte]),
                byte == 9 || byte >= 32 && byte != 127,
                "{byte:#x}"
            );
        }
    }

    #[test]
    fn the_first_control_is_found_at_any_place() {
        for len in 0..40 {
            for byte in 0..=u8::MAX {
                for fill in [b'a', b'\t', b' ', 0x7e, 0x80, 0xff] {
                    let mut text = vec![fill; len];
                    text.push(byte);
                    text.extend([fill, 0, fill]);
                    let is_control = byte != b'\t' && byte.is_ascii_control();
                    let expected = if is_control { len } else { len + 2 };
                    assert_eq!(find_control(&text), Some(expected), "{byte:#x} after {len}");
                    assert_eq!(find_control(&text[..len]), None);
                }
            }
        }
    }

    #[test]
    fn decimals_are_digits_up_to_two_to_the_63_less_one() {
        assert_eq!(decimal(b"0"), Some(0));
        assert_eq!(decimal(b"007"), Some(7));
        assert_eq!(decimal(b"9223372036854775807"), Some(i64::MAX as u64));
        for bad in [
            "",
            "+5",
            "-1",
            "0x5",
            "5a",
            " 5",
            "5 ",
            "9223372036854775808",
            "18446744073709551616",
            "99999999999999999999999",
            "5:",
            "5/",
            "\u{0661}",
        ] {
            assert_eq!(decimal(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn hosts_follow_rfc_3986_without_user_and_zone() {
        for good in [
            "a",
            "example.com",
            "example.com.",
            "EXAMPLE.com:80",
            "127.0.0.1:8080",
            "a_b-c~d",
            "[::1]",
            "[2001:db8::1]:443",
            "a:",
            "a%20b",
            "xn--bcher-kva.example",
            "a:65535",
            "[::ffff:1.2.3.4]",
        ] {
            assert!(is_host(good.as_bytes()), "{good:?}");
        }
        for bad in [
            "",
            ":80",
            "a b",
            "a:b",
            "a:80:81",
            "u@a",
            "a/b",
            "a?b",
            "a#b",
            "[::1",
            "[::1]x",
            "::1",
            "[]",
            "[zz]",
            "[fe80::1%25eth0]",
            "a%2",
            "a%zz",
            "a:65536",
            "a:000080",
            "a\\b",
            "\u{e4}",
            "a,b c",
            "\"a\"",
            "<a>",
            "[v1.a]",
            "a:+80",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad:?}");
        }
    }

    #[test]
    fn field_lines_split_at_the_colon_that_follows_the_name() {
        assert_eq!(split_field(b"A: b"), Some((&b"A"[..], &b"b"[..])));
        assert_eq!(split_field(b"A:\t b:c \t"), Some((&b"A"[..], &b"b:c"[..])));
        assert_eq!(split_field(b"A:"), Some((&b"A"[..], &b""[..])));
        for bad in [&b"A"[..], b"", b": b", b"A : b", b" A: b", b"\tA: b", b"A\x00: b", b"\xe4: b"]
        {
            assert_eq!(split_field(bad), None, "{}", bad.escape_ascii());
        }
    }
}

//! Variables that the file makes, after nginx's `map` and `split_clients`.

use crate::proxy::vars::{Vars, render_raw};
use crate::snapshot::settings::{Cases, Made, MadeBy};

/// Appends the value; `false` if nothing comes of it.
pub(super) fn push(made: &Made, vars: &Vars<'_>, out: &mut Vec<u8>) -> bool {
    let before = out.len();
    let mut from = Vec::new();
    render_raw(&made.from, vars, &mut from);
    match &made.rule {
        MadeBy::Cases(cases) => push_case(cases, &from, vars, out),
        MadeBy::Shares(shares) => {
            let hash = murmur2(&from);
            let share = shares.iter().find(|(below, _)| hash < *below || *below == u32::MAX);
            if let Some((_, give)) = share {
                render_raw(give, vars, out);
            }
        }
    }
    out.len() > before
}

fn push_case(cases: &Cases, from: &[u8], vars: &Vars<'_>, out: &mut Vec<u8>) {
    let mut lower = from.to_ascii_lowercase();
    if cases.hosts && lower.last() == Some(&b'.') {
        lower.pop();
    }
    let ends = |(suffix, _): &&(Vec<u8>, _)| lower.ends_with(suffix) && lower.len() > suffix.len();
    let begins = |(prefix, _): &&(Vec<u8>, _)| lower.starts_with(prefix);
    let give = cases.exact.get(&*lower);
    let give = give.or_else(|| cases.of_address(from));
    let give = give.or_else(|| cases.suffixes.iter().find(ends).map(|one| &one.1));
    let give = give.or_else(|| cases.prefixes.iter().find(begins).map(|one| &one.1));
    if let Some(give) = give {
        return render_raw(give, vars, out);
    }
    for (pattern, give) in &cases.patterns {
        if let Some(found) = pattern.0.captures(from) {
            return render_raw(give, &Vars { groups: Some(&found), ..*vars }, out);
        }
    }
    render_raw(&cases.otherwise, vars, out);
}

/// `MurmurHash2` with seed 0, as nginx's `ngx_murmur_hash2` reads the bytes.
fn murmur2(text: &[u8]) -> u32 {
    const MIX: u32 = 0x5bd1_e995;
    let mut hash = text.len() as u32;
    let (words, rest) = text.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(MIX);
        k ^= k >> 24;
        hash = hash.wrapping_mul(MIX) ^ k.wrapping_mul(MIX);
    }
    if !rest.is_empty() {
        for (place, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(MIX);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MIX);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use regex::bytes::Regex;

    use super::*;
    use crate::http1::{Limits, RequestHead};
    use crate::proxy::headers::ClientIdentity;
    use crate::proxy::vars::push_variable;
    use crate::snapshot::settings::{Group, Pattern, Piece, Stage, Template, Variable};

    fn text(text: &str) -> Template {
        Template(vec![Piece::Text(text.to_owned())])
    }

    fn given(rule: MadeBy, from: &str) -> String {
        let mut head = RequestHead::default();
        let request = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {from}\r\n\r\n");
        head.parse(request.as_bytes(), &Limits::default()).unwrap();
        let address = [192, 0, 2, 1].into();
        let client =
            ClientIdentity { address, downstream: address, trusted: false, scheme: "http" };
        let source = Template(vec![Piece::Variable(Variable::Header("x".to_owned()))]);
        let made = Made { name: "v".to_owned(), from: source, rule, stage: Stage::Request };
        let mut out = Vec::new();
        push_variable(&Variable::Made(Arc::new(made)), &Vars::new(&head, &client), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_closest_case_gives_the_value() {
        let cases = || {
            let cases = Cases {
                exact: [(b"a.test".to_vec(), text("exact"))].into(),
                suffixes: vec![
                    (b".b.a.test".to_vec(), text("longer")),
                    (b".a.test".to_vec(), text("below")),
                ],
                prefixes: vec![(b"www.".to_vec(), text("www"))],
                hosts: true,
                patterns: vec![(
                    Pattern(Regex::new("^x(?<n>[0-9]+)(.)").unwrap()),
                    Template(vec![
                        Piece::Variable(Variable::Group(Group::Name("n".to_owned()))),
                        Piece::Text("-".to_owned()),
                        Piece::Variable(Variable::Group(Group::Number(2))),
                    ]),
                )],
                otherwise: text("other"),
                ..Cases::default()
            };
            MadeBy::Cases(Box::new(cases))
        };
        for (from, expected) in [
            ("A.Test", "exact"),
            ("a.test.", "exact"),
            ("c.a.test", "below"),
            ("c.b.a.test", "longer"),
            (".a.test", "other"),
            ("www.any", "www"),
            ("x12Yz", "12-Y"),
            ("", "other"),
        ] {
            assert_eq!(given(cases(), from), expected, "{from}");
        }
    }

    /// Values of nginx 1.22: `split_clients $http_x $v { 0.5% a; 20% b; 50% c; * d; }`.
    #[test]
    fn shares_are_those_of_nginx() {
        // The bounds are 0.5, 20.5 and 70.5 percent of all hashes.
        let shares = || {
            MadeBy::Shares(vec![
                (21_474_836, text("a")),
                (880_468_295, text("b")),
                (3_027_951_942, text("c")),
                (u32::MAX, text("d")),
            ])
        };
        for (from, expected) in GOLDEN {
            assert_eq!(given(shares(), from), expected, "{from}");
        }
    }

    const GOLDEN: [(&str, &str); 17] = [
        ("", "a"),
        ("a", "c"),
        ("ab", "b"),
        ("abc", "b"),
        ("abcd", "b"),
        ("hello", "d"),
        ("user-1", "a"),
        ("user-2", "b"),
        ("user-3", "c"),
        ("192.0.2.1", "d"),
        ("10.0.0.17", "c"),
        ("session-abcdef", "c"),
        ("zz", "d"),
        ("u201", "d"),
        ("u555", "a"),
        ("u901", "b"),
        ("k98", "a"),
    ];

    #[test]
    fn murmur_hashes_are_the_known_ones() {
        assert_eq!(murmur2(b""), 0);
        assert_eq!(murmur2(b"abcd"), 0x2687_3021);
    }
}

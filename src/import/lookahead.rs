//! `(?!…)` at the end of a regular expression, which ours do not have, said without it.
//!
//! `/\.(?!well-known)` is the usual way to keep hidden files from everybody but for those that
//! certificates are asked for with. Where a look-ahead stands last and names plain texts, what may
//! follow can be spelled out, letter by letter.

/// The expression without its look-ahead; itself if there is none that can be spelled out.
pub(super) fn without(regex: &str) -> String {
    spelled_out(regex).unwrap_or_else(|| regex.to_owned())
}

fn spelled_out(regex: &str) -> Option<String> {
    let (before, rest) = regex.split_once("(?!")?;
    // Behind it may stand what fits everything, which says nothing.
    let rest = rest.strip_suffix('$').filter(|rest| rest.ends_with(".*")).unwrap_or(rest);
    let inner = rest.strip_suffix(".*").unwrap_or(rest).strip_suffix(')')?;
    let texts: Option<Vec<Vec<char>>> = inner.split('|').map(plain).collect();
    let other = other_than(&texts?)?;
    Some(format!("{before}{other}"))
}

/// A text of an expression in which every character stands for itself.
fn plain(text: &str) -> Option<Vec<char>> {
    let mut found = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => found.push(chars.next().filter(char::is_ascii_punctuation)?),
            '-' | '_' | '/' => found.push(c),
            c if c.is_ascii_alphanumeric() => found.push(c),
            _ => return None,
        }
    }
    Some(found)
}

/// What fits where none of the texts stands; `None` if one of them always does.
fn other_than(texts: &[Vec<char>]) -> Option<String> {
    if texts.iter().any(Vec::is_empty) {
        return None;
    }
    let mut first: Vec<char> = texts.iter().map(|text| text[0]).collect();
    first.sort_unstable();
    first.dedup();
    let members: String = first.iter().map(|c| regex::escape(&c.to_string())).collect();
    let mut fits = vec![r"\z".to_owned(), format!("[^{members}]")];
    for c in first {
        let rests = texts.iter().filter(|text| text[0] == c).map(|text| text[1..].to_vec());
        if let Some(rest) = other_than(&rests.collect::<Vec<_>>()) {
            fits.push(format!("{}{rest}", regex::escape(&c.to_string())));
        }
    }
    Some(format!("(?:{})", fits.join("|")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::Regex;

    use super::*;

    #[test]
    fn what_may_follow_is_spelled_out() {
        assert_eq!(without(r"/\.(?!ab)"), r"/\.(?:\z|[^a]|a(?:\z|[^b]))");
        for same in [r"/\.", r"/(?!a)b", r"/(?!a+)", r"/(?!)", r"/(?=a)", r"/(?!(a))", r"/(?!\d)"] {
            assert_eq!(without(same), same);
        }
        for hidden in [r"/\.(?!well-known)", r"/\.(?!well-known).*", r"/\.(?!well-known\/).*$"] {
            let regex = Regex::new(&without(hidden)).unwrap();
            assert!(!regex.is_match("/.well-known/acme"), "{hidden}");
            for path in ["/.git/config", "/.well", "/.", "/a/.well-known/.x"] {
                assert!(regex.is_match(path), "{hidden} {path}");
            }
        }
    }

    proptest! {
        #[test]
        fn everything_but_the_texts_fits(
            texts in proptest::collection::vec("[ab.]{1,3}", 1..4),
            path in "[ab./]{0,8}",
        ) {
            let escaped: Vec<_> = texts.iter().map(|text| regex::escape(text)).collect();
            let regex = without(&format!("/(?!{})", escaped.join("|")));
            let follows = |at: usize| texts.iter().any(|text| path[at..].starts_with(&**text));
            let expected = path.match_indices('/').any(|(at, _)| !follows(at + 1));
            prop_assert_eq!(Regex::new(&regex).unwrap().is_match(&path), expected);
        }
    }
}

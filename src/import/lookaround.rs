//! Look-arounds of regular expressions, which ours do not have, said without them.
//!
//! `/\.(?!well-known)` is the usual way to keep hidden files from everybody but for those that
//! certificates are asked for with. Where a look-ahead stands last and names plain texts, what may
//! follow is spelled out, letter by letter. `^/(?!api/)(.*)$` is an expression that fits and another
//! that does not, as the place that is looked from is the same for both; so is `…(?<!\.map)$`.
//! Of all others is known what they may fit at most.

use regex::bytes::Regex;

/// Fits everything.
pub(super) const ALL: &str = "^";

/// An expression of nginx's, said with what ours have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Readable {
    pub regex: String,
    /// What must not fit besides.
    pub but: Vec<String>,
}

/// Says an expression without look-arounds; `None` if that cannot be done.
pub(super) fn readable(regex: &str) -> Option<Readable> {
    let of = |regex: String| Readable { regex, but: Vec::new() };
    if compiles(regex) {
        return Some(of(regex.to_owned()));
    }
    if let Some(regex) = spelled_out(regex).filter(|regex| compiles(regex)) {
        return Some(of(regex));
    }
    apart(regex).filter(|one| compiles(&one.regex) && one.but.iter().all(|but| compiles(but)))
}

/// An expression that fits whatever this one does, and perhaps more.
pub(super) fn at_most(regex: &str) -> String {
    without(regex).filter(|bare| compiles(bare)).unwrap_or_else(|| ALL.to_owned())
}

fn compiles(regex: &str) -> bool {
    Regex::new(regex).is_ok()
}

/// A part of an expression.
enum Part<'r> {
    Plain(&'r str),
    /// What it looks for, and how: `?!`, `?=`, `?<!` or `?<=`.
    Look(&'r str, &'r str),
}

/// The parts of an expression, with the look-arounds that stand in no group; `None` if a group or a
/// class does not end.
fn parts(regex: &str) -> Option<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    let (mut from, mut at) = (0, 0);
    let mut open: Vec<Option<&str>> = Vec::new();
    while let Some(c) = regex[at..].chars().next() {
        match c {
            '\\' => at += regex[at + 1..].chars().next().map_or(0, char::len_utf8),
            '[' => at += class(&regex[at..])?,
            '(' => {
                let look = look(&regex[at + 1..]).filter(|_| open.is_empty());
                if look.is_some() {
                    parts.push(Part::Plain(&regex[from..at]));
                    from = at;
                }
                open.push(look);
            }
            ')' => {
                if let Some(look) = open.pop()? {
                    parts.push(Part::Look(&regex[from + 1 + look.len()..at], look));
                    from = at + 1;
                    // Looking around many times is nothing that anybody means.
                    if regex[from..].starts_with(['*', '+', '?', '{']) {
                        return None;
                    }
                }
            }
            _ => {}
        }
        at += c.len_utf8();
    }
    parts.push(Part::Plain(&regex[from..]));
    open.is_empty().then_some(parts)
}

/// What a group looks around with, from behind its bracket.
fn look(inner: &str) -> Option<&'static str> {
    ["?!", "?=", "?<!", "?<="].into_iter().find(|look| inner.starts_with(look))
}

/// The bytes between the brackets of a class, and the last one.
fn class(text: &str) -> Option<usize> {
    let mut chars = text.char_indices().skip(1).peekable();
    chars.next_if(|(_, c)| *c == '^');
    chars.next_if(|(_, c)| *c == ']');
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            ']' => return Some(at),
            _ => {}
        }
    }
    None
}

/// The expression without all that looks around.
fn without(regex: &str) -> Option<String> {
    let mut bare = String::new();
    for part in parts(regex)? {
        if let Part::Plain(plain) = part {
            bare.push_str(plain);
        }
    }
    let inner = bare.char_indices().find(|(at, c)| *c == '(' && look(&bare[at + 1..]).is_some());
    // Within a group there may be one still.
    if inner.is_some() { None } else { Some(bare) }
}

/// Negative look-arounds where there is but one place to look from: behind a plain text at the
/// beginning, and before the end.
fn apart(regex: &str) -> Option<Readable> {
    let parts = parts(regex)?;
    let count = parts.len();
    let mut found = Readable { regex: String::new(), but: Vec::new() };
    for (place, part) in parts.iter().enumerate() {
        match part {
            Part::Plain(plain) => found.regex.push_str(plain),
            Part::Look(inner, "?!") if is_plain_beginning(&found.regex) => {
                found.but.push(format!("{}(?:{})", found.regex, plainly(inner)?));
            }
            Part::Look(inner, "?<!") if place + 2 == count => {
                let rest = match parts.last() {
                    Some(Part::Plain(rest)) => *rest,
                    _ => return None,
                };
                if !matches!(rest, "$" | "\\z") {
                    return None;
                }
                found.but.push(format!("(?:{}){rest}", plainly(inner)?));
            }
            Part::Look(..) => return None,
        }
    }
    // Of alternatives each would have a beginning and an end of its own.
    alternatives(&found.regex).is_none().then_some(found)
}

/// Where an expression has alternatives outside of groups.
fn alternatives(regex: &str) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(c) = regex[at..].chars().next() {
        match c {
            '\\' => at += regex[at + 1..].chars().next().map_or(0, char::len_utf8),
            '[' => at += class(&regex[at..])?,
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '|' if depth == 0 => return Some(at),
            _ => {}
        }
        at += c.len_utf8();
    }
    None
}

/// What is looked for, if it has no group with a number, which would count.
fn plainly(inner: &str) -> Option<&str> {
    let groups = Regex::new(inner).ok()?.captures_len();
    (groups == 1).then_some(inner)
}

/// Whether an expression begins at the beginning, and fits one text only.
fn is_plain_beginning(regex: &str) -> bool {
    regex.strip_prefix('^').is_some_and(|rest| plain(rest).is_some())
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
        let without = |regex: &str| readable(regex).unwrap().regex;
        assert_eq!(without(r"/\.(?!ab)"), r"/\.(?:\z|[^a]|a(?:\z|[^b]))");
        assert_eq!(without(r"/\."), r"/\.");
        for never in [r"/(?!a)b", r"/(?!a+)", r"/(?!)", r"/(?=a)", r"/(?!(a))", r"/(?!\d)", "("] {
            assert_eq!(readable(never), None, "{never}");
        }
        for hidden in [r"/\.(?!well-known)", r"/\.(?!well-known).*", r"/\.(?!well-known\/).*$"] {
            let regex = Regex::new(&without(hidden)).unwrap();
            assert!(!regex.is_match("/.well-known/acme"), "{hidden}");
            for path in ["/.git/config", "/.well", "/.", "/a/.well-known/.x"] {
                assert!(regex.is_match(path), "{hidden} {path}");
            }
        }
    }

    #[test]
    fn what_must_not_stand_at_one_place_is_asked_for_apart() {
        for (regex, bare, but) in [
            (r"^/(?!api/)(.*)$", r"^/(.*)$", vec![r"^/(?:api/)"]),
            (r"^/a\.b(?!x|y\d)[^)](c|d)", r"^/a\.b[^)](c|d)", vec![r"^/a\.b(?:x|y\d)"]),
            (r"^/static/.+(?<!\.map)$", r"^/static/.+$", vec![r"(?:\.map)$"]),
            (r"^(?!/a)(?!/b).*(?<!c)$", r"^.*$", vec![r"^(?:/a)", r"^(?:/b)", "(?:c)$"]),
        ] {
            let but = but.into_iter().map(str::to_owned).collect();
            assert_eq!(readable(regex), Some(Readable { regex: bare.to_owned(), but }), "{regex}");
        }
        for never in [
            r"^/a?(?!b)c",
            r"/(?!b)c.*",
            r"^/(?!(b))(.*)$",
            r"^/(?=b)(.*)$",
            r"^/a(?<!b)c$",
            r"^/a|^/b(?<!c)$",
            r"^/(a(?!b)|c)$",
        ] {
            assert_eq!(readable(never), None, "{never}");
        }
    }

    #[test]
    fn what_may_fit_at_most_is_known() {
        for (regex, most) in [
            (r"/(?!b)c", "/c"),
            (r"^/(?=[)(])(?<=/)x(?<!(a|b))$", "^/x$"),
            (r"^/(a(?!b)|c)$", ALL),
            ("(", ALL),
            (r"a(?=b){2}", ALL),
            (r"a\", ALL),
            ("[", ALL),
        ] {
            assert_eq!(at_most(regex), most, "{regex}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_read_to_the_end(text in r"[\[\]()?!<=|^$\\aé*]{0,16}") {
            if let Some(one) = readable(&text) {
                prop_assert!(compiles(&one.regex) && one.but.iter().all(|but| compiles(but)));
            }
            prop_assert!(compiles(&at_most(&text)));
        }

        #[test]
        fn what_is_asked_for_apart_says_the_same(
            but in "[ab]{1,2}", rest in "[abc.]{0,3}", path in "/[abc]{0,5}",
        ) {
            let one = readable(&format!("^/(?!{but}){rest}(?<!{but})$")).unwrap();
            let fits = |regex: &str| Regex::new(regex).unwrap().is_match(&path);
            let ours = fits(&one.regex) && !one.but.iter().any(|but| fits(but));
            let whole = fits(&format!("^/{rest}$"));
            let theirs = whole && !path[1..].starts_with(&but) && !path.ends_with(&but);
            prop_assert_eq!(ours, theirs);
        }

        #[test]
        fn everything_but_the_texts_fits(
            texts in proptest::collection::vec("[ab.]{1,3}", 1..4),
            path in "[ab./]{0,8}",
        ) {
            let escaped: Vec<_> = texts.iter().map(|text| regex::escape(text)).collect();
            let regex = readable(&format!("/(?!{})", escaped.join("|"))).unwrap().regex;
            let follows = |at: usize| texts.iter().any(|text| path[at..].starts_with(&**text));
            let expected = path.match_indices('/').any(|(at, _)| !follows(at + 1));
            prop_assert_eq!(Regex::new(&regex).unwrap().is_match(&path), expected);
        }
    }
}

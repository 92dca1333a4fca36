//! Patterns of `include`, as `glob(3)` has them: `*`, `?` and `[…]`, within one part of a path.

/// Whether a text has to be compared with names.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Whether a name fits a pattern. A dot at its beginning is only met by a dot.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // The last star, and where its run ends at present: the only place worth going back to.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let one = if pattern.get(p) == Some(&'*') {
            star = Some((p, n));
            p += 1;
            continue;
        } else {
            one_fits(&pattern[p..], name[n])
        };
        if let Some(length) = one {
            (p, n) = (p + length, n + 1);
        } else if let Some((at, end)) = star {
            star = Some((at, end + 1));
            (p, n) = (at + 1, end + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// How much of the pattern's beginning stands for this character, if it does.
fn one_fits(pattern: &[char], c: char) -> Option<usize> {
    match pattern.first()? {
        '?' => Some(1),
        '[' => match set(pattern) {
            Some((length, members, negated)) => (members(c) != negated).then_some(length),
            None => (c == '[').then_some(1),
        },
        '\\' if pattern.len() > 1 => (pattern[1] == c).then_some(2),
        plain => (*plain == c).then_some(1),
    }
}

/// The length of a set `[…]`, its members and whether it is negated; `None` if it is not closed.
fn set(pattern: &[char]) -> Option<(usize, impl Fn(char) -> bool, bool)> {
    let negated = matches!(pattern.get(1), Some('!' | '^'));
    let from = 1 + usize::from(negated);
    // A `]` that comes first is a member.
    let close = pattern.iter().skip(from + 1).position(|c| *c == ']')? + from + 1;
    let inner = pattern[from..close].to_vec();
    let members = move |c: char| {
        let mut at = 0;
        while at < inner.len() {
            if inner.get(at + 1) == Some(&'-') && at + 2 < inner.len() {
                if (inner[at]..=inner[at + 2]).contains(&c) {
                    return true;
                }
                at += 3;
            } else if inner[at] == c {
                return true;
            } else {
                at += 1;
            }
        }
        false
    };
    Some((close + 1, members, negated))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_names_as_the_shell_does() {
        for (pattern, name) in [
            ("*.conf", "a.conf"),
            ("?.conf", "é.conf"),
            ("[a-c]x", "bx"),
            ("[!a-c]x", "dx"),
            ("[]]", "]"),
            ("a*b*c", "a-b-b-c"),
            (".*", ".hidden"),
            ("[", "["),
            ("\\*", "*"),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("*.conf", "a.conf~"), ("*", ".hidden"), ("[a-c]", "d"), ("?", ""), ("a", "")]
        {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }
}

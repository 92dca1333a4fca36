//! A server's locations → places in its path space, flat and in order.

use super::draft::PathRule;
use super::scope;
use super::tree::Directive;
use super::variables::Scope;

/// What stands behind `location`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind<'t> {
    Exact(&'t str),
    /// A prefix that regular expressions do not override.
    Caret(&'t str),
    Prefix(&'t str),
    Regex(String),
    Named(&'t str),
}

/// Reads the arguments of a location; nginx also takes modifier and path as one word.
pub(super) fn kind(d: &Directive) -> Option<Kind<'_>> {
    let (modifier, path) = if d.args.len() == 2 {
        (d.arg(0), d.arg(1))
    } else {
        let text = d.arg(0);
        let modifier = ["=", "^~", "~*", "~"].into_iter().find(|one| text.starts_with(one));
        let modifier = modifier.unwrap_or_default();
        (modifier, &text[modifier.len()..])
    };
    let prefix = path.starts_with('/').then_some(path);
    Some(match modifier {
        "=" => Kind::Exact(prefix?),
        "^~" => Kind::Caret(prefix?),
        "~" => Kind::Regex(path.to_owned()),
        "~*" => Kind::Regex(format!("(?i){path}")),
        "" if path.starts_with('@') => Kind::Named(path),
        "" => Kind::Prefix(prefix?),
        _ => return None,
    })
}

/// A place in a server's path space.
pub(super) struct Spot<'t> {
    pub location: &'t Directive,
    pub path: PathRule,
    /// The prefix as nginx has it; empty for a regular expression.
    pub prefix: String,
    /// The levels that hold here, the outermost first.
    pub levels: Vec<&'t [Directive]>,
    pub scope: Scope,
    pub rank: (u8, usize),
    /// In what it differs from the location.
    pub notes: Vec<String>,
}

/// Classes of [`Spot::rank`]: regular expressions are tried in the order of the file.
pub(super) const EARLY: u8 = 0;
const CARET: u8 = 1;
const NESTED: u8 = 2;
const PLAIN: u8 = 3;

/// A location that has no place among routes, and why.
pub(super) type Refused<'t> = (&'t Directive, String, &'static str);

/// Finds the places of a server's locations.
pub(super) struct Walk<'t> {
    pub spots: Vec<Spot<'t>>,
    pub refused: Vec<Refused<'t>>,
    /// Named locations, with their levels.
    pub named: Vec<(&'t Directive, Vec<&'t [Directive]>)>,
    prefixes: Vec<(String, bool)>,
    any_regex: bool,
}

impl<'t> Walk<'t> {
    /// All places below `levels`, the innermost of which is the server's.
    pub(super) fn of(levels: &[&'t [Directive]], scope: &Scope) -> Self {
        let mut walk = Self {
            spots: Vec::new(),
            refused: Vec::new(),
            named: Vec::new(),
            prefixes: Vec::new(),
            any_regex: false,
        };
        if let Some(server) = levels.last() {
            walk.survey(server);
        }
        walk.enter(levels, scope, "", 0);
        walk.tell_shadows();
        walk.spots.sort_by_key(|spot| spot.rank);
        walk
    }

    /// What there is, before places are given.
    fn survey(&mut self, directives: &'t [Directive]) {
        for d in directives.iter().filter(|d| d.name.text == "location") {
            match kind(d) {
                Some(Kind::Prefix(path)) => self.prefixes.push((path.to_owned(), false)),
                Some(Kind::Caret(path)) => self.prefixes.push((path.to_owned(), true)),
                Some(Kind::Regex(_)) => self.any_regex = true,
                _ => {}
            }
            self.survey(d.inner());
        }
    }

    fn enter(&mut self, levels: &[&'t [Directive]], scope: &Scope, above: &str, depth: u8) {
        let Some(level) = levels.last() else { return };
        for d in level.iter().filter(|d| d.name.text == "location") {
            let mut inner = levels.to_vec();
            inner.push(d.inner());
            let mut scope = scope.clone();
            scope::constants(d.inner(), &mut scope);
            let mut notes = Vec::new();
            let (path, prefix, class) = match kind(d) {
                None => {
                    let why = "it matches no path, for paths begin with `/`";
                    self.refused.push((d, why.to_owned(), "write `location /…`"));
                    continue;
                }
                Some(Kind::Named(_)) => {
                    self.named.push((d, inner));
                    continue;
                }
                Some(Kind::Exact(path)) => (PathRule::Exact(path.to_owned()), path, PLAIN),
                Some(Kind::Regex(regex)) => match Self::regex(&regex, above, &mut notes) {
                    Ok(regex) => (regex, "", if depth > 0 { NESTED } else { PLAIN }),
                    Err(why) => {
                        let help = "write it without look-around and back-references";
                        self.refused.push((d, why, help));
                        continue;
                    }
                },
                Some(Kind::Caret(path)) if self.any_regex => {
                    (PathRule::Regex(format!("^{}", regex::escape(path))), path, CARET)
                }
                Some(Kind::Caret(path) | Kind::Prefix(path)) => {
                    (self.prefix(path, &mut notes), path, PLAIN)
                }
            };
            let rank = (class, self.spots.len());
            let prefix_text = prefix.to_owned();
            self.spots.push(Spot {
                location: d,
                path,
                prefix: prefix_text,
                levels: inner.clone(),
                scope: scope.clone(),
                rank,
                notes,
            });
            self.enter(&inner, &scope, if prefix.is_empty() { above } else { prefix }, depth + 1);
        }
    }

    fn regex(regex: &str, above: &str, notes: &mut Vec<String>) -> Result<PathRule, String> {
        let bare = regex.trim_start_matches("(?i)");
        let within = above.is_empty() || bare.starts_with(&format!("^{}", regex::escape(above)));
        let regex = if within {
            regex.to_owned()
        } else {
            notes.push(format!("the expression has to be found behind `{above}`"));
            let flag = &regex[..regex.len() - bare.len()];
            format!("{flag}^{}.*(?:{})", regex::escape(above), bare.trim_start_matches('^'))
        };
        match regex::bytes::Regex::new(&regex) {
            Ok(_) => Ok(PathRule::Regex(regex)),
            Err(error) => {
                let text = error.to_string();
                let reason = text.lines().last().unwrap_or_default();
                Err(format!(
                    "the regular expression cannot be read: {}",
                    reason.trim_start_matches("error: ")
                ))
            }
        }
    }

    /// A prefix goes by whole segments. Where nginx has `/a` and `/a/`, the former is the path alone.
    fn prefix(&self, path: &str, notes: &mut Vec<String>) -> PathRule {
        let known = |other: &str| self.prefixes.iter().any(|(one, _)| one == other);
        if path == "/" {
            return PathRule::Prefix(path.to_owned());
        }
        match path.strip_suffix('/') {
            Some(bare) if known(bare) => {}
            Some(bare) => notes.push(format!("`{bare}` is taken too, with no slash behind it")),
            None => notes.push(format!("`{path}x` is not taken: prefixes go by whole segments")),
        }
        if !path.ends_with('/') && known(&format!("{path}/")) {
            return PathRule::Exact(path.to_owned());
        }
        PathRule::Prefix(path.to_owned())
    }

    /// A `^~` that became a regular expression also takes what a longer prefix below it should.
    fn tell_shadows(&mut self) {
        for spot in self.spots.iter_mut().filter(|spot| spot.rank.0 == CARET) {
            let longer = |(other, caret): &&(String, bool)| {
                !caret && other.len() > spot.prefix.len() && other.starts_with(&spot.prefix)
            };
            if let Some((other, _)) = self.prefixes.iter().find(longer) {
                spot.notes.push(format!("it takes `{other}` too"));
            }
        }
        // Longer ones first: they are regular expressions, which go by order.
        let mut carets: Vec<usize> =
            (0..self.spots.len()).filter(|index| self.spots[*index].rank.0 == CARET).collect();
        carets.sort_by_key(|index| std::cmp::Reverse(self.spots[*index].prefix.len()));
        for (order, index) in carets.into_iter().enumerate() {
            self.spots[index].rank.1 = order;
        }
    }

    /// The expression that takes exactly what nginx's prefix takes, if nothing longer is below it.
    pub(super) fn exactly(&self, spot: &Spot<'_>) -> Option<PathRule> {
        let alone =
            |(other, _): &(String, bool)| other == &spot.prefix || !other.starts_with(&spot.prefix);
        let plain = matches!(spot.path, PathRule::Prefix(_)) && spot.prefix != "/";
        (plain && self.prefixes.iter().all(alone))
            .then(|| PathRule::Regex(format!("^{}", regex::escape(&spot.prefix))))
    }

    /// Whether [`exactly`](Self::exactly) gave this expression.
    pub(super) fn was_prefix(&self, regex: &str) -> bool {
        let is = |(prefix, caret): &(String, bool)| {
            !(*caret && self.any_regex) && format!("^{}", regex::escape(prefix)) == regex
        };
        self.prefixes.iter().any(is)
    }
}

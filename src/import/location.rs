//! A server's locations → places in its path space, flat.

use super::draft::{Check, PathRule};
use super::lookaround;
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
    Regex(Expression),
    Named(&'t str),
}

/// A regular expression of a location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expression {
    pub regex: String,
    /// What must not fit besides.
    but: Vec<Check>,
    /// Why it cannot be read; `regex` fits whatever it does, and perhaps more.
    unread: Option<String>,
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
        "~" => Kind::Regex(expression("", path)),
        "~*" => Kind::Regex(expression("(?i)", path)),
        "" if path.starts_with('@') => Kind::Named(path),
        "" => Kind::Prefix(prefix?),
        _ => return None,
    })
}

fn expression(flags: &str, regex: &str) -> Expression {
    let with = |regex: &str| format!("{flags}{regex}");
    let fits = |one: &str| invalid(&with(one)).is_none();
    let found = lookaround::readable(regex);
    let Some(found) = found.filter(|one| fits(&one.regex) && one.but.iter().all(|but| fits(but)))
    else {
        let most = Some(lookaround::at_most(regex)).filter(|most| fits(most));
        let most = with(most.as_deref().unwrap_or(lookaround::ALL));
        let unread = invalid(&with(regex)).or_else(|| Some("it is too large".to_owned()));
        return Expression { regex: most, but: Vec::new(), unread };
    };
    let but = found.but.iter().map(|but| check("not_regex", &with(but))).collect();
    Expression { regex: with(&found.regex), but, unread: None }
}

/// What is asked of the path besides.
fn check(rule: &'static str, regex: &str) -> Check {
    Check { value: "${normalized_path}".to_owned(), rule, text: regex.to_owned() }
}

/// A place in a server's path space.
#[derive(Clone)]
pub(super) struct Spot<'t> {
    pub location: &'t Directive,
    pub path: PathRule,
    /// The prefix as nginx has it; empty for a regular expression.
    pub prefix: String,
    /// The levels that hold here, the outermost first.
    pub levels: Vec<&'t [Directive]>,
    pub scope: Scope,
    /// Whether it goes before regular expressions that have no prefix.
    pub before_regex: bool,
    /// What must hold of the path besides.
    pub also: Vec<Check>,
    /// Why nobody knows when it is asked for: all that it may be asked for with is refused.
    pub unread: Option<String>,
    /// Whether it is the location's name without the slash at its end, which is answered with the
    /// one with it.
    pub bare: bool,
}

/// A named location with its levels.
pub(super) type Named<'t> = (&'t Directive, Vec<&'t [Directive]>);

/// A location that has no place among routes, and why.
pub(super) type Refused<'t> = (&'t Directive, String, &'static str);

/// Finds the places of a server's locations.
///
/// nginx looks for the longest prefix of a level, within that for the longest nested one, and so on;
/// then it tries the regular expressions of the innermost of these levels, and goes out level by
/// level, leaving out the expressions beside a prefix with `^~`. A route can have an expression that
/// is tried only where a prefix is the longest: so each prefix gets the expressions that nginx would
/// try for it, in that order, but for those of the server's level, which stand for themselves.
pub(super) struct Walk<'t> {
    pub spots: Vec<Spot<'t>>,
    pub refused: Vec<Refused<'t>>,
    /// Named locations.
    pub named: Vec<Named<'t>>,
}

/// A location with what stands in it.
struct Node<'t> {
    location: &'t Directive,
    kind: Kind<'t>,
    levels: Vec<&'t [Directive]>,
    scope: Scope,
    inner: Vec<Node<'t>>,
}

/// What holds for the prefixes of a level.
struct Around<'n, 't> {
    /// The levels above with the location that this one stands in, the innermost last.
    above: Vec<(&'n [Node<'t>], &'n Node<'t>)>,
    /// What is tried after the expressions of this level.
    rest: Vec<&'n Node<'t>>,
    before_regex: bool,
}

impl<'t> Walk<'t> {
    /// All places below `levels`, the innermost of which is the server's.
    pub(super) fn of(levels: &[&'t [Directive]], scope: &Scope) -> Self {
        let mut walk = Self { spots: Vec::new(), refused: Vec::new(), named: Vec::new() };
        let nodes = walk.nodes(levels, scope);
        let around = Around { above: Vec::new(), rest: Vec::new(), before_regex: false };
        walk.place(&nodes, &around);
        walk
    }

    fn nodes(&mut self, levels: &[&'t [Directive]], scope: &Scope) -> Vec<Node<'t>> {
        let level: &'t [Directive] = levels.last().copied().unwrap_or_default();
        let mut nodes: Vec<Node<'t>> = Vec::new();
        for d in level.iter().filter(|d| d.name.text == "location") {
            let mut inner = levels.to_vec();
            inner.push(d.inner());
            let mut scope = scope.clone();
            scope::constants(d.inner(), &mut scope);
            if let Some(Kind::Regex(one)) = kind(d) {
                scope.found("${normalized_path}", &one.regex);
            }
            match kind(d) {
                None => {
                    let why = "it matches no path, for paths begin with `/`";
                    self.refused.push((d, why.to_owned(), "write `location /…`"));
                }
                Some(Kind::Named(_)) => self.named.push((d, inner)),
                Some(Kind::Regex(one)) if one.unread.is_some() => {
                    let (kind, inner) = (Kind::Regex(one), Vec::new());
                    nodes.push(Node { location: d, kind, levels: levels.to_vec(), scope, inner });
                }
                Some(kind) => {
                    let within = self.nodes(&inner, &scope);
                    nodes.push(Node { location: d, kind, levels: inner, scope, inner: within });
                }
            }
        }
        nodes
    }

    fn place(&mut self, level: &[Node<'t>], around: &Around<'_, 't>) {
        let top = around.above.is_empty();
        for node in level {
            if let Some(bare) = bare(node, level).filter(|bare| reached(bare, true, &around.above))
            {
                let path = PathRule::Exact(bare.to_owned());
                let spot = node.spot(path, bare);
                self.spots.push(Spot { bare: true, ..spot });
            }
            match &node.kind {
                Kind::Exact(path) if reached(path, true, &around.above) => {
                    self.spots.push(node.spot(PathRule::Exact((*path).to_owned()), path));
                }
                Kind::Regex(_) if top => self.place_regex(node, None, &[]),
                Kind::Prefix(path) | Kind::Caret(path) if reached(path, false, &around.above) => {
                    let caret = matches!(node.kind, Kind::Caret(_));
                    let beside =
                        level.iter().filter(|_| !top && !caret).filter(|one| one.is_regex());
                    let mut above = around.above.clone();
                    above.push((level, node));
                    let within = Around {
                        above,
                        rest: beside.chain(around.rest.iter().copied()).collect(),
                        before_regex: if top { caret } else { around.before_regex },
                    };
                    self.place_prefix(node, path, &within);
                }
                _ => {}
            }
        }
    }

    fn place_prefix(&mut self, node: &Node<'t>, path: &str, within: &Around<'_, 't>) {
        self.place(&node.inner, within);
        // Nothing is left of a location that holds one of the same name.
        if node.inner.iter().any(|inner| inner.prefix() == Some(path)) {
            return;
        }
        let own = node.inner.iter().filter(|one| one.is_regex());
        for regex in own.chain(within.rest.iter().copied()) {
            self.place_regex(regex, Some(path), &[]);
        }
        let spot = node.spot(PathRule::Prefix(path.to_owned()), path);
        self.spots.push(Spot { before_regex: within.before_regex, ..spot });
    }

    /// What stands within an expression goes before it, and asks for both.
    fn place_regex(&mut self, node: &Node<'t>, prefix: Option<&str>, around: &[Check]) {
        let Kind::Regex(Expression { regex, but, unread }) = &node.kind else { return };
        let own = [check("regex", regex)];
        for inner in &node.inner {
            self.place_regex(inner, prefix, &[but, around, &own].concat());
        }
        // Groups are those of the last one that is found: the innermost.
        let own = if around.is_empty() || groups(regex) == 0 { &[] } else { &own[..] };
        let also = [but, around, own].concat();
        let mut regex = regex.clone();
        let rule = |regex: &String| match prefix {
            Some(prefix) => PathRule::Within(prefix.to_owned(), regex.clone()),
            None => PathRule::Regex(regex.clone()),
        };
        // The same expression twice would be one rule, at its first place.
        while self.spots.iter().any(|spot| spot.path == rule(&regex)) {
            regex = format!("(?:{regex})");
        }
        let spot = node.spot(rule(&regex), "");
        self.spots.push(Spot { also, unread: unread.clone(), ..spot });
    }
}

impl<'t> Node<'t> {
    fn spot(&self, path: PathRule, prefix: &str) -> Spot<'t> {
        Spot {
            location: self.location,
            path,
            prefix: prefix.to_owned(),
            levels: self.levels.clone(),
            scope: self.scope.clone(),
            before_regex: false,
            also: Vec::new(),
            unread: None,
            bare: false,
        }
    }

    fn is_regex(&self) -> bool {
        matches!(self.kind, Kind::Regex(_))
    }

    fn prefix(&self) -> Option<&'t str> {
        match self.kind {
            Kind::Prefix(path) | Kind::Caret(path) => Some(path),
            _ => None,
        }
    }

    fn path(&self) -> Option<&'t str> {
        match self.kind {
            Kind::Exact(path) => Some(path),
            _ => self.prefix(),
        }
    }
}

/// How many groups an expression has.
fn groups(regex: &str) -> usize {
    regex::bytes::Regex::new(regex).map_or(0, |regex| regex.captures_len() - 1)
}

/// Why an expression cannot be read.
fn invalid(regex: &str) -> Option<String> {
    let error = regex::bytes::Regex::new(regex).err()?;
    let text = error.to_string();
    let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
    Some(format!("the regular expression cannot be read: {reason}"))
}

/// The name without its slash of a location that sends requests on, if nothing beside it has that
/// name: nginx redirects from there.
fn bare<'t>(node: &Node<'t>, level: &[Node<'t>]) -> Option<&'t str> {
    let passes = |d: &Directive| matches!(&*d.name.text, "proxy_pass" | "grpc_pass");
    let bare = node.path()?.strip_suffix('/').filter(|bare| !bare.is_empty())?;
    let alone = level.iter().all(|other| other.path() != Some(bare));
    (alone && node.location.inner().iter().any(passes)).then_some(bare)
}

/// Whether nginx comes to a path or prefix on its way through the locations above it.
fn reached(path: &str, exact: bool, above: &[(&[Node<'_>], &Node<'_>)]) -> bool {
    above.iter().all(|(level, through)| {
        let longest = level.iter().filter_map(Node::prefix).filter(|one| path.starts_with(one));
        let longest = longest.max_by_key(|one| one.len());
        let taken = |other: &Node<'_>| {
            matches!(other.kind, Kind::Exact(one) if one == path)
                || bare(other, level) == Some(path)
        };
        longest.is_some() && longest == through.prefix() && !(exact && level.iter().any(taken))
    })
}

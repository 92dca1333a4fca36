//! nginx's variables in texts → Plimsoll's, where there are such.

use std::collections::BTreeMap;

/// A text with constants put in is cut off from the import when it gets longer.
const LONGEST: usize = 4096;

/// What a text may speak of at its place.
#[derive(Debug, Default, Clone)]
pub(super) struct Scope {
    /// Variables with a value that is known now; `None` for one that is known to vary.
    pub constants: BTreeMap<String, Option<String>>,
}

impl Scope {
    /// Takes in `set $name value`.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        let Some(name) = name.strip_prefix('$') else { return };
        let value = self.constant(value);
        self.constants.insert(name.to_owned(), value);
    }

    /// Notes that a variable has one value or another.
    pub(super) fn forget(&mut self, name: &str) {
        if let Some(name) = name.strip_prefix('$') {
            self.constants.insert(name.to_owned(), None);
        }
    }

    /// The text with constants put in; what is left of variables stays.
    pub(super) fn fold(&self, text: &str) -> String {
        let mut folded = String::new();
        for part in parts(text) {
            match part {
                Part::Text(text) => folded.push_str(text),
                Part::Variable(name) => match self.constants.get(name) {
                    Some(Some(value)) => folded.push_str(value),
                    _ => folded.extend(["${", name, "}"]),
                },
            }
        }
        folded
    }

    /// The text, if no variable is left in it.
    pub(super) fn constant(&self, text: &str) -> Option<String> {
        let folded = self.fold(text);
        let plain = parts(&folded).all(|part| matches!(part, Part::Text(_)));
        (plain && folded.len() <= LONGEST).then_some(folded)
    }

    /// The text as a template of Plimsoll's, or the first variable that has no counterpart.
    pub(super) fn template(&self, text: &str) -> Result<Template, String> {
        let folded = self.fold(text);
        let mut template = Template { text: String::new(), notes: Vec::new(), may_be_empty: true };
        if folded.len() > LONGEST {
            return Err("…".to_owned());
        }
        for part in parts(&folded) {
            match part {
                Part::Text(text) => {
                    template.may_be_empty = false;
                    template.text.push_str(&text.replace("${", "$${"));
                }
                Part::Variable(name) => {
                    let (ours, note) = counterpart(name).ok_or_else(|| format!("${name}"))?;
                    template.may_be_empty &= can_be_empty(name);
                    template.text.extend(["${", &ours, "}"]);
                    template.notes.extend(note);
                }
            }
        }
        Ok(template)
    }
}

/// A text with `${variables}` of Plimsoll's.
pub(super) struct Template {
    pub text: String,
    /// In what it differs.
    pub notes: Vec<&'static str>,
    /// Whether a request may leave nothing of it.
    pub may_be_empty: bool,
}

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'t> {
    Text(&'t str),
    Variable(&'t str),
}

/// The parts of a text; a `$` before no name is a plain one.
pub(super) fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if let Some((name, after)) = variable(rest) {
            rest = after;
            return Some(Part::Variable(name));
        }
        let mut from = rest.chars().next().map_or(1, char::len_utf8);
        let end = loop {
            let Some(next) = rest.get(from..).and_then(|tail| tail.find('$')) else {
                break rest.len();
            };
            if variable(&rest[from + next..]).is_some() {
                break from + next;
            }
            from += next + 1;
        };
        let (plain, after) = rest.split_at(end);
        rest = after;
        Some(Part::Text(plain))
    })
}

/// The variable at the beginning of a text, and what follows it.
fn variable(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix('$')?;
    if let Some(inner) = rest.strip_prefix('{') {
        let (name, after) = inner.split_once('}')?;
        return (is_name(name)).then_some((name, after));
    }
    let end = rest.find(|c: char| !is_name_char(c)).unwrap_or(rest.len());
    (end > 0).then(|| rest.split_at(end))
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(is_name_char)
}

/// Plimsoll's variable for one of nginx's, and in what it differs.
fn counterpart(name: &str) -> Option<(String, Option<&'static str>)> {
    let plain = |ours: &str| Some((ours.to_owned(), None));
    let differs = |ours: &str, note| Some((ours.to_owned(), Some(note)));
    match name {
        "remote_addr" | "binary_remote_addr" => plain("client_ip"),
        "host" => plain("host"),
        "http_host" => plain("header.host"),
        "scheme" => plain("scheme"),
        "request_method" => plain("method"),
        "request_uri" => plain("uri"),
        "uri" | "document_uri" => {
            differs("path", "`$uri` is decoded and rewritten, `${path}` is as the client sent it")
        }
        "args" | "query_string" => plain("query"),
        "request_id" => plain("request_id"),
        "upstream_addr" => differs("backend", "the last backend only, with its name as written"),
        _ => {
            let (family, of) = name.split_once('_').filter(|(_, of)| !of.is_empty())?;
            match family {
                "http" => plain(&format!("header.{}", of.replace('_', "-"))),
                "cookie" | "arg" => plain(&format!("{family}.{of}")),
                _ => None,
            }
        }
    }
}

fn can_be_empty(name: &str) -> bool {
    let families = ["http_", "cookie_", "arg_", "upstream_"];
    matches!(name, "args" | "query_string")
        || (families.iter().any(|family| name.starts_with(family)) && name != "http_host")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ours(text: &str) -> Result<String, String> {
        Scope::default().template(text).map(|template| template.text)
    }

    #[test]
    fn variables_have_their_counterparts() {
        assert_eq!(ours("$scheme://$host$request_uri").unwrap(), "${scheme}://${host}${uri}");
        assert_eq!(ours("${http_x_a}b").unwrap(), "${header.x-a}b");
        assert_eq!(ours("a$").unwrap(), "a$");
        assert_eq!(ours("é$arg_x$").unwrap(), "é${arg.x}$");
        assert_eq!(ours("$ssl_cipher"), Err("$ssl_cipher".to_owned()));
        assert_eq!(ours("$1"), Err("$1".to_owned()));
        assert_eq!(ours("$http_"), Err("$http_".to_owned()));
    }

    #[test]
    fn constants_are_put_in_and_do_not_grow_without_end() {
        let mut scope = Scope::default();
        scope.set("$a", "x");
        scope.set("$b", "$a-$a");
        assert_eq!(scope.constant("<$b>").as_deref(), Some("<x-x>"));
        for _ in 0..100 {
            scope.set("$b", "$b$b");
        }
        assert_eq!(scope.constant("$b"), None);
        scope.forget("$a");
        assert_eq!(scope.constant("$a"), None);
    }

    proptest! {
        #[test]
        fn parts_hold_the_whole_text(text in "[$a{}é_]{0,12}") {
            let mut whole = String::new();
            for part in parts(&text) {
                match part {
                    Part::Text(plain) => whole.push_str(plain),
                    Part::Variable(name) => whole.push_str(name),
                }
            }
            let plain = |text: &str| text.replace(['$', '{', '}'], "");
            prop_assert_eq!(plain(&whole), plain(&text));
        }
    }
}

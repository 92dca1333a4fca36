//! What a server answers before it looks for a location: `return`, `rewrite` and `if` of the server itself.

use super::condition::{Condition, condition};
use super::draft::{Action, Check, Onward, PathRule, ResponseEdits, Rewriting, Route};
use super::ifs::only_rewrites;
use super::routes::{self, Server};
use super::settings::Settings;
use super::translate::Translator;
use super::tree::Directive;
use super::variables::Scope;
use super::{answer, lookaround, onward};

impl<'t> Translator<'t, '_> {
    /// What a server answers before it looks for a location, and whether that is every request.
    pub(super) fn first(
        &mut self,
        block: &'t Directive,
        s: &Settings<'t>,
        (scope, edits): (&Scope, &ResponseEdits),
        server: &Server<'t>,
    ) -> (Vec<Route>, bool) {
        let mut routes = Vec::new();
        let root = || PathRule::Prefix("/".to_owned());
        // Rewrites that stand together make one route.
        let mut rules: Vec<Rewriting> = Vec::new();
        // What must not hold where a `break` would have ended it.
        let mut unless: Vec<Check> = Vec::new();
        let ended = [None];
        for d in block.inner().iter().map(Some).chain(ended) {
            if let Some(d) = d.filter(|d| rewrites_under_condition(d, block, scope)) {
                if let Some(more) = self.conditional(d, s, scope, server.port) {
                    rules.extend(more.into_iter().map(|rule| under(rule, &unless)));
                    unless.extend(broken_off(d, scope));
                    continue;
                }
                self.findings.missing(d, "all requests are refused with 403", "");
                routes.push(routes::route(d.name.place, root(), Action::Refuse, edits, s));
                return (routes, true);
            }
            if d.is_none_or(|d| ["return", "if"].contains(&&*d.name.text)) {
                routes.extend(rewriting(block, &mut rules, edits, s));
            }
            let Some(d) = d else { break };
            let f = &mut self.findings;
            let (path, when, action) = match &*d.name.text {
                "return" => (root(), Vec::new(), answer::answer(d, s, scope, server.port, f)),
                "rewrite" => {
                    let whole = match &*rules {
                        [] => answer::redirecting_rewrite(d, s, scope, server.port, f)
                            .map(|action| (root(), action))
                            .or_else(|| answer::moved(d, s, scope, server.port, f)),
                        _ => None,
                    };
                    if let Some((path, action)) = whole {
                        (path, Vec::new(), action)
                    } else if let Some(rule) = onward::rewriting(d, s, scope, server.port, f) {
                        rules.push(under(rule, &unless));
                        continue;
                    } else {
                        f.missing(d, "all that it may fit is refused with 403", "");
                        routes.extend(rewriting(block, &mut rules, edits, s));
                        let most = lookaround::at_most(d.arg(0));
                        let all = most == lookaround::ALL;
                        let path = if all { root() } else { PathRule::Regex(most) };
                        (path, Vec::new(), Action::Refuse)
                    }
                }
                "if" if scope.carried.contains(&d.id) => {
                    self.in_variables(d);
                    continue;
                }
                "if" => match self.early(d, s, scope, server.port) {
                    Some((when, action)) => (root(), when, action),
                    None => continue,
                },
                _ => continue,
            };
            let when = [when, unless.clone()].concat();
            let all = when.is_empty() && path == root();
            let mut route = routes::route(d.name.place, path, action, edits, s);
            route.when = when;
            // Where nothing else is reached, it goes without saying.
            route.first = !(all && routes.is_empty());
            routes.push(route);
            if all {
                return (routes, true);
            }
        }
        (routes, false)
    }
}

/// Whether the rewrites of an `if` are rules with conditions: unless it ends more than can be said.
fn rewrites_under_condition(d: &Directive, server: &Directive, scope: &Scope) -> bool {
    let says = |one: &Directive| matches!(&*one.name.text, "return" | "if" | "set");
    let sets = |one: &Directive| {
        one.name.text == "set" || one.inner().iter().any(|d| d.name.text == "set")
    };
    let mut behind = server.inner().iter().filter(|one| one.id > d.id && says(one));
    let can_be_said = match broken_off(d, scope) {
        Some(_) => !behind.any(sets),
        None => behind.next().is_none(),
    };
    d.name.text == "if"
        && only_rewrites(d)
        && (!breaks(d) || can_be_said)
        && condition(d, scope).is_some()
}

fn breaks(block: &Directive) -> bool {
    block.inner().iter().any(|one| one.name.text == "break")
}

/// What has to hold of all that stands behind a block with a `break`, if that can be said: the opposite
/// of one condition that no rewrite changes.
fn broken_off(block: &Directive, scope: &Scope) -> Option<Check> {
    let Some(Condition::When(checks)) = condition(block, scope).filter(|_| breaks(block)) else {
        return None;
    };
    let [Check { value, rule, text }] = &checks[..] else { return None };
    let known =
        ["${header.", "${cookie.", "${host}", "${method}", "${client_ip}", "${scheme}", "${uri}"];
    let rule = match *rule {
        "is" => "not",
        "not" => "is",
        "regex" => "not_regex",
        _ => "regex",
    };
    let lasts = known.iter().any(|one| value.starts_with(one));
    lasts.then(|| Check { value: value.clone(), rule, text: text.clone() })
}

/// The rule under further conditions.
fn under(mut rule: Rewriting, unless: &[Check]) -> Rewriting {
    if !rule.same {
        rule.when.extend_from_slice(unless);
    }
    rule
}

/// The route of a server's rewrites that stand together.
fn rewriting(
    block: &Directive,
    rules: &mut Vec<Rewriting>,
    edits: &ResponseEdits,
    s: &Settings<'_>,
) -> Option<Route> {
    let rewrites = std::mem::take(rules);
    if rewrites.is_empty() {
        return None;
    }
    let root = PathRule::Prefix("/".to_owned());
    let mut route = routes::route(block.name.place, root, Action::Pass, edits, s);
    route.first = true;
    "/rewrite".clone_into(&mut route.name);
    route.onward = Some(Onward { rewrites, ..Onward::default() });
    Some(route)
}

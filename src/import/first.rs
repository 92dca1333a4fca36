//! What a server answers before it looks for a location: `return`, `rewrite` and `if` of the server itself.

use super::condition::condition;
use super::draft::{Action, Onward, PathRule, ResponseEdits, Rewriting, Route};
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
        let ended = [None];
        for d in block.inner().iter().map(Some).chain(ended) {
            if let Some(d) = d.filter(|d| rewrites_under_condition(d, block, scope)) {
                if let Some(more) = self.conditional(d, s, scope, server.port) {
                    rules.extend(more);
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
                        rules.push(rule);
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

/// Whether the rewrites of an `if` are rules with conditions: unless it ends more than them.
fn rewrites_under_condition(d: &Directive, server: &Directive, scope: &Scope) -> bool {
    let says = |one: &Directive| matches!(&*one.name.text, "return" | "if" | "set");
    let ends = d.inner().iter().any(|one| one.name.text == "break");
    d.name.text == "if"
        && only_rewrites(d)
        && !(ends && server.inner().iter().any(|one| one.id > d.id && says(one)))
        && condition(d, scope).is_some()
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

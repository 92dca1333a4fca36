//! One place of a server → its routes: what is answered under which condition, and what is sent on.

use super::answer::{self, answer, not_carried, redirecting_rewrite, status};
use super::condition::{Condition, condition};
use super::draft::{Action, Added, Check, PathRule, ResponseEdits, Route};
use super::headers;
use super::location::{Named, Spot};
use super::scope::{self, effective};
use super::settings::Settings;
use super::table::Rule;
use super::translate::Translator;
use super::tree::Directive;
use super::variables::Scope;
use crate::config::Place;

const FILE_SERVER: &str = "serve files by a file server of their own, as an upstream";

/// What the routes of a server have in common.
pub(super) struct Server<'t> {
    /// The port that redirects name, if it is one for all.
    pub port: Option<u16>,
    /// Named locations.
    pub named: Vec<Named<'t>>,
}

impl<'t> Translator<'t, '_> {
    /// The settings that hold at a place. `own` is whether its last level is the place's own.
    pub(super) fn settings(&mut self, levels: &[&'t [Directive]], in_server: bool) -> Settings<'t> {
        let mut s = Settings::default();
        let f = &mut self.findings;
        for (d, row) in effective(levels) {
            match row.rule {
                Rule::Route(setter) => setter(&mut s, d, f),
                Rule::Guard if d.arg(0) == "off" => f.carried_as(d, "nobody is kept out here"),
                Rule::Guard => {
                    f.missing(d, row.doc, row.instead);
                    s.guard = Some(d);
                }
                Rule::Content => s.content = Some(d),
                Rule::Listener(_)
                    if !in_server && levels[2..].iter().any(|level| holds(level, d)) =>
                {
                    let why = "it holds for a listener as a whole";
                    f.missing(d, why, "set it for the listener");
                }
                _ => {}
            }
        }
        if s.satisfy_any && !s.access.is_empty() && s.guard.take().is_some() {
            // Who is not let in by address, would have to say who they are.
            s.access.push((false, "all"));
        }
        s
    }

    /// The routes of a place, the more special ones first.
    pub(super) fn routes_of(&mut self, spot: &Spot<'t>, server: &Server<'t>) -> Vec<Route> {
        let s = self.settings(&spot.levels, false);
        let location = spot.location;
        self.findings.carried(location);
        let edits = headers::response(&s, &spot.scope, &mut self.findings);
        if s.internal && !location.arg(0).starts_with('@') {
            // nginx says so before it looks at what stands in the location.
            return vec![Self::route(spot, Vec::new(), status(404), &edits, &s)];
        }
        if spot.bare {
            let f = &mut self.findings;
            let action =
                answer::with_slash(location, &spot.prefix, &s, &spot.scope, server.port, f);
            return vec![Self::route(spot, Vec::new(), action, &edits, &s)];
        }
        let mut routes = Vec::new();
        let mut changed = Vec::new();
        let before = |d: &&Directive| s.answer.is_none_or(|answer| d.id < answer.id);
        for d in location.inner().iter().filter(|d| d.name.text == "if").filter(before) {
            if answers(d).is_some() {
                if let Some((when, action)) = self.early(d, &s, &spot.scope, server.port) {
                    let all = when.is_empty();
                    routes.push(Self::route(spot, when, action, &edits, &s));
                    if all {
                        return routes;
                    }
                }
            } else {
                changed.push(d);
            }
        }
        // Of several blocks that change something, the last one whose condition holds is taken.
        let limits = location.inner().iter().filter(|d| d.name.text == "limit_except");
        for d in changed.into_iter().rev().chain(limits) {
            let when = match &*d.name.text {
                "if" => self.changing(d, &spot.scope),
                _ => self.other_methods(d).filter(|_| s.answer.is_none()),
            };
            if let Some(when) = when {
                let all = when.is_empty();
                routes.extend(self.within(d, &when, spot, &s, server));
                if all {
                    return routes;
                }
            }
        }
        routes.extend(self.mains(&[], &edits, spot, &s, server));
        // What nginx answers by itself it answers before it looks at limits.
        let limits = self.zones.uses(&s.limits, &mut self.findings);
        for route in &mut routes {
            if matches!(route.action, Action::Proxy(_)) && !limits.is_empty() {
                route.limits.clone_from(&limits);
            }
        }
        routes
    }

    /// What is done with the requests that come to a place under a condition.
    fn mains(
        &mut self,
        when: &[Check],
        edits: &ResponseEdits,
        spot: &Spot<'t>,
        s: &Settings<'t>,
        server: &Server<'t>,
    ) -> Vec<Route> {
        let mains = match self.main(spot, s, server) {
            Main::Actions(actions) => actions,
            Main::Named(named) => return self.by_named(when, &named, spot, s, server),
        };
        let with = |(more, action): (Vec<Check>, Action)| {
            let proxied = matches!(action, Action::Proxy(_));
            let mut route = Self::route(spot, [when, &more].concat(), action, edits, s);
            if proxied {
                route.access = access(s);
            }
            route
        };
        mains.into_iter().map(with).collect()
    }

    /// What a named location does with the requests of another place. It has its own settings; whom
    /// the place keeps out does not come to it, and how long a body may be is decided before.
    fn by_named(
        &mut self,
        when: &[Check],
        named: &Named<'t>,
        spot: &Spot<'t>,
        s: &Settings<'t>,
        server: &Server<'t>,
    ) -> Vec<Route> {
        let (location, levels) = named;
        let mut scope = spot.scope.clone();
        scope::constants(location.inner(), &mut scope);
        let there = Spot { location, levels: levels.clone(), scope, ..spot.clone() };
        let mut routes = self.routes_of(&there, server);
        let outer = access(s);
        for route in &mut routes {
            route.when.splice(0..0, when.iter().cloned());
            route.body_limit = s.body_limit.unwrap_or(1 << 20);
            if outer.is_empty() || outer == route.access {
                continue;
            }
            if route.access.is_empty() && matches!(route.action, Action::Proxy(_)) {
                route.access.clone_from(&outer);
            } else {
                let why = "who comes in is asked here and where requests come from, which one \
                           route cannot do: it answers 403 to everybody";
                self.findings.missing(location, why, "make one list of both");
                route.access = Vec::new();
                route.action = status(403);
            }
        }
        routes
    }

    /// The routes of a block within a location, which has all that the location has.
    fn within(
        &mut self,
        d: &'t Directive,
        when: &[Check],
        spot: &Spot<'t>,
        outer: &Settings<'t>,
        server: &Server<'t>,
    ) -> Vec<Route> {
        let mut levels = spot.levels.clone();
        levels.push(d.inner());
        let mut s = self.settings(&levels, false);
        if s.pass.is_none() {
            s.pass = outer.pass;
        }
        s.answer = outer.answer;
        s.rewrites.clone_from(&outer.rewrites);
        s.try_files = outer.try_files;
        s.content = s.content.or(outer.content);
        let edits = headers::response(&s, &spot.scope, &mut self.findings);
        self.mains(when, &edits, spot, &s, server)
    }

    fn route(
        spot: &Spot<'t>,
        mut when: Vec<Check>,
        action: Action,
        edits: &ResponseEdits,
        s: &Settings<'_>,
    ) -> Route {
        let mut route = route(spot.location.name.place, spot.path.clone(), action, edits, s);
        route.before_regex = spot.before_regex;
        // An expression that had to be spelled out is called as it was written.
        if let Some(written) = spot.location.args.last().filter(|arg| arg.text.contains("(?!")) {
            route.name.clone_from(&written.text);
        }
        when.extend(spot.around.iter().map(|regex| Check {
            value: "${normalized_path}".to_owned(),
            rule: "regex",
            text: regex.clone(),
        }));
        route.when = when;
        route
    }

    /// What an `if` answers, and when; `None` if it is not carried, or never answers.
    pub(super) fn early(
        &mut self,
        d: &'t Directive,
        s: &Settings<'t>,
        scope: &Scope,
        port: Option<u16>,
    ) -> Option<(Vec<Check>, Action)> {
        let Some(says) = answers(d) else {
            self.not_answering(d);
            return None;
        };
        let when = self.condition_of(d, scope)?;
        let f = &mut self.findings;
        let action = match &*says.name.text {
            "return" => Some(answer(says, s, scope, port, f)),
            _ => redirecting_rewrite(says, s, scope, port, f),
        };
        if action.is_none() {
            self.not_answering(d);
        }
        Some((when, action?))
    }

    /// When an `if` that answers nothing changes how requests are sent on.
    fn changing(&mut self, d: &'t Directive, scope: &Scope) -> Option<Vec<Check>> {
        let script = ["set", "rewrite", "break", "return"];
        if d.inner().iter().any(|one| script.contains(&&*one.name.text)) {
            self.not_answering(d);
            return None;
        }
        self.condition_of(d, scope)
    }

    fn not_answering(&mut self, d: &'t Directive) {
        let f = &mut self.findings;
        if !d.inner().iter().all(|one| one.name.text == "set") {
            f.lint(
                d.name.place,
                "within `if` only `return` and `rewrite … last` are sure to do what they say",
                "use a location, a `map`, or let the application decide",
            );
        }
        let why = "what this `if` does to the request is not carried";
        f.missing_whole(d, why, "use a route with a condition");
    }

    /// When the block of an `if` holds; `None` if never, or if a route cannot ask for it.
    fn condition_of(&mut self, d: &'t Directive, scope: &Scope) -> Option<Vec<Check>> {
        let f = &mut self.findings;
        let Some(condition) = condition(d, scope) else {
            let why = "no route can have this condition";
            f.missing_whole(d, why, "use `when` of a route");
            return None;
        };
        f.carried(d);
        match condition {
            Condition::Always => Some(Vec::new()),
            Condition::When(check) => Some(vec![check]),
            Condition::Never => {
                f.carried_as(d, "it never holds on a listener without TLS");
                d.inner().iter().for_each(|one| f.carried(one));
                None
            }
        }
    }

    /// The methods that a `limit_except` is about: all but those that it names.
    fn other_methods(&mut self, d: &'t Directive) -> Option<Vec<Check>> {
        let f = &mut self.findings;
        let mut methods: Vec<String> =
            d.args.iter().map(|arg| arg.text.to_ascii_uppercase()).collect();
        if methods.iter().any(|method| method == "GET") {
            methods.push("HEAD".to_owned());
        }
        methods.dedup();
        if !methods.iter().all(|method| crate::config::is_token(method)) {
            f.missing_whole(d, "these are no methods", "correct it");
            return None;
        }
        f.carried(d);
        let methods: Vec<_> = methods.iter().map(|method| regex::escape(method)).collect();
        let text = format!("^({})$", methods.join("|"));
        Some(vec![Check { value: "${method}".to_owned(), rule: "not_regex", text }])
    }

    /// What is done with requests that no `if` answered, with conditions.
    fn main(&mut self, spot: &Spot<'t>, s: &Settings<'t>, server: &Server<'t>) -> Main<'t> {
        let f = &mut self.findings;
        let only = |action| Main::Actions(vec![(Vec::new(), action)]);
        let mut rewrites = Vec::new();
        for d in &s.rewrites {
            match redirecting_rewrite(d, s, &spot.scope, server.port, f) {
                Some(action) if s.answer.is_none_or(|answer| d.id < answer.id) => {
                    return only(action);
                }
                Some(_) => {}
                None => rewrites.push(*d),
            }
        }
        if let Some(d) = s.answer {
            let action = answer(d, s, &spot.scope, server.port, f);
            return only(action);
        }
        if s.keeps_all_out() {
            for d in s.pass.into_iter().chain(s.try_files) {
                f.missing(d, "its route refuses everybody, see the access rules", "");
            }
            return only(status(403));
        }
        if let Some(d) = s.pass {
            if let Some(content) = s.content {
                f.carried_as(content, "no files are served here");
            }
            return Main::Actions(self.pass(d, &rewrites, spot, s));
        }
        for d in rewrites {
            let help = "use `strip_prefix`, `replace_prefix` or `redirect`";
            f.missing(d, "paths are not rewritten here", help);
        }
        match s.try_files {
            Some(d) => self.try_files(d, spot, s, server),
            None => only(self.served(spot.location, s)),
        }
    }

    /// `try_files` without files: the named location at its end takes every request.
    fn try_files(
        &mut self,
        d: &'t Directive,
        spot: &Spot<'t>,
        s: &Settings<'t>,
        server: &Server<'t>,
    ) -> Main<'t> {
        let f = &mut self.findings;
        let last = d.args.last().map_or("", |arg| &*arg.text);
        let named = server.named.iter().find(|(location, _)| location.arg(0) == last);
        // A named location that leads to another is not followed: it may lead back.
        let Some(named) = named.filter(|_| !spot.location.arg(0).starts_with('@')) else {
            f.missing(d, "no files are served: the answer is 501", FILE_SERVER);
            return Main::Actions(vec![(Vec::new(), not_carried())]);
        };
        f.differs(d, &format!("no files are served: `{last}` takes every request"));
        if let Some(content) = s.content {
            f.missing(content, "no files are served", FILE_SERVER);
        }
        Main::Named(named.clone())
    }

    /// What nginx answers itself, with files and the like.
    fn served(&mut self, location: &Directive, s: &Settings<'t>) -> Action {
        let f = &mut self.findings;
        if let Some(d) = s.content {
            let row = super::table::find(&d.name.text);
            f.missing(d, row.map_or("", |row| row.doc), row.map_or("", |row| row.instead));
            return not_carried();
        }
        if location.inner().iter().any(|one| one.name.text == "location") {
            // It holds others; what is in none of them would be a file.
            let note = "no files are served: what is in none of its locations answers 404";
            f.differs(location, note);
            return status(404);
        }
        f.missing(location, "nginx serves files here: the route answers 501", FILE_SERVER);
        not_carried()
    }
}

/// What is done with the requests that come to a place.
enum Main<'t> {
    /// This, each under its conditions.
    Actions(Vec<(Vec<Check>, Action)>),
    /// What a named location says.
    Named(Named<'t>),
}

/// Who is let in and who is kept out; nothing where everybody is let in.
fn access(s: &Settings<'_>) -> Vec<(bool, String)> {
    if s.access.iter().all(|(allow, _)| *allow) {
        return Vec::new();
    }
    s.access.iter().map(|(allow, who)| (*allow, (*who).to_owned())).collect()
}

/// Statuses to which `add_header` adds without `always`.
const ADDED_TO: [u16; 10] = [200, 201, 204, 206, 301, 302, 303, 304, 307, 308];

/// The changes of an answer, of which the status is known.
fn edits_of(action: &Action, edits: &ResponseEdits) -> ResponseEdits {
    let status = match action {
        Action::Proxy(_) => return edits.clone(),
        Action::Redirect { status, .. } | Action::Respond { status, .. } => *status,
    };
    let added = |one: &&Added| one.always || ADDED_TO.contains(&status);
    let always = |one: &Added| Added { always: true, ..one.clone() };
    // What is removed is the backend's.
    ResponseEdits { add: edits.add.iter().filter(added).map(always).collect(), remove: Vec::new() }
}

/// A route without conditions.
pub(super) fn route(
    at: Place,
    path: PathRule,
    action: Action,
    edits: &ResponseEdits,
    s: &Settings<'_>,
) -> Route {
    let name = match &path {
        PathRule::Prefix(path) | PathRule::Exact(path) => path.clone(),
        PathRule::Regex(regex) => regex.trim_start_matches("(?i)").to_owned(),
        PathRule::Within(prefix, regex) => {
            format!("{prefix}:{}", regex.trim_start_matches("(?i)"))
        }
    };
    Route {
        at,
        name,
        listeners: Vec::new(),
        hosts: Vec::new(),
        path,
        first: false,
        before_regex: false,
        when: Vec::new(),
        access: Vec::new(),
        response: edits_of(&action, edits),
        action,
        limits: Vec::new(),
        body_limit: s.body_limit.unwrap_or(1 << 20),
    }
}

fn holds(level: &[Directive], d: &Directive) -> bool {
    level.iter().any(|one| one.id == d.id)
}

/// The `return` or `rewrite` of a block that does nothing else.
fn answers(d: &Directive) -> Option<&Directive> {
    let says = |one: &&Directive| matches!(&*one.name.text, "return" | "rewrite");
    let first = d.inner().iter().find(says)?;
    let mut rest = d.inner().iter().filter(|one| one.id != first.id);
    // What stands behind is not reached.
    let idle = |one: &Directive| {
        matches!(&*one.name.text, "access_log" | "break") || (one.id > first.id && says(&one))
    };
    rest.all(idle).then_some(first)
}

/// The scope of a server: what its `set`s say.
pub(super) fn server_scope(server: &Directive, name: &str, port: Option<u16>) -> Scope {
    let mut scope = Scope::default();
    scope.constants.insert("server_name".to_owned(), Some(name.to_owned()));
    if let Some(port) = port {
        scope.constants.insert("server_port".to_owned(), Some(port.to_string()));
    }
    scope::constants(server.inner(), &mut scope);
    scope
}

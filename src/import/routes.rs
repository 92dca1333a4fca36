//! One place of a server → its routes: what is answered under which condition, and what is sent on.

use super::answer::{answer, not_carried, redirecting_rewrite, status};
use super::condition::{Condition, condition};
use super::draft::{Action, Added, PathRule, ResponseEdits, Route};
use super::headers;
use super::location::{EARLY, Spot};
use super::scope::effective;
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
    /// Conditions of the server that hold for every place.
    pub refusals: Vec<(Vec<String>, &'t Directive)>,
    /// Named locations with their levels.
    pub named: Vec<(&'t Directive, Vec<&'t [Directive]>)>,
}

/// Requests that are not of these methods are answered so.
struct Refusal {
    methods: Vec<String>,
    action: Action,
}

impl<'t> Translator<'t, '_> {
    /// The settings that hold at a place. `own` is whether its last level is the place's own.
    pub(super) fn settings(&mut self, levels: &[&'t [Directive]], in_server: bool) -> Settings<'t> {
        let mut s = Settings::default();
        let f = &mut self.findings;
        for (d, row) in effective(levels) {
            match row.rule {
                Rule::Route(setter) => setter(&mut s, d, f),
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
        // A list of those let in changes nothing without a `deny` behind it.
        s.guard = s.guard.filter(|guard| guard.name.text != "allow");
        s
    }

    /// The routes of a place, the more special ones first.
    pub(super) fn routes_of(&mut self, spot: &mut Spot<'t>, server: &Server<'t>) -> Vec<Route> {
        let s = self.settings(&spot.levels, false);
        let location = spot.location;
        let own = location.inner();
        self.findings.carried(location);
        spot.notes.iter().for_each(|note| self.findings.differs(location, note));
        let response = headers::response(&s, &spot.scope, &mut self.findings);
        let mut routes = Vec::new();
        let mut refusals = Vec::new();
        let mut early = None;
        for d in own.iter().filter(|d| d.name.text == "if") {
            match self.early(d, &s, &spot.scope, server.port) {
                Some((Condition::Always, action)) => {
                    early = Some(action);
                    break;
                }
                Some((Condition::NotMethods(methods), action)) => {
                    refusals.push(Refusal { methods, action });
                }
                Some((condition, action)) => {
                    let mut route = Self::route(spot, action, &response, &s);
                    narrow(&mut route, condition);
                    routes.push(route);
                }
                None => {}
            }
        }
        for (methods, d) in &server.refusals {
            let action = answer(d, &s, &spot.scope, server.port, &mut self.findings);
            refusals.push(Refusal { methods: methods.clone(), action });
        }
        for d in own.iter().filter(|d| d.name.text == "limit_except") {
            refusals.extend(self.limit_except(d));
        }
        let mains = match early {
            Some(action) => vec![(Vec::new(), action)],
            None => self.main(spot, &s, server),
        };
        for (conditions, action) in mains {
            let mut route = Self::route(spot, action, &response, &s);
            for one in conditions {
                narrow(&mut route, one);
            }
            if let [refusal, ..] = &*refusals {
                route.methods =
                    refusals[1..].iter().fold(refusal.methods.clone(), |mut kept, one| {
                        kept.retain(|method| one.methods.contains(method));
                        kept
                    });
            }
            routes.push(route);
        }
        // A request that fits none of the lists gets the first answer.
        if let Some(refusal) = refusals.into_iter().next() {
            routes.push(Self::route(spot, refusal.action, &response, &s));
        }
        routes
    }

    fn route(spot: &Spot<'t>, action: Action, edits: &ResponseEdits, s: &Settings<'_>) -> Route {
        let mut route = route(spot.location.name.place, spot.path.clone(), action, edits, s);
        if matches!(spot.path, PathRule::Regex(_)) && !spot.prefix.is_empty() {
            route.name.clone_from(&spot.prefix);
        }
        route.rank = spot.rank;
        route
    }

    /// What an `if` answers, and when; `None` if it is not carried, or never answers.
    pub(super) fn early(
        &mut self,
        d: &'t Directive,
        s: &Settings<'t>,
        scope: &Scope,
        port: Option<u16>,
    ) -> Option<(Condition, Action)> {
        let f = &mut self.findings;
        let Some(returns) = only_return(d) else {
            if !d.inner().iter().all(|one| one.name.text == "set") {
                f.lint(
                    d.name.place,
                    "within `if` only `return` and `rewrite … last` are sure to do what they say",
                    "use a location, a `map`, or let the application decide",
                );
            }
            f.missing_whole(
                d,
                "an `if` is carried only if all it does is `return`",
                "use a route with a condition",
            );
            return None;
        };
        let Some(condition) = condition(d, scope) else {
            f.missing_whole(
                d,
                "no route can have this condition",
                "use `hosts`, `methods` or `headers` of a route",
            );
            return None;
        };
        f.carried(d);
        if condition == Condition::Never {
            f.carried_as(d, "it never holds on a listener without TLS");
            f.carried(returns);
            return None;
        }
        let action = answer(returns, s, scope, port, f);
        Some((condition, action))
    }

    fn limit_except(&mut self, d: &'t Directive) -> Option<Refusal> {
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
        let says = |name: &str, value: &str| {
            d.inner().iter().any(|one| one.name.text == name && one.arg(0) == value)
        };
        f.carried(d);
        for one in d.inner() {
            match (&*one.name.text, one.arg(0)) {
                ("deny", "all") => f.carried(one),
                ("allow" | "auth_basic", _) => {
                    f.missing(one, "other methods are refused for everybody", "");
                }
                _ => f.missing(one, "it is not carried within `limit_except`", ""),
            }
        }
        let guarded =
            says("deny", "all") || d.inner().iter().any(|one| one.name.text == "auth_basic");
        guarded.then(|| Refusal { methods, action: status(403) })
    }

    /// What is done with requests that no `if` answered, with conditions.
    fn main(
        &mut self,
        spot: &mut Spot<'t>,
        s: &Settings<'t>,
        server: &Server<'t>,
    ) -> Vec<(Vec<Condition>, Action)> {
        let f = &mut self.findings;
        let only = |action| vec![(Vec::new(), action)];
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
        if s.internal {
            return only(status(404));
        }
        if s.guard.is_some() || s.deny_all.is_some() {
            for d in s.pass.into_iter().chain(s.try_files) {
                f.missing(d, "its route refuses everybody, see the access rules", "");
            }
            return only(status(403));
        }
        if let Some(d) = s.pass {
            if let Some(content) = s.content {
                f.carried_as(content, "no files are served here");
            }
            return self.pass(d, &rewrites, spot, s);
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
        spot: &mut Spot<'t>,
        s: &Settings<'t>,
        server: &Server<'t>,
    ) -> Vec<(Vec<Condition>, Action)> {
        let only = |action| vec![(Vec::new(), action)];
        let f = &mut self.findings;
        let last = d.args.last().map_or("", |arg| &*arg.text);
        let named = server.named.iter().find(|(location, _)| location.arg(0) == last);
        let Some((location, levels)) = named else {
            f.missing(d, "no files are served: the answer is 501", FILE_SERVER);
            return only(not_carried());
        };
        f.carried(location);
        f.differs(d, &format!("no files are served: `{last}` takes every request"));
        if let Some(content) = s.content {
            f.missing(content, "no files are served", FILE_SERVER);
        }
        let there = self.settings(levels, false);
        match there.pass {
            _ if there.guard.is_some() || there.deny_all.is_some() => only(status(403)),
            Some(pass) => self.pass(pass, &there.rewrites, spot, &there),
            None => only(not_carried()),
        }
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
    };
    Route {
        at,
        name,
        listeners: Vec::new(),
        hosts: Vec::new(),
        path,
        methods: Vec::new(),
        headers: Vec::new(),
        response: edits_of(&action, edits),
        action,
        body_limit: s.body_limit.unwrap_or(1 << 20),
        rank: (EARLY, 0),
    }
}

fn holds(level: &[Directive], d: &Directive) -> bool {
    level.iter().any(|one| one.id == d.id)
}

/// The `return` of a block that does nothing else.
fn only_return(d: &Directive) -> Option<&Directive> {
    let returns = d.inner().iter().find(|one| one.name.text == "return")?;
    let rest = d.inner().iter().filter(|one| one.id != returns.id);
    rest.into_iter().all(|one| one.name.text == "access_log").then_some(returns)
}

/// A route for a condition.
pub(super) fn narrow(route: &mut Route, condition: Condition) {
    match condition {
        Condition::Methods(methods) => route.methods = methods,
        Condition::Hosts(hosts) => route.hosts = hosts,
        Condition::Header(name, rule) => route.headers.push((name, rule)),
        Condition::Always | Condition::Never | Condition::NotMethods(_) => {}
    }
}

/// The scope of a server: what its `set`s say.
pub(super) fn server_scope(server: &Directive, name: &str, port: Option<u16>) -> Scope {
    let mut scope = Scope::default();
    scope.constants.insert("server_name".to_owned(), Some(name.to_owned()));
    if let Some(port) = port {
        scope.constants.insert("server_port".to_owned(), Some(port.to_string()));
    }
    super::scope::constants(server.inner(), &mut scope);
    scope
}

use std::cmp::Reverse;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;
use crate::config::model::{
    Action, HeaderMatch, HeaderValueMatch, PathMatch, Pattern, Respond, Template, Test,
};

/// Header fields as a list.
struct Fields(Vec<(&'static str, &'static str)>);

impl Facts for Fields {
    fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.0.iter().filter(move |field| field.0 == name).map(|field| field.1.as_bytes())
    }

    /// Whatever the text, its value is that of the field `when`.
    fn holds(&self, condition: &Condition) -> bool {
        let value = self.values("when").next().unwrap_or_default();
        condition.test.passes(value)
    }
}

fn route(hosts: &[&str], path: PathMatch) -> Route {
    let host = |text: &&str| {
        if let Some(regex) = text.strip_prefix('~') {
            return HostMatch::Regex(Pattern(Regex::new(regex).unwrap()));
        }
        match (text.strip_prefix("*."), text.strip_suffix(".*")) {
            (Some(suffix), _) => HostMatch::Suffix(suffix.to_owned()),
            (None, Some(prefix)) => HostMatch::Prefix(prefix.to_owned()),
            (None, None) => HostMatch::Exact((*text).to_owned()),
        }
    };
    let (content_type, body) = (String::new(), Vec::new());
    Route {
        hosts: hosts.iter().map(host).collect(),
        path,
        ..Route::new(Action::Respond(Respond { status: 200, content_type, body, template: None }))
    }
}

fn exact(path: &str) -> PathMatch {
    PathMatch::Exact(path.to_owned())
}

fn prefix(path: &str) -> PathMatch {
    PathMatch::Prefix(path.to_owned())
}

fn bytes(prefix: &str) -> PathMatch {
    PathMatch::BytePrefix(prefix.to_owned())
}

fn within(prefix: &str, pattern: &str) -> PathMatch {
    PathMatch::RegexWithin(prefix.to_owned(), Regex::new(pattern).unwrap())
}

fn first(route: Route) -> Route {
    Route { first: true, ..route }
}

fn before_regex(route: Route) -> Route {
    Route { before_regex: true, ..route }
}

fn regex(pattern: &str) -> PathMatch {
    PathMatch::Regex(Regex::new(pattern).unwrap())
}

fn table(routes: &[Route]) -> RouteTable {
    RouteTable::build(&routes.iter().collect::<Vec<_>>())
}

fn get(table: &RouteTable, host: &str, path: &str) -> Option<usize> {
    get_bytes(table, host.as_bytes(), path.as_bytes())
}

fn get_bytes(table: &RouteTable, host: &[u8], path: &[u8]) -> Option<usize> {
    table.find(&Request { host, path, method: b"GET", facts: &Fields(Vec::new()) })
}

#[test]
fn an_empty_table_finds_nothing() {
    assert_eq!(get(&table(&[]), "a.test", "/"), None);
}

#[test]
fn the_very_host_wins_over_the_longest_suffix_over_any_host() {
    let table = table(&[
        route(&[], prefix("/")),
        route(&["*.test"], prefix("/")),
        route(&["*.b.test"], prefix("/")),
        route(&["a.b.test"], prefix("/")),
    ]);
    assert_eq!(get(&table, "a.b.test", "/"), Some(3));
    assert_eq!(get(&table, "x.b.test", "/"), Some(2));
    assert_eq!(get(&table, "y.x.b.test", "/"), Some(2));
    assert_eq!(get(&table, "b.test", "/"), Some(1));
    assert_eq!(get(&table, "test", "/"), Some(0), "a suffix needs a label before it");
    assert_eq!(get(&table, "", "/"), Some(0));
}

#[test]
fn hosts_match_in_any_case_without_port_and_final_dot() {
    let table =
        table(&[route(&["a.test", "[::1]"], prefix("/")), route(&["*.b.test"], prefix("/"))]);
    for host in ["a.test", "A.Test", "a.test:8080", "a.test.", "A.TEST.:1", "[::1]", "[::1]:443"] {
        assert_eq!(get(&table, host, "/"), Some(0), "{host}");
    }
    assert_eq!(get(&table, "X.B.TEST:80", "/"), Some(1));
    for host in ["xa.test", "a.test.evil", "[::2]", "[::1", "::1"] {
        assert_eq!(get(&table, host, "/"), None, "{host}");
    }
}

#[test]
fn a_host_longer_than_dns_allows_matches_as_any_host_only() {
    let label = "a".repeat(300);
    let long = format!("{label}.test");
    let table = table(&[route(&["*.test", &long], prefix("/")), route(&[], exact("/"))]);
    assert_eq!(get(&table, &long, "/"), Some(1));
    assert_eq!(get(&table, &long, "/x"), None);
    assert_eq!(get(&table, "b.test", "/x"), Some(0));
}

#[test]
fn the_very_path_wins_over_regexes_in_file_order_over_the_longest_prefix() {
    let table = table(&[
        route(&[], prefix("/")),
        route(&[], prefix("/api/v1")),
        route(&[], regex("^/api/.*[.]png$")),
        route(&[], regex("[.]png$")),
        route(&[], exact("/api/v1/a.png")),
        route(&[], prefix("/api/")),
    ]);
    assert_eq!(get(&table, "h", "/api/v1/a.png"), Some(4));
    assert_eq!(get(&table, "h", "/api/v1/b.png"), Some(2));
    assert_eq!(get(&table, "h", "/b.png"), Some(3));
    assert_eq!(get(&table, "h", "/api/v1/b"), Some(1));
    assert_eq!(get(&table, "h", "/api/v1/"), Some(1));
    assert_eq!(get(&table, "h", "/api/v10"), Some(5), "prefixes end with a segment");
    assert_eq!(get(&table, "h", "/api"), Some(5), "a prefix is the path itself too");
    assert_eq!(get(&table, "h", "/apis"), Some(0));
    assert_eq!(get(&table, "h", "*"), Some(0));
}

#[test]
fn prefixes_by_bytes_end_anywhere() {
    let table = table(&[
        route(&[], bytes("/")),
        route(&[], bytes("/foo")),
        route(&[], bytes("/bar/")),
        route(&[], prefix("/foo")),
        route(&[], bytes("/foo/x")),
    ]);
    assert_eq!(get(&table, "h", "/fo"), Some(0));
    assert_eq!(get(&table, "h", "/foobar"), Some(1));
    assert_eq!(get(&table, "h", "/bar"), Some(0));
    assert_eq!(get(&table, "h", "/bar/x"), Some(2));
    assert_eq!(get(&table, "h", "/foo"), Some(3), "of equal ones, that by segments goes first");
    assert_eq!(get(&table, "h", "/foo/y"), Some(3));
    assert_eq!(get(&table, "h", "/foo/xy"), Some(4));
    assert_eq!(get(&table, "h", "*"), None);
}

#[test]
fn the_longest_prefix_decides_which_expressions_are_tried() {
    let table = table(&[
        route(&[], bytes("/")),
        route(&[], regex("[.]png$")),
        before_regex(route(&[], bytes("/img/"))),
        route(&[], bytes("/img/user/")),
        route(&[], within("/img/user/", "^/img/user/x")),
        route(&[], within("/img/", "[.]gif$")),
    ]);
    assert_eq!(get(&table, "h", "/a.png"), Some(1));
    assert_eq!(get(&table, "h", "/img/a.png"), Some(2), "before all expressions but its own");
    assert_eq!(get(&table, "h", "/img/a.gif"), Some(5));
    assert_eq!(get(&table, "h", "/img/user/x.png"), Some(4), "its own go before the others");
    assert_eq!(get(&table, "h", "/img/user/y.png"), Some(1));
    assert_eq!(get(&table, "h", "/img/user/y.gif"), Some(3), "this prefix is longer");
    assert_eq!(get(&table, "h", "/a.gif"), Some(0));
}

#[test]
fn what_says_first_goes_before_the_very_path_in_the_order_of_the_file() {
    let mut asked = first(route(&["a.test"], prefix("/")));
    asked.when = vec![Condition { value: Template::default(), test: Test::Is("1".to_owned()) }];
    let routes = [
        route(&["a.test"], exact("/x")),
        first(route(&[], prefix("/x"))),
        asked,
        first(route(&["a.test"], regex("y$"))),
    ];
    let table = table(&routes);
    let find = |path: &[u8], fields| {
        table.find(&Request { host: b"a.test", path, method: b"GET", facts: &Fields(fields) })
    };
    assert_eq!(find(b"/x", vec![("when", "1")]), Some(2));
    assert_eq!(find(b"/y", vec![("when", "1")]), Some(2));
    assert_eq!(find(b"/x/y", vec![("when", "2")]), Some(3));
    assert_eq!(find(b"/x", vec![]), Some(0), "an exact host goes before any host");
    assert_eq!(find(b"/x/z", vec![]), Some(1));
}

#[test]
fn hosts_are_found_as_nginx_finds_servers() {
    let table = table(&[
        route(&[], prefix("/")),
        route(&["~^www"], prefix("/")),
        route(&["~test$"], prefix("/")),
        route(&["www.*"], prefix("/")),
        route(&["www.a.*"], prefix("/")),
        route(&["*.test"], prefix("/")),
        route(&["www.b.test"], prefix("/")),
        route(&[""], prefix("/")),
    ]);
    assert_eq!(get(&table, "www.b.test", "/"), Some(6));
    assert_eq!(get(&table, "www.c.test", "/"), Some(5));
    assert_eq!(get(&table, "www.a.b.example", "/"), Some(4));
    assert_eq!(get(&table, "www.a", "/"), Some(3));
    assert_eq!(get(&table, "www", "/"), Some(1));
    assert_eq!(get(&table, "WWW2.example:80", "/"), Some(1));
    assert_eq!(get(&table, "test.", "/"), Some(2));
    assert_eq!(get(&table, "example", "/"), Some(0));
    assert_eq!(get(&table, "", "/"), Some(7));
}

#[test]
fn a_path_that_is_not_utf8_does_not_slip_past_a_regex() {
    let table = table(&[route(&[], prefix("/")), route(&[], regex("^/admin"))]);
    assert_eq!(get_bytes(&table, b"h", b"/admin/\xff"), Some(1));
}

#[test]
fn a_refused_route_gives_way_to_the_next_less_specific_rule() {
    let mut only_post = route(&["a.test"], exact("/x"));
    only_post.methods = vec!["POST".to_owned()];
    let mut only_beta = route(&["a.test"], regex("x$"));
    only_beta.headers =
        vec![HeaderMatch { name: "x-beta".to_owned(), value: HeaderValueMatch::Present }];
    let mut only_put = route(&["*.test"], exact("/x"));
    only_put.methods = vec!["PUT".to_owned()];
    let routes = [only_post, only_beta, only_put, route(&[], prefix("/"))];
    let table = table(&routes);
    let find = |method: &[u8], fields: Vec<(&'static str, &'static str)>| {
        table.find(&Request { host: b"a.test", path: b"/x", method, facts: &Fields(fields) })
    };
    assert_eq!(find(b"POST", vec![]), Some(0));
    assert_eq!(find(b"GET", vec![("x-beta", "")]), Some(1));
    assert_eq!(find(b"PUT", vec![]), Some(2));
    assert_eq!(find(b"GET", vec![]), Some(3));
    assert_eq!(find(b"post", vec![]), Some(3), "methods are case-sensitive");
}

#[test]
fn header_rules_look_at_every_line_of_the_name() {
    let rule = |value| vec![HeaderMatch { name: "x-a".to_owned(), value }];
    let mut routes: Vec<Route> = (0..4).map(|_| route(&[], exact("/"))).collect();
    routes[0].headers = rule(HeaderValueMatch::Absent);
    routes[1].headers = rule(HeaderValueMatch::Exact("one".to_owned()));
    routes[2].headers = rule(HeaderValueMatch::Regex(Regex::new("^t").unwrap()));
    routes[3].headers = rule(HeaderValueMatch::Present);
    let table = table(&routes);
    let find = |fields: Vec<(&'static str, &'static str)>| {
        table.find(&Request { host: b"", path: b"/", method: b"GET", facts: &Fields(fields) })
    };
    assert_eq!(find(vec![("x-b", "one")]), Some(0));
    assert_eq!(find(vec![("x-a", "zero"), ("x-a", "one")]), Some(1));
    assert_eq!(find(vec![("x-a", "zero"), ("x-a", "two")]), Some(2));
    assert_eq!(find(vec![("x-a", "One")]), Some(3));
}

/// Where `route` stands for `request` in the documented order; `None` where it does not match.
/// Less is more specific.
fn rank(routes: &[Route], index: usize, request: &Request<'_, Fields>) -> Option<impl Ord + use<>> {
    let route = &routes[index];
    let host = str::from_utf8(request.host).unwrap().to_ascii_lowercase();
    let host = host.strip_suffix('.').unwrap_or(&host);
    let path = str::from_utf8(request.path).unwrap();

    let host_rank = |rule: &HostMatch| match rule {
        HostMatch::Exact(name) => (*name == host).then_some((0, Reverse(0), 0)),
        HostMatch::Suffix(suffix) => {
            host.ends_with(&format!(".{suffix}")).then_some((1, Reverse(suffix.len()), 0))
        }
        HostMatch::Prefix(prefix) => {
            host.starts_with(&format!("{prefix}.")).then_some((2, Reverse(prefix.len()), 0))
        }
        HostMatch::Regex(pattern) => pattern.0.is_match(host.as_bytes()).then(|| {
            let same = |other: &Route| other.hosts == route.hosts;
            (3, Reverse(0), routes.iter().position(same).unwrap())
        }),
    };
    let any_host = route.hosts.is_empty().then_some((4, Reverse(0), 0));
    let host_rank = any_host.or_else(|| route.hosts.iter().filter_map(host_rank).min())?;
    let path_rank = path_rank(routes, index, path)?;
    let accepts = Candidate::of(index, route).accepts(request);
    accepts.then_some((host_rank, path_rank, Reverse(count_conditions(route)), index))
}

/// How long the prefix of a rule is that fits a path; of equal ones, that by segments is more.
fn prefix_of(rule: &PathMatch, path: &str) -> Option<(usize, bool)> {
    match rule {
        PathMatch::Prefix(prefix) => {
            let prefix = prefix.trim_end_matches('/');
            let rest = path.strip_prefix(prefix)?;
            let whole = rest.is_empty() || rest.starts_with('/');
            whole.then_some((prefix.len(), true))
        }
        PathMatch::BytePrefix(prefix) | PathMatch::RegexWithin(prefix, _) => {
            path.starts_with(prefix).then_some((prefix.len(), false))
        }
        _ => None,
    }
}

fn path_rank(routes: &[Route], index: usize, path: &str) -> Option<impl Ord + use<>> {
    let route = &routes[index];
    let there = |other: &&Route| other.hosts == route.hosts && !other.first;
    let longest =
        routes.iter().filter(there).filter_map(|other| prefix_of(&other.path, path)).max();
    let own = prefix_of(&route.path, path);
    let found = |regex: &Regex| regex.is_match(path.as_bytes());
    // The same expression twice is one rule, at its first place.
    let place = |regex: &Regex, within: Option<&str>| {
        let same = |other: &Route| match (&other.path, within) {
            (PathMatch::Regex(r), None) => r.as_str() == regex.as_str(),
            (PathMatch::RegexWithin(p, r), Some(prefix)) => {
                p == prefix && r.as_str() == regex.as_str()
            }
            _ => false,
        };
        routes.iter().position(|other| there(&other) && same(other)).unwrap()
    };
    let at = |class: u8, place: usize| Some((class, place, Reverse((0, false))));
    match &route.path {
        PathMatch::Exact(exact) if route.first => (exact == path).then_some(at(0, index))?,
        PathMatch::Regex(regex) if route.first => found(regex).then_some(at(0, index))?,
        PathMatch::RegexWithin(_, regex) if route.first => {
            (own.is_some() && found(regex)).then_some(at(0, index))?
        }
        _ if route.first => own.and(at(0, index)),
        PathMatch::Exact(exact) => (exact == path).then_some(at(1, 0))?,
        PathMatch::RegexWithin(prefix, regex) => {
            let here = own.is_some() && own == longest && found(regex);
            here.then(|| at(2, place(regex, Some(prefix))))?
        }
        PathMatch::Regex(regex) => found(regex).then(|| at(4, place(regex, None)))?,
        _ if route.before_regex && own.is_some() && own == longest => at(3, 0),
        _ => Some((5, 0, Reverse(own?))),
    }
}

const HOSTS: &[&str] =
    &["a", "a.b", "*.b", "c.a.b", "*.a.b", "*.c.a.b", "c.*", "c.a.*", "a.*", "", "~a", "~^[cd]"];
const PATHS: &[&str] = &["/", "/x", "/x/", "/x/y", "/x/y/z", "/xx", "/y", "/x/yy"];
const REGEXES: &[&str] = &["y", "^/x", "z$", "^/x/y$"];

fn any_route() -> impl Strategy<Value = Route> {
    // One host each, so that a regex has one first place; several hosts are tested above.
    let hosts = proptest::option::of(select(HOSTS));
    let path = prop_oneof![
        select(PATHS).prop_map(exact),
        select(PATHS).prop_map(prefix),
        select(PATHS).prop_map(bytes),
        select(REGEXES).prop_map(regex),
        (select(PATHS), select(REGEXES)).prop_map(|(prefix, regex)| within(prefix, regex)),
    ];
    let flags = prop_oneof![
        6 => Just((false, false)), 2 => Just((false, true)), 1 => Just((true, false)),
    ];
    let methods = prop_oneof![3 => Just(Vec::new()), 1 => subsequence(vec!["GET", "PUT"], 1..=2)];
    let value = prop_oneof![
        Just(HeaderValueMatch::Present),
        Just(HeaderValueMatch::Absent),
        Just(HeaderValueMatch::Exact("1".to_owned())),
        Just(HeaderValueMatch::Regex(Regex::new("[12]").unwrap())),
    ];
    let header = (select(&["p", "q"][..]), value)
        .prop_map(|(name, value)| HeaderMatch { name: name.to_owned(), value });
    let headers = prop_oneof![2 => Just(Vec::new()), 1 => proptest::collection::vec(header, 1..3)];
    let rule = (hosts, path, flags, methods, headers);
    rule.prop_map(|(host, path, (first, before_regex), methods, headers)| Route {
        first,
        before_regex,
        methods: methods.into_iter().map(str::to_owned).collect(),
        headers,
        ..route(host.as_slice(), path)
    })
}

proptest! {
    #[test]
    fn finds_what_a_scan_of_all_routes_by_the_documented_order_finds(
        routes in proptest::collection::vec(any_route(), 0..24),
        host in select(&["a", "A.b", "b", "x.b", "c.a.B", "d.c.a.b", "x.y.a.b", "", "."][..]),
        path in select(&["/", "/x", "/x/", "/x/y", "/x/y/", "/x/y/z", "/x/yy", "/xx/y", "/z"][..]),
        method in select(&["GET", "PUT", "HEAD"][..]),
        fields in subsequence(vec![("p", "1"), ("p", "2"), ("q", "3"), ("q", "1")], 0..=4),
    ) {
        let request = Request {
            host: host.as_bytes(),
            path: path.as_bytes(),
            method: method.as_bytes(),

            facts: &Fields(fields),
        };
        let ranked = (0..routes.len()).filter_map(|i| Some((rank(&routes, i, &request)?, i)));
        let scanned = ranked.min_by(|a, b| a.0.cmp(&b.0)).map(|(_, index)| index);
        prop_assert_eq!(table(&routes).find(&request), scanned);
        let found = table(&routes).find(&request);
        for (place, route) in routes.iter().enumerate() {
            // A nested expression fits by itself where a longer prefix keeps it from being asked.
            let nested = matches!(route.path, PathMatch::RegexWithin(..));
            match mismatch(route, &request) {
                None => prop_assert!(found.is_some() || nested, "{route:?} fits, and is not found"),
                Some(why) => prop_assert_ne!(found, Some(place), "{:?}", why),
            }
        }
    }
}

use std::cmp::Reverse;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;
use crate::config::model::{Action, Respond, TimeoutOverrides};

/// Header fields as a list.
struct Fields(Vec<(&'static str, &'static str)>);

impl Headers for Fields {
    fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.0.iter().filter(move |field| field.0 == name).map(|field| field.1.as_bytes())
    }
}

fn route(hosts: &[&str], path: PathMatch) -> Route {
    let host = |text: &&str| match text.strip_prefix("*.") {
        Some(suffix) => HostMatch::Suffix(suffix.to_owned()),
        None => HostMatch::Exact((*text).to_owned()),
    };
    Route {
        name: String::new(),
        listeners: Vec::new(),
        hosts: hosts.iter().map(host).collect(),
        path,
        methods: Vec::new(),
        headers: Vec::new(),
        action: Action::Respond(Respond {
            status: 200,
            content_type: String::new(),
            body: Vec::new(),
        }),
        request_headers: Vec::new(),
        response_headers: Vec::new(),
        response: None,
        timeouts: TimeoutOverrides::default(),
        retry: None,
        max_body_bytes: None,
        upgrades: Vec::new(),
    }
}

fn exact(path: &str) -> PathMatch {
    PathMatch::Exact(path.to_owned())
}

fn prefix(path: &str) -> PathMatch {
    PathMatch::Prefix(path.to_owned())
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
    table.find(&Request { host, path, method: b"GET", headers: &Fields(Vec::new()) })
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
        table.find(&Request { host: b"a.test", path: b"/x", method, headers: &Fields(fields) })
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
        table.find(&Request { host: b"", path: b"/", method: b"GET", headers: &Fields(fields) })
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
    let path = str::from_utf8(request.path).unwrap();

    let host_rank = |rule: &HostMatch| match rule {
        HostMatch::Exact(name) => (*name == host).then_some((0, Reverse(0))),
        HostMatch::Suffix(suffix) => {
            host.ends_with(&format!(".{suffix}")).then_some((1, Reverse(suffix.len())))
        }
    };
    let any_host = route.hosts.is_empty().then_some((2, Reverse(0)));
    let host_rank = any_host.or_else(|| route.hosts.iter().filter_map(host_rank).min())?;

    let path_rank = match &route.path {
        PathMatch::Exact(exact) => (exact == path).then_some((0, 0, Reverse(0))),
        PathMatch::Regex(regex) => regex.is_match(path.as_bytes()).then(|| {
            let first = routes.iter().position(|other| {
                matches!(&other.path, PathMatch::Regex(r) if r.as_str() == regex.as_str())
                    && other.hosts == route.hosts
            });
            (1, first.unwrap(), Reverse(0))
        }),
        PathMatch::Prefix(prefix) => {
            let prefix = prefix.trim_end_matches('/');
            let rest = path.strip_prefix(prefix);
            let whole = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            whole.then_some((2, 0, Reverse(prefix.len())))
        }
    }?;

    let accepts = Conditions::of(route).is_none_or(|conditions| conditions.hold(request));
    accepts.then_some((host_rank, path_rank, Reverse(count_conditions(route)), index))
}

const HOSTS: &[&str] = &["a", "a.b", "*.b", "c.a.b", "*.a.b", "*.c.a.b"];
const PATHS: &[&str] = &["/", "/x", "/x/", "/x/y", "/x/y/z", "/xx", "/y", "/x/yy"];
const REGEXES: &[&str] = &["y", "^/x", "z$", "^/x/y$"];

fn any_route() -> impl Strategy<Value = Route> {
    // One host each, so that a regex has one first place; several hosts are tested above.
    let hosts = proptest::option::of(select(HOSTS));
    let path = prop_oneof![
        select(PATHS).prop_map(exact),
        select(PATHS).prop_map(prefix),
        select(REGEXES).prop_map(regex),
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
    (hosts, path, methods, headers).prop_map(|(host, path, methods, headers)| Route {
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
            headers: &Fields(fields),
        };
        let ranked = (0..routes.len()).filter_map(|i| Some((rank(&routes, i, &request)?, i)));
        let scanned = ranked.min_by(|a, b| a.0.cmp(&b.0)).map(|(_, index)| index);
        prop_assert_eq!(table(&routes).find(&request), scanned);
    }
}

//! Many requests, whole and broken, at random, to routes that use everything by which requests go on
//! elsewhere: nothing may be answered twice, be left in flight, or reach a backend as what it is not.

use std::fmt::Write as _;

use crate::support::{Answer, Client, Lb, Origin, until};

/// What targets are made of.
const PARTS: [&str; 22] = [
    "/old",
    "/to",
    "/named",
    "/asked",
    "/copied",
    "/accel",
    "/none",
    "/small",
    "/kept",
    "/rare",
    "/circle",
    "/inside",
    "/closed",
    "/img-",
    "/..",
    "/%2e%2e",
    "%0d%0aX-Evil:%201",
    "%5C",
    "//",
    "?u=http://other.test/",
    "@b",
    "&x=%00%zz",
];

const ROUTES: &str = r#"
[[route]]
upstream = "a"
[[route]]
path_prefix = "/img-"
upstream = "a"
replace_prefix = "/img/"
[[route]]
path = "/old"
upstream = "a"
rewrite = [
    { regex = "^/old/img-(.*)$", to = "/x/${1}", then = "break" },
    { regex = "^/old/named(.*)$", to = "${1}", then = "last" },
    { regex = "^/old/to(.*)$", to = "https://test${normalized_path}${1}", then = "redirect" },
    { regex = "^/old/(.*)$", to = "/${1}?was=${1}&${arg.u}", then = "last" },
]
response_headers = { set = { X-Path = "${normalized_path}${query}${header.x-a}" } }
[[route]]
path = "/to"
go_to = "/${arg.u}"
[[route]]
path = "/named"
go_to = "@b"
[[route]]
path = "@b"
upstream = "b"
request_headers = { set = { X-Path = "${normalized_path}${query}${header.x-a}" } }
[[route]]
path = "/asked"
upstream = "a"
auth = "/ask"
[[route]]
path_exact = "/ask"
internal = true
upstream = "b"
[[route]]
path = "/copied"
upstream = "a"
mirror = ["/inside", "@b"]
[[route]]
path = "/inside"
internal = true
upstream = "b"
strip_prefix = true
[[route]]
path = "/accel"
upstream = "accel"
[route.nginx]
accel_redirect = true
[[route]]
path = "/none"
upstream = "none"
intercept_errors = true
error_pages = [{ statuses = [502], to = "/named" }, { statuses = ["400-599"], to = "/circle" }]
[[route]]
path = "/small"
upstream = "a"
max_body = "4B"
error_pages = [{ statuses = [413], to = "@b" }]
[[route]]
path = "/kept"
upstream = "b"
request_buffering = { memory = "16B" }
[[route]]
path = "/rare"
upstream = "b"
limits = ["few"]
error_pages = [{ statuses = [429], to = "/kept" }]
[[route]]
path = "/circle"
go_to = "/circle/x"
error_pages = [{ statuses = [500], to = "/circle/y" }]
[route.nginx]
recursive_error_pages = true
[[route]]
path = "/closed"
respond = "close"
[limit.few]
rate = "20/s"
burst = 1
concurrency = 2
[upstream.none]
retry = { tries = 1 }
[[upstream.none.backend]]
address = "127.0.0.1:1"
"#;

/// A request, and whether it is whole.
fn any_request(random: &mut fastrand::Rng) -> (String, bool) {
    let mut target = "/".to_owned();
    for n in 0..random.usize(1..5) {
        let part = PARTS[random.usize(..PARTS.len())];
        target.push_str(if n == 0 { part.trim_start_matches('/') } else { part });
    }
    let fields = ["", "X-A: a\tb\r\n", "Upgrade: websocket\r\nConnection: upgrade\r\n"];
    let field = fields[random.usize(..fields.len())];
    let length = [1, 3, 9, 70_000][random.usize(..4)];
    let body = "x".repeat(length);
    let chunked = "Transfer-Encoding: chunked\r\n\r\n";
    let (method, rest, whole) = match random.u8(0..8) {
        0..3 => ("GET", "\r\n".to_owned(), true),
        3 | 4 => ("POST", format!("Content-Length: {length}\r\n\r\n{body}"), true),
        5 => ("PUT", format!("{chunked}{length:x}\r\n{body}\r\n0\r\n\r\n"), true),
        6 => ("POST", format!("{chunked}{length:x}\r\n{body}\r\nzz\r\n"), false),
        _ => ("POST", format!("Content-Length: {}\r\n\r\n{body}", length + 1), false),
    };
    (format!("{method} {target} HTTP/1.1\r\nHost: test\r\n{field}{rest}"), whole)
}

/// The sum of all samples that begin so.
fn sum(metrics: &str, name: &str) -> u64 {
    let lines = metrics.lines().filter(|line| line.starts_with(name));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[tokio::test]
async fn whatever_comes_is_answered_once_and_leaves_nothing_behind() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let accel = Origin::start("accel").await;
    let onward = "X-Accel-Redirect: /inside/%0ax?y\r\nContent-Length: 0";
    accel.answer(Answer::Raw(format!("HTTP/1.1 200 OK\r\n{onward}\r\n\r\n").into_bytes()));
    let mut backends = String::new();
    for (name, origin) in [("a", &a), ("b", &b), ("accel", &accel)] {
        let address = origin.address();
        writeln!(backends, "[[upstream.{name}.backend]]\naddress = \"{address}\"").unwrap();
    }
    let lb = Lb::start(format!(
        "workers = 1\n[admin]\naddress = \"127.0.0.1:0\"\n[access_log]\nformat = \"json\"\n\
         [[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n{ROUTES}\n{backends}"
    ))
    .await;
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..400 {
        let mut client = Client::connect(lb.addr("web")).await;
        for _ in 0..random.usize(1..4) {
            let (request, whole) = any_request(&mut random);
            client.send_what_is_taken(&request).await;
            if !whole {
                break;
            }
            let Ok(response) = client.try_read_response().await else { break };
            let line = request.lines().next().unwrap();
            assert!(response.headers.all("x-evil").is_empty(), "{line}: {response:?}");
            if response.header("connection") == Some("close") {
                break;
            }
        }
    }
    let in_flight = async || sum(&lb.metrics().await, "plimsoll_requests_in_flight{");
    until("nothing is in flight", async || in_flight().await == 0).await;
    let under_way = async || sum(&lb.metrics().await, "plimsoll_backend_in_flight{");
    until("nor with a backend", async || under_way().await == 0).await;
    let requests = sum(&lb.metrics().await, "plimsoll_requests_total{");
    let lines = async || lb.out().iter().filter(|line| line.contains("\"status\":")).count() as u64;
    until("each has its line", async || lines().await >= requests).await;
    assert_eq!(lines().await, requests);
    for seen in [a.seen(), b.seen(), accel.seen()].into_iter().flatten() {
        let line = seen.line();
        let words: Vec<&str> = line.split(' ').collect();
        assert!(words.len() == 3 && words[1].starts_with('/'), "{line}");
        assert!(!words[1].contains("/img/.."), "{line}");
        assert!(seen.headers().all("x-evil").is_empty(), "{line}");
        assert_eq!(seen.headers().all("host"), ["test"], "{line}");
    }
    assert!(a.requests() > 100 && b.requests() > 100 && accel.requests() > 5);
}

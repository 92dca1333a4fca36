//! `plimsoll explain`: the route, those passed over, the backends, what follows a failure.

use serde_json::Value;

use super::{err, out, plimsoll};
use crate::support::{Answer, Client, Lb, Origin, at, at_with, config, get, until};

const CONFIG: &str = r#"
[[listener]]
name = "web"
address = "127.0.0.1:8080"
trusted_proxies = ["127.0.0.0/8"]

[[listener]]
name = "other"
address = "127.0.0.1:8081"

[[route]]
name = "writes"
hosts = ["shop.example"]
path_prefix = "/api"
methods = ["POST"]
upstream = "api"

[[route]]
name = "tenants"
path_prefix = "/api"
when = [{ value = "${header.x-tenant}", is = "acme" }]
upstream = "ring"

[[route]]
name = "api"
path_prefix = "/api"
upstream = "api"

[[route]]
name = "all"
listeners = ["other"]
respond = { status = 204 }

[upstream.api]
retry.tries = 3
[[upstream.api.backend]]
address = "10.0.0.1:80"
weight = 3
[[upstream.api.backend]]
address = "10.0.0.2:80"
[[upstream.api.backend]]
address = "spare.internal:80"
backup = true

[upstream.ring]
strategy = "consistent_hash"
key = "${client_ip}"
[[upstream.ring.backend]]
address = "10.0.1.1:80"
[[upstream.ring.backend]]
address = "10.0.1.2:80"
"#;

/// The file, which lives as long as this.
fn file() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plimsoll.toml");
    std::fs::write(&path, CONFIG).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

fn explained(arguments: &[&str]) -> Value {
    let (_folder, file) = file();
    let all = [&["explain", "--json", "--config", &file], arguments].concat();
    let output = plimsoll(&all);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn why<'a>(explained: &'a Value, route: &str) -> &'a str {
    let others = explained["others"].as_array().unwrap();
    others.iter().find(|one| one["route"] == route).unwrap()["why"].as_str().unwrap()
}

#[test]
fn the_route_is_told_and_what_keeps_the_request_from_others() {
    let told = explained(&["GET", "http://shop.example:8080/api//cart?x=1"]);
    assert_eq!((&told["listener"], &told["route"]), (&"web".into(), &"api".into()));
    assert_eq!(told["path"], "/api/cart");
    assert_eq!(why(&told, "writes"), "the method is not POST");
    assert_eq!(why(&told, "tenants"), "condition 1 of `when` does not hold for ``");
    assert_eq!(told["others"].as_array().unwrap().len(), 2, "routes of this listener only: {told}");

    let told = explained(&["POST", "http://shop.example/api", "-H", "X-Tenant: acme"]);
    assert_eq!(told["route"], "writes");
    assert_eq!(why(&told, "tenants"), "fits as well, but is less special");
    assert_eq!(why(&told, "api"), "fits as well, but is less special");

    let told = explained(&["GET", "/elsewhere", "-H", "Host: a.example"]);
    assert_eq!((&told["route"], &told["answer"]), (&Value::Null, &"404: no route fits".into()));
    assert_eq!(why(&told, "writes"), "`a.example` is none of its hosts");
    assert_eq!(why(&told, "api"), "the path is not one that begins with `/api`");

    let told = explained(&["GET", "http://a:8081/", "--listener", "127.0.0.1:8081"]);
    assert_eq!((&told["route"], &told["answer"]), (&"all".into(), &"answered with 204".into()));
}

#[test]
fn backends_are_told_with_their_shares_and_who_is_next() {
    let told = explained(&["GET", "http://a/api"]);
    let upstream = &told["upstreams"][0];
    let share = |place: usize| upstream["backends"][place]["share"].as_f64().unwrap();
    assert!((share(0) - 0.75).abs() < 0.001 && (share(1) - 0.25).abs() < 0.001, "{upstream}");
    assert!(share(2) < 0.001, "{upstream}");
    let order = ["10.0.0.1:80", "10.0.0.2:80", "spare.internal:80"];
    assert_eq!(upstream["order"], serde_json::json!(order));

    let down = ["--down", "api/10.0.0.1:80", "--down", "10.0.0.2:80"];
    let told = explained(&[&["GET", "http://a/api"], &down[..]].concat());
    let upstream = &told["upstreams"][0];
    assert_eq!(upstream["order"], serde_json::json!(["spare.internal:80"]));
    assert_eq!(upstream["backends"][0]["passive"], "parked");
}

#[test]
fn a_key_leads_to_one_backend_whoever_stands_before_the_client() {
    let at = |arguments: &[&str]| {
        let all = [&["GET", "http://a/api", "-H", "X-Tenant: acme"], arguments].concat();
        explained(&all)["upstreams"][0].clone()
    };
    let direct = at(&["--client", "192.0.2.7"]);
    assert_eq!(direct["key"], "192.0.2.7");
    let shares = direct["backends"].as_array().unwrap().iter().map(|one| &one["share"]);
    assert!(shares.clone().any(|share| *share == 1.0), "{direct}");
    let proxied = at(&["-H", "X-Forwarded-For: 192.0.2.7"]);
    assert_eq!(proxied["order"], direct["order"]);
}

#[test]
fn what_follows_a_failure_is_told() {
    let after = |method: &str, way: &str| {
        let told = explained(&[method, "http://a/api"]);
        let all = told["upstreams"][0]["retries"].as_array().unwrap().clone();
        all.iter().find(|one| one["after"] == way).unwrap()["then"].as_str().unwrap().to_owned()
    };
    let then = after("GET", "broken off before an answer");
    assert_eq!(then, "another backend after a pause of up to 25ms, within the budget");
    assert_eq!(after("POST", "no connection"), "another backend");
    let then = after("POST", "broken off before an answer");
    assert!(then.starts_with("nobody else: POST may have been done"), "{then}");
}

/// An upstream with all that stands before and beside its backends.
const GUARDED: &str = r#"
breaker = { min_requests = 7 }
admission = { success_percent = 90 }
adaptive = { initial = 30, min = 10, max = 300 }
queue = { depth = 12, timeout = "2s" }
hedge = { after = "40ms" }
retry = { budget = 33, budget_min = 4 }
"#;

/// What is said of each in an answer.
fn terms(told: &Value) -> std::collections::BTreeMap<String, String> {
    let all = told["upstreams"][0]["terms"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    all.map(|one| (text(&one["what"]), text(&one["says"]))).collect()
}

#[test]
fn what_stands_before_and_beside_the_backends_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plimsoll.toml");
    let guarded = CONFIG.replace("retry.tries = 3\n", GUARDED);
    std::fs::write(&path, &guarded).unwrap();
    let explain = |method: &str, more: &[&str]| -> Value {
        let all = ["explain", "--json", "-c", path.to_str().unwrap(), method, "http://a/api"];
        let output = plimsoll(&[&all, more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let told = terms(&explain("GET", &[]));
    for (what, says) in [
        ("breaker", "closed: opens when 50 % of 7 requests or more fail within 10s"),
        ("admission", "passes: a part gets 503 when less than 90 % of 20 requests"),
        ("in_flight", "0 of 30, which adapts itself between 10 and 300; what is more waits"),
        ("queue", "0 of 12 wait, for 2s at most"),
        ("hedge", "a second backend after 40ms, for 5 % of the requests at most"),
        ("budget", "33 % of the other attempts of 10s at most, or 4"),
    ] {
        assert!(told[what].contains(says), "{what}: {told:?}");
    }
    assert_eq!(terms(&explain("POST", &[]))["hedge"], "not this one: POST may not be done twice");
    let put = terms(&explain("PUT", &["-H", "Content-Length: 3"]));
    assert!(put["hedge"].starts_with("not this one: it has a body"), "{put:?}");
    // What is not declared is not told.
    let plain = terms(&explained(&["GET", "http://a/api"]));
    assert_eq!(plain.keys().collect::<Vec<_>>(), ["budget"]);
}

#[tokio::test]
async fn the_running_process_tells_where_its_breaker_and_its_line_stand() {
    let origin = Origin::start("a").await;
    let settings = "max_in_flight = 1\nqueue = { depth = 5, timeout = \"20s\" }\n\
                    passive = { max_fails = 0, statuses = [500] }\n\
                    breaker = { min_requests = 1, window = \"1s\", open_for = \"1h\", max_open = \"1h\" }";
    let lb = Lb::start(config("", settings, &[at(&origin)])).await;
    let admin = lb.admin_addr().to_string();
    let told = || {
        let output = plimsoll(&["explain", "--json", "--admin", &admin, "GET", "http://a/"]);
        terms(&serde_json::from_slice(&output.stdout).unwrap())
    };
    origin.hold();
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = Client::connect(lb.addr("main")).await;
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
        clients.push(client);
    }
    lb.until_metric("plimsoll_upstream_queue_depth", 1.0).await;
    assert_eq!(told()["in_flight"], "1 of 1; what is more waits");
    assert_eq!(told()["queue"], "1 of 5 wait, for 20s at most");
    origin.answer(Answer::Status(500));
    origin.release();
    for client in &mut clients {
        client.read_response().await;
    }
    until("the breaker is open", async || told()["breaker"].starts_with("open: 503 for")).await;
}

#[tokio::test]
async fn the_running_process_tells_what_is_spent_of_its_budget() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.answer(Answer::Reset);
    let settings = "strategy = \"round_robin\"\npassive = { max_fails = 0 }\n\
                    retry = { budget = 0, budget_min = 2, backoff = \"off\" }";
    let lb = Lb::start(config("", settings, &[at(&a), at(&b)])).await;
    let admin = lb.admin_addr().to_string();
    let budget = || {
        let output = plimsoll(&["explain", "--json", "--admin", &admin, "GET", "http://a/"]);
        terms(&serde_json::from_slice(&output.stdout).unwrap())["budget"].clone()
    };
    assert!(budget().ends_with("at most, or 2"), "{}", budget());
    until("one is sent again", async || {
        get(lb.addr("main"), "/").await;
        a.requests() > 0
    })
    .await;
    until("it is told", async || budget().contains("or 2, 1 beside ")).await;
}

#[test]
fn people_get_the_same_in_lines() {
    let (_folder, file) = file();
    let output = plimsoll(&["explain", "GET", "http://shop.example/api", "-c", &file]);
    for words in ["route      api", "10.0.0.1:80", "75.0 %", "asks", "no connection"] {
        assert!(out(&output).contains(words), "{words}: {}", out(&output));
    }
}

#[test]
fn what_cannot_be_explained_says_why() {
    let told = explained(&["GET", "http://a/%zz"]);
    assert_eq!(told["status"], 400);
    let (_folder, file) = file();
    for (arguments, words) in [
        (&["GET", "ftp://a/"][..], "write http or https"),
        (&["GET", "/", "--listener", "none"], "there are: web, other"),
        (&["GET", "/", "--down", "api/1"], "no backend is called `api/1`"),
        (&["GET", "/", "-H", "Accept"], "write it like"),
    ] {
        let output = plimsoll(&[&["explain", "-c", &file], arguments].concat());
        assert_eq!(output.status.code(), Some(2));
        assert!(err(&output).contains(words), "{words}: {}", err(&output));
    }
    // Of the file nothing is asked of the running process.
    let told = plimsoll(&["explain", "GET", "/", "--cacert", "ca.pem"]);
    assert_eq!(told.status.code(), Some(2));
    assert!(err(&told).contains("--admin says where it is"), "{}", err(&told));
}

#[tokio::test]
async fn the_running_process_explains_by_what_it_knows_at_the_moment() {
    let mut origins = [Origin::start("a").await, Origin::start("b").await];
    let backends = [at(&origins[0]), at(&origins[1])];
    let lb = Lb::start(config(
        "",
        "strategy = \"least_connections\"\npassive = { max_fails = 1, fail_timeout = \"1h\" }",
        &backends,
    ))
    .await;
    let admin = lb.admin_addr().to_string();
    let live = |arguments: &[&str]| {
        plimsoll(&[&["explain", "--admin", &admin, "GET"], arguments].concat())
    };
    let told = |arguments: &[&str]| -> Value {
        let output = live(&[&["--json"], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    // One request under way: the other backend is next.
    origins.iter().for_each(Origin::hold);
    let mut client = Client::connect(lb.addr("main")).await;
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
    until("a backend is asked", async || origins.iter().any(|one| one.requests() > 0)).await;
    let (busy, idle) = if origins[0].requests() > 0 { (0, 1) } else { (1, 0) };
    let explained = told(&["http://test/"]);
    let upstream = &explained["upstreams"][0];
    assert_eq!(upstream["order"][0], origins[idle].address(), "{explained}");
    let busy_one = |one: &&Value| one["address"] == origins[busy].address().as_str();
    let told_busy = upstream["backends"].as_array().unwrap().iter().find(busy_one).unwrap();
    assert_eq!((&told_busy["in_flight"], &told_busy["share"]), (&1.into(), &0.0.into()));
    // To ask is not to be counted.
    assert_eq!(told(&["http://test/"])["upstreams"][0], *upstream);
    origins.iter().for_each(Origin::release);
    assert_eq!(client.read_response().await.status, 200);

    origins[idle].stop().await;
    until("it is parked", async || {
        get(lb.addr("main"), "/").await;
        lb.log_text().contains("backend parked")
    })
    .await;
    let output = live(&["http://test/"]);
    let text = out(&output);
    assert!(text.contains("parked") && text.contains("0 in flight"), "{text}");
    for (arguments, words) in [
        (&["ftp://a/"][..], "write http or https"),
        (&["/", "--listener", "none"], "there are: main"),
    ] {
        let output = live(arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(err(&output).contains(words), "{words}: {}", err(&output));
    }
}

/// What the running process tells of a request, and why a backend serves or not.
fn told_by(lb: &Lb, url: &str) -> Value {
    let admin = lb.admin_addr().to_string();
    let output = plimsoll(&["explain", "--json", "--admin", &admin, "GET", url]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    serde_json::from_slice::<Value>(&output.stdout).unwrap()["upstreams"][0].clone()
}

fn why_of(lb: &Lb, origin: &Origin) -> String {
    let admin = lb.admin_addr().to_string();
    out(&plimsoll(&["why", &origin.address(), "--admin", &admin]))
}

fn backend<'a>(upstream: &'a Value, origin: &Origin) -> &'a Value {
    let mut all = upstream["backends"].as_array().unwrap().iter();
    all.find(|one| one["address"] == origin.address().as_str()).unwrap()
}

#[tokio::test]
async fn who_is_out_as_nginx_counts_is_told_as_out() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.answer(Answer::Reset);
    let settings = "nginx = { failures = true }\npassive = { max_fails = 1, fail_timeout = \"1h\" }\n\
                    retry = { tries = 2 }";
    let lb = Lb::start(config("", settings, &[at(&a), at(&b)])).await;
    until("it failed", async || {
        get(lb.addr("main"), "/").await;
        lb.log_text().contains("backend failed, and is left out for a while")
    })
    .await;
    let upstream = told_by(&lb, "http://a/");
    assert_eq!(upstream["order"], serde_json::json!([b.address()]), "{upstream}");
    let out = backend(&upstream, &a);
    assert_eq!((&out["eligible"], &out["share"]), (&false.into(), &0.0.into()));
    assert_eq!(out["but"], "out: it failed too often");
    let why = why_of(&lb, &a);
    assert!(why.contains("is not picked: it failed 1 times, and is asked again"), "{why}");
    let status = super::out(&plimsoll(&["status", "--admin", &lb.admin_addr().to_string()]));
    assert!(status.contains("degraded  1 of 2"), "{status}");
}

#[tokio::test]
async fn who_is_full_and_who_is_on_trial_is_told() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.answer(Answer::Reset);
    let settings = "strategy = \"round_robin\"\n\
                    passive = { max_fails = 1, fail_timeout = \"1h\", hung_factor = 0 }\n";
    let full = at_with(&b, "max_connections = 1");
    let text = config("", settings, &[at(&a), full]);
    let lb = Lb::start(&text).await;
    until("it is parked", async || {
        get(lb.addr("main"), "/").await;
        lb.log_text().contains("backend parked")
    })
    .await;
    b.hold();
    let before = b.requests();
    let mut client = Client::connect(lb.addr("main")).await;
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
    b.until_requests(before + 1).await;
    let upstream = told_by(&lb, "http://a/");
    assert_eq!(upstream["order"], serde_json::json!([]));
    assert_eq!(backend(&upstream, &b)["but"], "full: it has its `max_connections`");
    let why = why_of(&lb, &b);
    assert!(why.contains("is not picked: full: 1 requests are under way there"), "{why}");
    b.release();
    client.read_response().await;
}

#[tokio::test]
async fn the_next_request_goes_to_who_is_on_trial() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.answer(Answer::Reset);
    let passive = "passive = { max_fails = 1, fail_timeout = \"1s\", max_pause = \"1s\" }";
    let lb = Lb::start(config("", passive, &[at(&a), at(&b)])).await;
    until("it is parked", async || {
        get(lb.addr("main"), "/").await;
        lb.log_text().contains("backend parked")
    })
    .await;
    lb.until_log("parked for 1.0s").await;
    let upstream = told_by(&lb, "http://a/");
    assert_eq!(upstream["order"], serde_json::json!([a.address(), b.address()]), "{upstream}");
    assert_eq!(backend(&upstream, &a)["but"], "on trial: the next request decides");
}

#[tokio::test]
async fn that_nobody_works_and_all_are_asked_is_told() {
    let origin = Origin::start("a").await;
    origin.answer(Answer::Status(500));
    let health = "health = { interval = \"40ms\", timeout = \"5s\" }";
    let lb = Lb::start(config("", health, &[at(&origin)])).await;
    until("it is down", async || lb.log_text().contains("backend down")).await;
    let says = "nobody is known to work, and all that are enabled are asked";
    until("it is told", async || {
        let told = told_by(&lb, "http://a/");
        terms(&serde_json::json!({ "upstreams": [told] }))
            .get("health")
            .is_some_and(|it| it == says)
    })
    .await;
}

#[tokio::test]
async fn a_half_open_breaker_lets_the_next_request_try() {
    let origin = Origin::start("a").await;
    origin.answer(Answer::Status(500));
    let settings = "passive = { max_fails = 0, statuses = [500] }\nretry = { tries = 1 }\n\
                    breaker = { min_requests = 1, window = \"1s\", open_for = \"300ms\", trials = 2 }";
    let lb = Lb::start(config("", settings, &[at(&origin)])).await;
    get(lb.addr("main"), "/").await;
    lb.until_log("circuit breaker half_open").await;
    let told = told_by(&lb, "http://a/");
    assert_eq!(told["order"], serde_json::json!([origin.address()]), "{told}");
    let told = terms(&serde_json::json!({ "upstreams": [told] }));
    assert_eq!(told["breaker"], "half-open: 2 of 2 requests may still try, all others get 503");
}

#[tokio::test]
async fn a_session_that_was_learnt_is_told() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let settings = "strategy = \"round_robin\"\n\
                    sticky = { learn = [\"${upstream.header.content-length}\"], lookup = [\"${arg.of}\"] }";
    let lb = Lb::start(config("", settings, &[at(&a), at(&b)])).await;
    // Both names are as long.
    let first = get(lb.addr("main"), "/").await;
    let bound = if first.body == b"a" { &a } else { &b };
    let upstream = told_by(&lb, "http://a/?of=1");
    assert_eq!(upstream["order"][0], bound.address(), "{upstream}");
    let says = format!("the session that was learnt binds it to {}", bound.address());
    assert_eq!(upstream["bound"], says);
    assert_eq!(told_by(&lb, "http://a/?of=other")["bound"], Value::Null);
}

#[tokio::test]
async fn why_tells_the_part_of_its_weight_that_a_backend_gets() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let agent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = agent.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = agent.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"25% # backup runs\n").await.unwrap();
        }
    });
    let check = format!(
        "[upstream.api.check.host]\ntype = \"agent\"\nport = {port}\ninterval = \"40ms\"\n\
         timeout = \"5s\"\n"
    );
    let lb = Lb::start(config("", &check, &[at(&a), at(&b)])).await;
    let part = "; it gets 25 % of its weight (host: the agent says \"25%\": backup runs)";
    until("it is told", async || why_of(&lb, &a).contains(part)).await;
}

//! Requests that go on elsewhere, and where that could lead: to targets that are none, past limits,
//! in circles, with half a body.

use crate::support::{Answer, Client, Origin, request, until};
use crate::{Setup, ask, between, logged, post};

fn raw(text: &str) -> Answer {
    Answer::Raw(text.as_bytes().to_vec())
}

#[tokio::test]
async fn what_a_request_says_ends_no_line_and_leaves_no_host() {
    let origin = Origin::start("a").await;
    let route = r#"rewrite = [
        { regex = "^/all/", to = "https://test${normalized_path}", then = "redirect" },
        { regex = "^/old/(.*)$", to = "/${1}", then = "redirect" },
        { regex = "^/ask/(.*)$", to = "/x?a=${1}", then = "break" },
    ]"#;
    let lb = Setup { route, ..Setup::default() }.before(&[&origin]).await;
    let web = lb.addr("web");
    let split = request(web, ask("/all/a%0d%0aSet-Cookie:%20s=1%0d%0a%0d%0ab")).await;
    assert_eq!(split.status, 302);
    assert_eq!(split.header("set-cookie"), None);
    assert_eq!(split.header("location"), Some("https://test/all/aSet-Cookie: s=1b"));
    // To a browser `/\other` is `//other`: another host.
    let moved = request(web, ask("/old/%5Cother.test/")).await;
    assert_eq!(moved.header("location"), Some("/%5Cother.test/"));
    request(web, ask("/ask/%09a%5C%22")).await;
    assert_eq!(origin.last().line(), "GET /x?a=%09a%5C%22 HTTP/1.1");
}

#[tokio::test]
async fn what_is_put_together_is_a_path_or_goes_nowhere() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let lb = between(
        &a,
        &b,
        r#"
        [[route]]
        upstream = "a"
        rewrite = [
            { regex = "^/bare/(.*)$", to = "${1}", then = "break" },
            { regex = "^/anew/(.*)$", to = "${1}", then = "last" },
            { regex = "^/of", to = "${arg.u}?", then = "break" },
            { regex = "^/img-(.*)$", to = "/img/${1}", then = "last" },
        ]
        [[route]]
        path = "/on"
        go_to = "/in${arg.u}"
        [[route]]
        path_prefix = "/bytes"
        upstream = "a"
        replace_prefix = "/new/"
        [[route]]
        path = "@name"
        upstream = "b"
        "#,
    )
    .await;
    let web = lb.addr("web");
    for (target, status) in [
        ("/bare/", 500),
        ("/bare/x", 500),
        ("/anew/@name", 500),
        ("/of?u=http://other.test/", 500),
        ("/of?v", 500),
        ("/on?u=/../x", 400),
        ("/img-../secret", 400),
        ("/img-x/..", 200),
        ("/bytes../secret", 400),
        ("/bytes..%2Fsecret", 400),
        ("/bytes/x", 200),
        ("/bytes..x", 200),
    ] {
        assert_eq!(request(web, ask(target)).await.status, status, "{target}");
    }
    assert_eq!((a.requests(), b.requests()), (3, 0));
    assert_eq!(a.last().line(), "GET /new/..x HTTP/1.1");
}

#[tokio::test]
async fn error_pages_of_error_pages_come_to_an_end() {
    let origin = Origin::start("a").await;
    let setup = Setup {
        more: "[[route]]\npath = \"/b\"\ngo_to = \"/b/x\"\n\
               error_pages = [{ statuses = [500], to = \"/b/y\" }]\n\
               [route.nginx]\nrecursive_error_pages = true\n",
        ..Setup::default()
    };
    let lb = setup.before(&[&origin]).await;
    assert_eq!(request(lb.addr("web"), ask("/b")).await.status, 500);
    assert_eq!(request(lb.addr("web"), ask("/")).await.status, 200, "the worker goes on");
}

#[tokio::test]
async fn a_body_goes_on_whole_or_not_at_all() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let lb = between(
        &a,
        &b,
        r#"
        [[route]]
        upstream = "a"
        retry = { replay_body = "16KiB" }
        [route.nginx]
        accel_redirect = true
        [[route]]
        path = "@b"
        upstream = "b"
        "#,
    )
    .await;
    let fields = "X-Accel-Redirect: @b\r\nContent-Length: 0";
    a.answer(raw(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n")));
    let web = lb.addr("web");
    assert_eq!(request(web, post("/", &"x".repeat(9_000))).await.text(), "b");
    assert_eq!(b.last().body.len(), 9_000);
    assert_eq!(request(web, post("/", &"x".repeat(90_000))).await.status, 500);
    assert_eq!(b.requests(), 1, "it was not asked with half a body");
}

#[tokio::test]
async fn nothing_is_read_behind_a_body_whose_end_is_lost() {
    let origin = Origin::start("a").await;
    let setup = Setup {
        route: "error_pages = [{ statuses = [404], to = \"/page\" }]",
        more: "[[route]]\npath_exact = \"/gone\"\nrespond = { status = 404 }\n\
               error_pages = [{ statuses = [404], to = \"/page\" }]\n\
               [[route]]\npath_exact = \"/page\"\nrespond = { status = 200, body = \"page\" }\n",
        ..Setup::default()
    };
    let lb = setup.before(&[&origin]).await;
    let mut client = Client::connect(lb.addr("web")).await;
    client
        .send("POST /gone HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
        .await;
    let page = client.read_response().await;
    assert_eq!((page.status, page.text().as_str()), (404, "page"));
    assert_eq!(page.header("connection"), Some("close"));
    client.send_what_is_taken("0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n").await;
    client.expect_closed().await;
    assert_eq!(origin.requests(), 0);
}

#[tokio::test]
async fn a_body_is_measured_by_the_route_that_takes_it() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let lb = between(
        &a,
        &b,
        r#"
        [[route]]
        go_to = "@small"
        [[route]]
        path = "@small"
        upstream = "a"
        max_body = "4B"
        error_pages = [{ statuses = [413], to = "@sorry" }]
        [[route]]
        path = "@sorry"
        respond = { body = "too much" }
        [[route]]
        path = "/page"
        upstream = "a"
        max_body = "4B"
        error_pages = [{ statuses = [413], to = "@b" }]
        [[route]]
        path = "@b"
        upstream = "b"
        "#,
    )
    .await;
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(post("/", "1234")).await;
    assert_eq!(client.read_response().await.text(), "a");
    for body in [
        "Content-Length: 5\r\n\r\n12345",
        "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n",
    ] {
        client.send(format!("POST / HTTP/1.1\r\nHost: test\r\n{body}")).await;
        let response = client.read_response().await;
        assert_eq!((response.status, response.text().as_str()), (413, "too much"), "{body}");
        client.send(format!("POST /page HTTP/1.1\r\nHost: test\r\n{body}")).await;
        let response = client.read_response().await;
        assert_eq!((response.status, response.text().as_str()), (413, "b"), "{body}");
        assert_eq!(b.last().body.len(), 0);
        assert_eq!(b.last().header("content-length"), None);
        assert_eq!(b.last().header("transfer-encoding"), None);
    }
    assert_eq!(a.requests(), 1);
}

#[tokio::test]
async fn each_place_has_its_own_time() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.answer(Answer::Never);
    let lb = between(
        &a,
        &b,
        r#"
        [[route]]
        upstream = "a"
        timeouts = { read = "2s" }
        error_pages = [{ statuses = [504], to = "@b" }]
        [[route]]
        path = "@b"
        upstream = "b"
        timeouts = { connect = "1500ms", read = "1500ms", total = "1500ms" }
        "#,
    )
    .await;
    let response = request(lb.addr("web"), ask("/")).await;
    assert_eq!((response.status, response.text().as_str()), (504, "b"));
    let line = logged(&lb, "\"target\":\"/\"").await;
    assert_eq!(line["attempts"].as_array().unwrap().len(), 2);
    assert_eq!(line["attempts"][1]["outcome"], "ok");
}

#[tokio::test]
async fn who_waits_for_a_limit_keeps_the_time_of_its_backends() {
    let origin = Origin::start("a").await;
    let setup = Setup {
        route: "limits = [\"l\"]\n\
                timeouts = { connect = \"1500ms\", read = \"1500ms\", total = \"1500ms\" }",
        more: "[limit.l]\nrate = \"30/min\"\nburst = 5\nundelayed = 0\n",
        upstream: "[upstream.app.pool]\nmax_idle = 0",
        ..Setup::default()
    };
    let lb = setup.before(&[&origin]).await;
    for _ in 0..2 {
        assert_eq!(request(lb.addr("web"), ask("/")).await.status, 200);
    }
}

#[tokio::test]
async fn limits_hold_wherever_a_request_goes_on() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let lb = between(
        &a,
        &b,
        r#"
        [[route]]
        go_to = "@a"
        limits = ["one"]
        [[route]]
        path = "/guarded"
        upstream = "a"
        auth = "@b"
        mirror = ["@b"]
        limits = ["once"]
        [[route]]
        path = "@a"
        upstream = "a"
        [[route]]
        path = "@b"
        upstream = "b"
        [limit.one]
        concurrency = 1
        [limit.once]
        rate = "1/min"
        burst = 0
        "#,
    )
    .await;
    let web = lb.addr("web");
    a.hold();
    let mut first = Client::connect(web).await;
    first.send(ask("/")).await;
    until("it is with its backend", async || a.requests() == 1).await;
    assert_eq!(request(web, ask("/")).await.status, 429);
    a.release();
    assert_eq!(first.read_response().await.status, 200);
    assert_eq!(request(web, ask("/")).await.status, 200, "its place is free again");
    assert_eq!(request(web, ask("/guarded")).await.status, 200);
    until("it was asked about and copied", async || b.requests() == 2).await;
    assert_eq!(request(web, ask("/guarded")).await.status, 429);
    assert_eq!(request(web, ask("/")).await.status, 200);
    assert_eq!(b.requests(), 2, "nobody is asked about what is refused");
}

/// Routes and upstreams for a body that is kept whole where the request goes on.
fn kept_there(b: &Origin, memory: &str, directory: &str) -> String {
    format!(
        "[[route]]\npath = \"@b\"\nsplit = [{{ upstream = \"b\" }}]\n\
         request_buffering = {{ memory = \"{memory}\", directory = \"{directory}\" }}\n\
         error_pages = [{{ statuses = [500], to = \"@c\" }}]\n\
         [route.nginx]\nrecursive_error_pages = true\n\
         [[route]]\npath = \"@c\"\nsplit = [{{ upstream = \"b\" }}]\n\
         [[upstream.b.backend]]\naddress = \"{}\"\n",
        b.address()
    )
}

#[tokio::test]
async fn a_body_that_is_kept_on_the_way_has_its_beginning() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.answer(Answer::BeforeBody(503));
    let more = kept_there(&b, "16KiB", "/tmp");
    let setup = Setup {
        route: "intercept_errors = true\nretry = { statuses = [] }\n\
                error_pages = [{ statuses = [503], to = \"@b\", page_status = true }]",
        more: &more,
        ..Setup::default()
    };
    let lb = setup.before(&[&a]).await;
    let mut client = Client::connect(lb.addr("web")).await;
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\nabc").await;
    a.until_requests(1).await;
    let attempts = format!(
        "plimsoll_upstream_attempts_total{{upstream=\"app\",backend=\"{}\",outcome=\"ok\"}}",
        a.address()
    );
    lb.until_metric(&attempts, 1.0).await;
    client.send("defghi").await;
    assert_eq!(client.read_response().await.text(), "b");
    assert_eq!(b.last().body, b"abcdefghi");
    assert_eq!(b.last().header("content-length").as_deref(), Some("9"));
}

#[tokio::test]
async fn a_body_that_cannot_be_kept_goes_nowhere() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let directory = tempfile::tempdir().unwrap();
    let more = kept_there(&b, "16KiB", directory.path().to_str().unwrap());
    let more = format!("[[route]]\npath = \"/on\"\ngo_to = \"@b\"\n{more}");
    let lb = Setup { more: &more, ..Setup::default() }.before(&[&a]).await;
    assert_eq!(request(lb.addr("web"), post("/on", &"x".repeat(90_000))).await.text(), "b");
    assert_eq!(b.last().body.len(), 90_000);
    drop(directory);
    let response = request(lb.addr("web"), post("/on", &"x".repeat(90_000))).await;
    assert_eq!((response.status, b.requests()), (500, 1));
}

#[tokio::test]
async fn a_path_that_came_escaped_goes_on_as_what_it_means() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let lb = between(
        &a,
        &b,
        "[[route]]\ngo_to = \"/x${uri}\"\n[[route]]\npath = \"/x\"\nupstream = \"a\"\n\
         [[route]]\npath = \"/query\"\ngo_to = \"/x?from=${path}\"\n",
    )
    .await;
    assert_eq!(request(lb.addr("web"), ask("/a%20b/%7ec?d%20e")).await.text(), "a");
    assert_eq!(a.last().line(), "GET /x/a%20b/~c?d%20e HTTP/1.1");
    assert_eq!(request(lb.addr("web"), ask("/query/a%20b")).await.text(), "a");
    assert_eq!(a.last().line(), "GET /x?from=/query/a%20b HTTP/1.1");
}

#[tokio::test]
async fn an_error_page_does_not_wait_for_a_body() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.answer(Answer::BeforeBody(503));
    let lb = between(
        &a,
        &b,
        "[[route]]\nupstream = \"a\"\nintercept_errors = true\n\
         error_pages = [{ statuses = [503], to = \"/page\" }]\n\
         [[route]]\npath = \"/page\"\nupstream = \"b\"\n",
    )
    .await;
    let mut client = Client::connect(lb.addr("web")).await;
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\nonly so much").await;
    let answer = client.read_response().await;
    assert_eq!((answer.status, answer.text().as_str()), (503, "b"));
    assert_eq!(b.last().line(), "GET /page HTTP/1.1");
}

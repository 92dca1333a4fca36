//! Requests that go on elsewhere: rewrites, names, error pages, questions, copies.

use crate::support::{Answer, Client, Origin, get, request, until};
use crate::{GET, Setup, ask, between, logged, post};

/// An answer of a backend with these field lines.
fn answer(status: u16, fields: &str, body: &str) -> Answer {
    let length = body.len();
    let text = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n{fields}\r\n{body}");
    Answer::Raw(text.into_bytes())
}

#[tokio::test]
async fn a_path_is_rewritten_on_its_route_or_goes_to_another() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let lb = between(
        &a,
        &b,
        r#"
        [[route]]
        upstream = "a"
        rewrite = [
            { regex = "^/old/(.*)$", to = "/new/${1}" },
            { regex = "^/b/(?<rest>.*)$", to = "/there/${rest}?from=${host}", then = "last" },
            { regex = "^/bare", to = "/x?", then = "break" },
            { regex = "^/moved/(.*)$", to = "https://${host}/to/${1}", then = "permanent" },
        ]
        [[route]]
        path = "/there"
        upstream = "b"
        "#,
    )
    .await;
    let web = lb.addr("web");
    for (sent, origin, line) in [
        ("/old/a%20b/c?q=1", &a, "GET /new/a%20b/c?q=1 HTTP/1.1"),
        ("/old/%2e%2e/old//y", &a, "GET /new/y HTTP/1.1"),
        ("/%7eplain//x", &a, "GET /%7eplain//x HTTP/1.1"),
        ("/b/x?q=1", &b, "GET /there/x?from=test&q=1 HTTP/1.1"),
        ("/bare?q=1", &a, "GET /x HTTP/1.1"),
    ] {
        assert_eq!(request(web, ask(sent)).await.status, 200, "{sent}");
        assert_eq!(origin.last().line(), line);
    }
    let moved = request(web, ask("/moved/a%20b?q=1")).await;
    assert_eq!(moved.status, 301);
    assert_eq!(moved.header("location"), Some("https://test/to/a%20b?q=1"));
    let line = logged(&lb, "/b/x").await;
    assert_eq!((&line["target"], &line["upstream"]), (&"/b/x?q=1".into(), &"b".into()));
}

#[tokio::test]
async fn names_and_internal_routes_are_reached_only_by_going_on() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let lb = between(
        &a,
        &b,
        r#"
        [[route]]
        go_to = "@app"
        [[route]]
        path = "@app"
        upstream = "a"
        [[route]]
        path = "/inside"
        internal = true
        upstream = "b"
        [[route]]
        path = "/in"
        go_to = "/inside/x?y=${method}"
        [[route]]
        path = "/closed"
        respond = "close"
        "#,
    )
    .await;
    let web = lb.addr("web");
    assert_eq!(request(web, post("/x//y?z", "abc")).await.text(), "a");
    let seen = a.last();
    assert_eq!((seen.line().as_str(), &*seen.body), ("POST /x//y?z HTTP/1.1", &b"abc"[..]));
    assert_eq!(request(web, ask("/inside/x")).await.status, 404);
    assert_eq!(request(web, post("/in", "abc")).await.text(), "b");
    let seen = b.last();
    assert_eq!(
        (seen.line().as_str(), &*seen.body),
        ("POST /inside/x?y=POST HTTP/1.1", &b"abc"[..])
    );
    let mut client = Client::connect(web).await;
    client.send(ask("/closed")).await;
    client.expect_closed().await;
    assert_eq!(logged(&lb, "/closed").await["status"], 444);
}

#[tokio::test]
async fn a_circle_ends() {
    let origin = Origin::start("a").await;
    let setup = Setup {
        more: "[[route]]\npath = \"/a\"\nrewrite = [{ regex = \"^\", to = \"/a/x\", then = \"last\" }]\n\
               respond = {}\n[[route]]\npath = \"/b\"\ngo_to = \"/b/x\"",
        ..Setup::default()
    };
    let lb = setup.before(&[&origin]).await;
    assert_eq!(get(lb.addr("web"), "/a").await.status, 500);
    assert_eq!(get(lb.addr("web"), "/b").await.status, 500);
    assert_eq!(logged(&lb, "/b").await["failure"], "no_end");
}

#[tokio::test]
async fn errors_of_ours_have_their_page() {
    let origin = Origin::start("a").await;
    let (page, none) = (tempfile::NamedTempFile::new().unwrap(), "127.0.0.1:1");
    std::fs::write(page.path(), "<h1>sorry</h1>").unwrap();
    let page = page.path().display();
    let listener =
        format!("error_pages = [{{ statuses = [\"400-599\"], file = \"{page}\", status = 599 }}]");
    let setup = Setup {
        listener: &listener,
        route: "path = \"/app\"\nerror_pages = [{ statuses = [502], to = \"/page?a=${arg.x}\" }]",
        more: "[[route]]\npath_exact = \"/page\"\nsplit = [{ upstream = \"good\" }]\n",
        upstream: "retry = { tries = 1 }",
    };
    let good = format!("\n[[upstream.good.backend]]\naddress = \"{}\"", origin.address());
    let upstream = format!("{}{good}\n[upstream.app.pool]", setup.upstream);
    let lb = Setup { upstream: &upstream, ..setup }.start(&[none]).await;
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(post("/app?x=1", "abc")).await;
    let response = client.read_response().await;
    assert_eq!((response.status, response.text().as_str()), (502, "a"));
    let seen = origin.last();
    assert_eq!((seen.line().as_str(), seen.body.len()), ("GET /page?a=1 HTTP/1.1", 0));
    client.send(ask("/nowhere")).await;
    let response = client.read_response().await;
    assert_eq!((response.status, response.text().as_str()), (599, "<h1>sorry</h1>"));
    assert_eq!(response.header("content-type"), Some("text/html; charset=utf-8"));
    client.send("BROKEN\r\n\r\n").await;
    assert_eq!(client.read_response().await.status, 599);
    let line = logged(&lb, "/app").await;
    assert_eq!(line["failure"], "connect_failed");
    assert_eq!(line["attempts"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn errors_of_backends_have_their_page_where_they_are_intercepted() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let lb = between(
        &a,
        &b,
        r#"
        [[route]]
        upstream = "a"
        intercept_errors = true
        retry = { statuses = [] }
        error_pages = [
            { statuses = [404], to = "@other", page_status = true },
            { statuses = [401], to = "/login" },
            { statuses = [410], to = "https://other.test/" },
            { statuses = [500], to = "@failing" },
        ]
        [[route]]
        path = "@other"
        upstream = "b"
        [[route]]
        path = "@failing"
        upstream = "a"
        intercept_errors = true
        error_pages = [{ statuses = [500], to = "@other" }]
        [[route]]
        path = "/login"
        respond = { body = "who are you?" }
        "#,
    )
    .await;
    let web = lb.addr("web");
    let mut client = Client::connect(web).await;
    a.answer(Answer::Status(403));
    client.send(GET).await;
    assert_eq!(client.read_response().await.status, 403, "it has no page");
    a.answer(Answer::Status(404));
    client.send(post("/x", "abc")).await;
    let response = client.read_response().await;
    assert_eq!((response.status, response.text().as_str()), (200, "b"));
    assert_eq!((b.last().line().as_str(), &*b.last().body), ("POST /x HTTP/1.1", &b"abc"[..]));
    a.answer(answer(401, "WWW-Authenticate: Basic\r\nWWW-Authenticate: Other\r\n", "no"));
    client.send(GET).await;
    let response = client.read_response().await;
    assert_eq!((response.status, response.text().as_str()), (401, "who are you?"));
    assert_eq!(response.headers.all("www-authenticate"), ["Basic", "Other"]);
    a.answer(Answer::Status(410));
    client.send(GET).await;
    let response = client.read_response().await;
    assert_eq!((response.status, response.header("location")), (302, Some("https://other.test/")));
    a.answer(Answer::Status(500));
    client.send(GET).await;
    let response = client.read_response().await;
    assert_eq!(response.status, 500, "an error page has none of its own");
    assert_eq!(response.text(), "500 Internal Server Error\n");
    assert_eq!(a.connections(), 1, "what came whole leaves its connection");
}

#[tokio::test]
async fn a_backend_hands_a_request_on() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let lb = between(
        &a,
        &b,
        r#"
        [[route]]
        upstream = "a"
        [route.nginx]
        accel_redirect = true
        [[route]]
        path = "/files"
        internal = true
        upstream = "b"
        [[route]]
        path = "/not"
        upstream = "a"
        "#,
    )
    .await;
    let web = lb.addr("web");
    let fields = "X-Accel-Redirect: /files/a%20b?c\r\nSet-Cookie: s=1\r\nX-Other: 1\r\n";
    a.answer(answer(200, fields, ""));
    let response = request(web, post("/", "abc")).await;
    assert_eq!((response.status, response.text().as_str()), (200, "b"));
    assert_eq!(response.header("set-cookie"), Some("s=1"));
    assert_eq!(response.header("x-other"), None);
    assert_eq!((b.last().line().as_str(), b.last().body.len()), ("GET /files/a%20b?c HTTP/1.1", 0));
    assert_eq!(request(web, ask("/not")).await.text(), "", "it was not asked for there");
    a.answer(answer(200, "X-Accel-Redirect: /files/../x\r\n", ""));
    assert_eq!(request(web, GET).await.status, 404);
}

#[tokio::test]
async fn nobody_is_asked_about_those_who_are_let_in_by_address_where_one_is_enough() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let lb = between(
        &a,
        &b,
        r#"
        [[route]]
        path = "/let-in"
        upstream = "a"
        access = [{ allow = ["127.0.0.0/8"] }, { deny = ["all"] }]
        auth = "/auth"
        access_or_auth = true
        [[route]]
        path = "/kept-out"
        upstream = "a"
        access = [{ deny = ["127.0.0.1"] }, { allow = ["all"] }]
        auth = "/auth"
        access_or_auth = true
        [[route]]
        path = "/neither"
        upstream = "a"
        access = [{ allow = ["192.0.2.0/24"] }]
        auth = "/auth"
        access_or_auth = true
        [[route]]
        path_exact = "/auth"
        internal = true
        upstream = "b"
        "#,
    )
    .await;
    let web = lb.addr("web");
    b.answer(answer(401, "", ""));
    for (path, status, asked) in [("/let-in", 200, 0), ("/kept-out", 401, 1), ("/neither", 401, 2)]
    {
        assert_eq!(request(web, ask(path)).await.status, status, "{path}");
        assert_eq!(b.requests(), asked, "{path}");
    }
    b.answer(answer(200, "", ""));
    for path in ["/kept-out", "/neither"] {
        assert_eq!(request(web, ask(path)).await.text(), "a", "{path}");
    }
}

#[tokio::test]
async fn conditions_of_a_rewrite_may_be_those_of_the_one_before() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let lb = between(
        &a,
        &b,
        r#"
        [[route]]
        upstream = "a"
        rewrite = [
            { regex = "^/one/", to = "/two/", then = "next", when = [{ value = "${normalized_path}", regex = "^/one/" }] },
            { regex = "^/two/(.*)$", to = "/three/${1}", same_when = true },
        ]
        "#,
    )
    .await;
    for (sent, line) in [("/one/", "GET /three/ HTTP/1.1"), ("/two/x", "GET /two/x HTTP/1.1")] {
        assert_eq!(request(lb.addr("web"), ask(sent)).await.text(), "a");
        assert_eq!(a.last().line(), line);
    }
    assert_eq!(b.requests(), 0);
}

#[tokio::test]
async fn a_text_in_place_of_an_error_knows_its_status_and_who_failed() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let lb = between(
        &a,
        &b,
        r#"
        [[route]]
        upstream = "a"
        intercept_errors = true
        error_pages = [{ statuses = ["500-599"], to = "@told" }]
        [[route]]
        path = "@told"
        respond = { body = "${status}, upstream ${upstream.status}" }
        [[route]]
        path = "/teapot"
        respond = { status = 418, body = "${status}" }
        [[route]]
        path = "/closed"
        access = [{ deny = ["all"] }]
        error_pages = [{ statuses = [403], to = "http://else.test/?said=${status}" }]
        upstream = "a"
        "#,
    )
    .await;
    a.answer(answer(503, "", "down"));
    let told = request(lb.addr("web"), GET).await;
    assert_eq!((told.status, told.text().as_str()), (503, "503, upstream 503"));
    assert_eq!(request(lb.addr("web"), ask("/teapot")).await.text(), "418");
    let sent = request(lb.addr("web"), ask("/closed")).await;
    assert_eq!(sent.header("location"), Some("http://else.test/?said=403"));
}

#[tokio::test]
async fn who_may_pass_is_asked() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let lb = between(
        &a,
        &b,
        r#"
        [[route]]
        upstream = "a"
        auth = "/auth"
        [[route]]
        path_exact = "/auth"
        internal = true
        upstream = "b"
        request_headers = { set = { X-Uri = "${uri}" } }
        "#,
    )
    .await;
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(post("/x?y", "abc")).await;
    assert_eq!(client.read_response().await.text(), "a");
    let asked = b.last();
    assert_eq!((asked.line().as_str(), asked.body.len()), ("GET /auth HTTP/1.1", 0));
    assert_eq!(
        (asked.header("content-length"), asked.header("x-uri").as_deref()),
        (None, Some("/x?y"))
    );
    assert_eq!((a.last().line().as_str(), &*a.last().body), ("POST /x?y HTTP/1.1", &b"abc"[..]));
    for (status, expected) in [(401, 401), (403, 403), (302, 500), (404, 500), (500, 500)] {
        b.answer(answer(status, "WWW-Authenticate: Basic\r\n", ""));
        client.send(post("/", "abc")).await;
        let response = client.read_response().await;
        assert_eq!(response.status, expected);
        let challenge = (status == 401).then_some("Basic");
        assert_eq!(response.header("www-authenticate"), challenge);
    }
    assert_eq!(a.requests(), 1);
    let line = logged(&lb, "/x?y").await;
    assert_eq!(line["attempts"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_copy_is_sent_and_nobody_waits_for_it() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let lb = between(
        &a,
        &b,
        r#"
        [[route]]
        upstream = "a"
        mirror = ["/copy"]
        [[route]]
        path = "/heads"
        upstream = "a"
        mirror = ["@copy"]
        mirror_body = false
        [[route]]
        path = "@copy"
        upstream = "b"
        [[route]]
        path = "/copy"
        internal = true
        upstream = "b"
        "#,
    )
    .await;
    b.hold();
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(post("/x", "abc")).await;
    assert_eq!(client.read_response().await.text(), "a");
    until("the copy is there", async || b.requests() == 1).await;
    assert_eq!((b.last().line().as_str(), &*b.last().body), ("POST /copy HTTP/1.1", &b"abc"[..]));
    client.send(post("/heads/y?z", "abc")).await;
    assert_eq!(client.read_response().await.text(), "a");
    until("the copy is there", async || b.requests() == 2).await;
    assert_eq!((b.last().line().as_str(), b.last().body.len()), ("POST /heads/y?z HTTP/1.1", 0));
    let chunked = "POST /x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3\r\nabc\r\n0\r\n\r\n";
    client.send(chunked).await;
    assert_eq!(client.read_response().await.text(), "a");
    until("the copy is there", async || b.requests() == 3).await;
    assert_eq!(&*b.last().body, b"abc");
    assert_eq!(a.requests(), 3);
}

//! What routes do: redirect, answer, split, rewrite, change header fields.

use crate::support::{Answer, Client, Origin, request};
use crate::{GET, Setup, logged};

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: Test:81\r\n\r\n")
}

#[tokio::test]
async fn redirects_are_rendered_and_the_connection_lives_on() {
    let origin = Origin::start("a").await;
    let setup = Setup {
        more: "[[route]]\nname = \"r\"\npath = \"/old\"\n\
               redirect = { status = 308, to = \"https://${host}/new${path}?${query}\" }\n\
               response_headers = { set = { X-Route = \"${route}\" } }",
        ..Setup::default()
    };
    let lb = setup.before(&[&origin]).await;
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(get("/old/a%20b?x=1")).await;
    let response = client.read_response().await;
    assert_eq!((response.status, response.text().as_str()), (308, "308 Permanent Redirect\n"));
    let location = "https://test/new/old/a%20b?x=1";
    assert_eq!(response.header("location"), Some(location));
    assert_eq!(response.header("x-route"), Some("r"));
    client.send("HEAD /old HTTP/1.1\r\nHost: test\r\n\r\n").await;
    assert_eq!(client.read_response_to_head().await.status, 308);
    client.send(GET).await;
    assert_eq!(client.read_response().await.text(), "a");
}

#[tokio::test]
async fn a_redirect_may_be_as_long_as_the_target_was() {
    let origin = Origin::start("a").await;
    let setup = Setup {
        listener: "max_target = \"100KiB\"\nmax_head = \"128KiB\"",
        more: "[[route]]\npath = \"/old\"\nredirect = { to = \"https://${host}${uri}\" }",
        ..Setup::default()
    };
    let lb = setup.before(&[&origin]).await;
    let target = format!("/old/{}", "x".repeat(80_000));
    let response = request(lb.addr("web"), get(&target)).await;
    assert_eq!(response.status, 302);
    assert_eq!(response.header("location"), Some(format!("https://test{target}").as_str()));
}

#[tokio::test]
async fn fixed_answers_are_given_as_written() {
    let origin = Origin::start("a").await;
    let setup = Setup {
        more: "[[route]]\npath = \"/json\"\n\
               respond = { status = 418, body = \"{}\", content_type = \"application/json\" }\n\
               [[route]]\npath = \"/none\"\nrespond = { status = 204 }\n\
               [[route]]\npath = \"/empty\"\nrespond = {}",
        ..Setup::default()
    };
    let lb = setup.before(&[&origin]).await;
    let mut client = Client::connect(lb.addr("web")).await;
    client.send("POST /json HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc").await;
    let response = client.read_response().await;
    assert_eq!((response.status, response.text().as_str()), (418, "{}"));
    assert_eq!(response.header("content-type"), Some("application/json"));
    client.send(get("/none")).await;
    let response = client.read_response().await;
    assert_eq!((response.status, response.header("content-length")), (204, None));
    client.send(get("/empty")).await;
    let response = client.read_response().await;
    assert_eq!((response.status, response.header("content-length")), (200, Some("0")));
    assert_eq!(origin.requests(), 0);
    assert_eq!(logged(&lb, "/json").await["response_bytes"], 2);
}

#[tokio::test]
async fn a_fixed_answer_reaches_a_client_that_sends_all_before_it_reads() {
    let origin = Origin::start("a").await;
    let body = "x".repeat(1 << 20);
    let more = format!("[[route]]\npath = \"/big\"\nrespond = {{ body = \"{body}\" }}");
    let setup = Setup { more: &more, ..Setup::default() };
    let lb = setup.before(&[&origin]).await;
    let mut client = Client::connect(lb.addr("web")).await;
    let upload = "y".repeat(250_000);
    for _ in 0..20 {
        let head = "POST /big HTTP/1.1\r\nHost: test\r\nContent-Length: 250000\r\n\r\n";
        client.send(head).await;
        client.send(&upload).await;
    }
    for _ in 0..20 {
        assert_eq!(client.read_response().await.body.len(), body.len());
    }
}

#[tokio::test]
async fn a_split_sends_each_part_its_share() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let config = format!(
        "workers = 1\n[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n\
         [[route]]\nsplit = [{{ upstream = \"a\", weight = 3 }}, {{ upstream = \"b\" }}]\n\
         [[upstream.a.backend]]\naddress = \"{}\"\n[[upstream.b.backend]]\naddress = \"{}\"",
        a.address(),
        b.address()
    );
    let lb = crate::support::Lb::start(config).await;
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(GET.repeat(1000)).await;
    for _ in 0..1000 {
        assert_eq!(client.read_response().await.status, 200);
    }
    assert_eq!(a.requests() + b.requests(), 1000);
    // Ten standard deviations of a fair draw: 750 ± 137.
    assert!((613..887).contains(&a.requests()), "{}", a.requests());
}

#[tokio::test]
async fn prefixes_are_cut_off_and_replaced() {
    let origin = Origin::start("a").await;
    let setup = Setup {
        more: "[[route]]\npath = \"/strip\"\nupstream = \"app\"\nstrip_prefix = true\n\
               [[route]]\npath = \"/swap\"\nupstream = \"app\"\nreplace_prefix = \"/v2/x\"",
        ..Setup::default()
    };
    let lb = setup.before(&[&origin]).await;
    for (target, sent) in [
        ("/keep/a%20b/../c?x=%20", "/keep/a%20b/../c?x=%20"),
        ("/strip", "/"),
        ("/strip?a", "/?a"),
        ("/strip/", "/"),
        ("/strip/a/b?x=%2F", "/a/b?x=%2F"),
        ("/strip/%61%20b", "/a%20b"),
        ("/x/../strip/a", "/a"),
        ("/swap", "/v2/x"),
        ("/swap/a?b", "/v2/x/a?b"),
        ("http://other/swap/a", "/v2/x/a"),
    ] {
        assert_eq!(request(lb.addr("web"), get(target)).await.status, 200);
        assert_eq!(origin.last().line(), format!("GET {sent} HTTP/1.1"), "{target}");
    }
}

#[tokio::test]
async fn the_host_is_kept_or_set_as_told() {
    let origin = Origin::start("a").await;
    let setup = Setup {
        more: "[[route]]\npath = \"/backend\"\nupstream = \"app\"\nhost_header = \"backend\"\n\
               [[route]]\npath = \"/set\"\nupstream = \"app\"\nhost_header = { set = \"in.ternal\" }",
        ..Setup::default()
    };
    let lb = setup.before(&[&origin]).await;
    for (head, host) in [
        (get("/"), "Test:81".to_owned()),
        (get("http://abs.olute:82/"), "abs.olute:82".to_owned()),
        ("GET / HTTP/1.0\r\n\r\n".to_owned(), origin.address()),
        (get("/backend"), origin.address()),
        (get("/set"), "in.ternal".to_owned()),
    ] {
        assert_eq!(request(lb.addr("web"), &head).await.status, 200);
        assert_eq!(origin.last().header("host"), Some(host), "{head}");
    }
}

#[tokio::test]
async fn header_fields_are_removed_set_and_added_with_variables() {
    let origin = Origin::start("a").await;
    let setup = Setup {
        route: "request_headers = { remove = [\"X-Gone\"], set = { X-Set = \"${method} ${uri} \
                ${client_ip}\" }, add = { X-Add = \"${cookie.s}|${arg.q}|${header.x-in}\" } }\n\
                response_headers = { remove = [\"X-Origin\"], set = { X-Backend = \"${backend}\", \
                Server = \"edge\" }, add = { X-Up = \"${upstream} ${request_id}\" } }",
        ..Setup::default()
    };
    let lb = setup.before(&[&origin]).await;
    origin.answer(Answer::Raw(
        b"HTTP/1.1 200 OK\r\nServer: x\r\nserver: y\r\nX-Up: own\r\nContent-Length: 0\r\n\r\n"
            .to_vec(),
    ));
    let response = request(
        lb.addr("web"),
        "GET /p?q=1 HTTP/1.1\r\nHost: test\r\nx-gone: 1\r\nX-Set: old\r\nX-Add: own\r\n\
         X-In: in\r\nCookie: a=b; s=t\r\nX-Request-Id: my-id\r\n\r\n",
    )
    .await;
    assert_eq!(response.header("server"), Some("edge"));
    assert_eq!(response.header("x-backend"), Some(origin.address().as_str()));
    assert_eq!(response.headers.all("x-up"), ["own", "app my-id"]);
    assert_eq!(response.header("x-origin"), None);
    let seen = origin.last().headers();
    assert_eq!(seen.one("x-gone"), None);
    assert_eq!(seen.one("x-set"), Some("GET /p?q=1 127.0.0.1"));
    assert_eq!(seen.all("x-add"), ["own", "t|1|in"]);
}

#[tokio::test]
async fn a_field_removed_by_a_route_is_removed_from_its_error_pages_too() {
    let mut origin = Origin::start("a").await;
    let setup = Setup {
        route: "response_headers = { set = { X-Frame-Options = \"DENY\" }, remove = [\"Date\"] }",
        ..Setup::default()
    };
    let lb = setup.before(&[&origin]).await;
    origin.stop().await;
    let response = request(lb.addr("web"), GET).await;
    assert_eq!(response.status, 502);
    assert_eq!(response.header("x-frame-options"), Some("DENY"));
    assert_eq!(response.header("date"), None);
}

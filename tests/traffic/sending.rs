//! Requests that are sent otherwise than they came, and to places that they name.

use crate::support::{Answer, Client, Origin, get, request, until};
use crate::{ask, between, logged, post};

#[tokio::test]
async fn a_request_reaches_what_it_names_and_no_more_than_is_allowed() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let stranger = Origin::start("stranger").await;
    let lb = between(
        &a,
        &b,
        r#"
        [[route]]
        upstream = "places"
        send.to = { address = "${arg.to}", allow = ["127.0.0.0/8", "localhost", "*.localhost"] }
        host_header = { set = "${to.host}" }
        request_headers.set.X-Port = "${to.port}"
        [[route]]
        path = "/upstreams"
        upstream = "places"
        send.to = { address = "${arg.to}" }
        [upstream.places]
        "#,
    )
    .await;
    let web = lb.addr("web");
    let port = stranger.port();
    for (to, status, body) in [
        ("b".to_owned(), 200, "b"),
        ("HTTP://A".to_owned(), 200, "a"),
        (format!("127.0.0.1:{port}"), 200, "stranger"),
        (format!("localhost:{port}"), 200, "stranger"),
        (format!("LocalHost:{port}"), 200, "stranger"),
        (format!("[::1]:{port}"), 502, ""),
        (format!("127.0.0.1.:{port}"), 502, ""),
        (format!("2130706433:{port}"), 502, ""),
        ("else.test".to_owned(), 502, ""),
        ("https://a".to_owned(), 500, ""),
        ("a%20b".to_owned(), 502, ""),
        ("places".to_owned(), 502, ""),
        (String::new(), 500, ""),
    ] {
        let answer = request(web, ask(&format!("/x?to={to}"))).await;
        assert_eq!(answer.status, status, "{to}");
        assert!(body.is_empty() || answer.text() == body, "{to}: {}", answer.text());
    }
    let answer = request(web, ask(&format!("/upstreams?to=127.0.0.1:{port}"))).await;
    assert_eq!(answer.status, 502, "without `allow` upstreams only");
    assert_eq!(request(web, ask("/upstreams?to=b")).await.text(), "b");
    let seen = stranger.last();
    assert_eq!(seen.header("host"), Some(format!("LocalHost:{port}")));
    assert_eq!(seen.header("x-port"), Some(port.to_string()));
    let line = logged(&lb, "else.test").await;
    assert_eq!((&line["failure"], &line["upstream"]), (&"not_allowed".into(), &"places".into()));
}

#[tokio::test]
async fn a_unix_socket_is_reached_by_its_path_where_that_is_allowed() {
    let (a, b) = (Origin::start_unix("a").await, Origin::start("b").await);
    let path = a.address();
    let folder = &path[..=path.rfind('/').unwrap()];
    let lb = between(
        &b,
        &b,
        &format!(
            "[[route]]\nupstream = \"places\"\nhost_header = {{ set = \"${{to.host}}\" }}\n\
             request_headers.set.X-Port = \"${{to.port}}\"\n\
             send.to = {{ address = \"http://unix:${{arg.to}}\", allow = [\"{folder}\"] }}\n\
             [upstream.places]"
        ),
    )
    .await;
    let web = lb.addr("web");
    let bare = path.strip_prefix("unix:").unwrap();
    assert_eq!(request(web, ask(&format!("/x?to={bare}"))).await.text(), "a");
    assert!(a.last().line().starts_with("GET /x?to="), "{}", a.last().line());
    assert_eq!(request(web, ask(&format!("/x?to={bare}:/there"))).await.text(), "a");
    let seen = a.last();
    assert_eq!(seen.line(), "GET /there HTTP/1.1");
    assert_eq!(seen.header("host").as_deref(), Some("localhost"));
    assert_eq!(seen.header("x-port"), None, "there is none");
    let (parent, name) = bare.rsplit_once('/').unwrap();
    let climbing = format!("{parent}/../{}/{name}", parent.rsplit('/').next().unwrap());
    for (to, status) in [(climbing, 502), ("/run/other.sock".to_owned(), 502), (String::new(), 500)]
    {
        assert_eq!(request(web, ask(&format!("/x?to={to}"))).await.status, status, "{to}");
    }
    let there_no_more = format!("{bare}.gone");
    assert_eq!(request(web, ask(&format!("/x?to={there_no_more}"))).await.status, 502);
}

#[tokio::test]
async fn what_stands_behind_the_host_is_the_target() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let lb = between(
        &a,
        &b,
        r#"
        [[route]]
        upstream = "b"
        path_regex = "^/(?<to>a|b)/(?<rest>.*)$"
        send.to = { address = "http://${capture.to}/in/${capture.rest}?from=${host}" }
        [[route]]
        upstream = "b"
        path = "/target"
        send.target = "/set?q=${arg.q}&ä"
        "#,
    )
    .await;
    let web = lb.addr("web");
    assert_eq!(request(web, ask("/a/b%20c/d?e")).await.text(), "a");
    assert_eq!(a.last().line(), "GET /in/b%20c/d?from=test HTTP/1.1");
    assert_eq!(request(web, ask("/target/x?q=%26")).await.text(), "b");
    assert_eq!(b.last().line(), "GET /set?q=%26&%C3%A4 HTTP/1.1");
}

#[tokio::test]
async fn connections_to_named_places_are_kept_and_closed_when_they_are_old() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let lb = between(
        &a,
        &b,
        &format!(
            "[[route]]\nupstream = \"places\"\n\
             send.to = {{ address = \"127.0.0.1:${{arg.port}}\", allow = [\"127.0.0.1\"] }}\n\
             [[route]]\npath = \"/name\"\nupstream = \"places\"\n\
             send.to = {{ address = \"${{arg.name}}:{}\", allow = [\"*\"] }}\n\
             [upstream.places]\npool.idle_timeout = \"1s\"\n",
            b.port()
        ),
    )
    .await;
    let web = lb.addr("web");
    for _ in 0..3 {
        assert_eq!(request(web, ask(&format!("/?port={}", a.port()))).await.text(), "a");
        assert_eq!(request(web, ask("/name?name=localhost")).await.text(), "b");
    }
    assert_eq!((a.last().connection, b.last().connection), (0, 0), "each by one connection");
    until("idle connections are closed", async || a.open() + b.open() == 0).await;
}

#[tokio::test]
async fn a_name_that_is_nobodys_is_a_bad_gateway() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    // A name server that is not there refuses at once.
    let lb = between(
        &a,
        &b,
        "[[route]]\nupstream = \"places\"\nsend.to = { address = \"${arg.to}\", allow = [\"*\"] }\n\
         [upstream.places]\ndns = { servers = [\"127.0.0.1:1\"], timeout = \"500ms\" }\n",
    )
    .await;
    assert_eq!(request(lb.addr("web"), ask("/?to=nobody.test")).await.status, 502);
    assert_eq!(logged(&lb, "nobody.test").await["failure"], "not_found");
}

#[tokio::test]
async fn each_attempt_at_a_named_place_is_in_the_books() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let lb = between(
        &a,
        &b,
        "[[route]]\nupstream = \"places\"\n\
         send.to = { address = \"127.0.0.1:${arg.port}\", allow = [\"127.0.0.1\"] }\n\
         response_headers.add.X-Addr = \"${upstream.addr}\"\n[upstream.places]\n",
    )
    .await;
    let address = a.address();
    let answer = request(lb.addr("web"), ask(&format!("/?port={}", a.port()))).await;
    assert_eq!(answer.header("x-addr"), Some(&*address));
    let line = logged(&lb, "/?port").await;
    assert_eq!(line["attempts"][0]["backend"], address);
}

#[tokio::test]
async fn method_and_body_are_others_than_the_clients() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let lb = between(
        &a,
        &b,
        r#"
        [[route]]
        upstream = "a"
        request_buffering = {}
        send = { method = "${arg.m}", body = "<${request_body}>" }
        [[route]]
        path = "/bare"
        upstream = "b"
        send = { body = "", headers = false }
        "#,
    )
    .await;
    let web = lb.addr("web");
    let mut client = Client::connect(web).await;
    for (method, sent) in [("PATCH", "PATCH"), ("a:b", "POST"), ("CONNECT", "POST"), ("", "POST")] {
        client.send(post(&format!("/?m={method}"), "hello")).await;
        assert_eq!(client.read_response().await.text(), "a");
        let seen = a.last();
        assert_eq!(
            (seen.line(), &*seen.body),
            (format!("{sent} /?m={method} HTTP/1.1"), &b"<hello>"[..])
        );
    }
    client
        .send("POST /bare HTTP/1.1\r\nHost: test\r\nX-A: b\r\nContent-Length: 5\r\n\r\nhello")
        .await;
    assert_eq!(client.read_response().await.text(), "b");
    let seen = b.last();
    assert_eq!((&*seen.body, seen.header("x-a")), (&b""[..], None));
    assert_eq!(seen.header("host").as_deref(), Some("test"));
}

#[tokio::test]
async fn answers_fit_the_clients_method_when_another_was_sent() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let lb = between(&a, &b, "[[route]]\nupstream = \"a\"\nsend.method = \"${arg.m}\"\n").await;
    let mut client = Client::connect(lb.addr("web")).await;
    a.answer(Answer::Ok(b"hello".to_vec()));
    for _ in 0..2 {
        client.send("HEAD /?m=GET HTTP/1.1\r\nHost: test\r\n\r\n").await;
        let answer = client.read_response_to_head().await;
        assert_eq!((answer.status, answer.header("content-length")), (200, Some("5")));
        client.send(ask("/?m=GET")).await;
        assert_eq!(client.read_response().await.text(), "hello");
    }
    a.answer(Answer::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_vec()));
    for _ in 0..2 {
        client.send(ask("/?m=HEAD")).await;
        assert_eq!(client.read_response().await.text(), "");
    }
    assert_eq!(get(lb.addr("web"), "/?m=HEAD").await.status, 200);
}

//! Which status for which failure, and what an error page says and does not say.

use crate::support::{Answer, Client, Origin, Response, request};
use crate::wired::Wired;
use crate::{GET, Setup, logged, plain};

#[track_caller]
fn is_error_page(response: &Response, status: u16) {
    assert_eq!(response.status, status, "{response:?}");
    assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"));
    assert!(response.header("date").is_some());
    let text = format!("{status} {}\n", response.reason);
    assert_eq!(response.text(), text);
    assert!(!format!("{response:?}").contains("secret"), "{response:?}");
}

#[tokio::test]
async fn what_is_not_a_request_is_answered_and_closed() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    let many = "X: 1\r\n".repeat(101);
    for (status, bytes) in [
        (400, "secret\r\n\r\n".to_owned()),
        (400, "\u{16}\u{3}\u{1}secret".to_owned()),
        (400, "GET /secret HTTP/1.1\r\n\r\n".to_owned()),
        (400, "GET /secret HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned()),
        (400, "GET /secret HTTP/1.1\r\nHost: a\r\nX : secret\r\n\r\n".to_owned()),
        (400, "GET /secret/%zz HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        (400, "GET /../secret HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        (
            400,
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
                .to_owned(),
        ),
        (405, "CONNECT secret:443 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        (405, "TRACE /secret HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        (414, format!("GET /secret{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(8200))),
        (
            417,
            "POST /secret HTTP/1.1\r\nHost: a\r\nExpect: secret\r\nContent-Length: 1\r\n\r\n"
                .to_owned(),
        ),
        (431, format!("GET /secret HTTP/1.1\r\nHost: a\r\n{many}\r\n")),
        (431, format!("GET /secret HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(33_000))),
        (501, "POST /secret HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned()),
        (505, "GET /secret HTTP/2.0\r\nHost: a\r\n\r\n".to_owned()),
    ] {
        let mut client = Client::connect(lb.addr("web")).await;
        client.send(&bytes).await;
        let response = client.read_response().await;
        is_error_page(&response, status);
        assert_eq!(response.header("connection"), Some("close"), "{bytes}");
        assert_eq!(response.header("allow").is_some(), status == 405);
        client.expect_closed().await;
    }
    assert_eq!(origin.requests(), 0);
}

#[tokio::test]
async fn a_body_with_broken_chunks_is_400_and_closed() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    let head = "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    let mut client = Client::connect(lb.addr("web")).await;
    client.send([head, "secret\r\n"].concat()).await;
    is_error_page(&client.read_response().await, 400);
    client.expect_closed().await;
    assert!(origin.seen().is_empty(), "no whole request reached the backend");
    origin.until_open(0).await;
    assert_eq!(logged(&lb, "400").await["failure"], "bad_body");
}

#[tokio::test]
async fn what_comes_too_late_is_408() {
    let origin = Origin::start("a").await;
    let setup = Setup {
        listener: "header_timeout = \"200ms\"\nbody_timeout = \"200ms\"",
        ..Setup::default()
    };
    let lb = setup.before(&[&origin]).await;
    let post = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\na";
    for (bytes, failure) in [(&GET[..9], "header_timeout"), (post, "body_timeout")] {
        let mut client = Client::connect(lb.addr("web")).await;
        client.send(bytes).await;
        is_error_page(&client.read_response().await, 408);
        client.expect_closed().await;
        logged(&lb, failure).await;
    }
    Client::connect(lb.addr("web")).await.expect_closed().await;
    origin.until_open(0).await;
}

#[tokio::test]
async fn a_body_above_the_limit_is_413_by_length_and_by_chunks() {
    let origin = Origin::start("a").await;
    let setup = Setup {
        listener: "max_body = 100",
        more: "[[route]]\npath = \"/free\"\nupstream = \"app\"\nmax_body = \"unlimited\"",
        ..Setup::default()
    };
    let lb = setup.before(&[&origin]).await;
    let length = |target, n| {
        let body = "x".repeat(n);
        format!("POST {target} HTTP/1.1\r\nHost: test\r\nContent-Length: {n}\r\n\r\n{body}")
    };
    let chunked = |target, n| {
        let chunks = "1\r\nx\r\n".repeat(n);
        format!(
            "POST {target} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
        )
    };
    for (bytes, status) in [
        (length("/", 100), 200),
        (length("/", 101), 413),
        (chunked("/", 100), 200),
        (chunked("/", 101), 413),
        (length("/free", 1000), 200),
        (chunked("/free", 1000), 200),
    ] {
        let response = request(lb.addr("web"), bytes).await;
        assert_eq!(response.status, status);
        if status == 413 {
            is_error_page(&response, 413);
        }
    }
}

#[tokio::test]
async fn a_client_that_still_sends_gets_to_see_why_it_is_refused() {
    let origin = Origin::start("a").await;
    let setup = Setup { listener: "max_body = \"1MiB\"", ..Setup::default() };
    let lb = setup.before(&[&origin]).await;
    for field in ["Content-Length: 20000000", "Transfer-Encoding: chunked"] {
        let mut client = Client::connect(lb.addr("web")).await;
        client.send(format!("POST / HTTP/1.1\r\nHost: test\r\n{field}\r\n\r\n")).await;
        if field.starts_with('T') {
            client.send("1000000\r\n").await;
        }
        client.upload(16_000_000);
        is_error_page(&client.read_response().await, 413);
    }
}

#[tokio::test]
async fn unrouted_requests_get_404_and_the_connection_lives_on() {
    let origin = Origin::start("a").await;
    let setup = Setup { route: "path = \"/in\"\nmethods = [\"GET\"]", ..Setup::default() };
    let lb = setup.before(&[&origin]).await;
    let mut client = Client::connect(lb.addr("web")).await;
    for head in [
        "GET /secret HTTP/1.1\r\nHost: test\r\n\r\n",
        "POST /in HTTP/1.1\r\nHost: test\r\nContent-Length: 6\r\n\r\nsecret",
        "POST /out HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nsecret\r\n0\r\n\r\n",
    ] {
        client.send(head).await;
        is_error_page(&client.read_response().await, 404);
    }
    client.send("GET /in HTTP/1.1\r\nHost: test\r\n\r\n").await;
    assert_eq!(client.read_response().await.status, 200);
}

#[tokio::test]
async fn broken_backends_are_502_and_the_client_stays() {
    let mut origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    let mut client = Client::connect(lb.addr("web")).await;
    let raw = |text: &str| Answer::RawThenClose(text.as_bytes().to_vec());
    let answers = [
        (Answer::Close, "reset"),
        (Answer::Reset, "reset"),
        (raw("HTTP/1.1 200 OK\r\nContent-"), "reset"),
        (raw("secret\r\n\r\n"), "invalid_response"),
        (
            raw("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
            "invalid_response",
        ),
        (
            raw("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\na"),
            "invalid_response",
        ),
        (raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nsecret"), "invalid_response"),
        (raw("HTTP/1.1 200 OK\r\nX: a\nb\r\n\r\nsecret"), "invalid_response"),
        (
            raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nsecret\r\n"),
            "invalid_response",
        ),
    ];
    let mut failures = Vec::new();
    for (place, (answer, failure)) in answers.into_iter().enumerate() {
        failures.push(failure);
        origin.answer(answer);
        client.send(format!("GET /{place} HTTP/1.1\r\nHost: test\r\n\r\n")).await;
        is_error_page(&client.read_response().await, 502);
    }
    for (place, failure) in failures.into_iter().enumerate() {
        let line = logged(&lb, &format!("\"target\":\"/{place}\"")).await;
        assert_eq!(line["failure"], failure, "{line}");
    }
    origin.stop().await;
    client.send(GET).await;
    is_error_page(&client.read_response().await, 502);
    logged(&lb, "connect_failed").await;
}

#[tokio::test]
async fn no_backend_to_ask_is_503_with_a_time_to_come_back() {
    let origin = Origin::start("a").await;
    let config = format!(
        "workers = 1\n[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n\
         [[route]]\nupstream = \"app\"\n[[upstream.app.backend]]\naddress = \"{}\"\n\
         state = \"disabled\"",
        origin.address()
    );
    let lb = crate::support::Lb::start(config).await;
    let mut client = Client::connect(lb.addr("web")).await;
    for _ in 0..2 {
        client.send(GET).await;
        let response = client.read_response().await;
        is_error_page(&response, 503);
        assert_eq!(response.header("retry-after"), Some("1"));
    }
}

#[tokio::test]
async fn silent_backends_are_504() {
    let backend = Wired::bind("127.0.0.1").await;
    for timeouts in ["{ read = \"100ms\" }", "{ total = \"100ms\" }"] {
        let upstream = format!("timeouts = {timeouts}");
        let setup = Setup { upstream: &upstream, ..Setup::default() };
        let lb = setup.start(&[&backend.address()]).await;
        is_error_page(&request(lb.addr("web"), GET).await, 504);
    }
}

#[tokio::test]
async fn a_backend_that_does_not_take_the_connection_is_504() {
    // A full backlog: further connections are not refused, but never stand either.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let _fill = tokio::net::TcpStream::connect(address).await.unwrap();
    let setup = Setup { upstream: "timeouts = { connect = \"100ms\" }", ..Setup::default() };
    let lb = setup.start(&[&address.to_string()]).await;
    is_error_page(&request(lb.addr("web"), GET).await, 504);
    logged(&lb, "connect_timeout").await;
}

#[tokio::test]
async fn a_head_request_gets_the_head_of_an_error_page() {
    let origin = Origin::start("a").await;
    let setup = Setup { route: "path = \"/in\"", ..Setup::default() };
    let lb = setup.before(&[&origin]).await;
    let mut client = Client::connect(lb.addr("web")).await;
    client.send("HEAD /out HTTP/1.1\r\nHost: test\r\n\r\n").await;
    let response = client.read_response_to_head().await;
    assert_eq!((response.status, response.header("content-length")), (404, Some("14")));
    client.send("GET /in HTTP/1.1\r\nHost: test\r\n\r\n").await;
    assert_eq!(client.read_response().await.status, 200);
}

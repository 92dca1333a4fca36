//! What is done as nginx does it where a file asks for it.

use crate::support::{Answer, Client, Origin, get, request};
use crate::{GET, Setup};

#[tokio::test]
async fn a_body_without_a_head_is_an_answer_where_that_is_wanted() {
    let origin = Origin::start("a").await;
    origin.answer(Answer::RawThenClose(b"<html>old</html>".to_vec()));
    let setup = Setup { upstream: "nginx.bare_answers = true", ..Setup::default() };
    let lb = setup.before(&[&origin]).await;
    let answer = request(lb.addr("web"), GET).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "<html>old</html>"));
    let mut client = Client::connect(lb.addr("web")).await;
    client.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n").await;
    assert_eq!(client.read_response_to_head().await.status, 200);
    let strict = Setup::default().before(&[&origin]).await;
    assert_eq!(request(strict.addr("web"), GET).await.status, 502);
}

#[tokio::test]
async fn chunks_of_http_1_0_are_read_where_that_is_wanted_and_their_connection_is_not_used_again() {
    let origin = Origin::start("a").await;
    origin.answer(Answer::Raw(
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n\
          3\r\nold\r\n0\r\n\r\n"
            .to_vec(),
    ));
    let setup = Setup { upstream: "nginx.chunked_http10 = true", ..Setup::default() };
    let lb = setup.before(&[&origin]).await;
    for connections in 1..=2 {
        let answer = get(lb.addr("web"), "/").await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "old"));
        assert_eq!(origin.connections(), connections);
    }
    let strict = Setup::default().before(&[&origin]).await;
    assert_eq!(get(strict.addr("web"), "/").await.status, 502);
}

#[tokio::test]
async fn of_repeated_fields_the_first_is_passed_on_where_that_is_wanted() {
    let origin = Origin::start("a").await;
    origin.answer(Answer::Raw(
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nExpires: 1\r\nX-A: 1\r\nexpires: 2\r\nX-A: 2\r\n\
          Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n"
            .to_vec(),
    ));
    let setup = Setup { route: "nginx.first_of_repeated = true", ..Setup::default() };
    let answer = get(setup.before(&[&origin]).await.addr("web"), "/").await;
    assert_eq!(answer.headers.all("expires"), ["1"]);
    assert_eq!(answer.headers.all("x-a"), ["1", "2"]);
    assert_eq!(answer.headers.all("set-cookie").len(), 2);
    let plain = get(Setup::default().before(&[&origin]).await.addr("web"), "/").await;
    assert_eq!(plain.headers.all("expires"), ["1", "2"]);
}

#[tokio::test]
async fn a_request_without_a_host_has_that_of_the_listener() {
    let origin = Origin::start("a").await;
    let setup = Setup {
        listener: "nginx.host = \"First.test\"",
        route: "request_headers.set.X-Host = \"${host}\"",
        ..Setup::default()
    };
    let lb = setup.before(&[&origin]).await;
    for (sent, host) in [("", "first.test"), ("Host: own.test\r\n", "own.test")] {
        let text = format!("GET / HTTP/1.0\r\n{sent}\r\n");
        assert_eq!(request(lb.addr("web"), text).await.status, 200);
        assert_eq!(origin.last().header("x-host").as_deref(), Some(host));
    }
}

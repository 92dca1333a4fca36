//! Requests in any piece sizes, and whether the client's connection lives on.

use crate::support::{Client, Origin, Response};
use crate::{GET, Setup, plain};

/// A request without more than this version and this field.
fn get(version: &str, field: &str) -> String {
    format!("GET / HTTP/{version}\r\nHost: test\r\n{field}\r\n")
}

#[tokio::test]
async fn connections_persist_as_version_and_field_say() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    for (version, field, persists, told) in [
        ("1.1", "", true, None),
        ("1.1", "Connection: keep-alive\r\n", true, None),
        ("1.1", "Connection: close\r\n", false, Some("close")),
        ("1.1", "Connection: Keep-Alive, Close\r\n", false, Some("close")),
        ("1.0", "", false, Some("close")),
        ("1.0", "Connection: Keep-Alive\r\n", true, Some("keep-alive")),
    ] {
        let mut client = Client::connect(lb.addr("web")).await;
        client.send(get(version, field)).await;
        let response = client.read_response().await;
        assert_eq!((response.status, response.text().as_str()), (200, "a"));
        assert_eq!(response.version, "HTTP/1.1");
        assert_eq!(response.header("connection"), told, "{version} {field:?}");
        if persists {
            client.send(get("1.1", "Connection: close\r\n")).await;
            assert_eq!(client.read_response().await.status, 200);
        }
        client.expect_closed().await;
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let more = format!(
        "[[route]]\nname = \"b\"\npath = \"/b\"\nupstream = \"b\"\n\
         [upstream.b]\n[[upstream.b.backend]]\naddress = \"{}\"",
        b.address()
    );
    let setup = Setup { more: &more, ..Setup::default() };
    let lb = setup.before(&[&a]).await;
    let mut client = Client::connect(lb.addr("web")).await;
    let post = "POST /b HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc";
    let chunked = "POST /b HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n\
                   2\r\nde\r\n0\r\n\r\n";
    client.send([GET, post, GET, chunked, GET].concat()).await;
    for name in ["a", "b", "a", "b", "a"] {
        assert_eq!(client.read_response().await.text(), name);
    }
    let bodies: Vec<_> = b.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies, [b"abc", &b"de"[..]]);
}

#[tokio::test]
async fn many_pipelined_requests_are_all_answered() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(GET.repeat(3000)).await;
    for _ in 0..3000 {
        assert_eq!(client.read_response().await.status, 200);
    }
    assert_eq!((origin.requests(), origin.connections()), (3000, 1));
}

#[tokio::test]
async fn a_request_may_come_byte_by_byte() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    let mut client = Client::connect(lb.addr("web")).await;
    let requests = "\r\nPOST /x HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n\
                    3;e=\"1\"\r\nabc\r\n1\r\nd\r\n0\r\nX-T: 1\r\n\r\n\
                    POST /y HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nef";
    for byte in requests.as_bytes() {
        client.send([*byte]).await;
        tokio::task::yield_now().await;
    }
    for _ in 0..2 {
        assert_eq!(client.read_response().await.status, 200);
    }
    let seen = origin.seen();
    assert_eq!((&seen[0].body[..], &seen[1].body[..]), (&b"abcd"[..], &b"ef"[..]));
    assert_eq!(seen[0].trailers.one("x-t"), Some("1"));
}

#[tokio::test]
async fn the_next_head_may_come_with_the_end_of_a_body() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    let mut client = Client::connect(lb.addr("web")).await;
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 6\r\n\r\nabc").await;
    origin.until_requests(1).await;
    client.send(["def", &GET[..10]].concat()).await;
    assert_eq!(client.read_response().await.status, 200);
    client.send(&GET[10..]).await;
    assert_eq!(client.read_response().await.status, 200);
    assert_eq!(origin.seen()[0].body, b"abcdef");
}

#[tokio::test]
async fn what_was_pipelined_behind_the_last_request_does_not_cost_its_answer() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    let mut client = Client::connect(lb.addr("web")).await;
    let last = get("1.1", "Connection: close\r\n");
    client.send([last.as_str(), GET, GET].concat()).await;
    let Response { status, body, .. } = client.read_response().await;
    assert_eq!((status, &body[..]), (200, &b"a"[..]));
    client.expect_closed().await;
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn an_empty_line_behind_a_request_is_not_another_request() {
    let origin = Origin::start("a").await;
    let setup = Setup { listener: "header_timeout = \"100ms\"", ..Setup::default() };
    let lb = setup.before(&[&origin]).await;
    let mut client = Client::connect(lb.addr("web")).await;
    client.send([GET, "\r\n"].concat()).await;
    assert_eq!(client.read_response().await.status, 200);
    // An answer that nobody asked for would be taken for that of the next request.
    client.expect_closed().await;
}

//! What a backend is told of the client and its request.

use crate::support::{Answer, Origin, Seen, request};
use crate::{GET, Setup, plain};

async fn seen(listener: &str, fields: &str) -> Seen {
    let origin = Origin::start("a").await;
    let setup = Setup { listener, ..Setup::default() };
    let lb = setup.before(&[&origin]).await;
    let head = format!("GET / HTTP/1.1\r\nHost: Test:81\r\n{fields}\r\n");
    assert_eq!(request(lb.addr("web"), head).await.status, 200);
    origin.last()
}

const CLAIMED: &str = "X-Forwarded-For: 9.9.9.9, 10.1.2.3\r\nX-Forwarded-Proto: https\r\n\
                       X-Forwarded-Host: shop\r\nForwarded: for=9.9.9.9\r\nX-Real-IP: 9.9.9.9\r\n";

#[tokio::test]
async fn what_an_unknown_client_claims_is_replaced() {
    let seen = seen("forwarded = \"auto\"", CLAIMED).await;
    for (name, value) in [
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "Test:81"),
        ("forwarded", "for=127.0.0.1;host=\"Test:81\";proto=http"),
        ("x-real-ip", "127.0.0.1"),
    ] {
        assert_eq!(seen.header(name).as_deref(), Some(value), "{name}");
    }
}

#[tokio::test]
async fn what_a_trusted_proxy_tells_is_believed_and_continued() {
    let listener = "trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]\nforwarded = \"auto\"";
    let seen = seen(listener, CLAIMED).await;
    for (name, value) in [
        ("x-forwarded-for", "9.9.9.9, 10.1.2.3, 127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "shop"),
        ("x-real-ip", "9.9.9.9"),
    ] {
        assert_eq!(seen.header(name).as_deref(), Some(value), "{name}");
    }
    let forwarded = seen.header("forwarded").unwrap();
    assert!(forwarded.starts_with("for=9.9.9.9, for=127.0.0.1;"), "{forwarded}");
}

#[tokio::test]
async fn by_default_no_forwarded_field_passes() {
    let seen = seen("", CLAIMED).await;
    assert_eq!(seen.header("forwarded"), None);
    assert_eq!(seen.header("x-forwarded-for").as_deref(), Some("127.0.0.1"));
}

#[tokio::test]
async fn a_request_has_an_id_its_own_or_a_new_one() {
    let own = seen("", "X-Request-Id: my-own-id\r\n").await;
    assert_eq!(own.header("x-request-id").as_deref(), Some("my-own-id"));
    let ids = [seen("", "").await, seen("", "X-Request-Id: not sane\r\n").await]
        .map(|seen| seen.header("x-request-id").unwrap());
    assert!(ids.iter().all(|id| id.len() == 32), "{ids:?}");
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn fields_of_one_connection_stay_there() {
    let seen = seen(
        "",
        "Connection: keep-alive, X-Hop, X-Forwarded-For, Cookie\r\nKeep-Alive: 5\r\n\
         Proxy-Connection: x\r\nTE: gzip\r\nX-Hop: 1\r\nUpgrade: websocket\r\nCookie: a=b\r\n",
    )
    .await;
    for name in ["connection", "keep-alive", "proxy-connection", "te", "x-hop", "upgrade"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert_eq!(seen.header("cookie").as_deref(), Some("a=b"), "nobody may have that dropped");
    assert!(seen.header("x-forwarded-for").is_some());
}

#[tokio::test]
async fn fields_of_the_backends_connection_stay_there() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    origin.answer(Answer::Raw(
        b"HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\n\
          X-Hop: 1\r\nProxy-Connection: x\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n"
            .to_vec(),
    ));
    let response = request(lb.addr("web"), GET).await;
    for name in ["connection", "keep-alive", "x-hop", "proxy-connection", "upgrade"] {
        assert_eq!(response.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn order_case_and_repetition_of_fields_are_kept() {
    let fields = "x-LOWER: 1\r\nAccept: a\r\nX-Twice: 1\r\nAccept: b\r\nX-Twice: 2\r\nx-empty:\r\n";
    let seen = seen("", fields).await;
    let head = String::from_utf8(seen.head).unwrap();
    let kept = fields.replace("x-empty:", "x-empty: ");
    assert!(head.contains(&kept), "{head}");
    assert!(head.starts_with("GET / HTTP/1.1\r\nHost: Test:81\r\n"), "{head}");

    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    let fields = "sErVer: x\r\nSet-Cookie: a\r\nX-A: 1\r\nSet-Cookie: b\r\nDate: today\r\n";
    let answer = format!("HTTP/1.1 299 My Own\r\n{fields}Content-Length: 0\r\n\r\n");
    origin.answer(Answer::Raw(answer.into_bytes()));
    let mut client = crate::support::Client::connect(lb.addr("web")).await;
    client.send("GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").await;
    let bytes = client.read_to_end().await;
    let expected =
        format!("HTTP/1.1 299 My Own\r\n{fields}Content-Length: 0\r\nConnection: close\r\n\r\n");
    assert_eq!(String::from_utf8_lossy(&bytes), expected);
}

//! The PROXY protocol from trusted proxies: who is behind them counts as the other end.

use crate::support::{Client, Lb, Origin, request};
use crate::wired::Wired;
use crate::{GET, Setup, logged};

const LINE: &str = "PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\n";

async fn before(origin: &Origin, trusted: &str) -> Lb {
    let listener =
        format!("proxy_protocol = true\ntrusted_proxies = [{trusted}]\nheader_timeout = \"300ms\"");
    let route = "request_headers = { set = { X-Ends = \"${proxied.client_ip} \
                 ${proxied.client_port} ${proxied.server_ip} ${proxied.server_port}\" } }";
    let setup = Setup { listener: &listener, route, ..Setup::default() };
    setup.before(&[origin]).await
}

#[tokio::test]
async fn the_address_that_a_trusted_proxy_tells_is_the_clients() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "\"127.0.0.1\"").await;
    let mut client = Client::connect(lb.addr("web")).await;
    // However it trickles in, and for each request of the connection.
    let (first, rest) = LINE.split_at(9);
    client.send(first).await;
    client.send([rest, GET, GET].concat()).await;
    for _ in 0..2 {
        assert_eq!(client.read_response().await.status, 200);
    }
    for seen in origin.seen() {
        let head = String::from_utf8(seen.head).unwrap();
        assert!(head.contains("X-Real-IP: 192.0.2.1\r\n"), "{head}");
        assert!(head.contains("X-Forwarded-For: 192.0.2.1\r\n"), "{head}");
        assert!(head.contains("X-Ends: 192.0.2.1 4711 192.0.2.2 80\r\n"), "{head}");
    }
    assert_eq!(logged(&lb, "\"status\":200").await["client"], "192.0.2.1");
}

#[tokio::test]
async fn a_trusted_proxy_that_tells_nothing_is_cut_off() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "\"127.0.0.1\"").await;
    for bytes in [GET, "PROXY NONSENSE\r\nGET / HTTP/1.1\r\n\r\n", "", "PROXY TCP4 192."] {
        let mut client = Client::connect(lb.addr("web")).await;
        client.send(bytes).await;
        assert_eq!(client.read_to_end().await, b"", "{bytes}");
    }
    assert_eq!(origin.requests(), 0);
}

#[tokio::test]
async fn a_proxy_that_speaks_for_itself_is_the_client() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "\"127.0.0.1\"").await;
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";
    for header in [&b"PROXY UNKNOWN\r\n"[..], local] {
        let response = request(lb.addr("web"), [header, GET.as_bytes()].concat()).await;
        assert_eq!(response.status, 200);
        let head = String::from_utf8(origin.seen().pop().unwrap().head).unwrap();
        assert!(head.contains("X-Real-IP: 127.0.0.1\r\n"), "{head}");
    }
}

/// A header of version 2.
fn binary(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16).to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length, body].concat()
}

#[tokio::test]
async fn what_follows_the_addresses_is_passed_over_and_other_addresses_are_none() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "\"127.0.0.1\"").await;
    let ends = [192, 0, 2, 1, 192, 0, 2, 2, 0x12, 0x67, 0, 80];
    // An ALPN, a checksum that nobody looks at, and bytes that no TLV begins with.
    let more = [&ends[..], &[1, 0, 2, b'h', b'2', 3, 0, 4, 9, 9, 9, 9, 0xff]].concat();
    let unix = [b'/'; 216];
    for (header, address) in [
        (binary(0x21, 0x11, &more), "192.0.2.1"),
        (binary(0x20, 0x11, &more), "127.0.0.1"),
        (binary(0x20, 0, &[4, 0, 1, 0]), "127.0.0.1"),
        (binary(0x21, 0x31, &unix), "127.0.0.1"),
        (binary(0x21, 0x12, &ends), "127.0.0.1"),
        (binary(0x21, 0x11, &[&ends[..], &[0; 4068]].concat()), "192.0.2.1"),
    ] {
        let response = request(lb.addr("web"), [&header, GET.as_bytes()].concat()).await;
        assert_eq!(response.status, 200, "{}", header.escape_ascii());
        let head = String::from_utf8(origin.seen().pop().unwrap().head).unwrap();
        assert!(head.contains(&format!("X-Real-IP: {address}\r\n")), "{head}");
    }
    let asked = origin.requests();
    for header in [
        // Less than the addresses take, more than is taken, another version, another command.
        binary(0x21, 0x11, &ends[..11]),
        binary(0x21, 0x21, &ends),
        binary(0x21, 0x11, &[0; 4096]),
        binary(0x11, 0x11, &ends),
        binary(0x22, 0x11, &ends),
    ] {
        let mut client = Client::connect(lb.addr("web")).await;
        client.send_what_is_taken([&header, GET.as_bytes()].concat()).await;
        assert_eq!(client.read_to_end().await, b"", "{}", header.escape_ascii());
    }
    assert_eq!(origin.requests(), asked);
}

#[tokio::test]
async fn strangers_speak_plain_http() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "\"10.0.0.0/8\"").await;
    assert_eq!(request(lb.addr("web"), GET).await.status, 200);
    assert_eq!(request(lb.addr("web"), [LINE, GET].concat()).await.status, 400);
}

#[tokio::test]
async fn a_backend_is_told_who_the_client_is_on_a_connection_for_it_alone() {
    let backend = Wired::bind("127.0.0.1").await;
    for (version, begin) in
        [("v1", &b"PROXY TCP4 127.0.0.1 127.0.0.1 "[..]), ("v2", b"\r\n\r\n\0\r\nQUIT\n\x21")]
    {
        let upstream = format!("send_proxy = \"{version}\"");
        let setup = Setup { upstream: &upstream, ..Setup::default() };
        let lb = setup.start(&[&backend.address()]).await;
        let mut client = Client::connect(lb.addr("web")).await;
        let port = client.local_addr().port();
        for _ in 0..2 {
            client.send(GET).await;
            let mut wire = backend.accept().await;
            let head = wire.bytes_until(b"\r\n\r\n", GET.len()).await;
            assert!(head.starts_with(begin), "{}", head.escape_ascii());
            let told = match version {
                "v1" => {
                    head.windows(5).any(|bytes| bytes == port.to_string().as_bytes())
                        || port < 10_000
                }
                _ => head[24..26] == port.to_be_bytes(),
            };
            assert!(told, "{port} in {}", head.escape_ascii());
            let text = String::from_utf8_lossy(&head).into_owned();
            assert!(text.contains("GET / HTTP/1.1\r\n"), "{text}");
            assert!(text.contains("Connection: close\r\n"), "{text}");
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            assert_eq!(client.read_response().await.text(), "ok");
            assert_eq!(wire.rest().await, b"", "the connection is not used again");
        }
    }
}

#[tokio::test]
async fn a_probe_tells_that_it_speaks_for_itself() {
    let backend = Wired::bind("127.0.0.1").await;
    for (version, begin) in
        [("v1", &b"PROXY UNKNOWN\r\nGET /up"[..]), ("v2", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0GET /up")]
    {
        let upstream = format!("send_proxy = \"{version}\"\nhealth = {{ path = \"/up\" }}");
        let setup = Setup { upstream: &upstream, ..Setup::default() };
        let _lb = setup.start(&[&backend.address()]).await;
        let mut wire = backend.accept().await;
        let head = wire.bytes_until(b"/up HTTP/1.1", 0).await;
        assert!(head.starts_with(begin), "{}", head.escape_ascii());
    }
}

//! Against small origins on loopback.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;

use super::*;

fn http() -> HttpProbe {
    HttpProbe {
        path: "/health?deep=1".into(),
        method: "GET".into(),
        host: None,
        headers: Vec::new(),
        expect: vec![(200, 399)],
        body: None,
    }
}

fn health(probe: Probe) -> Health {
    Health {
        send_proxy: None,
        probe,
        interval: Duration::from_secs(10),
        fast_interval: Duration::from_secs(2),
        timeout: Duration::from_secs(5),
        rise: 2,
        fall: 3,
        jitter: 0.1,
        port: None,
    }
}

/// Answers one connection with `answer`; yields the request head it was sent.
async fn answer_once<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, answer: Vec<u8>) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        head.push(byte[0]);
    }
    // The probe may have seen enough before all is written.
    let _ = stream.write_all(&answer).await;
    String::from_utf8(head).unwrap()
}

async fn origin(answer: impl Into<Vec<u8>>) -> (SocketAddr, JoinHandle<String>) {
    let answer = answer.into();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        answer_once(stream, answer).await
    });
    (address, served)
}

async fn ask_origin(answer: impl Into<Vec<u8>>, probe_as: HttpProbe) -> Result<(), String> {
    let (address, _served) = origin(answer).await;
    probe(&Address::Ip(address), "api:80", None, &health(Probe::Http(probe_as))).await
}

/// An address where nobody listens. Each test names an IP of its own: another might be given the port.
async fn nobody(at: &str) -> SocketAddr {
    TcpListener::bind(at).await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn expected_status_is_well_and_the_request_is_as_configured() {
    let (address, served) = origin("HTTP/1.1 204 No Content\r\n\r\n").await;
    let settings = HttpProbe { headers: vec![("X-Probe".into(), "1".into())], ..http() };
    let result = probe(&Address::Ip(address), "api:80", None, &health(Probe::Http(settings))).await;
    assert_eq!(result, Ok(()));
    let head = served.await.unwrap().to_lowercase();
    assert!(head.starts_with("get /health?deep=1 http/1.1\r\n"), "{head}");
    for field in ["host: api:80", "connection: close", "x-probe: 1", "user-agent: plimsoll/"] {
        assert!(head.contains(&format!("\r\n{field}")), "{field} is missing in {head}");
    }
}

#[tokio::test]
async fn configured_host_and_agent_replace_ours() {
    let (address, served) = origin("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let settings = HttpProbe {
        host: Some("www.example.com".into()),
        headers: vec![("User-Agent".into(), "mine".into())],
        method: "HEAD".into(),
        ..http()
    };
    let result = probe(&Address::Ip(address), "api:80", None, &health(Probe::Http(settings))).await;
    assert_eq!(result, Ok(()));
    let head = served.await.unwrap().to_lowercase();
    assert!(head.starts_with("head "), "{head}");
    assert!(head.contains("\r\nhost: www.example.com\r\n"), "{head}");
    assert_eq!(head.matches("user-agent").count(), 1, "{head}");
}

#[tokio::test]
async fn other_status_is_the_reason() {
    let result = ask_origin("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", http()).await;
    assert_eq!(result, Err("status 503, expected 200-399".into()));
    let settings = HttpProbe { expect: vec![(200, 204), (404, 404)], ..http() };
    let result = ask_origin("HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n", settings).await;
    assert_eq!(result, Err("status 302, expected 200-204, 404".into()));
}

#[tokio::test]
async fn refused_connection_is_the_reason() {
    let address = Address::Ip(nobody("127.0.1.1:0").await);
    for kind in [Probe::Tcp, Probe::Http(http())] {
        let result = probe(&address, "api:80", None, &health(kind)).await;
        assert_eq!(result, Err("connection refused".into()));
    }
}

#[tokio::test]
async fn silence_is_the_reason_after_the_timeout() {
    // Accepts (by its backlog) and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::Ip(silent.local_addr().unwrap());
    let settings = Health { timeout: Duration::from_millis(30), ..health(Probe::Http(http())) };
    let result = probe(&address, "api:80", None, &settings).await;
    assert_eq!(result, Err("no answer within 30ms".into()));
}

#[tokio::test]
async fn what_is_not_http_is_broken() {
    let result = ask_origin("SSH-2.0-OpenSSH_9.2\r\n", http()).await;
    assert!(result.unwrap_err().starts_with("broken answer: "));
}

#[tokio::test]
async fn body_must_contain_the_text_within_its_first_64_kib() {
    let settings = HttpProbe { body: Some("all well".into()), ..http() };
    let answer = |filler: usize, text: &str| {
        let length = filler + text.len();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
        format!("{head}{}{text}", "x".repeat(filler))
    };
    let fits = BODY_SEARCHED - "all well".len();
    for filler in [0, 1, fits] {
        let result = ask_origin(answer(filler, "all well"), settings.clone()).await;
        assert_eq!(result, Ok(()), "{filler}");
    }
    let late = ask_origin(answer(fits + 1, "all well"), settings.clone()).await;
    let reason = r#""all well" is not in the first 65536 bytes of the body"#;
    assert_eq!(late, Err(reason.into()));
    let absent = ask_origin(answer(0, "all bad"), settings.clone()).await;
    let reason = r#""all well" is not in the first 7 bytes of the body"#;
    assert_eq!(absent, Err(reason.into()));
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
                   4\r\nall \r\n4\r\nwell\r\n0\r\n\r\n";
    assert_eq!(ask_origin(chunked, settings).await, Ok(()), "the text may span frames");
}

#[tokio::test]
async fn other_port_is_asked() {
    let well = TcpListener::bind("127.0.1.2:0").await.unwrap();
    let settings = Health { port: Some(well.local_addr().unwrap().port()), ..health(Probe::Tcp) };
    let address = Address::Ip(nobody("127.0.1.2:0").await);
    assert_eq!(probe(&address, "api:80", None, &settings).await, Ok(()));
}

#[tokio::test]
async fn unix_socket_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("origin.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        answer_once(stream, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec()).await
    });
    let result = probe(&Address::Unix(path), "unix:/x", None, &health(Probe::Http(http()))).await;
    assert_eq!(result, Ok(()));
    assert!(served.await.unwrap().to_lowercase().contains("\r\nhost: localhost\r\n"));
}

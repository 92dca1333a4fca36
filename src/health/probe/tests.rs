//! Against small origins on loopback.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;

use super::*;
use crate::config::model::{HttpProbe, TcpProbe};

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

fn health(probe: Probe) -> Check {
    Check {
        name: "health".into(),
        send_proxy: None,
        probe,
        interval: Duration::from_secs(10),
        fast_interval: Duration::from_secs(2),
        down_interval: Duration::from_secs(30),
        timeout: Duration::from_secs(5),
        max_latency: None,
        rise: 2,
        fall: 3,
        jitter: 0.1,
        start_period: Duration::ZERO,
        port: None,
        depends_on: Vec::new(),
        counts: true,
    }
}

fn tcp() -> Probe {
    Probe::Tcp(TcpProbe::default())
}

/// What is found of `api:80` at this address.
async fn find(address: &Address, check: &Check) -> Finding {
    let target =
        Target { upstream: "api", backend: "api:80", address, authority: "api:80", tls: None };
    probe(&target, check, &mut Talk::default()).await
}

/// The same as good or bad.
async fn judge(address: &Address, check: &Check) -> Result<(), String> {
    let Finding { found, why, share } = find(address, check).await;
    assert_eq!(share, None);
    match found {
        Found::Up => Ok(()),
        Found::Down => Err(why),
        found => panic!("{found:?}: {why}"),
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
    judge(&Address::Ip(address), &health(Probe::Http(probe_as))).await
}

/// An address where nobody listens. Each test names an IP of its own: another might be given the port.
async fn nobody(at: &str) -> SocketAddr {
    TcpListener::bind(at).await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn expected_status_is_well_and_the_request_is_as_configured() {
    let (address, served) = origin("HTTP/1.1 204 No Content\r\n\r\n").await;
    let settings = HttpProbe { headers: vec![("X-Probe".into(), "1".into())], ..http() };
    let result = judge(&Address::Ip(address), &health(Probe::Http(settings))).await;
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
    let result = judge(&Address::Ip(address), &health(Probe::Http(settings))).await;
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
    for kind in [tcp(), Probe::Http(http())] {
        let result = judge(&address, &health(kind)).await;
        assert_eq!(result, Err("connection refused".into()));
    }
}

#[tokio::test]
async fn silence_is_the_reason_after_the_timeout() {
    // Accepts (by its backlog) and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::Ip(silent.local_addr().unwrap());
    let settings = Check { timeout: Duration::from_millis(30), ..health(Probe::Http(http())) };
    let result = judge(&address, &settings).await;
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
    let fits = 64 * 1024 - "all well".len();
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
    let settings = Check { port: Some(well.local_addr().unwrap().port()), ..health(tcp()) };
    let address = Address::Ip(nobody("127.0.1.2:0").await);
    assert_eq!(judge(&address, &settings).await, Ok(()));
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
    let result = judge(&Address::Unix(path), &health(Probe::Http(http()))).await;
    assert_eq!(result, Ok(()));
    assert!(served.await.unwrap().to_lowercase().contains("\r\nhost: localhost\r\n"));
}

#[tokio::test]
async fn what_an_answer_says_of_itself_counts() {
    let says = async |head: &str, body: &str| {
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\n{head}content-length: {length}\r\n\r\n{body}");
        let (address, _served) = origin(answer).await;
        find(&Address::Ip(address), &health(Probe::Http(http()))).await.found
    };
    let json = "content-type: application/json\r\n";
    for (status, found) in [
        ("healthy", Found::Up),
        ("Degraded", Found::Degraded),
        ("unhealthy", Found::Down),
        ("confused", Found::Up),
    ] {
        let body = format!(r#"{{"status": "{status}", "checks": {{}}}}"#);
        assert_eq!(says(json, &body).await, found, "{status}");
        assert_eq!(says("content-type: text/plain\r\n", &body).await, Found::Up, "{status}");
    }
    assert_eq!(
        says("content-type: application/health+json\r\n", r#"{"status":"warn"}"#).await,
        Found::Degraded
    );
    assert_eq!(says(json, "{ not JSON").await, Found::Up);
    assert_eq!(says("plimsoll-degraded: cache is cold\r\n", "").await, Found::Degraded);
    assert_eq!(says("plimsoll-degraded: false\r\n", "").await, Found::Up);
    assert_eq!(says("plimsoll-drain: 1\r\nplimsoll-degraded: 1\r\n", "").await, Found::Draining);
}

/// Says `greeting`, reads what it is sent, and answers each piece in turn; then waits for the end.
async fn peer(answers: Vec<&'static [u8]>) -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = [0; 4096];
        for answer in answers {
            if stream.read(&mut heard).await.unwrap_or(0) == 0 {
                return;
            }
            // The probe may have seen enough.
            let _ = stream.write_all(answer).await;
        }
        while stream.read(&mut heard).await.unwrap_or(0) > 0 {}
    });
    Address::Ip(address)
}

#[tokio::test]
async fn bytes_are_sent_and_waited_for() {
    let kind = || Probe::Tcp(TcpProbe { send: "PING\r\n".into(), receive: "+PONG".into() });
    let good = peer(vec![b"noise +PONG\r\n"]).await;
    assert_eq!(judge(&good, &health(kind())).await, Ok(()));
    let endless: &[u8] = &[b'x'; 8192];
    let bad = judge(&peer(vec![endless]).await, &health(kind())).await;
    assert_eq!(bad, Err("\"+PONG\" is not in the 4096 bytes that came".into()));
}

#[tokio::test]
async fn good_answer_that_comes_late_is_a_degraded_one() {
    let check = Check { max_latency: Some(Duration::ZERO), ..health(tcp()) };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let finding = find(&Address::Ip(listener.local_addr().unwrap()), &check).await;
    assert_eq!(finding.found, Found::Degraded, "{}", finding.why);
}

#[tokio::test]
async fn an_agent_that_is_away_says_nothing() {
    let check = health(Probe::Agent("state?\n".into()));
    let away = Address::Ip(nobody("127.0.1.3:0").await);
    assert_eq!(find(&away, &check).await.found, Found::Nothing);
    let says = find(&peer(vec![b"drain 30% # night\n"]).await, &check).await;
    assert_eq!((says.found, says.share), (Found::Draining, Some(30)), "{}", says.why);
    let mute = Check { timeout: Duration::from_millis(30), ..check };
    assert_eq!(find(&peer(vec![]).await, &mute).await.found, Found::Nothing);
}

#[tokio::test]
async fn a_redis_that_loads_is_not_well() {
    let probe = || Probe::Redis(crate::config::model::RedisProbe { login: None, role: None });
    let loading = peer(vec![b"-LOADING Redis is loading the dataset in memory\r\n"]).await;
    let why = judge(&loading, &health(probe())).await.unwrap_err();
    assert!(why.starts_with("LOADING"), "{why}");
}

fn run(command: &[&str], timeout: u64) -> Check {
    let command = command.iter().map(|word| (*word).to_owned()).collect();
    Check { timeout: Duration::from_millis(timeout), ..health(Probe::Exec(command)) }
}

#[tokio::test]
async fn a_programs_status_is_its_word_and_its_first_line_the_reason() {
    let at = Address::Ip(([127, 0, 0, 1], 80).into());
    let says = async |script: &str| {
        let finding = find(&at, &run(&["/bin/sh", "-c", script], 20_000)).await;
        (finding.found, finding.why)
    };
    let named =
        says("echo $PLIMSOLL_UPSTREAM $PLIMSOLL_BACKEND $PLIMSOLL_HOST $PLIMSOLL_PORT").await;
    assert_eq!(named, (Found::Up, "api api:80 127.0.0.1 80".to_owned()));
    assert_eq!(says("echo slow; echo more; exit 1").await, (Found::Degraded, "slow".to_owned()));
    assert_eq!(says("exit 2").await, (Found::Down, "exit status: 2".to_owned()));
    assert_eq!(says("kill -9 $$").await.0, Found::Down);
    assert_eq!(says("env | wc -l").await.1.trim(), "6", "PATH, PWD and what the check is about");
    // Much more than a pipe holds, and than is kept.
    assert_eq!(says("head -c 1000000 /dev/zero").await.0, Found::Up);
    let absent = find(&at, &run(&["/nonexistent/check"], 20_000)).await;
    assert!(absent.found == Found::Down && absent.why.contains("does not start"), "{}", absent.why);
}

#[tokio::test]
async fn a_program_that_hangs_is_killed_with_all_that_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("pid");
    let script = format!("sleep 1000 & echo $! > {}; wait", mark.display());
    let at = Address::Ip(([127, 0, 0, 1], 80).into());
    let finding = find(&at, &run(&["/bin/sh", "-c", &script], 2_000)).await;
    assert_eq!((finding.found, &*finding.why), (Found::Down, "no answer within 2s"));
    let pid = std::fs::read_to_string(&mark).unwrap();
    let gone = || match std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())) {
        Ok(stat) => stat.contains(") Z "),
        Err(_) => true,
    };
    for _ in 0..1_000 {
        if gone() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} still runs", pid.trim());
}

#[tokio::test]
async fn a_program_that_has_ended_has_spoken_whatever_it_left_running() {
    let at = Address::Ip(([127, 0, 0, 1], 80).into());
    let script = "sleep 1000 & setsid sleep 20 & echo all is well; exit 1";
    let finding = find(&at, &run(&["/bin/sh", "-c", script], 10_000)).await;
    assert_eq!((finding.found, &*finding.why), (Found::Degraded, "all is well"));
}

#[tokio::test]
async fn this_machine_is_measured() {
    use crate::config::model::{NodePart, NodeProbe};
    let at = Address::Ip(([127, 0, 0, 1], 80).into());
    for what in [NodePart::Load, NodePart::Memory, NodePart::Disk("/".into())] {
        let of = async |warn, limit| {
            let check = health(Probe::Node(NodeProbe { what: what.clone(), warn, limit }));
            find(&at, &check).await.found
        };
        assert_eq!(of(1e9, 1e9).await, Found::Up, "{what:?}");
        assert_eq!(of(-1.0, 1e9).await, Found::Degraded, "{what:?}");
        assert_eq!(of(-1.0, -1.0).await, Found::Down, "{what:?}");
    }
    let nowhere = NodePart::Disk("/nonexistent".into());
    let check = health(Probe::Node(NodeProbe { what: nowhere, warn: 0.8, limit: 0.9 }));
    assert_eq!(find(&at, &check).await.found, Found::Down);
}

/// A health service that answers with this status of gRPC, and this one of its own.
async fn health_service(grpc_status: &'static str, serving: u8) -> Address {
    use http_body_util::{BodyExt, Full};
    use hyper::body::Bytes;
    use hyper::header::HeaderMap;

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = move |request: hyper::Request<hyper::body::Incoming>| async move {
        assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
        assert_eq!(request.headers()["content-type"], "application/grpc");
        let asked = request.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(*asked, *b"\0\0\0\0\x05\x0a\x03a.B");
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", grpc_status.parse().unwrap());
        let message = Bytes::from(vec![0, 0, 0, 0, 2, 8, serving]);
        let body = Full::new(message).with_trailers(async move { Some(Ok(trailers)) });
        Ok::<_, std::convert::Infallible>(hyper::Response::new(body))
    };
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let executor = hyper_util::rt::TokioExecutor::new();
        let service = hyper::service::service_fn(answer);
        // The probe goes away when it has its answer.
        let _ = hyper::server::conn::http2::Builder::new(executor)
            .serve_connection(hyper_util::rt::TokioIo::new(stream), service)
            .await;
    });
    Address::Ip(address)
}

#[tokio::test]
async fn grpc_servers_are_asked_by_their_health_service() {
    let check = health(Probe::Grpc("a.B".into()));
    assert_eq!(judge(&health_service("0", 1).await, &check).await, Ok(()));
    let not = judge(&health_service("0", 2).await, &check).await;
    assert_eq!(not, Err("NOT_SERVING".into()));
    let unknown = judge(&health_service("5", 0).await, &check).await;
    assert_eq!(unknown, Err("the health service does not know this service".into()));
    let speaks_http1 = peer(vec![b"HTTP/1.1 400 Bad Request\r\n\r\n"]).await;
    let broken = judge(&speaks_http1, &check).await.unwrap_err();
    assert!(broken.starts_with("broken answer"), "{broken}");
}

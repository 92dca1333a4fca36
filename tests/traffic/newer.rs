//! What nginx has learnt since the one of this machine, which therefore cannot be asked: imported, run, and
//! looked at.

use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;

use crate::choosing::the_quick_one_is_picked;
use crate::support::frames::{END_HEADERS, END_STREAM, Frames, HEADERS, asking, block, frame};
use crate::support::{Answer, Lb, Origin, get, request, until};

/// Runs what an nginx.conf is imported as: this within `http`, and this within its one server.
async fn nginx(http: &str, server: &str) -> Lb {
    let folder = tempfile::tempdir().unwrap();
    let conf = folder.path().join("nginx.conf");
    let text = format!(
        "worker_processes 1;\nevents {{}}\nhttp {{\n    access_log off;\n    {http}\n    server {{\n        \
         listen 127.0.0.1:80;\n        {server}\n    }}\n}}\n"
    );
    std::fs::write(&conf, text).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    program.args(["import-nginx", "--strict"]).arg(&conf).stdin(Stdio::null());
    let output = program.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let toml = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    Lb::start(toml.replace("\"127.0.0.1:80\"", "\"127.0.0.1:0\"")).await
}

/// Where it listens.
fn at(lb: &Lb) -> std::net::SocketAddr {
    lb.addr("127.0.0.1:0")
}

/// Servers of a service: priority and port of each.
type Servers = Arc<Mutex<Vec<(u16, u16)>>>;

/// A name server that knows one service, all of whose servers are on this machine, for a second each
/// (RFC 1035 §4.1, RFC 2782).
async fn service(servers: &Servers) -> std::net::SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let servers = Arc::clone(servers);
    tokio::spawn(async move {
        let mut question = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut question).await {
            let question = &question[..length];
            let ends = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
            let (name, kind) = (&question[12..ends], &question[ends..ends + 2]);
            let mut records = Vec::new();
            match kind {
                [0, 1] => records.push(vec![127, 0, 0, 1]),
                [0, 33] if name.to_ascii_lowercase().starts_with(b"\x05_http\x04_tcp\x03app") => {
                    for (priority, port) in servers.lock().unwrap().iter() {
                        let numbers = [*priority, 1, *port].map(u16::to_be_bytes).concat();
                        records.push([&numbers[..], b"\x04host\x04test\0"].concat());
                    }
                }
                _ => {}
            }
            let mut answer = question[..2].to_vec();
            answer.extend([0x81, 0x80, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
            answer.extend(&question[12..ends + 4]);
            for record in records {
                let kind = [0xc0, 12, kind[0], kind[1], 0, 1, 0, 0, 0, 1, 0, record.len() as u8];
                answer.extend([&kind[..], &record].concat());
            }
            let _ = socket.send_to(&answer, from).await;
        }
    });
    address
}

#[tokio::test]
async fn the_servers_of_a_service_are_asked_for_again_and_again() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let c = Origin::start("c").await;
    let servers = Servers::default();
    *servers.lock().unwrap() = vec![(1, a.port()), (1, b.port()), (2, c.port())];
    let names = service(&servers).await;
    let lb = nginx(
        &format!(
            "resolver {names} valid=1s ipv6=off;\nupstream app {{ zone app 64k; server app.test \
             service=http resolve; }}"
        ),
        "location / { proxy_pass http://app; }",
    )
    .await;
    until("it is known", async || get(at(&lb), "/").await.status == 200).await;
    for _ in 0..6 {
        assert_eq!(get(at(&lb), "/").await.status, 200);
    }
    assert!(a.requests() >= 3 && b.requests() >= 3, "they take turns");
    assert_eq!(c.requests(), 0, "who has another priority is a backup");
    *servers.lock().unwrap() = vec![(1, b.port()), (2, c.port())];
    until("one has left", async || {
        let before = a.requests();
        for _ in 0..4 {
            assert_eq!(get(at(&lb), "/").await.status, 200);
        }
        a.requests() == before
    })
    .await;
}

#[tokio::test]
async fn trailers_pass_where_nginx_is_told_to_pass_them() {
    let origin = Origin::start("a").await;
    origin.answer(Answer::Chunked(vec![b"down".to_vec()], vec![("X-Sum", "1")]));
    let to = format!("proxy_pass http://{}; proxy_http_version 1.1;", origin.address());
    let passes = format!("location /passes {{ {to} proxy_pass_trailers on; }}");
    let lb = nginx("", &format!("location / {{ {to} }} {passes}")).await;
    for (path, trailers) in [("/", "{}"), ("/passes", r#"{"X-Sum": "1"}"#)] {
        let response = get(at(&lb), path).await;
        assert_eq!(
            (&*response.body, format!("{:?}", response.trailers)),
            (&b"down"[..], trailers.to_owned())
        );
    }
}

#[tokio::test]
async fn one_port_speaks_http2_too_where_it_is_on() {
    let origin = Origin::start("a").await;
    let to = format!("location / {{ proxy_pass http://{}; }}", origin.address());
    let lb = nginx("", &format!("http2 on; {to}")).await;
    assert_eq!(get(at(&lb), "/").await.text(), "a");
    let mut frames = Frames::open(at(&lb)).await;
    let head = block(&asking("GET", "/"));
    frames.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, head)).await;
    let answer = frames.until(|frame| frame.kind == HEADERS && frame.stream == 1).await.unwrap();
    assert_eq!(answer.payload[0], 0x88, "status 200");
}

#[tokio::test]
async fn a_request_has_as_many_fields_as_are_allowed() {
    let origin = Origin::start("a").await;
    let to = format!("location / {{ proxy_pass http://{}; }}", origin.address());
    let lb = nginx("", &format!("max_headers 3; {to}")).await;
    for (more, status) in [(2, 200), (3, 400)] {
        let mut head = "GET / HTTP/1.1\r\nHost: test\r\n".to_owned();
        for number in 0..more {
            write!(head, "X-{number}: 1\r\n").unwrap();
        }
        assert_eq!(request(at(&lb), head + "\r\n").await.status, status, "{more} and Host");
    }
}

#[tokio::test]
async fn early_hints_reach_whom_a_text_names() {
    let origin = Origin::start("a").await;
    origin.answer(Answer::EarlyHints);
    let to = format!("location / {{ proxy_pass http://{}; }}", origin.address());
    let lb = nginx("", &format!("early_hints $http_sec_fetch_mode; {to}")).await;
    for (field, hints) in [("", 0), ("Sec-Fetch-Mode: navigate\r\n", 1)] {
        let response = request(at(&lb), format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n")).await;
        assert_eq!((response.status, response.interim.len()), (200, hints), "{field}");
    }
}

#[tokio::test]
async fn a_server_that_drains_serves_those_who_are_bound_to_it() {
    let (a, d) = (Origin::start("a").await, Origin::start("d").await);
    let servers = format!("server {} route=a; server {} route=d drain;", a.address(), d.address());
    let upstream =
        format!("upstream app {{ zone app 64k; {servers} sticky cookie srv_id path=/; }}");
    let lb = nginx(&upstream, "location / { proxy_pass http://app; }").await;
    for _ in 0..4 {
        let response = get(at(&lb), "/").await;
        assert_eq!(response.text(), "a");
        assert_eq!(response.header("set-cookie"), Some("srv_id=a; path=/"));
        let bound = request(at(&lb), "GET / HTTP/1.1\r\nHost: a\r\nCookie: srv_id=d\r\n\r\n").await;
        assert_eq!(bound.text(), "d");
    }
}

#[tokio::test]
async fn who_takes_the_least_time_is_picked() {
    let (slow, quick) = (Origin::start("slow").await, Origin::start("quick").await);
    slow.answer(Answer::Ok(vec![b'x'; 150_000]));
    let servers = format!("server {}; server {};", slow.address(), quick.address());
    let upstream = format!("upstream app {{ zone app 64k; least_time last_byte; {servers} }}");
    let lb = nginx(&upstream, "location / { proxy_pass http://app; proxy_limit_rate 100k; }").await;
    the_quick_one_is_picked(at(&lb), &slow, &quick).await;
}

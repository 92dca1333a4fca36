//! Name servers of an upstream's own, over UDP and TCP: services, kinds of addresses, empty answers,
//! failing servers, reloads.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use super::*;

const A: u16 = 1;
const AAAA: u16 = 28;
const SRV: u16 = 33;

/// The data of each record, by name in lower case and type.
type Records = BTreeMap<(String, u16), Vec<Vec<u8>>>;

/// A name server whose every answer the test decides.
#[derive(Default)]
struct NameServer {
    records: Mutex<Records>,
    /// Answers SERVFAIL to everything.
    fails: AtomicBool,
    /// Says over UDP that the answer is too long for it.
    truncates: AtomicBool,
    asked_over_tcp: AtomicUsize,
    asked: AtomicUsize,
}

impl NameServer {
    async fn start() -> (Arc<Self>, SocketAddr) {
        let server = Arc::new(Self::default());
        let (tcp, udp) = loop {
            let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
            // The port may be somebody's over UDP.
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
                break (tcp, udp);
            }
        };
        let address = tcp.local_addr().unwrap();
        let over_udp = Arc::clone(&server);
        tokio::spawn(async move {
            let mut question = [0; 1024];
            loop {
                let (length, from) = udp.recv_from(&mut question).await.unwrap();
                let answer = over_udp.answer(&question[..length], false);
                udp.send_to(&answer, from).await.unwrap();
            }
        });
        let over_tcp = Arc::clone(&server);
        tokio::spawn(async move {
            loop {
                let (mut socket, _) = tcp.accept().await.unwrap();
                let server = Arc::clone(&over_tcp);
                tokio::spawn(async move {
                    while let Ok(length) = socket.read_u16().await {
                        let mut question = vec![0; length.into()];
                        socket.read_exact(&mut question).await.unwrap();
                        let answer = server.answer(&question, true);
                        socket.write_u16(answer.len() as u16).await.unwrap();
                        socket.write_all(&answer).await.unwrap();
                    }
                });
            }
        });
        (server, address)
    }

    fn set(&self, name: &str, kind: u16, records: Vec<Vec<u8>>) {
        self.records.lock().unwrap().insert((name.to_owned(), kind), records);
    }

    fn hosts(&self, name: &str, addresses: &[[u8; 4]]) {
        self.set(name, A, addresses.iter().map(|one| one.to_vec()).collect());
    }

    /// Priority, weight, port and target of each server.
    fn service(&self, name: &str, servers: &[(u16, u16, u16, &str)]) {
        let record = |(priority, weight, port, target): &(u16, u16, u16, &str)| {
            let mut data = Vec::new();
            for number in [priority, weight, port] {
                data.extend(number.to_be_bytes());
            }
            for label in target.split('.') {
                data.push(label.len() as u8);
                data.extend(label.as_bytes());
            }
            data.push(0);
            data
        };
        self.set(name, SRV, servers.iter().map(record).collect());
    }

    /// RFC 1035 §4.1: the header, the question as it came, the answers.
    fn answer(&self, question: &[u8], over_tcp: bool) -> Vec<u8> {
        self.asked.fetch_add(1, SeqCst);
        self.asked_over_tcp.fetch_add(usize::from(over_tcp), SeqCst);
        let (mut name, mut at) = (Vec::new(), 12);
        while question[at] != 0 {
            let end = at + 1 + usize::from(question[at]);
            name.push(String::from_utf8_lossy(&question[at + 1..end]).to_lowercase());
            at = end;
        }
        let (name, end) = (name.join("."), at + 5);
        let kind = u16::from_be_bytes([question[at + 1], question[at + 2]]);
        let records = self.records.lock().unwrap();
        let known = records.iter().any(|((one, _), data)| *one == name && !data.is_empty());
        let data = records.get(&(name, kind)).cloned().unwrap_or_default();
        let truncated = self.truncates.load(SeqCst) && !over_tcp;
        let (code, data) = match (self.fails.load(SeqCst), known, truncated) {
            (true, ..) => (2, Vec::new()),
            (_, false, _) => (3, Vec::new()),
            (_, _, true) => (0, Vec::new()),
            _ => (0, data),
        };
        let mut answer = question[..2].to_vec();
        let flags = if truncated { 0x83 } else { 0x81 };
        answer.extend([flags, 0x80 | code, 0, 1, 0, data.len() as u8, 0, 0, 0, 0]);
        answer.extend(&question[12..end]);
        for data in data {
            // The name by reference, its type, IN, TTL 0.
            answer.extend([0xc0, 12, 0, kind as u8, 0, 1, 0, 0, 0, 0]);
            answer.extend((data.len() as u16).to_be_bytes());
            answer.extend(data);
        }
        answer
    }
}

/// One backend, asked for at these servers, with more settings of the upstream.
fn asking(servers: &[SocketAddr], backend: &str, more: &str) -> String {
    let servers: Vec<_> = servers.iter().map(|server| format!("\"{server}\"")).collect();
    let (servers, dns) = (servers.join(", "), "dns.timeout = \"20s\"");
    format!(
        "{}\n[upstream.api]\ndns.servers = [{servers}]\n{dns}\n{more}\nbackend = [{{ {backend} }}]\n",
        HEAD.split("[[upstream").next().unwrap()
    )
}

/// Label, weight and whether it is a backup, of each backend.
fn servers(snapshot: &Snapshot) -> Vec<(String, u32, bool)> {
    let one =
        |one: &Arc<crate::snapshot::Backend>| (one.label.clone(), one.weight.value(), one.tier > 0);
    api(snapshot).backends.iter().map(one).collect()
}

/// The first snapshot with backends; on a busy machine a start may not wait for the answer.
async fn resolved(handle: &Handle) -> Arc<Snapshot> {
    until(handle, |now| !servers(now).is_empty()).await
}

async fn next(handle: &Handle, before: &Snapshot) -> Arc<Snapshot> {
    until(handle, |now| now.generation > before.generation).await
}

#[tokio::test]
async fn a_service_gives_ports_weights_and_backups() {
    let (names, at) = NameServer::start().await;
    names.service(
        "_http._tcp.shop.test",
        &[(10, 60, 8080, "one.test"), (10, 0, 8081, "two.test"), (20, 5, 9090, "three.test")],
    );
    names.hosts("one.test", &[[10, 0, 0, 1], [10, 0, 0, 2]]);
    names.hosts("two.test", &[[10, 0, 0, 3]]);
    names.hosts("three.test", &[[10, 0, 0, 4]]);
    let text = asking(&[at], "address = \"shop.test\", service = \"http\", weight = 7", "");
    let handle = start_text(&text).await;
    let first = resolved(&handle).await;
    let server = |label: &str, weight, backup| (format!("shop.test/{label}"), weight, backup);
    assert_eq!(
        servers(&first),
        [
            server("10.0.0.1:8080", 60, false),
            server("10.0.0.2:8080", 60, false),
            server("10.0.0.3:8081", 1, false),
            server("10.0.0.4:9090", 5, true),
        ]
    );
    assert_eq!(api(&first).backends[2].authority, "shop.test:8081");
    // A server that leaves, a weight that changes; what stays is the same backend.
    let id = api(&first).backends[0].id;
    names.hosts("two.test", &[]);
    names.service("_http._tcp.shop.test", &[(10, 30, 8080, "one.test"), (10, 0, 1, "two.test")]);
    let second = next(&handle, &first).await;
    assert_eq!(
        servers(&second),
        [server("10.0.0.1:8080", 30, false), server("10.0.0.2:8080", 30, false)]
    );
    assert_eq!(api(&second).backends[0].id, id);
}

#[tokio::test]
async fn a_service_with_a_dot_stands_before_the_name() {
    let (names, at) = NameServer::start().await;
    names.service("_h2._udp.shop.test", &[(0, 1, 81, "one.test")]);
    names.hosts("one.test", &[[10, 0, 0, 1]]);
    let handle =
        start_text(&asking(&[at], "address = \"shop.test\", service = \"_h2._udp\"", "")).await;
    let first = resolved(&handle).await;
    assert_eq!(servers(&first), [("shop.test/10.0.0.1:81".to_owned(), 1, false)]);
}

#[tokio::test]
async fn an_answer_that_is_cut_short_is_asked_for_over_tcp() {
    let (names, at) = NameServer::start().await;
    names.truncates.store(true, SeqCst);
    names.hosts("api.test", &[[10, 0, 0, 1]]);
    let handle = start_text(&asking(&[at], "address = \"api.test:80\"", "")).await;
    let first = resolved(&handle).await;
    assert_eq!(servers(&first), [("api.test:80/10.0.0.1".to_owned(), 1, false)]);
    assert!(names.asked_over_tcp.load(SeqCst) > 0);
}

#[tokio::test]
async fn the_next_server_is_asked_when_one_fails() {
    let (bad, bad_at) = NameServer::start().await;
    let (good, good_at) = NameServer::start().await;
    bad.fails.store(true, SeqCst);
    good.hosts("api.test", &[[10, 0, 0, 1]]);
    let handle = start_text(&asking(&[bad_at, good_at], "address = \"api.test:80\"", "")).await;
    let first = resolved(&handle).await;
    assert_eq!(servers(&first), [("api.test:80/10.0.0.1".to_owned(), 1, false)]);
}

#[tokio::test]
async fn the_kinds_of_addresses_are_the_upstreams_choice() {
    let (names, at) = NameServer::start().await;
    names.hosts("api.test", &[[10, 0, 0, 1]]);
    names.set("api.test", AAAA, vec![std::net::Ipv6Addr::LOCALHOST.octets().to_vec()]);
    for (families, expected) in [
        ("ipv4_first", &["api.test:80/10.0.0.1"][..]),
        ("ipv4", &["api.test:80/10.0.0.1"]),
        ("ipv6", &["api.test:80/::1"]),
        ("all", &["api.test:80/10.0.0.1", "api.test:80/::1"]),
    ] {
        let more = format!("dns.addresses = \"{families}\"");
        let handle = start_text(&asking(&[at], "address = \"api.test:80\"", &more)).await;
        let labels: Vec<_> =
            servers(&*resolved(&handle).await).into_iter().map(|(label, ..)| label).collect();
        assert_eq!(labels, expected, "{families}");
    }
}

#[tokio::test]
async fn an_empty_answer_leaves_nobody_only_where_that_is_asked_for() {
    let (names, at) = NameServer::start().await;
    names.hosts("api.test", &[[10, 0, 0, 1]]);
    let backend = "address = \"api.test:80\"";
    let keeping = start_text(&asking(&[at], backend, "")).await;
    let emptied = start_text(&asking(&[at], backend, "nginx.empty_answer = true")).await;
    let (kept, full) = (resolved(&keeping).await, resolved(&emptied).await);
    assert_eq!((servers(&kept).len(), servers(&full).len()), (1, 1));
    // A server that fails is no answer.
    names.fails.store(true, SeqCst);
    let asked = names.asked.load(SeqCst);
    while names.asked.load(SeqCst) < asked + 8 {
        tokio::task::yield_now().await;
    }
    assert!(Arc::ptr_eq(&full, &until(&emptied, |_| true).await));
    names.hosts("api.test", &[]);
    names.fails.store(false, SeqCst);
    let empty = next(&emptied, &full).await;
    assert_eq!(servers(&empty), []);
    assert!(Arc::ptr_eq(&kept, &until(&keeping, |_| true).await));
    names.hosts("api.test", &[[10, 0, 0, 2]]);
    let back = next(&emptied, &empty).await;
    assert_eq!(servers(&back), [("api.test:80/10.0.0.2".to_owned(), 1, false)]);
}

#[tokio::test]
async fn over_a_reload_to_another_server_the_addresses_serve_until_it_answers() {
    let (names, at) = NameServer::start().await;
    let (other, other_at) = NameServer::start().await;
    names.hosts("api.test", &[[10, 0, 0, 1]]);
    other.fails.store(true, SeqCst);
    let backend = "address = \"api.test:80\"";
    let handle = start_text(&asking(&[at], backend, "")).await;
    let first = resolved(&handle).await;
    let id = api(&first).backends[0].id;
    handle.apply(load(&asking(&[other_at], backend, "")), Origin::Api).await.unwrap();
    let second = next(&handle, &first).await;
    assert_eq!(api(&second).backends[0].id, id, "the old addresses serve");
    other.hosts("api.test", &[[10, 0, 0, 9]]);
    other.fails.store(false, SeqCst);
    let third = until(&handle, |now| {
        let labels = servers(now);
        labels.first().is_some_and(|(label, ..)| label.ends_with("10.0.0.9"))
    })
    .await;
    assert_eq!(servers(&third).len(), 1);
    assert_eq!(
        api(&third).backends[0].address.to_string(),
        format!("{}:80", Ipv4Addr::new(10, 0, 0, 9))
    );
}

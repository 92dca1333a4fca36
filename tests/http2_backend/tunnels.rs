//! Tunnels to backends that speak HTTP/2 (RFC 8441), from clients of HTTP/1.1 and of HTTP/2.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use h2::RecvStream;
use h2::ext::Protocol;
use h2::server::{Builder, SendResponse};
use http::{Method, Request, Response};
use rustix::process::Signal;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::config;
use crate::peer::{Peer, head, rest, whole};
use crate::support::{Client, Lb, get, in_time, request, until};

/// A request as a server saw it.
type Seen = http::request::Parts;

/// A server of tunnels, which sends back what it gets.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    /// Those that have ended.
    closed: Arc<AtomicUsize>,
    seen: mpsc::UnboundedReceiver<Seen>,
}

impl Server {
    /// `leads`: it says that it leads tunnels.
    async fn start(leads: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let [connections, closed] = [(), ()].map(|()| Arc::new(AtomicUsize::new(0)));
        let counts = (Arc::clone(&connections), Arc::clone(&closed));
        let (tell, seen) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                counts.0.fetch_add(1, SeqCst);
                let (tell, closed) = (tell.clone(), Arc::clone(&counts.1));
                tokio::spawn(async move {
                    let mut builder = Builder::new();
                    if leads {
                        builder.enable_connect_protocol();
                    }
                    let mut connection = builder.handshake(socket).await.unwrap();
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        tokio::spawn(answer(request, respond, tell.clone()));
                    }
                    closed.fetch_add(1, SeqCst);
                });
            }
        });
        Self { address, connections, closed, seen }
    }

    async fn seen(&mut self) -> Seen {
        in_time("a request", self.seen.recv()).await.unwrap()
    }
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    tell: mpsc::UnboundedSender<Seen>,
) {
    let (parts, mut body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let is_tunnel = parts.method == Method::CONNECT;
    let _ = tell.send(parts);
    let mut response = Response::new(());
    match &*path {
        "/refused" => *response.status_mut() = http::StatusCode::FORBIDDEN,
        "/nothing" => *response.status_mut() = http::StatusCode::NO_CONTENT,
        _ => {}
    }
    response.headers_mut().insert("x-own", http::HeaderValue::from_static("1"));
    let over = path == "/nothing";
    let mut stream = respond.send_response(response, over).unwrap();
    if over {
        return;
    }
    if !is_tunnel || path == "/refused" {
        return stream.send_data("plain".into(), true).unwrap();
    }
    if path == "/unread" {
        // Keeps both halves until it is told.
        let told = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
        assert_eq!(told.unwrap(), h2::Reason::CANCEL);
        return;
    }
    while let Some(Ok(data)) = body.data().await {
        body.flow_control().release_capacity(data.len()).unwrap();
        if data == "break" {
            return stream.send_reset(h2::Reason::INTERNAL_ERROR);
        }
        stream.send_data(data, false).unwrap();
    }
    let _ = stream.send_data("bye".into(), true);
}

async fn before(server: &Server, settings: &str) -> Lb {
    before_all(&[server.address], settings).await
}

async fn before_all(servers: &[SocketAddr], settings: &str) -> Lb {
    let config = config(settings, servers)
        .replace("format = \"off\"", "format = \"json\"")
        .replace("name = \"main\"", "name = \"main\"\nhttp2 = true")
        .replace("upstream = \"h2\"", "upstream = \"h2\"\nupgrades = [\"websocket\", \"echo\"]");
    Lb::start(config).await
}

/// What a browser asks over HTTP/1.1 (RFC 6455 §1.2).
fn opening(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: keep-alive, Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
    )
}

/// The same over HTTP/2.
fn opening_h2(path: &str) -> Request<()> {
    let uri = format!("http://test{path}");
    let request = Request::connect(uri).header("sec-websocket-version", "13");
    let mut request = request.header("sec-websocket-protocol", "chat").body(()).unwrap();
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    request
}

/// A client over HTTP/2 that has the listener's settings.
async fn peer(lb: &Lb) -> Peer {
    let mut peer = Peer::connect(lb.addr("main")).await;
    peer.get("/settings").await;
    peer
}

const IN_FLIGHT: &str = "plimsoll_backend_in_flight";

/// A tunnel of a client over HTTP/1.1 that stands.
async fn tunnel(lb: &Lb) -> Client {
    let mut client = Client::connect(lb.addr("main")).await;
    client.send(opening("/chat")).await;
    assert_eq!(client.read_response().await.status, 101);
    client
}

#[tokio::test]
async fn who_asks_by_upgrade_has_a_stream_of_a_connection_of_its_own() {
    let mut server = Server::start(true).await;
    let lb = before(&server, "").await;
    assert_eq!(get(lb.addr("main"), "/").await.text(), "plain");
    server.seen().await;
    let mut client = Client::connect(lb.addr("main")).await;
    // What comes at once waits for the switch.
    client.send([&opening("/chat?room=1"), "early"].concat()).await;
    let response = client.read_response().await;
    assert_eq!(response.status, 101);
    for (name, value) in [
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ("x-own", "1"),
    ] {
        assert_eq!(response.header(name), Some(value), "{name}");
    }
    let seen = server.seen().await;
    assert_eq!(
        (seen.method.as_str(), seen.uri.to_string()),
        ("CONNECT", "http://test/chat?room=1".into())
    );
    assert_eq!(seen.extensions.get::<Protocol>().map(Protocol::as_str), Some("websocket"));
    assert_eq!(seen.headers["sec-websocket-version"], "13");
    assert_eq!(seen.headers["sec-websocket-protocol"], "chat");
    assert_eq!(seen.headers["x-forwarded-for"], "127.0.0.1");
    for gone in ["upgrade", "connection", "sec-websocket-key", "content-length"] {
        assert!(!seen.headers.contains_key(gone), "{gone}");
    }
    assert_eq!(client.read_exact(5).await, b"early");
    let piece = vec![b'x'; 65_536];
    for _ in 0..50 {
        client.send(&piece).await;
        assert_eq!(client.read_exact(piece.len()).await, piece);
    }
    lb.until_metric(IN_FLIGHT, 1.0).await;
    // Requests go on over the connection that they share.
    assert_eq!(get(lb.addr("main"), "/").await.text(), "plain");
    assert_eq!(server.connections.load(SeqCst), 2);
    client.half_close().await;
    assert_eq!(client.read_to_end().await, b"bye");
    lb.until_metric(IN_FLIGHT, 0.0).await;
    until("the tunnel's connection has ended", async || server.closed.load(SeqCst) == 1).await;
    let line: serde_json::Value = serde_json::from_str(&lb.until_out("room=1").await).unwrap();
    assert_eq!(line["status"], 101);
    assert_eq!(line["response_bytes"], 50 * 65_536 + 8);
}

#[tokio::test]
async fn a_tunnel_over_http_2_goes_on_over_http_2() {
    let mut server = Server::start(true).await;
    let lb = before(&server, "").await;
    let mut peer = peer(&lb).await;
    server.seen().await;
    let (response, mut stream) = peer.begin(opening_h2("/chat"), false).await;
    let response = head(response).await;
    assert_eq!(response.headers()["x-own"], "1");
    for gone in ["upgrade", "connection", "sec-websocket-accept"] {
        assert!(!response.headers().contains_key(gone), "{gone}");
    }
    let seen = server.seen().await;
    assert_eq!(seen.method, Method::CONNECT);
    assert!(!seen.headers.contains_key("sec-websocket-key"));
    let mut answer = response.into_body();
    for word in ["one", "two"] {
        stream.send_data(Bytes::from_static(word.as_bytes()), false).unwrap();
        let data = in_time("what was sent", answer.data()).await.unwrap().unwrap();
        answer.flow_control().release_capacity(data.len()).unwrap();
        assert_eq!(data, word);
    }
    stream.send_data(Bytes::new(), true).unwrap();
    assert_eq!(rest(answer).await.unwrap().0, b"bye", "each side ends by itself");
    lb.until_metric(IN_FLIGHT, 0.0).await;
    until("the tunnel's connection has ended", async || server.closed.load(SeqCst) == 1).await;
}

#[tokio::test]
async fn what_a_backend_answers_instead_is_the_answer() {
    let server = Server::start(true).await;
    let lb = before(&server, "").await;
    let mut client = Client::connect(lb.addr("main")).await;
    client.send(opening("/refused")).await;
    let refused = client.read_response().await;
    assert_eq!((refused.status, refused.text()), (403, "plain".into()));
    // Its client may go on.
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.read_response().await.text(), "plain");
    let mut peer = peer(&lb).await;
    let (response, _stream) = peer.begin(opening_h2("/refused"), false).await;
    let refused = whole(response).await.unwrap();
    assert_eq!((refused.status, &*refused.body), (403, &b"plain"[..]));
    // A success that is none.
    assert_eq!(request(lb.addr("main"), opening("/nothing")).await.status, 502);
    let (response, _stream) = peer.begin(opening_h2("/nothing"), false).await;
    assert_eq!(whole(response).await.unwrap().status, 502);
    until("none is kept", async || server.closed.load(SeqCst) == 4).await;
}

#[tokio::test]
async fn a_backend_that_leads_no_tunnels_is_asked_for_none() {
    let mut server = Server::start(false).await;
    let lb = before(&server, "").await;
    assert_eq!(request(lb.addr("main"), opening("/chat")).await.status, 501);
    let line = lb.until_out("no_tunnel").await;
    assert!(line.contains("/chat"), "{line}");
    let mut peer = peer(&lb).await;
    let (response, _stream) = peer.begin(opening_h2("/chat"), false).await;
    assert_eq!(whole(response).await.unwrap().status, 501);
    assert_eq!(get(lb.addr("main"), "/").await.text(), "plain");
    for path in ["/settings", "/"] {
        assert_eq!(server.seen().await.uri.path(), path);
    }
}

#[tokio::test]
async fn an_upgrade_with_a_body_is_a_plain_request() {
    let mut server = Server::start(true).await;
    let lb = before(&server, "").await;
    let with_body =
        opening("/chat").replace("Host: test", "Host: test\r\nContent-Length: 2") + "hi";
    assert_eq!(request(lb.addr("main"), with_body).await.text(), "plain");
    assert_eq!(server.seen().await.method, Method::GET);
}

#[tokio::test]
async fn a_backend_that_is_gone_or_tells_nothing_costs_a_try_on_another() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::start(true).await;
    let settings = "strategy = \"round_robin\"\ntimeouts = { connect = \"2s\" }\n\
                    passive = { max_fails = 0 }";
    let all = [gone, silent.local_addr().unwrap(), server.address];
    let lb = before_all(&all, settings).await;
    for _ in 0..3 {
        let mut client = tunnel(&lb).await;
        client.send("word").await;
        assert_eq!(client.read_exact(4).await, b"word");
    }
    let lb = before_all(&all[1..2], settings).await;
    assert_eq!(request(lb.addr("main"), opening("/chat")).await.status, 504);
}

#[tokio::test]
async fn a_tunnel_that_breaks_ends_for_the_client() {
    let server = Server::start(true).await;
    let lb = before(&server, "").await;
    let mut client = tunnel(&lb).await;
    client.send("break").await;
    client.expect_closed().await;
    lb.until_metric(IN_FLIGHT, 0.0).await;
    let mut peer = peer(&lb).await;
    let (response, mut stream) = peer.begin(opening_h2("/chat"), false).await;
    let answer = head(response).await.into_body();
    stream.send_data("break".into(), false).unwrap();
    assert!(rest(answer).await.is_err(), "it must not look like the end of what was said");
    lb.until_metric(IN_FLIGHT, 0.0).await;
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_tunnel() {
    let server = Server::start(true).await;
    let lb = before(&server, "").await;
    let client = tunnel(&lb).await;
    client.reset();
    until("the backend is told", async || server.closed.load(SeqCst) == 1).await;
    lb.until_metric(IN_FLIGHT, 0.0).await;
}

#[tokio::test]
async fn a_tunnel_that_its_backend_does_not_read_is_ended_as_an_idle_one() {
    let server = Server::start(true).await;
    let lb = before(&server, "timeouts = { read = \"1s\" }").await;
    let mut client = Client::connect(lb.addr("main")).await;
    client.send(opening("/unread")).await;
    assert_eq!(client.read_response().await.status, 101);
    // More than the backend's window.
    client.send(vec![b'x'; 100_000]).await;
    client.expect_closed().await;
    until("the backend is told", async || server.closed.load(SeqCst) == 1).await;
    lb.until_metric(IN_FLIGHT, 0.0).await;
}

#[tokio::test]
async fn an_idle_tunnel_is_ended() {
    let server = Server::start(true).await;
    let lb = before(&server, "timeouts = { read = \"2s\" }").await;
    let mut client = tunnel(&lb).await;
    client.expect_closed().await;
    lb.until_metric(IN_FLIGHT, 0.0).await;
    until("the backend is told", async || server.closed.load(SeqCst) == 1).await;
}

#[tokio::test]
async fn a_tunnel_outlives_the_beginning_of_a_drain_and_not_its_end() {
    let server = Server::start(true).await;
    let mut lb = before(&server, "").await;
    let mut client = tunnel(&lb).await;
    lb.signal(Signal::TERM);
    until("no more are taken", async || Client::try_connect(lb.addr("main")).await.is_none()).await;
    client.send("word").await;
    assert_eq!(client.read_exact(4).await, b"word");
    client.half_close().await;
    assert_eq!(client.read_to_end().await, b"bye");
    assert!(lb.exit().await.success());
}

//! The same responses for clients that speak HTTP/2: they get what clients of HTTP/1.1 get, in frames.
//!
//! What is `cut` there is a stream that is reset; it never ends as if it were whole (RFC 9113 §8.1.1).
//! Requests have no such twin: most of what is odd about them cannot be said in frames, and what can is in
//! `tests/h2_conformance` and `tests/http2_client`.

use std::net::SocketAddr;

use h2::client::{SendRequest, handshake};
use h2::{RecvStream, client::ResponseFuture};
use http::{HeaderMap, Method, Request};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::backend::{Backend, text};
use crate::case::{Case, Verdict};
use crate::support::{Client, Lb, in_time};
use crate::{NEXT, OK};

/// A connection over which one request goes after the other.
struct Peer(SendRequest<bytes::Bytes>);

/// What a client understands of a response.
#[derive(Debug, PartialEq, Eq)]
struct Understood {
    status: u16,
    fields: Vec<(String, String)>,
    body: String,
    trailers: Vec<(String, String)>,
}

impl Peer {
    async fn connect(address: SocketAddr) -> Self {
        let socket = in_time("a connection", TcpStream::connect(address)).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let (send, connection) = in_time("a handshake", handshake(socket)).await.unwrap();
        tokio::spawn(connection);
        Self(send)
    }

    async fn ask(&mut self, line: &str, host: &str) -> ResponseFuture {
        let (method, target) = line.split_once(' ').unwrap();
        let target = target.split_once(' ').unwrap().0;
        let request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(format!("http://{host}{target}"))
            .body(())
            .unwrap();
        let mut send = in_time("leave to send", self.0.clone().ready()).await.unwrap();
        send.send_request(request, true).unwrap().0
    }
}

/// Tries a case; the backend's connection afterwards is in the same state as with HTTP/1.1.
pub(crate) async fn response(lb: &Lb, backend: &mut Backend, case: &Case) {
    let line = case.request.as_deref().unwrap_or("GET / HTTP/1.1");
    let [Verdict { words, out }] = &case.verdicts[..] else { panic!("one verdict, please") };
    let mut peer = Peer::connect(lb.addr("h2")).await;
    let response = peer.ask(line, "a").await;
    let connection = backend.expect(format!("{line}\r\nHost: a\r\n\r\n").as_bytes()).await;
    backend.send(connection, &case.sent).await;
    if case.ends {
        backend.end(connection).await;
    }
    let is_head = line.starts_with("HEAD ");
    match &**words {
        "cut" => {
            let begun = understood_over_http1(out, is_head).await.body;
            let mut got = Vec::new();
            let broken = match in_time("a head", response).await {
                Err(error) => error,
                Ok(response) => {
                    let mut body = response.into_body();
                    let before = if case.later.is_empty() { 0 } else { begun.len() };
                    read(&mut body, &mut got, before).await.unwrap();
                    send_later(backend, connection, case).await;
                    let ended = read(&mut body, &mut got, usize::MAX).await;
                    ended.expect_err("an end as if it were whole")
                }
            };
            assert!(broken.is_reset(), "{broken}");
            assert!(begun.starts_with(&text(&got)), "{}", text(&got));
        }
        passed if passed.starts_with("passed") => {
            let expected = understood_over_http1(out, is_head).await;
            assert_eq!(understood_over_http2(response).await, expected);
            send_later(backend, connection, case).await;
        }
        status => {
            let understood = understood_over_http2(response).await;
            assert_eq!(understood.status.to_string(), status);
            assert!(is_head || understood.body.starts_with(status), "{understood:?}");
        }
    }
    let again = peer.ask("GET /next HTTP/1.1", "next").await;
    let next = backend.expect(NEXT).await;
    backend.send(next, OK).await;
    assert_eq!(understood_over_http2(again).await.body, "ok");
    assert_eq!(next == connection, words.starts_with("passed") && !words.contains("not reused"));
}

async fn send_later(backend: &mut Backend, connection: usize, case: &Case) {
    if !case.later.is_empty() {
        backend.send(connection, &case.later).await;
    }
}

/// What a client of HTTP/1.1 makes of these bytes, but for what is about its connection.
async fn understood_over_http1(bytes: &[u8], to_head: bool) -> Understood {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = Client::connect(listener.local_addr().unwrap()).await;
    let (mut server, _) = listener.accept().await.unwrap();
    server.write_all(bytes).await.unwrap();
    drop(server);
    let response = if to_head {
        client.read_response_to_head().await
    } else {
        match client.try_read_response().await {
            Ok(response) => response,
            Err(broken) => broken.partial.unwrap(),
        }
    };
    let fields = |fields: Vec<(String, String)>| {
        sorted(fields.into_iter().map(|(name, value)| (name.to_lowercase(), value)))
    };
    Understood {
        status: response.status,
        fields: fields(response.headers.0),
        body: text(&response.body),
        trailers: fields(response.trailers.0),
    }
}

async fn understood_over_http2(response: ResponseFuture) -> Understood {
    let (head, mut body) = in_time("a head", response).await.unwrap().into_parts();
    let mut got = Vec::new();
    read(&mut body, &mut got, usize::MAX).await.unwrap();
    let trailers = in_time("trailers", body.trailers()).await.unwrap();
    let fields = |fields: &HeaderMap| {
        let fields = fields.iter();
        sorted(fields.map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        }))
    };
    Understood {
        status: head.status.as_u16(),
        fields: fields(&head.headers),
        body: text(&got),
        trailers: trailers.as_ref().map(fields).unwrap_or_default(),
    }
}

/// Reads until there are so many bytes, or all.
async fn read(body: &mut RecvStream, got: &mut Vec<u8>, until: usize) -> Result<(), h2::Error> {
    while got.len() < until {
        let Some(data) = in_time("data", body.data()).await else { break };
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        got.extend_from_slice(&data);
    }
    Ok(())
}

/// Fields without those about a connection of HTTP/1.1, in an order of their own.
fn sorted(fields: impl Iterator<Item = (String, String)>) -> Vec<(String, String)> {
    let about = ["connection", "transfer-encoding"];
    let mut fields: Vec<_> = fields.filter(|(name, _)| !about.contains(&&**name)).collect();
    fields.sort();
    fields
}

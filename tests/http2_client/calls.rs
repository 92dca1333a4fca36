//! gRPC: calls from clients over HTTP/2 to servers over HTTP/2.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::net::TcpListener;

use crate::peer::{Peer, head, rest, whole};
use crate::support::{Lb, in_time, until};

/// A server that answers by the path of a call.
#[derive(Clone, Default)]
struct Server {
    calls: Arc<AtomicUsize>,
    cut: Arc<AtomicUsize>,
}

impl Server {
    async fn start(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = self.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move {
                    let mut connection = h2::server::handshake(socket).await.unwrap();
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        tokio::spawn(server.clone().answer(request, respond));
                    }
                });
            }
        });
        address
    }

    async fn answer(self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        self.calls.fetch_add(1, SeqCst);
        let (parts, mut body) = request.into_parts();
        assert_eq!(parts.headers["te"], "trailers");
        let mut response = Response::new(());
        let fields = response.headers_mut();
        fields.insert("content-type", HeaderValue::from_static("application/grpc"));
        match parts.uri.path() {
            "/test/Refuse" => {
                fields.insert("grpc-status", HeaderValue::from_static("14"));
                respond.send_response(response, true).unwrap();
            }
            "/test/Never" => {
                std::future::poll_fn(|cx| respond.poll_reset(cx)).await.unwrap();
                self.cut.fetch_add(1, SeqCst);
            }
            "/test/Break" | "/test/Page" => {
                if parts.uri.path() == "/test/Page" {
                    let page = HeaderValue::from_static("text/html");
                    response.headers_mut().insert("content-type", page);
                }
                let mut stream = respond.send_response(response, false).unwrap();
                let data = body.data().await.unwrap().unwrap();
                stream.send_data(data, false).unwrap();
                body.data().await.unwrap().unwrap();
                stream.send_reset(h2::Reason::INTERNAL_ERROR);
            }
            // Whatever comes goes back at once; what came as trailers is told in trailers.
            _ => {
                let mut stream = respond.send_response(response, false).unwrap();
                while let Some(Ok(data)) = body.data().await {
                    body.flow_control().release_capacity(data.len()).unwrap();
                    stream.send_data(data, false).unwrap();
                }
                let mut trailers = body.trailers().await.unwrap().unwrap_or_default();
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                stream.send_trailers(trailers).unwrap();
            }
        }
    }
}

async fn before(servers: &[SocketAddr], route: &str) -> Lb {
    let mut text = format!(
        "workers = 1\n[access_log]\nformat = \"json\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\nname = \"main\"\naddress = \"127.0.0.1:0\"\nhttp2 = true\n\
         [[route]]\nupstream = \"calls\"\n{route}\n\
         [upstream.calls]\nprotocol = \"h2c\"\n",
    );
    for server in servers {
        write!(text, "[[upstream.calls.backend]]\naddress = \"{server}\"\n").unwrap();
    }
    Lb::start(text).await
}

/// The head of a call.
fn call(path: &str) -> http::request::Builder {
    Request::post(format!("http://test{path}"))
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers")
}

#[tokio::test]
async fn messages_go_both_ways_as_they_come_and_trailers_end_them() {
    let lb = before(&[Server::default().start().await], "").await;
    let mut peer = Peer::connect(lb.addr("main")).await;
    let (response, mut stream) = peer.begin(call("/test/Echo").body(()).unwrap(), false).await;
    let mut answer = head(response).await.into_body();
    for n in 0..10_u8 {
        stream.send_data(Bytes::from(vec![n; 7]), false).unwrap();
        let data = in_time("a message", answer.data()).await.unwrap().unwrap();
        assert_eq!(data, vec![n; 7], "before the next one is sent");
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("x-last", HeaderValue::from_static("word"));
    stream.send_trailers(trailers).unwrap();
    let (_, trailers) = rest(answer).await.unwrap();
    assert_eq!(trailers["grpc-status"], "0");
    assert_eq!(trailers["x-last"], "word", "what the caller sent behind its messages arrived");
}

#[tokio::test]
async fn an_answer_that_is_trailers_only_stays_one() {
    let lb = before(&[Server::default().start().await], "").await;
    let mut peer = Peer::connect(lb.addr("main")).await;
    let (response, _) = peer.begin(call("/test/Refuse").body(()).unwrap(), true).await;
    let response = in_time("an answer", response).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "14");
    assert!(response.body().is_end_stream(), "it is over with its head");
}

#[tokio::test]
async fn what_goes_wrong_here_is_told_in_grpcs_words() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let lb = before(&[gone], "hosts = [\"test\"]").await;
    let mut peer = Peer::connect(lb.addr("main")).await;
    let (response, _) = peer.begin(call("/test/Echo").body(()).unwrap(), true).await;
    let response = in_time("an answer", response).await.unwrap();
    assert_eq!(response.status(), 200);
    let fields = response.headers();
    assert_eq!(fields["content-type"], "application/grpc");
    assert_eq!(fields["grpc-status"], "14");
    assert_eq!(fields["grpc-message"], "Bad Gateway");
    assert!(response.body().is_end_stream() && !fields.contains_key("content-length"));
    let line: serde_json::Value = serde_json::from_str(&lb.until_out("/test/Echo").await).unwrap();
    assert_eq!(line["status"], 502, "the books have what other clients would have got");

    let elsewhere = Request::post("http://elsewhere/").header("content-type", "application/grpc");
    let (response, _) = peer.begin(elsewhere.body(()).unwrap(), true).await;
    assert_eq!(whole(response).await.unwrap().header("grpc-status"), Some("12"));
    let other = Request::post("http://elsewhere/").header("content-type", "text/plain");
    let (response, _) = peer.begin(other.body(()).unwrap(), true).await;
    assert_eq!(whole(response).await.unwrap().status, 404, "only calls are told so");
}

#[tokio::test]
async fn a_call_has_the_time_that_it_says() {
    let server = Server::default();
    let lb = before(&[server.start().await], "timeouts = { read = \"1h\" }").await;
    let mut peer = Peer::connect(lb.addr("main")).await;
    let request = call("/test/Never").header("grpc-timeout", "2S").body(()).unwrap();
    let (response, _) = peer.begin(request, true).await;
    let got = whole(response).await.unwrap();
    assert_eq!((got.status, got.header("grpc-status")), (200, Some("4")));
    until("the server is told", async || server.cut.load(SeqCst) == 1).await;

    // The same in the middle of an answer, which ends with the status: a caller that looks at its own
    // clock a moment later would take a reset for a fault.
    let request = call("/test/Echo").header("grpc-timeout", "2S").body(()).unwrap();
    let (response, mut stream) = peer.begin(request, false).await;
    stream.send_data(Bytes::from_static(b"first"), false).unwrap();
    let (body, trailers) = rest(head(response).await.into_body()).await.unwrap();
    assert_eq!(body, b"first"[..]);
    assert_eq!(trailers["grpc-status"], "4");
}

#[tokio::test]
async fn a_server_that_breaks_off_a_call_is_told_as_unavailable() {
    let lb = before(&[Server::default().start().await], "").await;
    let mut peer = Peer::connect(lb.addr("main")).await;
    let (response, mut stream) = peer.begin(call("/test/Break").body(()).unwrap(), false).await;
    stream.send_data(Bytes::from_static(b"first"), false).unwrap();
    let mut answer = head(response).await.into_body();
    assert_eq!(in_time("a message", answer.data()).await.unwrap().unwrap(), &b"first"[..]);
    stream.send_data(Bytes::from_static(b"second"), false).unwrap();
    assert_eq!(rest(answer).await.unwrap().1["grpc-status"], "14");

    // What is no answer of gRPC has no trailers that tell it from a whole one.
    let (response, mut stream) = peer.begin(call("/test/Page").body(()).unwrap(), false).await;
    stream.send_data(Bytes::from_static(b"first"), false).unwrap();
    let mut answer = head(response).await.into_body();
    assert_eq!(in_time("a piece", answer.data()).await.unwrap().unwrap(), &b"first"[..]);
    stream.send_data(Bytes::from_static(b"second"), false).unwrap();
    let broken = rest(answer).await.unwrap_err();
    assert_eq!(broken.reason(), Some(h2::Reason::INTERNAL_ERROR));
}

#[tokio::test]
async fn another_server_is_asked_for_a_listed_status() {
    let (one, other) = (Server::default(), Server::default());
    let retry = "retry = { statuses = [503], non_idempotent = true, tries = 2 }";
    let lb = before(&[one.start().await, other.start().await], retry).await;
    let mut peer = Peer::connect(lb.addr("main")).await;
    let (response, _) = peer.begin(call("/test/Refuse").body(()).unwrap(), true).await;
    assert_eq!(whole(response).await.unwrap().header("grpc-status"), Some("14"));
    assert_eq!((one.calls.load(SeqCst), other.calls.load(SeqCst)), (1, 1));
}

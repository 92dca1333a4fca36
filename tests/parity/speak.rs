//! How requests of a case are sent where it is not plain HTTP/1: over TLS, in HTTP/2, or both; and
//! origins that speak TLS or gRPC.
//!
//! Answers of HTTP/2 are written down like those of HTTP/1, with trailers behind the body, so that both
//! sides are compared in the same way.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};

use bytes::Bytes;
use h2::{Reason, RecvStream, client, server};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Authority, Pair, Wrapper, in_time, tls_server};

/// The name in the certificate.
const NAME: &str = "example.com";

/// A certificate for all cases, with the authority that issued it, in files.
pub(crate) struct Files {
    authority: Authority,
    pair: Pair,
    /// A certificate with two others between it and the authority's.
    deep: Pair,
    folder: TempDir,
}

pub(crate) static FILES: LazyLock<Files> = LazyLock::new(|| {
    let authority = Authority::new("parity");
    let pair = authority.issue(&[NAME]);
    let folder = TempDir::new().unwrap();
    pair.write(folder.path(), "site");
    std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
    // Who is let in where clients have to show a certificate.
    authority.issue_to("client", 7).write(folder.path(), "client");
    authority.issue_to("second", 8).write(folder.path(), "second");
    std::fs::write(folder.path().join("locked.key"), pair.locked("secret")).unwrap();
    std::fs::write(folder.path().join("passwords"), "wrong\nsecret\n").unwrap();
    let near = authority.below("near");
    let far = near.below("far");
    let deep = far.issue(&[NAME]).behind(&[&far, &near]);
    Files { authority, pair, deep, folder }
});

impl Files {
    /// Where `site.pem`, `site.key`, `ca.pem` are, and `client.pem`, `client.key`, `second.pem` and
    /// `second.key`; `locked.key` is
    /// `site.key` encrypted with one of the lines of `passwords`.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// The address of a server with TLS before this one; `deep`: its certificate is far from the
    /// authority's.
    pub(crate) async fn around(&self, server: SocketAddr, deep: bool) -> SocketAddr {
        let pair = if deep { &self.deep } else { &self.pair };
        Wrapper::around_server(server, tls_server(pair)).await.addr()
    }
}

/// What is spoken with the balancer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Speaks {
    pub(crate) tls: bool,
    pub(crate) h2: bool,
    /// A certificate is shown.
    pub(crate) shows: bool,
}

impl Speaks {
    pub(crate) fn read(words: &str) -> Self {
        let has = |word: &str| words.split_whitespace().any(|one| one == word);
        Self { tls: has("tls"), h2: has("h2"), shows: has("certificate") }
    }

    /// An address where it is enough to speak without TLS.
    pub(crate) async fn plain(self, address: SocketAddr) -> SocketAddr {
        if !self.tls {
            return address;
        }
        let authority = &FILES.authority;
        let mut config = if self.shows {
            authority.client_as(&authority.issue_to("client", 7))
        } else {
            authority.client()
        };
        config.alpn_protocols = vec![if self.h2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        Wrapper::around_clients(address, config, NAME).await.addr()
    }
}

/// Sends a request, written as in HTTP/1, in HTTP/2; gives the answer in the same form.
pub(crate) async fn ask(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let (head, body) = apart(request);
    let mut lines = head.lines();
    let mut words = lines.next().unwrap().split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let mut host = NAME.to_owned();
    let mut fields = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        match &*name.to_ascii_lowercase() {
            "connection" => {}
            "host" => value.clone_into(&mut host),
            name => {
                let name: http::HeaderName = name.parse().unwrap();
                fields.append(name, value.parse().unwrap());
            }
        }
    }
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
    *request.uri_mut() = format!("http://{host}{path}").parse().unwrap();
    *request.headers_mut() = fields;
    in_time("an answer in HTTP/2", exchange(address, request, body)).await
}

async fn exchange(address: SocketAddr, request: Request<()>, body: Vec<u8>) -> Vec<u8> {
    let socket = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = client::handshake(socket).await.unwrap();
    let connection = tokio::spawn(connection);
    let (answer, mut sending) = sender.send_request(request, body.is_empty()).unwrap();
    if !body.is_empty() {
        // An answer may come before all of it is taken.
        let _ = sending.send_data(Bytes::from(body), true);
    }
    let told = match answer.await {
        Ok(answer) => {
            let (head, body) = answer.into_parts();
            let mut told = format!("HTTP/1.1 {} \r\n", head.status.as_u16()).into_bytes();
            told.extend(lines(&head.headers).bytes());
            told.extend(b"\r\n");
            let (body, end) = read(body).await;
            [told, body, end.into_bytes()].concat()
        }
        Err(error) => format!("no answer: {:?}", error.reason()).into_bytes(),
    };
    connection.abort();
    told
}

/// A body, and how it ends.
async fn read(mut body: RecvStream) -> (Vec<u8>, String) {
    let mut all = Vec::new();
    while let Some(data) = body.data().await {
        match data {
            Ok(data) => {
                let _ = body.flow_control().release_capacity(data.len());
                all.extend_from_slice(&data);
            }
            Err(error) => return (all, format!("<{:?}>", error.reason())),
        }
    }
    let trailers = body.trailers().await.ok().flatten();
    (all, trailers.map(|trailers| format!("<trailers>{}", lines(&trailers))).unwrap_or_default())
}

fn lines(fields: &HeaderMap) -> String {
    let mut lines = String::new();
    for (name, value) in fields {
        write!(lines, "{name}: {}\r\n", String::from_utf8_lossy(value.as_bytes())).unwrap();
    }
    lines
}

fn apart(message: &[u8]) -> (String, Vec<u8>) {
    let text: String = message.iter().map(|byte| char::from(*byte)).collect();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.chars().map(|c| c as u8).collect())
}

/// A request that a gRPC origin got: head and body.
type Call = (Vec<u8>, Vec<u8>);

/// An origin that speaks gRPC over HTTP/2 without TLS: it sends each message back and says `0`. The last
/// part of the path may ask for something else: `Fail` for `5` without a message, `Status-N` for that
/// status of HTTP without one, `Refuse` and `Cancel` for a reset, `Large` for a field of 20 KB, `Plain` for
/// an answer without trailers.
pub(crate) struct Callee {
    address: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Callee {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
        let seen = Arc::clone(&calls);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let seen = Arc::clone(&seen);
                tokio::spawn(async move {
                    let Ok(mut connection) = server::handshake(socket).await else { return };
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        tokio::spawn(answer(request, respond, Arc::clone(&seen)));
                    }
                });
            }
        });
        Self { address, calls }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// All calls so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: server::SendResponse<Bytes>,
    calls: Arc<Mutex<Vec<Call>>>,
) {
    let (head, body) = request.into_parts();
    let (body, _) = read(body).await;
    let authority = head.uri.authority().map(ToString::to_string).unwrap_or_default();
    let path = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let line = format!("{} {path} HTTP/2\r\n:authority: {authority}\r\n", head.method);
    let told = format!("{line}{}\r\n", lines(&head.headers)).into_bytes();
    calls.lock().unwrap().push((told, body.clone()));
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::OK;
    let fields = response.headers_mut();
    fields.insert("content-type", "application/grpc".parse().unwrap());
    let wanted = path.rsplit('/').next().unwrap_or_default();
    let status = wanted.strip_prefix("Status-").and_then(|status| status.parse().ok());
    match wanted {
        "Fail" => {
            fields.insert("grpc-status", "5".parse().unwrap());
            fields.insert("grpc-message", "not there".parse().unwrap());
        }
        "Large" => {
            fields.insert("x-large", "x".repeat(20_000).parse().unwrap());
        }
        "Refuse" => return respond.send_reset(Reason::REFUSED_STREAM),
        "Cancel" => return respond.send_reset(Reason::CANCEL),
        _ => {}
    }
    if let Some(status) = status {
        fields.insert("grpc-status", "14".parse().unwrap());
        *response.status_mut() = status;
    }
    let ends = wanted == "Fail" || status.is_some();
    let Ok(mut sending) = respond.send_response(response, ends) else { return };
    if ends {
        return;
    }
    let last = wanted == "Plain";
    if sending.send_data(Bytes::from(body), last).is_err() || last {
        return;
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    let _ = sending.send_trailers(trailers);
}

//! Backends that speak HTTP/2: one by a library, one of which the test decides every frame.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::header::HeaderValue;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};

use crate::support::frames::{ACK, HEADERS, PREFACE, SETTINGS, frame};

/// A body that is fed frame by frame; dropping the sender ends it.
struct Fed(mpsc::Receiver<Result<Frame<Bytes>, &'static str>>);

impl Body for Fed {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        self.0.poll_recv(cx)
    }
}

/// An origin that speaks HTTP/2 only.
#[derive(Clone, Default)]
pub(crate) struct Origin {
    pub(crate) connections: Arc<AtomicUsize>,
    /// Those that have ended.
    pub(crate) closed: Arc<AtomicUsize>,
    pub(crate) under_way: Arc<AtomicUsize>,
    pub(crate) gate: Option<Arc<Semaphore>>,
    /// Requests that a connection may have under way.
    pub(crate) most: Option<u32>,
}

impl Origin {
    pub(crate) async fn start(self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                self.connections.fetch_add(1, SeqCst);
                let (origin, closed) = (self.clone(), Arc::clone(&self.closed));
                let service = service_fn(move |request| origin.clone().answer(request));
                let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .max_concurrent_streams(self.most.or(Some(200)))
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(async move {
                    let _ = connection.await;
                    closed.fetch_add(1, SeqCst);
                });
            }
        });
        address
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Fed>, Infallible> {
        self.under_way.fetch_add(1, SeqCst);
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
        }
        let (feed, frames) = mpsc::channel(1);
        let mut response = Response::new(Fed(frames));
        let headers = response.headers_mut();
        for (name, value) in request.headers() {
            let name = format!("seen-{name}").parse::<hyper::header::HeaderName>().unwrap();
            headers.append(name, value.clone());
        }
        let uri = request.uri().to_string();
        headers.insert("seen-uri", HeaderValue::from_str(&uri).unwrap());
        let path = request.uri().path().to_owned();
        if let Some(kilobytes) = path.strip_prefix("/fields/") {
            let value = HeaderValue::from_str(&"x".repeat(1024)).unwrap();
            for n in 0..kilobytes.parse::<usize>().unwrap() {
                let name = format!("x-{n}").parse::<hyper::header::HeaderName>().unwrap();
                headers.insert(name, value.clone());
            }
        }
        tokio::spawn(async move {
            let mut body = request.into_body();
            let mut length = 0;
            while let Some(Ok(frame)) = body.frame().await {
                let Ok(data) = frame.into_data() else {
                    continue;
                };
                length += data.len();
                if path == "/echo" && feed.send(Ok(Frame::data(data))).await.is_err() {
                    return;
                }
            }
            let waits: Option<&'static [u8]> = match &*path {
                "/much" => Some(&[b'x'; 16 * 1024]),
                // Messages of gRPC, of two bytes each.
                "/many" => Some(&[0, 0, 0, 0, 2, 8, 1]),
                _ => None,
            };
            if let Some(piece) = waits {
                for _ in 0..(1 << 20) / piece.len() {
                    if feed.send(Ok(Frame::data(piece.into()))).await.is_err() {
                        return;
                    }
                }
            }
            let last = match &*path {
                "/broken" => Err("broken off"),
                "/trailers" => {
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", HeaderValue::from_static("0"));
                    trailers.insert("content-length", HeaderValue::from_static("7"));
                    Ok(Frame::trailers(trailers))
                }
                "/echo" => return,
                _ => Ok(Frame::data(format!("got {length}").into())),
            };
            if path == "/broken" {
                let _ = feed.send(Ok(Frame::data("half".into()))).await;
            }
            let _ = feed.send(last).await;
        });
        Ok(response)
    }
}

/// An origin that shakes hands and then says this to each request, by its stream; gives how many came.
pub(crate) async fn saying(what: fn(u32) -> Vec<u8>) -> (SocketAddr, Arc<AtomicUsize>) {
    with_settings(Vec::new(), what).await
}

/// The same with these settings.
pub(crate) async fn with_settings(
    settings: Vec<u8>,
    what: fn(u32) -> Vec<u8>,
) -> (SocketAddr, Arc<AtomicUsize>) {
    let (address, mut frames) = telling(settings, what).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Some((kind, _)) = frames.recv().await {
            count.fetch_add(usize::from(kind == HEADERS), SeqCst);
        }
    });
    (address, asked)
}

/// The same; gives the kind and the stream of every frame that comes.
pub(crate) async fn telling(
    settings: Vec<u8>,
    what: fn(u32) -> Vec<u8>,
) -> (SocketAddr, mpsc::UnboundedReceiver<(u8, u32)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(converse(socket, settings.clone(), what, tell.clone()));
        }
    });
    (address, told)
}

/// Its side of a connection, until that ends.
async fn converse(
    mut socket: TcpStream,
    settings: Vec<u8>,
    what: fn(u32) -> Vec<u8>,
    tell: mpsc::UnboundedSender<(u8, u32)>,
) -> std::io::Result<()> {
    let mut payload = vec![0; PREFACE.len()];
    socket.read_exact(&mut payload).await?;
    // Held until the first request has come, which was surely sent before they were known then.
    let (mut said, mut asked) = (frame(SETTINGS, 0, 0, settings), false);
    let mut head = [0; 9];
    loop {
        socket.read_exact(&mut head).await?;
        payload.resize(u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize, 0);
        socket.read_exact(&mut payload).await?;
        let stream = u32::from_be_bytes(head[5..].try_into().unwrap());
        let _ = tell.send((head[3], stream));
        match (head[3], head[4]) {
            (SETTINGS, 0) => said.extend(frame(SETTINGS, ACK, 0, [])),
            (HEADERS, _) => {
                asked = true;
                said.extend(what(stream));
            }
            _ => continue,
        }
        if asked {
            socket.write_all(&std::mem::take(&mut said)).await?;
        }
    }
}

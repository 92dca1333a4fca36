//! A client that speaks HTTP/2 as the library `h2` does.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response, StatusCode};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::support::in_time;

/// A connection.
pub(crate) struct Peer {
    pub(crate) send: SendRequest<Bytes>,
    ended: Option<oneshot::Receiver<Option<Reason>>>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: HeaderMap,
}

impl Got {
    /// The only field called `name`.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let first = values.next()?;
        assert!(values.next().is_none(), "{name} is there twice");
        Some(first.to_str().unwrap())
    }
}

impl Peer {
    /// Connects.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::with(address, &Builder::new()).await
    }

    /// The same with settings of one's own.
    pub(crate) async fn with(address: SocketAddr, builder: &Builder) -> Self {
        let socket = in_time("a connection", TcpStream::connect(address)).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let (send, connection) = in_time("a handshake", builder.handshake(socket)).await.unwrap();
        let (tell, ended) = oneshot::channel();
        tokio::spawn(async move {
            let reason = connection.await.err().and_then(|error| error.reason());
            let _ = tell.send(reason);
        });
        Self { send, ended: Some(ended) }
    }

    /// Sends a request's head; with `end` that is all of it.
    pub(crate) async fn begin(
        &mut self,
        request: Request<()>,
        end: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let mut send = in_time("leave to send", self.send.clone().ready()).await.unwrap();
        send.send_request(request, end).unwrap()
    }

    /// Asks for a path; gives the answer.
    pub(crate) async fn get(&mut self, path: &str) -> Got {
        let (response, _) = self.begin(get(path), true).await;
        whole(response).await.unwrap()
    }

    /// Sends a body; gives the answer.
    pub(crate) async fn post(&mut self, request: Request<()>, body: &[u8]) -> Got {
        let (response, mut stream) = self.begin(request, false).await;
        stream.send_data(Bytes::copy_from_slice(body), true).unwrap();
        whole(response).await.unwrap()
    }

    /// Why the connection has ended; waits until it has.
    pub(crate) async fn ended(&mut self) -> Option<Reason> {
        in_time("the end of the connection", self.ended.take().unwrap()).await.unwrap()
    }
}

/// A request without a body.
pub(crate) fn get(path: &str) -> Request<()> {
    Request::get(format!("http://test{path}")).body(()).unwrap()
}

/// The head of a request with a body.
pub(crate) fn post(path: &str) -> Request<()> {
    Request::post(format!("http://test{path}")).body(()).unwrap()
}

/// Waits for a whole answer. An error is why it broke.
pub(crate) async fn whole(response: ResponseFuture) -> Result<Got, h2::Error> {
    let response = in_time("an answer", response).await?;
    let (parts, body) = response.into_parts();
    let (body, trailers) = rest(body).await?;
    Ok(Got { status: parts.status.as_u16(), headers: parts.headers, body, trailers })
}

/// Waits for the rest of a body.
pub(crate) async fn rest(mut body: RecvStream) -> Result<(Vec<u8>, HeaderMap), h2::Error> {
    let mut all = Vec::new();
    while let Some(data) = in_time("data", body.data()).await {
        let data = data?;
        all.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len())?;
    }
    let trailers = in_time("trailers", body.trailers()).await?;
    Ok((all, trailers.unwrap_or_default()))
}

/// Waits for an answer's head.
pub(crate) async fn head(response: ResponseFuture) -> Response<RecvStream> {
    let response = in_time("an answer", response).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response
}

//! A client whose bytes the test writes: pipelining, half-close, nonsense and all.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::in_time;
use super::wire::{Body, Framing, Response, find};

/// A connection to a listener.
pub(crate) struct Client {
    reader: OwnedReadHalf,
    /// `None` once an upload has taken it.
    writer: Option<OwnedWriteHalf>,
    /// What came and was not asked for yet.
    buffer: Vec<u8>,
}

/// A response that did not come whole.
#[derive(Debug)]
pub(crate) struct Broken {
    /// What came of it; `None` if not even a head did.
    pub(crate) partial: Option<Response>,
    /// Whether the connection was reset, rather than closed.
    pub(crate) reset: bool,
}

impl Client {
    /// Connects.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).await.unwrap()
    }

    /// Connects, unless nobody listens.
    pub(crate) async fn try_connect(address: SocketAddr) -> Option<Self> {
        let connected = in_time("a connection", TcpStream::connect(address)).await;
        let socket = match connected {
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => return None,
            connected => connected.unwrap(),
        };
        // Small writes are to leave as they are made.
        socket.set_nodelay(true).unwrap();
        let (reader, writer) = socket.into_split();
        Some(Self { reader, writer: Some(writer), buffer: Vec::new() })
    }

    /// This end's address.
    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.reader.local_addr().unwrap()
    }

    /// Sends bytes as they are. Fails if they cannot be written.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        in_time("a write", self.writer().write_all(bytes.as_ref())).await.unwrap();
    }

    /// Sends bytes as far as the other side takes them: for requests that may be refused half-way.
    pub(crate) async fn send_what_is_taken(&mut self, bytes: impl AsRef<[u8]>) {
        // A close by the other side is what such a test goes on to look at.
        let _ = in_time("a write", self.writer().write_all(bytes.as_ref())).await;
    }

    /// Goes on sending so many bytes while the test does something else; gives the count of those
    /// that the socket has taken so far. Ends quietly if the other side closes.
    pub(crate) fn upload(&mut self, bytes: usize) -> Arc<AtomicUsize> {
        let taken = Arc::new(AtomicUsize::new(0));
        let (mut writer, count) = (self.writer.take().unwrap(), Arc::clone(&taken));
        tokio::spawn(async move {
            let mut missing = bytes;
            while missing > 0 {
                let piece = vec![b'x'; 16 * 1024];
                match writer.write(&piece[..missing.min(piece.len())]).await {
                    Ok(written) => missing -= written,
                    Err(_) => break,
                }
                count.store(bytes - missing, Relaxed);
            }
            writer.forget();
        });
        taken
    }

    /// Says that nothing more will be sent; answers can still come.
    pub(crate) async fn half_close(&mut self) {
        self.writer().shutdown().await.unwrap();
    }

    /// Closes with a reset.
    pub(crate) fn reset(mut self) {
        if let Some(writer) = self.writer.take() {
            writer.forget();
        }
        let socket = SockRef::from(self.reader.as_ref());
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Fails while an upload holds it.
    fn writer(&mut self) -> &mut OwnedWriteHalf {
        self.writer.as_mut().unwrap()
    }

    /// Waits for the first bytes of an answer that takes its own time.
    pub(crate) async fn until_begun(&mut self, patience: Duration) {
        let begun = tokio::time::timeout(patience, self.fill_buffer()).await;
        assert!(matches!(begun, Ok(Ok(()))), "no answer within {patience:?}");
    }

    /// The next response to anything but `HEAD` and `CONNECT`. Fails if it does not come whole.
    pub(crate) async fn read_response(&mut self) -> Response {
        self.try_read_response().await.unwrap_or_else(|broken| panic!("{broken:?}"))
    }

    /// The next response to a `HEAD`, which has no body whatever its fields say.
    pub(crate) async fn read_response_to_head(&mut self) -> Response {
        let head = in_time("a response head", self.read_head()).await;
        head.unwrap_or_else(|broken| panic!("{broken:?}"))
    }

    /// The next response, or what came of it.
    pub(crate) async fn try_read_response(&mut self) -> Result<Response, Broken> {
        in_time("a response", async {
            let mut response = self.read_head().await?;
            let framing = match response.status {
                101 | 204 | 304 => Framing::Length(0),
                _ => Framing::of(&response.headers, Framing::Close),
            };
            let mut body = Body::default();
            let mut end = Ok(());
            while end.is_ok() && !body.take(framing, &mut self.buffer) {
                end = self.fill_buffer().await;
            }
            response.body = body.content;
            response.trailers = body.trailers;
            match end {
                Ok(()) => Ok(response),
                Err(false) if framing == Framing::Close => Ok(response),
                Err(reset) => Err(Broken { partial: Some(response), reset }),
            }
        })
        .await
    }

    /// The next final head (or 101), with the interim ones before it.
    async fn read_head(&mut self) -> Result<Response, Broken> {
        let mut interim = Vec::new();
        loop {
            while find(&self.buffer, b"\r\n\r\n").is_none() {
                if let Err(reset) = self.fill_buffer().await {
                    assert!(self.buffer.is_empty(), "half a head: {}", self.buffer.escape_ascii());
                    return Err(Broken { partial: None, reset });
                }
            }
            let end = find(&self.buffer, b"\r\n\r\n").unwrap() + 4;
            let head = self.buffer.drain(..end).collect::<Vec<_>>();
            let mut response = Response::parse(&head);
            if response.status >= 200 || response.status == 101 {
                response.interim = interim;
                return Ok(response);
            }
            interim.push(response);
        }
    }

    /// Reads once; `Err` at the end of the connection, with whether it was reset.
    async fn fill_buffer(&mut self) -> Result<(), bool> {
        match self.reader.read_buf(&mut self.buffer).await {
            Ok(0) => Err(false),
            Ok(_) => Ok(()),
            Err(_) => Err(true),
        }
    }

    /// Exactly so many bytes, whatever they mean: for tunnels.
    pub(crate) async fn read_exact(&mut self, count: usize) -> Vec<u8> {
        in_time("bytes", async {
            while self.buffer.len() < count {
                let got = self.fill_buffer().await;
                assert!(got.is_ok(), "the end after {}", self.buffer.escape_ascii());
            }
        })
        .await;
        self.buffer.drain(..count).collect()
    }

    /// All bytes up to the end of the connection, however it ends.
    pub(crate) async fn read_to_end(&mut self) -> Vec<u8> {
        in_time("the end of the connection", async { while self.fill_buffer().await.is_ok() {} })
            .await;
        std::mem::take(&mut self.buffer)
    }

    /// Waits until the other side has ended the connection; fails if more bytes come before.
    pub(crate) async fn expect_closed(&mut self) {
        let rest = self.read_to_end().await;
        assert!(rest.is_empty(), "bytes before the end: {}", rest.escape_ascii());
    }
}

/// One `GET` on a connection of its own.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Response {
    let head = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    request(address, head).await
}

/// One request, written out, on a connection of its own.
pub(crate) async fn request(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Response {
    let mut client = Client::connect(address).await;
    client.send(bytes).await;
    client.read_response().await
}

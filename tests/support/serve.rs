//! An origin's connections: requests in, answers out, as [`Answer`] says.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::origin::{Answer, ORDER, Seen, Shared};
use super::wire::{Body, Fields, Framing, find, start_line};

/// What a connection needs of its socket.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Makes the close that follows a reset.
    fn reset_on_close(&self);
}

impl Wire for TcpStream {
    fn reset_on_close(&self) {
        SockRef::from(self).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

impl Wire for UnixStream {
    /// A Unix socket has no reset: a close with unread bytes is the nearest to it.
    fn reset_on_close(&self) {}
}

impl Shared {
    /// Serves a connection on a task of its own.
    pub(crate) fn open_connection(self: &Arc<Self>, socket: impl Wire) {
        let shared = Arc::clone(self);
        let number = shared.accepted.fetch_add(1, SeqCst);
        shared.open.fetch_add(1, SeqCst);
        let mut epoch = shared.epoch.subscribe();
        tokio::spawn(async move {
            tokio::select! {
                () = shared.serve(socket, number) => {}
                _ = epoch.changed() => {}
            }
            shared.open.fetch_sub(1, SeqCst);
        });
    }

    /// Requests one after the other, until either side ends the connection.
    async fn serve(&self, mut socket: impl Wire, number: usize) {
        let mut buffer = Vec::new();
        loop {
            let Some(head) = read_head(&mut socket, &mut buffer).await else {
                return;
            };
            self.heads.fetch_add(1, SeqCst);
            let answer = match self.answer.lock().unwrap().clone() {
                Answer::CloseByPath if head.starts_with(b"GET /close") => Answer::Close,
                Answer::CloseByPath => Answer::Status(200),
                answer => answer,
            };
            match answer {
                Answer::Continue => write(&mut socket, b"HTTP/1.1 100 Continue\r\n\r\n").await,
                Answer::BeforeBody(status) => {
                    write(&mut socket, &self.response(status, "close", b"")).await;
                    // A close with bytes unread would be a reset, which can overtake the answer.
                    let _ = socket.shutdown().await;
                    while read(&mut socket, &mut buffer).await {
                        buffer.clear();
                    }
                    return;
                }
                _ => {}
            }
            let Some(body) = read_body(&mut socket, &head, &mut buffer).await else {
                return;
            };
            let Body { content, trailers } = body;
            let is_head = head.starts_with(b"HEAD ");
            self.seen.lock().unwrap().push(Seen {
                head,
                body: content,
                trailers,
                connection: number,
                order: ORDER.fetch_add(1, SeqCst),
            });
            if self.held.subscribe().wait_for(|held| !held).await.is_err() {
                return;
            }
            if !self.reply(&mut socket, answer, is_head, &mut buffer).await {
                return;
            }
        }
    }

    /// Answers one request; whether the connection stays.
    async fn reply(
        &self,
        socket: &mut impl Wire,
        answer: Answer,
        is_head: bool,
        buffer: &mut Vec<u8>,
    ) -> bool {
        let closing = *self.closing.lock().unwrap();
        let connection = if closing { "close" } else { "keep-alive" };
        let mut bytes = match answer {
            Answer::Ok(body) => self.response(200, connection, &body),
            Answer::Status(status) => self.response(status, connection, self.name.as_bytes()),
            Answer::Continue => self.response(200, connection, self.name.as_bytes()),
            Answer::EarlyHints => {
                write(socket, b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n").await;
                self.response(200, connection, self.name.as_bytes())
            }
            Answer::Chunked(chunks, trailers) => self.chunked(&chunks, &trailers),
            Answer::Raw(bytes) => bytes,
            Answer::Reset => {
                socket.reset_on_close();
                return false;
            }
            other => {
                self.last_reply(socket, other, buffer).await;
                return false;
            }
        };
        if is_head && let Some(end) = find(&bytes, b"\r\n\r\n") {
            bytes.truncate(end + 4);
        }
        write(socket, &bytes).await;
        !closing
    }

    /// The answers that end with the connection.
    async fn last_reply(&self, socket: &mut impl Wire, answer: Answer, buffer: &mut Vec<u8>) {
        match answer {
            Answer::UntilClose(body) => {
                write(socket, &self.head(200, "Connection: close\r\n")).await;
                write(socket, &body).await;
            }
            Answer::Cut { declared, sent } => {
                write(socket, &self.head(200, &format!("Content-Length: {declared}\r\n"))).await;
                write(socket, &vec![b'x'; sent]).await;
            }
            Answer::CutChunked(body) => {
                let whole = self.chunked(&[body], &[]);
                write(socket, &whole[..whole.len() - b"0\r\n\r\n".len()]).await;
            }
            Answer::Stream(bytes) => self.stream(socket, bytes).await,
            // Whatever comes is not answered either; the other side's close ends it.
            Answer::Never => while read(socket, buffer).await {},
            Answer::Upgrade => {
                write(socket, &self.head(101, "Connection: Upgrade\r\nUpgrade: echo\r\n")).await;
                while !buffer.is_empty() || read(socket, buffer).await {
                    write(socket, &std::mem::take(buffer)).await;
                }
                write(socket, b"bye").await;
            }
            Answer::RawThenClose(bytes) => write(socket, &bytes).await,
            _ => {}
        }
        let _ = socket.shutdown().await;
    }

    /// A long body, counted as it leaves.
    async fn stream(&self, socket: &mut impl Wire, bytes: usize) {
        write(socket, &self.head(200, &format!("Content-Length: {bytes}\r\n"))).await;
        let piece = vec![b'x'; 16 * 1024];
        let mut missing = bytes;
        while missing > 0 {
            let Ok(count) = socket.write(&piece[..missing.min(piece.len())]).await else {
                return;
            };
            missing -= count;
            self.written.fetch_add(count, SeqCst);
        }
    }

    /// A final response's head, with further fields, each with its line end.
    fn head(&self, status: u16, fields: &str) -> Vec<u8> {
        let name = &self.name;
        format!("HTTP/1.1 {status} Status {status}\r\nX-Origin: {name}\r\n{fields}\r\n")
            .into_bytes()
    }

    /// A response with its body, where the status may have one.
    fn response(&self, status: u16, connection: &str, body: &[u8]) -> Vec<u8> {
        let connection = format!("Connection: {connection}\r\n");
        if matches!(status, 204 | 304) {
            return self.head(status, &connection);
        }
        let length = format!("Content-Length: {}\r\n", body.len());
        [self.head(status, &(connection + &length)).as_slice(), body].concat()
    }

    fn chunked(&self, chunks: &[Vec<u8>], trailers: &[(&str, &str)]) -> Vec<u8> {
        let mut bytes = self.head(200, "Transfer-Encoding: chunked\r\n");
        for chunk in chunks {
            bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n");
        for (name, value) in trailers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }
}

/// Appends what comes next; `false` once nothing will.
async fn read(socket: &mut impl Wire, buffer: &mut Vec<u8>) -> bool {
    socket.read_buf(buffer).await.is_ok_and(|count| count > 0)
}

/// Writes as far as the other side takes it: tests cut connections on purpose.
async fn write(socket: &mut impl Wire, bytes: &[u8]) {
    let _ = socket.write_all(bytes).await;
}

/// A whole request head; `None` if the connection ends before it.
async fn read_head(socket: &mut impl Wire, buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        if let Some(end) = find(buffer, b"\r\n\r\n") {
            return Some(buffer.drain(..end + 4).collect());
        }
        if !read(socket, buffer).await {
            return None;
        }
    }
}

/// The body that belongs to `head`; `None` if the connection ends before its end.
async fn read_body(socket: &mut impl Wire, head: &[u8], buffer: &mut Vec<u8>) -> Option<Body> {
    let framing = Framing::of(&Fields::parse(start_line(head).1), Framing::Length(0));
    let mut body = Body::default();
    while !body.take(framing, buffer) {
        if !read(socket, buffer).await {
            return None;
        }
    }
    Some(body)
}

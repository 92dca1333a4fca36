//! A backend without a mind of its own: each step of each connection is written in the test.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::in_time;

/// A listening socket.
pub(crate) struct Wired(TcpListener);

impl Wired {
    /// Listens on a free port of this address.
    pub(crate) async fn bind(address: &str) -> Self {
        Self(TcpListener::bind((address, 0)).await.unwrap())
    }

    /// The address as a configuration writes it.
    pub(crate) fn address(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }

    /// The next connection.
    pub(crate) async fn accept(&self) -> Wire {
        let (socket, _) = in_time("a connection", self.0.accept()).await.unwrap();
        socket.set_nodelay(true).unwrap();
        Wire { socket, buffer: Vec::new() }
    }
}

/// A connection from the program.
pub(crate) struct Wire {
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    /// Everything up to and with this text.
    pub(crate) async fn read_until(&mut self, text: &str) -> String {
        let what = format!("{text:?} from the program");
        let end = in_time(&what, async {
            loop {
                let place =
                    self.buffer.windows(text.len()).position(|window| window == text.as_bytes());
                if let Some(place) = place {
                    return place + text.len();
                }
                let got = self.socket.read_buf(&mut self.buffer).await.unwrap();
                assert!(got > 0, "the end after {}", self.buffer.escape_ascii());
            }
        })
        .await;
        String::from_utf8_lossy(&self.buffer.drain(..end).collect::<Vec<_>>()).into_owned()
    }

    /// The same as bytes, of which there are so many and more.
    pub(crate) async fn bytes_until(&mut self, text: &[u8], least: usize) -> Vec<u8> {
        let end = in_time("bytes from the program", async {
            loop {
                let from = least.saturating_sub(text.len()).min(self.buffer.len());
                let place = self.buffer[from..].windows(text.len()).position(|bytes| bytes == text);
                if let Some(place) = place {
                    return from + place + text.len();
                }
                let got = self.socket.read_buf(&mut self.buffer).await.unwrap();
                assert!(got > 0, "the end after {}", self.buffer.escape_ascii());
            }
        })
        .await;
        self.buffer.drain(..end).collect()
    }

    /// A request head.
    pub(crate) async fn head(&mut self) -> String {
        self.read_until("\r\n\r\n").await
    }

    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = in_time("a write", self.socket.write_all(bytes.as_ref())).await;
        sent.unwrap();
    }

    /// Says that nothing more will be sent.
    pub(crate) async fn half_close(&mut self) {
        self.socket.shutdown().await.unwrap();
    }

    /// Waits until the program has ended its half, or all; gives what came before.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        in_time("the end of the connection", async {
            while matches!(self.socket.read_buf(&mut self.buffer).await, Ok(1..)) {}
        })
        .await;
        std::mem::take(&mut self.buffer)
    }
}

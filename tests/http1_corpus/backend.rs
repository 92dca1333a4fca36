//! A backend that does nothing but tell what came on which of its connections, and in which order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::support::in_time;

/// News of a connection, by its number: bytes, or none at its end.
type News = (usize, Vec<u8>);

/// A listening socket and its connections.
pub(crate) struct Backend {
    pub(crate) address: String,
    news: UnboundedReceiver<News>,
    writers: Arc<Mutex<Vec<Option<OwnedWriteHalf>>>>,
    /// Connections before this one are of no interest any more.
    first: usize,
}

impl Backend {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (tell, news) = unbounded_channel();
        let writers = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(accept(listener, tell, Arc::clone(&writers)));
        Self { address, news, writers, first: 0 }
    }

    /// Waits for exactly these bytes on one connection; gives its number.
    pub(crate) async fn expect(&mut self, bytes: &[u8]) -> usize {
        let mut got = Vec::new();
        let mut connection = None;
        let gather = async {
            while got.len() < bytes.len() {
                let (number, news) = self.next_news().await;
                // That another one has ended is of no interest.
                if news.is_empty() && connection != Some(number) {
                    continue;
                }
                assert_eq!(*connection.get_or_insert(number), number, "on two connections");
                assert!(!news.is_empty(), "the end after {}", got.escape_ascii());
                got.extend(news);
                let common = got.len().min(bytes.len());
                assert_eq!(text(&got[..common]), text(&bytes[..common]));
            }
        };
        in_time("the request at the backend", gather).await;
        assert_eq!(text(&got), text(bytes));
        connection.unwrap()
    }

    /// Waits for exactly these bytes on one connection. On another one the beginning of a request may
    /// have come, which then was broken off.
    pub(crate) async fn expect_behind_a_part(&mut self, bytes: &[u8]) -> usize {
        let mut came: BTreeMap<usize, (Vec<u8>, bool)> = BTreeMap::new();
        let gather = async {
            loop {
                let (number, news) = self.next_news().await;
                let (got, ended) = came.entry(number).or_default();
                *ended |= news.is_empty();
                got.extend(news);
                let found =
                    came.iter().find(|(_, (got, _))| got == bytes).map(|(number, _)| *number);
                let all_ended = came.iter().all(|(number, (got, ended))| {
                    *ended || got.is_empty() || Some(*number) == found
                });
                if let (Some(found), true) = (found, all_ended) {
                    return found;
                }
            }
        };
        let found =
            in_time("the request at the backend, and the end of the one before", gather).await;
        for (got, _) in came.values() {
            assert!(!got.ends_with(b"0\r\n\r\n"), "{}", got.escape_ascii());
        }
        self.first = found;
        found
    }

    async fn next_news(&mut self) -> News {
        loop {
            let (number, news) = self.news.recv().await.unwrap();
            if number >= self.first {
                return (number, news);
            }
        }
    }

    /// Sends bytes as they are. The other side may be gone by then.
    pub(crate) async fn send(&mut self, connection: usize, bytes: &[u8]) {
        let mut writer = self.writers.lock().unwrap()[connection].take().unwrap();
        let _ = in_time("a write", writer.write_all(bytes)).await;
        self.writers.lock().unwrap()[connection] = Some(writer);
    }

    /// Ends this side of a connection.
    pub(crate) async fn end(&mut self, connection: usize) {
        let writer = self.writers.lock().unwrap()[connection].take();
        let _ = writer.unwrap().shutdown().await;
    }
}

/// For people.
pub(crate) fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

async fn accept(
    listener: TcpListener,
    tell: UnboundedSender<News>,
    writers: Arc<Mutex<Vec<Option<OwnedWriteHalf>>>>,
) {
    while let Ok((socket, _)) = listener.accept().await {
        socket.set_nodelay(true).unwrap();
        let (reader, writer) = socket.into_split();
        let number = {
            let mut writers = writers.lock().unwrap();
            writers.push(Some(writer));
            writers.len() - 1
        };
        tokio::spawn(follow(reader, number, tell.clone()));
    }
}

async fn follow(mut reader: OwnedReadHalf, number: usize, tell: UnboundedSender<News>) {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let n = reader.read(&mut bytes).await.unwrap_or(0);
        if tell.send((number, bytes[..n].to_vec())).is_err() || n == 0 {
            return;
        }
    }
}

//! A backend whose every byte the test decides, at any time.
//!
//! It counts and keeps what it gets, and answers as the test last said ([`Answer`]). Requests can be
//! held at a gate, connections cut, the listener stopped and brought back on the same address.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use socket2::{Domain, Protocol, Socket, Type};
use tempfile::TempDir;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::until;
use super::wire::{Fields, start_line};

/// How an origin answers. All final responses carry `X-Origin: NAME`, but for the raw ones.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// 200 with this body.
    Ok(Vec<u8>),
    /// This status, with the name as body (where the status may have one).
    Status(u16),
    /// This status at the sight of the head; the request's body is not read, the connection closed.
    BeforeBody(u16),
    /// 100 once the head is there, and 200 once the body is.
    Continue,
    /// 103 with a `Link`, then 200.
    EarlyHints,
    /// 200 in these chunks, with these trailer fields.
    Chunked(Vec<Vec<u8>>, Vec<(&'static str, &'static str)>),
    /// 200 whose body ends with the connection.
    UntilClose(Vec<u8>),
    /// 200 that declares `declared` bytes, sends `sent` of them and closes.
    Cut {
        /// `Content-Length`.
        declared: usize,
        /// What really comes.
        sent: usize,
    },
    /// 200 in chunks that closes before the last one.
    CutChunked(Vec<u8>),
    /// 200 with so many bytes; [`Origin::written`] tells how many could be written so far.
    Stream(usize),
    /// No answer: closes once the request is there.
    Close,
    /// As [`Answer::Close`] for paths that begin with `/close`; all others get 200 with the name.
    CloseByPath,
    /// No answer: resets the connection once the request is there.
    Reset,
    /// No answer, for as long as the other side waits.
    Never,
    /// 101, then sends back whatever comes; at the end of input it sends `bye` and closes.
    Upgrade,
    /// These bytes, and the connection stays.
    Raw(Vec<u8>),
    /// These bytes, and the connection is closed.
    RawThenClose(Vec<u8>),
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// The raw head with its empty line.
    pub(crate) head: Vec<u8>,
    /// The content, without its framing.
    pub(crate) body: Vec<u8>,
    /// The trailer fields.
    pub(crate) trailers: Fields,
    /// Which connection it came on, counted from 0.
    pub(crate) connection: usize,
    /// Its place among all requests to all origins of the test binary.
    pub(crate) order: usize,
}

impl Seen {
    /// The request line.
    pub(crate) fn line(&self) -> String {
        start_line(&self.head).0
    }

    /// The header fields.
    pub(crate) fn headers(&self) -> Fields {
        Fields::parse(start_line(&self.head).1)
    }

    /// The only field called `name`; fails if there are several.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.headers().one(name).map(str::to_owned)
    }
}

/// Requests that have come to any origin.
pub(crate) static ORDER: AtomicUsize = AtomicUsize::new(0);

/// A running origin; its connections end with it.
pub(crate) struct Origin {
    place: Place,
    shared: Arc<Shared>,
    accepting: Option<AbortHandle>,
}

enum Place {
    Tcp(SocketAddr),
    /// The directory is removed with the origin.
    Unix(PathBuf, TempDir),
}

/// What an origin and its connections have in common.
pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) answer: Mutex<Answer>,
    /// Whether every answer closes its connection.
    pub(crate) closing: Mutex<bool>,
    pub(crate) seen: Mutex<Vec<Seen>>,
    pub(crate) heads: AtomicUsize,
    pub(crate) accepted: AtomicUsize,
    pub(crate) open: AtomicUsize,
    pub(crate) written: AtomicUsize,
    pub(crate) held: watch::Sender<bool>,
    /// A new value ends all connections of before.
    pub(crate) epoch: watch::Sender<u64>,
}

impl Origin {
    /// An origin on a free port of 127.0.0.1 that answers 200 with its name.
    pub(crate) async fn start(name: &str) -> Self {
        let mut origin = Self::new(name, Place::Tcp((Ipv4Addr::LOCALHOST, 0).into()));
        origin.restart().await;
        origin
    }

    /// The same on a Unix socket.
    pub(crate) async fn start_unix(name: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let mut origin = Self::new(name, Place::Unix(directory.path().join("origin"), directory));
        origin.restart().await;
        origin
    }

    fn new(name: &str, place: Place) -> Self {
        let shared = Shared {
            name: name.to_owned(),
            answer: Mutex::new(Answer::Status(200)),
            closing: Mutex::new(false),
            seen: Mutex::default(),
            heads: AtomicUsize::new(0),
            accepted: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            written: AtomicUsize::new(0),
            held: watch::Sender::new(false),
            epoch: watch::Sender::new(0),
        };
        Self { place, shared: Arc::new(shared), accepting: None }
    }

    /// The address as a configuration writes it.
    pub(crate) fn address(&self) -> String {
        match &self.place {
            Place::Tcp(address) => address.to_string(),
            Place::Unix(path, _) => format!("unix:{}", path.display()),
        }
    }

    /// The address for a client without a balancer between.
    pub(crate) fn socket_addr(&self) -> SocketAddr {
        match &self.place {
            Place::Tcp(address) => *address,
            Place::Unix(..) => panic!("{} has no port", self.shared.name),
        }
    }

    /// Whether it is on a Unix socket, and so has no port.
    pub(crate) fn is_unix(&self) -> bool {
        matches!(self.place, Place::Unix(..))
    }

    /// The port.
    pub(crate) fn port(&self) -> u16 {
        self.socket_addr().port()
    }

    /// From now on, answers so. A request whose head has come already keeps its old answer.
    pub(crate) fn answer(&self, answer: Answer) {
        *self.shared.answer.lock().unwrap() = answer;
    }

    /// From now on, says `Connection: close` in each answer and does it.
    pub(crate) fn close_after_each_answer(&self) {
        *self.shared.closing.lock().unwrap() = true;
    }

    /// Holds requests that have come whole at a gate, before they are answered.
    pub(crate) fn hold(&self) {
        self.shared.held.send_replace(true);
    }

    /// Opens the gate.
    pub(crate) fn release(&self) {
        self.shared.held.send_replace(false);
    }

    /// Request heads that have come.
    pub(crate) fn requests(&self) -> usize {
        self.shared.heads.load(SeqCst)
    }

    /// Connections that were ever accepted.
    pub(crate) fn connections(&self) -> usize {
        self.shared.accepted.load(SeqCst)
    }

    /// Connections that are open.
    pub(crate) fn open(&self) -> usize {
        self.shared.open.load(SeqCst)
    }

    /// Body bytes of [`Answer::Stream`] that the sockets have taken.
    pub(crate) fn written(&self) -> usize {
        self.shared.written.load(SeqCst)
    }

    /// Requests that have come whole, in order.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// The last request that has come whole.
    pub(crate) fn last(&self) -> Seen {
        self.seen().pop().unwrap_or_else(|| panic!("{} got no request", self.shared.name))
    }

    /// Waits for so many request heads.
    pub(crate) async fn until_requests(&self, count: usize) {
        let what = format!("{} has got {count} requests", self.shared.name);
        until(&what, async || self.requests() >= count).await;
    }

    /// Waits for so many connections, counting those that have ended.
    pub(crate) async fn until_connections(&self, count: usize) {
        let what = format!("{} has accepted {count} connections", self.shared.name);
        until(&what, async || self.connections() >= count).await;
    }

    /// Waits until exactly so many connections are open.
    pub(crate) async fn until_open(&self, count: usize) {
        let what = format!("{} has {count} open connections", self.shared.name);
        until(&what, async || self.open() == count).await;
    }

    /// Ends all connections that are open now, and waits until they are; new ones are welcome.
    pub(crate) async fn cut_connections(&self) {
        self.shared.epoch.send_modify(|epoch| *epoch += 1);
        self.until_open(0).await;
    }

    /// Stops listening and ends all connections: further attempts to connect are refused.
    pub(crate) async fn stop(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            // The listener is closed when the task is dropped, which `abort` only asks for.
            until("the listener is closed", async || accepting.is_finished()).await;
        }
        self.cut_connections().await;
    }

    /// Listens (again) on the same address.
    pub(crate) async fn restart(&mut self) {
        assert!(self.accepting.is_none(), "{} is listening", self.shared.name);
        let shared = Arc::clone(&self.shared);
        let task = match &mut self.place {
            Place::Tcp(address) => {
                let listener = bind(*address);
                *address = listener.local_addr().unwrap();
                tokio::spawn(async move {
                    loop {
                        let (socket, _) = listener.accept().await.unwrap();
                        shared.open_connection(socket);
                    }
                })
            }
            Place::Unix(path, _) => {
                // A socket's file outlives its listener.
                let _ = tokio::fs::remove_file(&path).await;
                let listener = UnixListener::bind(path).unwrap();
                tokio::spawn(async move {
                    loop {
                        let (socket, _) = listener.accept().await.unwrap();
                        shared.open_connection(socket);
                    }
                })
            }
        };
        self.accepting = Some(task.abort_handle());
    }
}

/// Binds an address that may have been in use a moment ago.
fn bind(address: SocketAddr) -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket.listen(1024).unwrap();
    socket.set_nonblocking(true).unwrap();
    TcpListener::from_std(socket.into()).unwrap()
}

impl Drop for Origin {
    fn drop(&mut self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
        self.shared.epoch.send_modify(|epoch| *epoch += 1);
    }
}

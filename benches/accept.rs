//! Two ways to bring connections to two workers, compared: each worker accepts on a socket of its own
//! and the kernel spreads by a hash (`SO_REUSEPORT`), or one worker accepts for all and hands every
//! other connection on.
//!
//! Hand-off spreads evenly however few the clients are. What it costs is another thread's wake-up and
//! a second round through the runtime for half of all connections, and a worker that all depend on.
//! Prints the processor time per short connection, and how uneven a few long-lived ones lie.

#![allow(clippy::print_stdout, reason = "a command whose output is its result")]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use plimsoll::net::Listener;
use rustix::time::{ClockId, clock_gettime};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

const WORKERS: usize = 2;
/// Short connections, one after the other.
const SHORT: u32 = 20_000;
/// Numbers of long-lived clients.
const CLIENTS: [usize; 6] = [2, 4, 8, 16, 64, 256];
/// How often each number of clients comes anew.
const TRIALS: usize = 200;
/// A worker looks this often whether it is to end.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Clone, Copy)]
enum Way {
    ReusePort,
    HandOff,
}

/// What all threads see.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    open: [AtomicI64; WORKERS],
}

struct Workers {
    address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Duration>>,
}

impl Workers {
    fn start(way: Way) -> io::Result<Self> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let sockets = match way {
            Way::ReusePort => WORKERS,
            Way::HandOff => 1,
        };
        let sockets = plimsoll::net::bind(any, sockets).map_err(io::Error::other)?;
        let of_ip = |socket| match socket {
            Listener::Tcp(socket) => Some(socket),
            Listener::Unix(_) => None,
        };
        let sockets: Vec<_> = sockets.into_iter().filter_map(of_ip).collect();
        let address = sockets[0].local_addr()?;
        let shared = Arc::new(Shared::default());
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..WORKERS).map(|_| mpsc::unbounded_channel()).unzip();
        let mut sockets = sockets.into_iter();
        let threads = receivers
            .into_iter()
            .enumerate()
            .map(|(me, handed)| {
                let worker = Worker {
                    me,
                    shared: Arc::clone(&shared),
                    socket: sockets.next(),
                    others: matches!(way, Way::HandOff).then(|| senders.clone()),
                    handed,
                };
                thread::spawn(move || worker.run())
            })
            .collect();
        Ok(Self { address, shared, threads })
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let mut client = TcpStream::connect(self.address)?;
        // Thousands of connections are not to leave as many ports behind.
        SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
        client.set_nodelay(true)?;
        client.write_all(b"?")?;
        client.read_exact(&mut [0])?;
        Ok(client)
    }

    /// The largest worker's share of so many clients.
    fn share(&self, clients: usize) -> io::Result<f64> {
        let open = (0..clients).map(|_| self.connect()).collect::<io::Result<Vec<_>>>()?;
        let most = self.shared.open.iter().map(|open| open.load(Ordering::SeqCst)).max();
        drop(open);
        while self.shared.open.iter().any(|open| open.load(Ordering::SeqCst) != 0) {
            thread::yield_now();
        }
        Ok(most.unwrap_or_default() as f64 / clients as f64)
    }

    /// Ends all; gives the processor time that they used.
    fn stop(self) -> Duration {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.threads.into_iter().filter_map(|thread| thread.join().ok()).sum()
    }
}

struct Worker {
    me: usize,
    shared: Arc<Shared>,
    socket: Option<TcpListener>,
    others: Option<Vec<mpsc::UnboundedSender<TcpStream>>>,
    handed: mpsc::UnboundedReceiver<TcpStream>,
}

impl Worker {
    /// Gives the processor time of this thread.
    fn run(self) -> Duration {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return Duration::ZERO };
        LocalSet::new().block_on(&runtime, self.work());
        let used = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(used.tv_sec.unsigned_abs(), used.tv_nsec as u32)
    }

    async fn work(mut self) {
        let socket = self.socket.take().map(tokio::net::TcpListener::from_std);
        let socket = socket.and_then(Result::ok);
        let shared = self.shared;
        let mut look = tokio::time::interval(LOOK);
        let mut turn = 0;
        while !shared.stop.load(Ordering::SeqCst) {
            let accept = async {
                match &socket {
                    Some(socket) => socket.accept().await,
                    None => std::future::pending().await,
                }
            };
            let mine = tokio::select! {
                accepted = accept => match (accepted, &self.others) {
                    (Ok((stream, _)), Some(others)) => {
                        turn += 1;
                        let to = turn % WORKERS;
                        if to != self.me {
                            let _ = stream.into_std().map(|stream| others[to].send(stream));
                            continue;
                        }
                        stream
                    }
                    (Ok((stream, _)), None) => stream,
                    (Err(_), _) => continue,
                },
                Some(handed) = self.handed.recv() => match tokio::net::TcpStream::from_std(handed) {
                    Ok(stream) => stream,
                    Err(_) => continue,
                },
                _ = look.tick() => continue,
            };
            tokio::task::spawn_local(serve(mine, Arc::clone(&shared), self.me));
        }
    }
}

/// Answers each byte with one, until the client goes.
async fn serve(mut stream: tokio::net::TcpStream, shared: Arc<Shared>, me: usize) {
    shared.open[me].fetch_add(1, Ordering::SeqCst);
    let mut bytes = [0; 64];
    while let Ok(1..) = stream.read(&mut bytes).await {
        if stream.write_all(b"!").await.is_err() {
            break;
        }
    }
    shared.open[me].fetch_sub(1, Ordering::SeqCst);
}

fn main() -> io::Result<()> {
    println!("| | µs CPU per connection | connections a second |");
    println!("|---|---:|---:|");
    let mut spread = Vec::new();
    for (name, way) in [("SO_REUSEPORT", Way::ReusePort), ("hand-off", Way::HandOff)] {
        let workers = Workers::start(way)?;
        let start = Instant::now();
        for _ in 0..SHORT {
            drop(workers.connect()?);
        }
        let took = start.elapsed();
        let used = workers.stop();
        let each = used.as_secs_f64() * 1e6 / f64::from(SHORT);
        println!("| {name} | {each:.1} | {:.0} |", f64::from(SHORT) / took.as_secs_f64());
        spread.push((name, shares(way)?));
    }
    println!("\nShare of the busier of two workers, mean (and one trial in twenty: at least):\n");
    println!("| clients | {} | {} |\n|---:|---:|---:|", spread[0].0, spread[1].0);
    for (at, clients) in CLIENTS.iter().enumerate() {
        println!("| {clients} | {} | {} |", spread[0].1[at], spread[1].1[at]);
    }
    Ok(())
}

fn shares(way: Way) -> io::Result<Vec<String>> {
    let workers = Workers::start(way)?;
    let mut rows = Vec::new();
    for clients in CLIENTS {
        let mut shares =
            (0..TRIALS).map(|_| workers.share(clients)).collect::<io::Result<Vec<_>>>()?;
        shares.sort_by(f64::total_cmp);
        let mean = shares.iter().sum::<f64>() / TRIALS as f64;
        rows.push(format!("{:.0} % ({:.0} %)", mean * 100.0, shares[TRIALS * 19 / 20] * 100.0));
    }
    workers.stop();
    Ok(rows)
}

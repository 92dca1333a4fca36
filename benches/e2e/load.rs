//! The load: client connections that send one fixed request, check each response and time it.
//!
//! Closed loop: each connection sends its next request when the last response is complete. Open
//! loop: requests fall due at a fixed rate, whatever the proxy does; one that finds no free
//! connection waits in a queue, and its latency runs from when it was *due* (no coordinated
//! omission). Source: G. Tene, "How NOT to measure latency"; wrk2.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use socket2::{Domain, Socket, Type};

use crate::Result;
use crate::poll::{Interest, Poll, Token};
use crate::wire::{self, Chunks, Length};

/// The parts of the window whose longest latencies are kept.
const PART: Duration = Duration::from_millis(250);

/// What is sent, and what must come back.
#[derive(Clone)]
pub(crate) struct Exchange {
    /// The whole request.
    pub(crate) request: Vec<u8>,
    /// Bytes of the response's content.
    pub(crate) content: usize,
    /// Whether the proxy closes after each response, and a new connection is made.
    pub(crate) closes: bool,
}

/// When the next request is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    /// When the last response of the connection is complete.
    Closed,
    /// At this many per second over all connections.
    Open(f64),
    /// Never: one request per connection, which then stays open.
    Once,
}

/// All connections of one run.
pub(crate) struct Load {
    exchange: Exchange,
    pace: Pace,
    addresses: Vec<SocketAddr>,
    connections: Vec<Connection>,
    /// Open loop: connections without a request.
    free: Vec<usize>,
    /// Open loop: when the requests that wait for a connection were due.
    queue: VecDeque<Instant>,
    /// Open loop: when the next request falls due.
    next_due: Instant,
    stopping: bool,
    /// Requests sent or due whose response is not complete.
    under_way: usize,
    /// Responses that were complete and right.
    pub(crate) completed: u64,
    /// Only requests of this time are recorded.
    window: Option<(Instant, Instant)>,
    /// Latencies in microseconds of the requests of the window.
    pub(crate) latencies: Histogram<u64>,
    /// The longest latency of each part of the window.
    worst: Vec<u64>,
}

struct Connection {
    socket: TcpStream,
    interest: Interest,
    state: State,
    /// Bytes of the request that were sent.
    sent: usize,
    /// When the request was sent, or due.
    since: Instant,
    /// A response head that did not come in one read.
    partial: Vec<u8>,
}

/// Where a connection is in its exchange.
enum State {
    Idle,
    Head,
    /// This many bytes are missing.
    Body(usize),
    Chunked(Chunks),
    /// The response is complete; the proxy has to close.
    Closing,
}

impl Load {
    /// A load on `addresses` in turn; no connection is made yet.
    pub(crate) fn new(exchange: Exchange, pace: Pace, addresses: Vec<SocketAddr>) -> Result<Self> {
        Ok(Self {
            exchange,
            pace,
            addresses,
            connections: Vec::new(),
            free: Vec::new(),
            queue: VecDeque::new(),
            next_due: Instant::now(),
            stopping: false,
            under_way: 0,
            completed: 0,
            window: None,
            latencies: Histogram::new_with_bounds(1, 60_000_000, 3)?,
            worst: Vec::new(),
        })
    }

    /// Opens `count` further connections; unless the loop is open, each sends its first request.
    pub(crate) fn connect(&mut self, count: usize, poll: &Poll) -> Result<()> {
        for _ in 0..count {
            let place = self.connections.len();
            let socket = self.dial(place, poll)?;
            self.connections.push(Connection {
                socket,
                interest: Interest::Read,
                state: State::Idle,
                sent: 0,
                since: Instant::now(),
                partial: Vec::new(),
            });
            if matches!(self.pace, Pace::Open(_)) {
                self.free.push(place);
            } else {
                self.send(place, Instant::now(), poll)?;
                self.under_way += 1;
            }
        }
        Ok(())
    }

    /// A connection that is under way; on loopback it stands at once.
    fn dial(&self, place: usize, poll: &Poll) -> Result<TcpStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&self.addresses[place % self.addresses.len()].into()) {
            Err(fault)
                if fault.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) =>
            {
                return Err(format!("connect: {fault}").into());
            }
            _ => poll.add(&socket, Token::Load(place), Interest::Read)?,
        }
        Ok(socket.into())
    }

    /// Records from now on, for this long.
    pub(crate) fn open_window(&mut self, length: Duration) {
        let now = Instant::now();
        self.window = Some((now, now + length));
    }

    /// The longest latency in microseconds of a quarter of a second: the median of every second one.
    /// What disturbs the machine now and then is not in it; what each reload does (one falls due at the
    /// beginning of each that counts) is.
    pub(crate) fn typical_worst(&self) -> u64 {
        let mut worst = self.worst.iter().copied().step_by(2).collect::<Vec<_>>();
        worst.sort_unstable();
        worst.get(worst.len() / 2).copied().unwrap_or_default()
    }

    /// Sends nothing new from now on.
    pub(crate) fn stop(&mut self) {
        self.stopping = true;
    }

    /// Requests whose response is not complete.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way
    }

    /// Whether requests fall due by the clock.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.pace, Pace::Open(_))
    }

    /// Open loop: sends what has fallen due.
    pub(crate) fn send_due(&mut self, now: Instant, poll: &Poll) -> Result<()> {
        let Pace::Open(rate) = self.pace else {
            return Ok(());
        };
        while !self.stopping && self.next_due <= now {
            self.queue.push_back(self.next_due);
            self.under_way += 1;
            self.next_due += Duration::from_secs_f64(1.0 / rate);
        }
        while !self.queue.is_empty()
            && let Some(place) = self.free.pop()
            && let Some(due) = self.queue.pop_front()
        {
            self.send(place, due, poll)?;
        }
        Ok(())
    }

    fn send(&mut self, place: usize, since: Instant, poll: &Poll) -> Result<()> {
        let connection = &mut self.connections[place];
        connection.state = State::Head;
        connection.sent = 0;
        connection.since = since;
        connection.write(place, &self.exchange.request, poll)
    }

    /// Serves one connection that is ready.
    pub(crate) fn serve(&mut self, place: usize, poll: &Poll, scratch: &mut [u8]) -> Result<()> {
        let connection = &mut self.connections[place];
        if connection.sent < self.exchange.request.len() {
            connection.write(place, &self.exchange.request, poll)?;
        }
        loop {
            let connection = &mut self.connections[place];
            let data = match connection.socket.read(scratch) {
                Ok(0) if matches!(connection.state, State::Closing) => {
                    return self.renew(place, poll);
                }
                Ok(0) => return Err("the proxy closed a connection".into()),
                Ok(count) => &scratch[..count],
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(fault) => return Err(format!("read: {fault}").into()),
            };
            if connection.take(data, &self.exchange)? {
                self.complete(place, poll)?;
            }
            // A short read has emptied the socket; a close that came with it is another event.
            if data.len() < scratch.len() {
                return Ok(());
            }
        }
    }

    /// Books a complete response and goes on as the pace says.
    fn complete(&mut self, place: usize, poll: &Poll) -> Result<()> {
        let now = Instant::now();
        let connection = &mut self.connections[place];
        self.completed += 1;
        if let Some((from, to)) = self.window
            && (from..to).contains(&connection.since)
        {
            let micros = now.saturating_duration_since(connection.since).as_micros() as u64;
            self.latencies.saturating_record(micros);
            let part = (connection.since - from).div_duration_f64(PART) as usize;
            self.worst.resize(self.worst.len().max(part + 1), 0);
            self.worst[part] = self.worst[part].max(micros);
        }
        if self.exchange.closes {
            connection.state = State::Closing;
            return Ok(());
        }
        connection.state = State::Idle;
        match self.pace {
            Pace::Closed if !self.stopping => return self.send(place, now, poll),
            Pace::Open(_) => {
                self.free.push(place);
                self.under_way -= 1;
                return self.send_due(now, poll);
            }
            Pace::Closed | Pace::Once => self.under_way -= 1,
        }
        Ok(())
    }

    /// Replaces a connection that the proxy has closed as it should.
    fn renew(&mut self, place: usize, poll: &Poll) -> Result<()> {
        if self.stopping {
            self.under_way -= 1;
            // The socket is at its end and must not be waited for again.
            self.connections[place].socket = Socket::new(Domain::IPV4, Type::STREAM, None)?.into();
            return Ok(());
        }
        // Timed from before the connection is made.
        let since = Instant::now();
        self.connections[place].socket = self.dial(place, poll)?;
        self.connections[place].interest = Interest::Read;
        self.send(place, since, poll)
    }
}

impl Connection {
    /// Writes what the socket takes of the request.
    fn write(&mut self, place: usize, request: &[u8], poll: &Poll) -> Result<()> {
        while self.sent < request.len() {
            match self.socket.write(&request[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => break,
                Err(fault) => return Err(format!("write: {fault}").into()),
            }
        }
        let all = self.sent == request.len();
        let interest = if all { Interest::Read } else { Interest::ReadWrite };
        if interest != self.interest {
            self.interest = interest;
            poll.change(&self.socket, Token::Load(place), interest)?;
        }
        Ok(())
    }

    /// Takes in what came; whether it completes the response. Any surprise is an error.
    fn take(&mut self, data: &[u8], exchange: &Exchange) -> Result<bool> {
        match &mut self.state {
            State::Idle | State::Closing => {
                Err(format!("bytes beyond the response: {}", wire::shown(data)).into())
            }
            State::Body(missing) => {
                *missing = missing
                    .checked_sub(data.len())
                    .ok_or("the response is longer than it declared")?;
                Ok(*missing == 0)
            }
            State::Chunked(chunks) => match chunks.feed(data)? {
                None => Ok(false),
                Some(0) if chunks.content == exchange.content => Ok(true),
                Some(rest) => Err(format!(
                    "{} bytes of content in chunks and {rest} behind them, not {}",
                    chunks.content, exchange.content
                )
                .into()),
            },
            State::Head if self.partial.is_empty() => self.take_head(data, exchange),
            State::Head => {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(data);
                self.take_head(&whole, exchange)
            }
        }
    }

    fn take_head(&mut self, data: &[u8], exchange: &Exchange) -> Result<bool> {
        let Some(head) = wire::response_head(data)? else {
            self.partial.extend_from_slice(data);
            return Ok(false);
        };
        if head.status != 200 {
            return Err(format!("status {}: {}", head.status, wire::shown(data)).into());
        }
        if self.sent < exchange.request.len() {
            return Err("answered before the request was sent".into());
        }
        self.state = match head.length {
            Length::Chunked => State::Chunked(Chunks::default()),
            Length::Known(length) if length == exchange.content => State::Body(length),
            Length::Known(length) => {
                return Err(format!("length {length}, not {}", exchange.content).into());
            }
        };
        self.take(&data[head.bytes..], exchange)
    }
}

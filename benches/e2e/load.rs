//! The load: client connections that send one fixed request, check each response and time it.
//!
//! Closed loop: each connection sends its next request when the last response is complete. Open
//! loop: requests fall due at a fixed rate, whatever the proxy does; one that finds no free
//! connection waits in a queue, and its latency runs from when it was *due* (no coordinated
//! omission). Source: G. Tene, "How NOT to measure latency"; wrk2.
//!
//! Connections may be within TLS ([`link`](crate::link)), carry many requests at once over HTTP/2
//! ([`frames`](crate::frames)), or become a WebSocket whose messages are the requests.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustls::ClientConfig;
use socket2::{Domain, Socket, Type};

use crate::Result;
use crate::cases::Handshakes;
use crate::frames::{self, Client};
use crate::link::{self, Link};
use crate::poll::{Interest, Poll, Token};
use crate::wire::{self, Chunks, Length};

/// The parts of the window whose longest latencies are kept.
const PART: Duration = Duration::from_millis(250);

/// What is sent, and what must come back.
pub(crate) struct Exchange {
    /// The whole request.
    pub(crate) request: Vec<u8>,
    /// Bytes of the response's content.
    pub(crate) content: usize,
    /// Whether the proxy closes after each response, and a new connection is made.
    pub(crate) closes: bool,
    /// Connections are within TLS.
    pub(crate) tls: Option<Handshakes>,
    /// The same request over HTTP/2, so many at once on each connection.
    pub(crate) http2: Option<(frames::Request, usize)>,
    /// The request switches to a WebSocket, on which this message goes; `content` are the bytes of the
    /// one that comes back.
    pub(crate) message: Option<Vec<u8>>,
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
    tls: Option<Arc<ClientConfig>>,
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
    /// HTTP/2: what a read completed; kept for its room.
    done: Vec<Instant>,
    /// Within TLS: connections that went on from an earlier session and should not have, or the other way
    /// round.
    pub(crate) surprising: u64,
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
    link: Link,
    http2: Option<Client<Instant>>,
    interest: Interest,
    state: State,
    /// Bytes of the request that were sent.
    sent: usize,
    /// When the request was sent, or due.
    since: Instant,
    /// A response head that did not come in one read.
    partial: Vec<u8>,
    /// It is not the first one in its place, so that there is a session to go on from.
    again: bool,
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
    /// A WebSocket: this many bytes of a message are missing.
    Message(usize),
}

impl Load {
    /// A load on `addresses` in turn; no connection is made yet.
    pub(crate) fn new(exchange: Exchange, pace: Pace, addresses: Vec<SocketAddr>) -> Result<Self> {
        let tls = exchange.tls.map(|tls| link::client_config(tls, exchange.http2.is_some()));
        Ok(Self {
            tls: tls.transpose()?,
            exchange,
            pace,
            addresses,
            connections: Vec::new(),
            free: Vec::new(),
            queue: VecDeque::new(),
            next_due: Instant::now(),
            stopping: false,
            done: Vec::new(),
            surprising: 0,
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
            let link = self.dial(place, poll)?;
            self.connections.push(Connection {
                link,
                http2: self.exchange.http2.as_ref().map(|_| Client::new()),
                interest: Interest::Read,
                state: State::Idle,
                sent: 0,
                since: Instant::now(),
                partial: Vec::new(),
                again: false,
            });
            if matches!(self.pace, Pace::Open(_)) {
                self.free.push(place);
            } else if let Some((_, streams)) = &self.exchange.http2 {
                self.under_way += streams;
                self.ask(place, *streams, poll)?;
            } else {
                self.send(place, Instant::now(), poll)?;
                self.under_way += 1;
            }
        }
        Ok(())
    }

    /// A connection that is under way; on loopback it stands at once.
    fn dial(&self, place: usize, poll: &Poll) -> Result<Link> {
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
        Link::new(socket.into(), place, self.tls.as_ref())
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
        connection.state = match connection.state {
            State::Message(_) => State::Message(self.exchange.content),
            _ => State::Head,
        };
        connection.sent = 0;
        connection.since = since;
        connection.write(place, connection.outgoing(&self.exchange), poll)
    }

    /// Sends so many requests over an HTTP/2 connection.
    fn ask(&mut self, place: usize, count: usize, poll: &Poll) -> Result<()> {
        let connection = &mut self.connections[place];
        if let (Some(client), Some((request, _))) = (&mut connection.http2, &self.exchange.http2) {
            for _ in 0..count {
                client.ask(request, self.exchange.content, Instant::now());
            }
        }
        connection.write_frames(place, poll)
    }

    /// Serves one connection that is ready.
    pub(crate) fn serve(&mut self, place: usize, poll: &Poll, scratch: &mut [u8]) -> Result<()> {
        self.connections[place].write_rest(place, &self.exchange, poll)?;
        loop {
            let connection = &mut self.connections[place];
            let (count, more) = match connection.link.read(scratch) {
                Ok((0, _)) if matches!(connection.state, State::Closing) => {
                    return self.renew(place, poll);
                }
                Ok((0, _)) => return Err("the proxy closed a connection".into()),
                Ok(read) => read,
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => break,
                Err(fault) => return Err(format!("read: {fault}").into()),
            };
            if connection.http2.is_some() {
                self.serve_streams(place, &scratch[..count], poll)?;
            } else if connection.take(&scratch[..count], &self.exchange)? {
                self.complete(place, poll)?;
            }
            // A short read has emptied the socket; a close that came with it is another event.
            if !more {
                break;
            }
        }
        // A handshake may have let through what waited for its end.
        match &self.tls {
            Some(_) => self.connections[place].write_rest(place, &self.exchange, poll),
            None => Ok(()),
        }
    }

    /// Takes what came on an HTTP/2 connection, and asks again for each answer that is complete.
    fn serve_streams(&mut self, place: usize, data: &[u8], poll: &Poll) -> Result<()> {
        let mut done = std::mem::take(&mut self.done);
        if let Some(client) = &mut self.connections[place].http2 {
            client.feed(data, &mut done)?;
        }
        let now = Instant::now();
        for since in &done {
            self.record(*since, now);
        }
        let again = if self.stopping || self.pace == Pace::Once { 0 } else { done.len() };
        self.under_way -= done.len() - again;
        done.clear();
        self.done = done;
        self.ask(place, again, poll)
    }

    /// Counts an answer that is complete and right.
    fn record(&mut self, since: Instant, now: Instant) {
        self.completed += 1;
        if let Some((from, to)) = self.window
            && (from..to).contains(&since)
        {
            let micros = now.saturating_duration_since(since).as_micros() as u64;
            self.latencies.saturating_record(micros);
            let part = (since - from).div_duration_f64(PART) as usize;
            self.worst.resize(self.worst.len().max(part + 1), 0);
            self.worst[part] = self.worst[part].max(micros);
        }
    }

    /// Books a complete response and goes on as the pace says.
    fn complete(&mut self, place: usize, poll: &Poll) -> Result<()> {
        let now = Instant::now();
        self.record(self.connections[place].since, now);
        let connection = &mut self.connections[place];
        if let (Some(wanted), Some(resumed)) = (self.exchange.tls, connection.link.was_resumed())
            && resumed != (wanted == Handshakes::Resumed && connection.again)
        {
            self.surprising += 1;
        }
        if self.exchange.closes {
            connection.state = State::Closing;
            return Ok(());
        }
        if self.exchange.message.is_none() {
            connection.state = State::Idle;
        }
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
            self.connections[place].link.socket =
                Socket::new(Domain::IPV4, Type::STREAM, None)?.into();
            return Ok(());
        }
        // Timed from before the connection is made.
        let since = Instant::now();
        self.connections[place].link = self.dial(place, poll)?;
        self.connections[place].again = true;
        self.connections[place].interest = Interest::Read;
        self.send(place, since, poll)
    }
}

impl Connection {
    /// What is to be sent next: the request, or a message once the WebSocket stands.
    fn outgoing<'e>(&self, exchange: &'e Exchange) -> &'e [u8] {
        match (&self.state, &exchange.message) {
            (State::Message(_), Some(message)) => message,
            _ => &exchange.request,
        }
    }

    /// Writes what the socket takes of the request.
    fn write(&mut self, place: usize, request: &[u8], poll: &Poll) -> Result<()> {
        while self.sent < request.len() {
            match self.link.write(&request[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => break,
                Err(fault) => return Err(format!("write: {fault}").into()),
            }
        }
        let all = self.link.flush()? && self.sent == request.len();
        self.wait_for(place, all, poll)
    }

    /// The same for frames of HTTP/2.
    fn write_frames(&mut self, place: usize, poll: &Poll) -> Result<()> {
        let Some(client) = &mut self.http2 else {
            return Ok(());
        };
        let mut sent = 0;
        while sent < client.out.len() {
            match self.link.write(&client.out[sent..]) {
                Ok(count) => sent += count,
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => break,
                Err(fault) => return Err(format!("write: {fault}").into()),
            }
        }
        client.out.drain(..sent);
        let all = client.out.is_empty() && self.link.flush()?;
        self.wait_for(place, all, poll)
    }

    /// Writes what could not be written before.
    fn write_rest(&mut self, place: usize, exchange: &Exchange, poll: &Poll) -> Result<()> {
        if self.http2.is_some() {
            return self.write_frames(place, poll);
        }
        match self.state {
            // Nothing is due, and a connection that closes takes nothing any more.
            State::Idle | State::Closing => Ok(()),
            _ => self.write(place, self.outgoing(exchange), poll),
        }
    }

    /// Waits for room as long as not all has gone.
    fn wait_for(&mut self, place: usize, all: bool, poll: &Poll) -> Result<()> {
        let interest = if all { Interest::Read } else { Interest::ReadWrite };
        if interest != self.interest {
            self.interest = interest;
            poll.change(&self.link.socket, Token::Load(place), interest)?;
        }
        Ok(())
    }

    /// Takes in what came; whether it completes the response. Any surprise is an error.
    fn take(&mut self, data: &[u8], exchange: &Exchange) -> Result<bool> {
        match &mut self.state {
            State::Idle | State::Closing => {
                Err(format!("bytes beyond the response: {}", wire::shown(data)).into())
            }
            State::Body(missing) | State::Message(missing) => {
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
        if self.sent < exchange.request.len() {
            return Err("answered before the request was sent".into());
        }
        match head.status {
            101 if exchange.message.is_some() && head.bytes == data.len() => {
                self.state = State::Message(0);
                return Ok(true);
            }
            200 if exchange.message.is_none() => {}
            status => return Err(format!("status {status}: {}", wire::shown(data)).into()),
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

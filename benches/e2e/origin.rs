//! The origins: listeners that answer fixed responses by path, as cheaply as sockets allow.
//!
//! `GET /128`, `/10k`, `/1m` answer so many bytes, `GET /chunked` 10 KiB in chunks, and `POST`
//! swallows its body and answers 2 bytes. Responses are made once; a request costs a read and a
//! write. `GET /messages` becomes a WebSocket on which each message of [`MESSAGE`] is answered with
//! [`ECHO`]. Connections of HTTP/2 get 128 bytes for whatever they ask.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use socket2::{Domain, Socket, Type};

use crate::Result;
use crate::frames::{self, Server};
use crate::poll::{Interest, Poll, Token};
use crate::wire;

/// Listeners at most. Further backends are further loopback addresses of the same ports: as many
/// listeners would leave no descriptors for connections.
const LISTENERS: usize = 512;

/// The place of the reply to `POST` among the replies.
const POSTED: usize = 4;
/// The place of the switch to a WebSocket.
const SWITCHED: usize = 5;

/// Content of a reply over HTTP/2.
const CONTENT: [u8; 128] = [b'x'; 128];

/// A client's message of 128 bytes (RFC 6455 §5.2), masked with zeros.
pub(crate) const MESSAGE: [u8; 136] = {
    let mut message = [b'x'; 136];
    (message[0], message[1], message[2], message[3]) = (0x82, 0x80 | 0x7e, 0, 128);
    (message[4], message[5], message[6], message[7]) = (0, 0, 0, 0);
    message
};
/// The same from a server.
pub(crate) const ECHO: [u8; 132] = {
    let mut message = [b'x'; 132];
    (message[0], message[1], message[2], message[3]) = (0x82, 0x7e, 0, 128);
    message
};

/// All origins with their connections.
pub(crate) struct Origins {
    listeners: Vec<TcpListener>,
    backends: usize,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    replies: [Vec<u8>; 6],
}

/// One connection from a proxy.
struct Connection {
    socket: TcpStream,
    /// A request head that did not come in one read.
    partial: Vec<u8>,
    /// Bytes of a request body that have yet to come.
    swallow: usize,
    /// The reply under way, and how much of it was sent.
    reply: Option<(usize, usize)>,
    speaks: Speaks,
    /// What is on its way over HTTP/2 or on a WebSocket.
    out: Vec<u8>,
    interest: Interest,
}

/// What a connection speaks.
enum Speaks {
    Http1,
    Http2(Box<Server>),
    /// Messages; so many bytes of one have come.
    Messages(usize),
}

impl Origins {
    /// Binds origins for so many backends to free ports of every loopback address.
    pub(crate) fn bind(backends: usize, poll: &Poll) -> Result<Self> {
        let mut listeners = Vec::with_capacity(LISTENERS);
        for place in 0..backends.min(LISTENERS) {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.bind_device(Some(b"lo"))?;
            socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())?;
            socket.listen(4096)?;
            socket.set_nonblocking(true)?;
            poll.add(&socket, Token::Listener(place), Interest::Read)?;
            listeners.push(socket.into());
        }
        let replies = [
            reply(&[b'x'; 128]),
            reply(&vec![b'x'; 10 * 1024]),
            reply(&vec![b'x'; 1024 * 1024]),
            chunked_reply(),
            reply(b"ok"),
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
              Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
                .to_vec(),
        ];
        Ok(Self { listeners, backends, connections: Vec::new(), free: Vec::new(), replies })
    }

    /// Where the origins listen, one address per backend.
    pub(crate) fn addresses(&self) -> Result<Vec<SocketAddr>> {
        let address = |backend: usize| {
            let port = self.listeners[backend % LISTENERS].local_addr()?.port();
            let ip = Ipv4Addr::LOCALHOST.to_bits() + (backend / LISTENERS) as u32;
            Ok(SocketAddr::from((Ipv4Addr::from_bits(ip), port)))
        };
        (0..self.backends).map(address).collect()
    }

    /// Takes all connections that wait at a listener.
    pub(crate) fn accept(&mut self, listener: usize, poll: &Poll) -> Result<()> {
        loop {
            let socket = match self.listeners[listener].accept() {
                Ok((socket, _)) => socket,
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(fault) => return Err(fault.into()),
            };
            socket.set_nonblocking(true)?;
            socket.set_nodelay(true)?;
            let place = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            poll.add(&socket, Token::Origin(place), Interest::Read)?;
            self.connections[place] = Some(Connection {
                socket,
                partial: Vec::new(),
                swallow: 0,
                reply: None,
                speaks: Speaks::Http1,
                out: Vec::new(),
                interest: Interest::Read,
            });
        }
    }

    /// Serves one connection that is ready.
    pub(crate) fn serve(&mut self, place: usize, poll: &Poll, scratch: &mut [u8]) -> Result<()> {
        // A connection that was closed earlier in this batch of events is no longer there.
        let Some(connection) = self.connections[place].as_mut() else {
            return Ok(());
        };
        if connection.read(scratch)? && connection.write(&self.replies) {
            let more = connection.reply.is_some() || !connection.out.is_empty();
            let interest = if more { Interest::ReadWrite } else { Interest::Read };
            if interest != connection.interest {
                connection.interest = interest;
                poll.change(&connection.socket, Token::Origin(place), interest)?;
            }
        } else {
            self.connections[place] = None;
            self.free.push(place);
        }
        Ok(())
    }

    /// Drops all connections: the next proxy starts without any.
    pub(crate) fn clear(&mut self) {
        self.connections.clear();
        self.free.clear();
    }
}

impl Connection {
    /// Reads once and takes in what came; `false` once the proxy has closed.
    fn read(&mut self, scratch: &mut [u8]) -> Result<bool> {
        if self.reply.is_some() {
            // Nothing can come before the reply is out: proxies do not pipeline.
            return Ok(true);
        }
        let data = match self.socket.read(scratch) {
            Ok(0) => return Ok(false),
            Ok(count) => &scratch[..count],
            Err(fault) if fault.kind() == ErrorKind::WouldBlock => return Ok(true),
            // A proxy that is stopped resets its connections.
            Err(fault) if fault.kind() == ErrorKind::ConnectionReset => return Ok(false),
            Err(fault) => return Err(fault.into()),
        };
        match &mut self.speaks {
            Speaks::Http1 => {}
            Speaks::Http2(server) => {
                server.feed(data, &CONTENT, &mut self.out)?;
                return Ok(true);
            }
            Speaks::Messages(came) => {
                let all = *came + data.len();
                *came = all % MESSAGE.len();
                for _ in 0..all / MESSAGE.len() {
                    self.out.extend_from_slice(&ECHO);
                }
                return Ok(true);
            }
        }
        if self.swallow > 0 {
            self.swallow(data.len(), POSTED)?;
        } else if self.partial.is_empty() {
            self.request(data)?;
        } else {
            let mut whole = std::mem::take(&mut self.partial);
            whole.extend_from_slice(data);
            self.request(&whole)?;
        }
        Ok(true)
    }

    /// Takes in a request from its first byte on.
    fn request(&mut self, data: &[u8]) -> Result<()> {
        if frames::is_preface(data) {
            let mut server = Box::new(Server::new(&mut self.out));
            server.feed(&data[Server::PREFACE..], &CONTENT, &mut self.out)?;
            self.speaks = Speaks::Http2(server);
            return Ok(());
        }
        let Some(end) = wire::head_end(data) else {
            self.partial.extend_from_slice(data);
            return Ok(());
        };
        let (head, body) = data.split_at(end);
        let which = match head {
            _ if head.starts_with(b"GET /128 ") => 0,
            _ if head.starts_with(b"GET /10k ") => 1,
            _ if head.starts_with(b"GET /1m ") => 2,
            _ if head.starts_with(b"GET /chunked ") => 3,
            _ if head.starts_with(b"POST ") => POSTED,
            _ if head.starts_with(b"GET /messages ") => SWITCHED,
            _ => return Err(format!("origin got {}", wire::shown(head)).into()),
        };
        if which == POSTED {
            self.swallow = wire::content_length(head)
                .filter(|length| *length > 0)
                .ok_or_else(|| format!("origin got no length: {}", wire::shown(head)))?;
        }
        self.swallow(body.len(), which)
    }

    /// Counts body bytes; the reply is due once the last one has come.
    fn swallow(&mut self, bytes: usize, which: usize) -> Result<()> {
        self.swallow =
            self.swallow.checked_sub(bytes).ok_or("origin got bytes beyond the request")?;
        if self.swallow == 0 {
            self.reply = Some((which, 0));
        }
        Ok(())
    }

    /// Writes what the socket takes of the reply that is due; `false` if the proxy has gone.
    fn write(&mut self, replies: &[Vec<u8>]) -> bool {
        let Some((which, mut sent)) = self.reply else {
            return self.write_out();
        };
        let reply = &replies[which];
        while sent < reply.len() {
            match self.socket.write(&reply[sent..]) {
                Ok(count) => sent += count,
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
        }
        self.reply = (sent < reply.len()).then_some((which, sent));
        if self.reply.is_none() && which == SWITCHED {
            self.speaks = Speaks::Messages(0);
        }
        true
    }

    /// The same for what is no reply of HTTP/1.
    fn write_out(&mut self) -> bool {
        let mut sent = 0;
        while sent < self.out.len() {
            match self.socket.write(&self.out[sent..]) {
                Ok(count) => sent += count,
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
        }
        self.out.drain(..sent);
        true
    }
}

/// The eight fields of an ordinary response, about 300 bytes.
fn head(framing: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\n\
         Server: origin/1.0\r\n\
         Date: Sat, 06 Jul 2024 10:00:00 GMT\r\n\
         Content-Type: application/octet-stream\r\n\
         {framing}\r\n\
         Last-Modified: Fri, 05 Jul 2024 09:30:00 GMT\r\n\
         ETag: \"6687be28-80\"\r\n\
         Cache-Control: public, max-age=3600\r\n\
         Accept-Ranges: bytes\r\n\r\n"
    )
    .into_bytes()
}

fn reply(body: &[u8]) -> Vec<u8> {
    let mut reply = head(&format!("Content-Length: {}", body.len()));
    reply.extend_from_slice(body);
    reply
}

/// 10 KiB in five chunks.
fn chunked_reply() -> Vec<u8> {
    let mut reply = head("Transfer-Encoding: chunked");
    for _ in 0..5 {
        reply.extend_from_slice(b"800\r\n");
        reply.extend_from_slice(&[b'x'; 2048]);
        reply.extend_from_slice(b"\r\n");
    }
    reply.extend_from_slice(b"0\r\n\r\n");
    reply
}

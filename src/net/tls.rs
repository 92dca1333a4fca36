//! A TLS session over a socket: rustls's session, driven by readiness like the socket itself.
//!
//! What is read goes from the socket into a buffer of the thread, much at once, and from there into the
//! session; what is written is encrypted into few records and leaves in one system call. A session that
//! waits holds what rustls needs for it and nothing of ours.

use std::cell::RefCell;
use std::io::{self, IoSlice, Write};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use rustls::{ClientConnection, Connection, ServerConnection};

use super::Stream;
use crate::tls::{Secured, Server, ToBackend};

/// Ciphertext that is read at once at most, in bytes.
const READ: usize = 64 * 1024;
/// The same during a handshake, so that what a client sends behind it finds room in the session.
const READ_IN_HANDSHAKE: usize = 16 * 1024;
/// Plaintext that is encrypted before the kernel has taken it, in bytes: what a client that does not
/// read can make a session hold.
const AHEAD: usize = 256 * 1024;

thread_local! {
    /// Where ciphertext is read to. Nothing stays in it.
    static CIPHERTEXT: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

/// A TLS session over a socket.
#[derive(Debug)]
pub struct Tls {
    /// TCP or Unix.
    pub(super) socket: Stream,
    session: Connection,
    /// There is plaintext to be read, or its end.
    readable: bool,
    /// The other side has broken the rules; nothing more can be read.
    failed: bool,
    /// Plaintext that is encrypted, and of which the writer has not been told that it is written.
    owed: usize,
}

impl Tls {
    /// Our side of a session with a client.
    pub(super) fn server(socket: Stream, server: &Server) -> io::Result<Self> {
        let session = ServerConnection::new(Arc::clone(server.config()));
        Ok(Self::new(socket, session.map_err(io::Error::other)?.into()))
    }

    /// Our side of a session with a backend.
    pub(super) fn client(socket: Stream, backend: &ToBackend) -> io::Result<Self> {
        let (config, name) = (Arc::clone(&backend.config), backend.name.clone());
        let session = ClientConnection::new_with_alpn(config, name, backend.offered());
        Ok(Self::new(socket, session.map_err(io::Error::other)?.into()))
    }

    /// Begins the handshake with what has been read of the client already.
    ///
    /// # Errors
    /// It is not the beginning of one; the client is told so.
    pub(super) fn begin_with(&mut self, first: &[u8]) -> io::Result<()> {
        for piece in first.chunks(READ_IN_HANDSHAKE) {
            if let Err(error) = self.take_in(piece, &mut []) {
                let _ = self.poll_flush(&mut Context::from_waker(Waker::noop()));
                return Err(error);
            }
        }
        Ok(())
    }

    fn new(socket: Stream, mut session: Connection) -> Self {
        session.set_buffer_limit(Some(AHEAD));
        Self { socket, session, readable: false, failed: false, owed: 0 }
    }

    /// Ready once the handshake is done and our part of it has left.
    pub(super) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_flush(cx))?;
            if !self.session.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if ready!(self.poll_fill(cx, READ_IN_HANDSHAKE, &mut []))?.is_end {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// What was agreed on in the handshake.
    pub(super) fn secured(&self) -> Secured {
        match &self.session {
            Connection::Server(session) => Secured::of(session, session.server_name()),
            Connection::Client(session) => Secured::of(session, None),
        }
    }

    /// The protocol that was agreed on (ALPN).
    pub(super) fn protocol(&self) -> Option<&[u8]> {
        self.session.alpn_protocol()
    }

    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.readable || self.failed {
            return Poll::Ready(Ok(()));
        }
        self.socket.poll_read_ready(cx)
    }

    /// An end of the connection without the other side's `close_notify` is an error: what came may
    /// not be all (RFC 8446 §6.1).
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            if self.failed {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
            match io::Read::read(&mut self.session.reader(), buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => {
                    self.note(&done);
                    return Poll::Ready(done);
                }
            }
            // No more than fits: of what is decrypted less than one record waits within the session,
            // which takes nothing more from a record on.
            let most = buffer.len().min(READ);
            let filled = ready!(self.poll_fill(cx, most, buffer))?;
            if filled.plaintext > 0 {
                return Poll::Ready(Ok(filled.plaintext));
            }
        }
    }

    /// After plaintext was read: whether there is more.
    fn note(&mut self, read: &io::Result<usize>) {
        self.readable = matches!(read, Ok(0))
            || self
                .session
                .process_new_packets()
                .is_ok_and(|state| state.plaintext_bytes_to_read() > 0 || state.peer_has_closed());
    }

    /// Reads from the socket once, decrypts, and gives as much of the plaintext as fits.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
        plaintext: &mut [u8],
    ) -> Poll<io::Result<Filled>> {
        CIPHERTEXT.with_borrow_mut(|ciphertext| {
            let n = ready!(self.socket.poll_read(cx, &mut ciphertext[..most]))?;
            let taken = self.take_in(&ciphertext[..n], plaintext);
            // Alerts, and answers to new keys. What does not leave now does so with the next write.
            if self.session.wants_write() {
                let _ = self.poll_flush(cx)?;
            }
            Poll::Ready(Ok(Filled { plaintext: taken?, is_end: n == 0 }))
        })
    }

    /// Decrypts; gives how much plaintext there is in `plaintext` then.
    fn take_in(&mut self, mut ciphertext: &[u8], plaintext: &mut [u8]) -> io::Result<usize> {
        let mut got = 0;
        loop {
            let is_over = self.session.read_tls(&mut ciphertext)? == 0;
            let state = match self.session.process_new_packets() {
                Ok(state) => state,
                Err(error) => {
                    self.failed = true;
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
            };
            let mut left = state.plaintext_bytes_to_read();
            if left > 0 && got < plaintext.len() {
                let n = io::Read::read(&mut self.session.reader(), &mut plaintext[got..])?;
                got += n;
                left -= n;
            }
            self.readable = left > 0 || state.peer_has_closed();
            // What follows a `close_notify` is not taken.
            if is_over || ciphertext.is_empty() {
                return Ok(got);
            }
        }
    }

    /// Encrypts and writes. After `Pending` it has to be called again with bytes that begin with the
    /// same ones. Of what was encrypted together, the last byte counts as written once all of it is.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.owed == 0 {
            ready!(self.poll_flush(cx))?;
            self.owed = self.session.writer().write_vectored(pieces)?;
            if self.owed == 0 {
                return Poll::Ready(Ok(0));
            }
        }
        let mut sent = 0;
        let told = match self.poll_send(cx, &mut sent)? {
            Poll::Ready(()) => self.owed,
            Poll::Pending => sent.min(self.owed - 1),
        };
        let told = told.min(pieces.iter().map(|piece| piece.len()).sum());
        if told == 0 {
            return Poll::Pending;
        }
        self.owed -= told;
        Poll::Ready(Ok(told))
    }

    /// The same for a writer that flushes: what is encrypted counts as written.
    pub(super) fn poll_write_behind(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx))?;
        let written = self.session.writer().write_vectored(pieces)?;
        let _ = self.poll_flush(cx)?;
        Poll::Ready(Ok(written))
    }

    /// Ready once nothing that is encrypted is left.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(cx, &mut 0)
    }

    /// Counts the bytes of ciphertext that the kernel took.
    fn poll_send(&mut self, cx: &mut Context<'_>, sent: &mut usize) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut Through { socket: &mut self.socket, cx }) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(n) => *sent += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether the other side is silent. What is the session's own business, such as a ticket, is
    /// no word of it.
    pub(super) fn is_quiet(&mut self) -> bool {
        let cx = &mut Context::from_waker(Waker::noop());
        self.poll_read(cx, &mut [0; 1024]).is_pending()
    }

    /// Tells the other side that nothing more will be sent, as far as the kernel takes it.
    pub(super) fn send_close_notify(&mut self) {
        self.session.send_close_notify();
        let _ = self.poll_flush(&mut Context::from_waker(Waker::noop()));
    }
}

/// What came of reading once.
struct Filled {
    /// Bytes of plaintext.
    plaintext: usize,
    /// The socket has come to its end.
    is_end: bool,
}

/// The socket as a session writes to it.
struct Through<'a, 'c> {
    socket: &'a mut Stream,
    cx: &'a mut Context<'c>,
}

impl Write for Through<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.socket.poll_write(self.cx, pieces) {
            Poll::Ready(written) => written,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

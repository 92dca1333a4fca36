//! Messages from one process to another, with sockets in them.
//!
//! A pair of `SOCK_SEQPACKET` sockets keeps messages apart; descriptors travel as `SCM_RIGHTS` (unix(7)).
//! What arrives is the same socket, not a copy of it: connections that wait in its queue wait on, whoever
//! of both closes it first.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::retry_on_intr;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

/// Sockets in one message; the kernel lets 253 through.
pub const MOST_SOCKETS: usize = 128;

/// Bytes in one message.
const LONGEST: usize = 64 << 10;

/// One end of it.
#[derive(Debug)]
pub struct Channel(OwnedFd);

/// What came: its text, and its sockets.
type Message = (Vec<u8>, Vec<OwnedFd>);

impl Channel {
    /// An end for this process, and one for another, whose descriptor does not survive `exec` by itself.
    /// No single step takes longer than `patience`.
    ///
    /// # Errors
    /// When descriptors are short.
    pub fn pair(patience: Duration) -> io::Result<(Self, OwnedFd)> {
        let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
        let (ours, theirs) = rustix::net::socketpair(family, kind, SocketFlags::CLOEXEC, None)?;
        for side in [Timeout::Recv, Timeout::Send] {
            set_socket_timeout(&ours, side, Some(patience))?;
        }
        Ok((Self(ours), theirs))
    }

    /// The other end, as a process finds it among its descriptors.
    pub fn of(end: OwnedFd) -> Self {
        Self(end)
    }

    /// Sends a text, and at most [`MOST_SOCKETS`] sockets with it.
    ///
    /// # Errors
    /// When the other side is gone or does not read.
    pub fn send(&self, text: &[u8], sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_SOCKETS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fits = text.len() <= LONGEST && sockets.len() <= MOST_SOCKETS;
        if !fits || !control.push(SendAncillaryMessage::ScmRights(sockets)) {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let flags = SendFlags::NOSIGNAL;
        retry_on_intr(|| {
            rustix::net::sendmsg(&self.0, &[IoSlice::new(text)], &mut control, flags)
        })?;
        Ok(())
    }

    /// Waits for the next message; `None` once the other side is gone.
    ///
    /// # Errors
    /// When none comes in time, or it is longer than any of ours.
    pub fn receive(&self) -> io::Result<Option<Message>> {
        let mut text = vec![0; LONGEST];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_SOCKETS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut text)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        // A process that was stopped and goes on is interrupted here.
        let came =
            retry_on_intr(|| rustix::net::recvmsg(&self.0, &mut parts, &mut control, flags))?;
        if came.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        let mut sockets = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(passed) = message {
                sockets.extend(passed);
            }
        }
        text.truncate(came.bytes);
        Ok((came.bytes > 0).then_some((text, sockets)))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn connection_that_waits_in_a_socket_is_accepted_by_who_it_was_passed_to() {
        let (ours, theirs) = Channel::pair(PATIENCE).unwrap();
        let theirs = Channel::of(theirs);
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(socket.local_addr().unwrap()).unwrap();
        client.write_all(b"waiting").unwrap();
        ours.send(b"main", &[socket.as_fd()]).unwrap();
        ours.send(b"end", &[]).unwrap();
        drop((ours, socket));
        let (text, mut sockets) = theirs.receive().unwrap().unwrap();
        assert_eq!((text.as_slice(), sockets.len()), (&b"main"[..], 1));
        let (mut accepted, _) = TcpListener::from(sockets.remove(0)).accept().unwrap();
        let mut bytes = [0; 7];
        accepted.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"waiting");
        assert_eq!(theirs.receive().unwrap().unwrap().0, b"end");
        assert!(theirs.receive().unwrap().is_none(), "the other side is gone");
    }

    #[test]
    fn as_many_sockets_as_are_promised_fit_into_a_message_and_no_more() {
        let (ours, theirs) = Channel::pair(PATIENCE).unwrap();
        let theirs = Channel::of(theirs);
        let file = tempfile::tempfile().unwrap();
        ours.send(b"x", &[file.as_fd(); MOST_SOCKETS]).unwrap();
        assert_eq!(theirs.receive().unwrap().unwrap().1.len(), MOST_SOCKETS);
        ours.send(b"x", &[file.as_fd(); MOST_SOCKETS + 1]).unwrap_err();
        ours.send(&vec![b'x'; LONGEST + 1], &[]).unwrap_err();
    }

    #[test]
    fn who_says_nothing_is_waited_for_in_vain_but_not_for_ever() {
        let (ours, _theirs) = Channel::pair(Duration::from_millis(10)).unwrap();
        ours.receive().unwrap_err();
    }
}

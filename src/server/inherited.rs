//! Listening sockets that were there before this process, and what was learned with them.
//!
//! They come from the process that this one takes the place of (see `upgrade`), or from systemd
//! (socket activation, `sd_listen_fds(3)`). A listener of the configuration takes up the sockets of its
//! address instead of binding its own.

use std::io;
use std::os::fd::OwnedFd;

use listenfd::ListenFd;

use crate::control::Learned;
use crate::model::Address;
use crate::net::{Listener, Place, SocketFile};

/// What a process has when it starts.
#[derive(Debug, Default)]
pub struct Inherited {
    pub(super) listeners: Vec<Left>,
    /// That of the admin listener.
    pub(super) admin: Option<Left>,
    /// What was known of backends.
    pub(super) learned: Vec<Learned>,
}

/// Sockets of one address.
#[derive(Debug)]
pub(super) struct Left {
    /// The listener that had them; `None` of systemd's, which go by their address alone.
    pub(super) name: Option<String>,
    /// As the configuration had it: its port may be 0.
    pub(super) configured: Address,
    pub(super) actual: Address,
    pub(super) sockets: Vec<Listener>,
    /// No other process keeps them, as systemd does with its own; the file of a Unix socket is to be removed
    /// in the end then. Of the admin listener it is said only where there is a file.
    pub(super) alone: bool,
}

impl Left {
    /// Whether these are the sockets of that listener: of the same address, and of the same name where
    /// the address leaves the port to the system.
    pub(super) fn is_for(&self, name: &str, address: &Address) -> bool {
        let chosen = matches!(address, Address::Ip(address) if address.port() == 0);
        self.configured == *address && (!chosen || self.name.as_deref() == Some(name))
    }
}

impl Left {
    /// The one socket that there is for a listener without workers, and its file.
    pub(super) fn into_one(self, at: &Address) -> io::Result<(Listener, Option<SocketFile>)> {
        let file = match at {
            Address::Unix(path) if self.alone => Some(SocketFile::adopt(path)?),
            _ => None,
        };
        let socket = self.sockets.into_iter().next();
        Ok((socket.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?, file))
    }
}

impl Inherited {
    /// What systemd has bound for this process; nothing if it has not been started by a socket unit.
    ///
    /// # Errors
    /// One of the sockets is none that a listener can have.
    pub fn from_systemd() -> io::Result<Self> {
        let mut passed = ListenFd::from_env();
        let mut inherited = Self::default();
        for place in 0..passed.len() {
            let fd: Option<OwnedFd> = match passed.take_tcp_listener(place) {
                Ok(socket) => socket.map(Into::into),
                Err(_) => passed.take_unix_listener(place)?.map(Into::into),
            };
            let Some(fd) = fd else { continue };
            let (socket, at) = Listener::adopt(fd)?;
            let address = address(at);
            inherited.listeners.push(Left {
                name: None,
                configured: address.clone(),
                actual: address,
                sockets: vec![socket],
                alone: false,
            });
        }
        Ok(inherited)
    }

    /// Takes out the socket that the admin listener had or, if systemd bound it, is to have.
    pub(super) fn take_admin(&mut self, address: &Address) -> Option<Left> {
        if let Some(left) = self.admin.take() {
            return (left.configured == *address).then_some(left);
        }
        let is_it = |left: &Left| left.name.is_none() && left.actual == *address;
        Some(self.listeners.remove(self.listeners.iter().position(is_it)?))
    }
}

/// The same as the configuration would have it.
pub(super) fn address(place: Place) -> Address {
    match place {
        Place::Ip(address) => Address::Ip(address),
        Place::Unix(path) => Address::Unix(path),
    }
}

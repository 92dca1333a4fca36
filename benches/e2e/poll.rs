//! Level-triggered epoll over non-blocking sockets: the one loop that origins and load share.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use crate::Result;

/// Whom an event is for, with its place in its owner's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    /// An origin's listening socket.
    Listener(usize),
    /// An origin's connection.
    Origin(usize),
    /// A connection of the load.
    Load(usize),
}

impl Token {
    fn pack(self) -> EventData {
        let (kind, place) = match self {
            Self::Listener(place) => (0, place),
            Self::Origin(place) => (1, place),
            Self::Load(place) => (2, place),
        };
        EventData::new_u64(kind << 32 | place as u64)
    }

    fn unpack(data: EventData) -> Self {
        let place = (data.u64() & 0xffff_ffff) as usize;
        match data.u64() >> 32 {
            0 => Self::Listener(place),
            1 => Self::Origin(place),
            _ => Self::Load(place),
        }
    }
}

/// What a socket is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Something to read.
    Read,
    /// Something to read, or room to write.
    ReadWrite,
}

impl Interest {
    fn flags(self) -> EventFlags {
        match self {
            Self::Read => EventFlags::IN,
            Self::ReadWrite => EventFlags::IN | EventFlags::OUT,
        }
    }
}

/// The set of sockets that are waited for. A closed socket leaves it by itself.
pub(crate) struct Poll {
    epoll: OwnedFd,
}

impl Poll {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)? })
    }

    /// Adds a socket.
    pub(crate) fn add(&self, socket: impl AsFd, token: Token, interest: Interest) -> Result<()> {
        Ok(epoll::add(&self.epoll, socket, token.pack(), interest.flags())?)
    }

    /// Changes what a socket is waited for.
    pub(crate) fn change(&self, socket: impl AsFd, token: Token, interest: Interest) -> Result<()> {
        Ok(epoll::modify(&self.epoll, socket, token.pack(), interest.flags())?)
    }

    /// Waits at most `timeout` (below a second) and fills `ready`, up to its capacity.
    pub(crate) fn wait(&self, timeout: Duration, ready: &mut Vec<Event>) -> Result<()> {
        ready.clear();
        let timeout = Timespec { tv_sec: 0, tv_nsec: timeout.as_nanos().min(999_999_999) as i64 };
        match epoll::wait(&self.epoll, spare_capacity(ready), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(fault) => Err(fault.into()),
        }
    }
}

/// Whom a ready event is for.
pub(crate) fn whom(event: &Event) -> Token {
    Token::unpack(event.data)
}

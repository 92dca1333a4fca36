//! What systemd is told, by the protocol of `sd_notify(3)`, and that the process is alive.
//!
//! The crates for it know nothing of a process that another one takes the place of: the watchdog is meant
//! for the process of `WATCHDOG_PID`, and for whoever it hands the service to.

use std::env;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Who has started the process and wants to hear of it; nobody, outside of systemd.
#[derive(Debug, Default)]
pub struct Supervisor {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// How often it wants a sign of life.
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// As the environment says. `took_over`: the service was another process's before.
    pub fn find(took_over: bool) -> Self {
        let Some(name) = env::var_os("NOTIFY_SOCKET") else {
            return Self::default();
        };
        // An address of the abstract namespace is written with an `@` for its first byte, 0.
        let address = match name.as_bytes() {
            [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest),
            _ => SocketAddr::from_pathname(&name),
        };
        let socket = UnixDatagram::unbound().and_then(|socket| Ok((socket, address?)));
        match socket {
            Ok(socket) => {
                // Who does not read must not hold the process up.
                let _ = socket.0.set_nonblocking(true);
                let watchdog = env::var("WATCHDOG_USEC").ok().filter(|_| {
                    let meant = env::var("WATCHDOG_PID").ok();
                    took_over || meant.is_none_or(|pid| pid == std::process::id().to_string())
                });
                let watchdog = watchdog.and_then(|microseconds| microseconds.parse().ok());
                let watchdog = watchdog.filter(|microseconds| *microseconds > 0);
                Self { socket: Some(socket), watchdog: watchdog.map(Duration::from_micros) }
            }
            Err(error) => {
                tracing::warn!(%error, "NOTIFY_SOCKET cannot be used");
                Self::default()
            }
        }
    }

    /// Everything is there; also after a reload, whatever came of it.
    pub(super) fn ready(&self) {
        self.tell("READY=1");
    }

    /// A reload begins. systemd wants to know when, by the clock that it counts with.
    pub(super) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
    }

    /// The end begins.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Another process has the service from now on.
    pub(super) fn replaced_by(&self, pid: u32) {
        self.tell(&format!("MAINPID={pid}\nREADY=1"));
    }

    /// A sign of life.
    pub(super) fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    /// How often a sign of life is due: twice as often as it is waited for.
    pub(super) fn pulse(&self) -> Option<Duration> {
        self.watchdog.map(|interval| interval / 2)
    }

    fn tell(&self, what: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(what.as_bytes(), address)
        {
            tracing::warn!(%error, what, "systemd cannot be told");
        }
    }
}

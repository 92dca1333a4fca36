//! Signals → what the server does.
//!
//! | signal | effect |
//! |---|---|
//! | `HUP` | reads the configuration again |
//! | `USR1` | opens the access log anew |
//! | `TERM`, `INT`, `QUIT` | drains; a second one stops at once |
//!
//! The end of the control loop, which only a panic can bring about, drains too: without it nothing
//! is probed or reloaded any more, and a supervisor shall start the process anew.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

use crate::control::Origin;
use crate::server::Server;

/// The signals that the process listens to, from the moment this is made: one that comes before
/// the server is up waits for it.
#[derive(Debug)]
pub struct Signals {
    term: Signal,
    int: Signal,
    quit: Signal,
    hangup: Signal,
    reopen: Signal,
}

impl Signals {
    /// Begins to listen. To be called on a runtime, before [`Server::start`].
    ///
    /// # Errors
    /// When the system does not allow it.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
            reopen: signal(SignalKind::user_defined1())?,
        })
    }

    /// Serves until a signal ends it, and has drained by then.
    ///
    /// # Errors
    /// When the control loop has broken off.
    pub async fn serve(mut self, server: Server) -> io::Result<()> {
        let outcome = self.until_ending(&server).await;
        server.drain();
        let stop = server.stopper();
        let mut drained = tokio::task::spawn_blocking(move || server.wait());
        tokio::select! {
            _ = &mut drained => return outcome,
            name = ending(&mut self.term, &mut self.int, &mut self.quit) => {
                tracing::warn!(signal = name, "stopping at once");
            }
        }
        stop();
        let _ = drained.await;
        outcome
    }

    /// Does what the other signals ask for until one comes that ends the process.
    async fn until_ending(&mut self, server: &Server) -> io::Result<()> {
        let mut reloading = JoinSet::new();
        loop {
            tokio::select! {
                name = ending(&mut self.term, &mut self.int, &mut self.quit) => {
                    tracing::info!(signal = name, "stopping");
                    return Ok(());
                }
                () = server.control().ended() => {
                    let why = "the control loop has broken off";
                    tracing::error!("{why}: stopping, to be started anew");
                    return Err(io::Error::other(why));
                }
                // Signals that come during a reload are one together, and make the next one.
                _ = self.hangup.recv(), if reloading.is_empty() => {
                    let control = server.control().clone();
                    reloading.spawn(async move { control.reload(Origin::Signal).await });
                }
                // The control loop has logged what came of it.
                Some(_) = reloading.join_next() => {}
                _ = self.reopen.recv() => server.reopen_logs(),
            }
        }
    }
}

/// Waits for a signal that ends the process, and gives its name.
async fn ending(term: &mut Signal, int: &mut Signal, quit: &mut Signal) -> &'static str {
    tokio::select! {
        _ = term.recv() => "TERM",
        _ = int.recv() => "INT",
        _ = quit.recv() => "QUIT",
    }
}

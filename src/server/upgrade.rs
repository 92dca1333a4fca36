//! Another program takes the place of this process, and no connection is lost.
//!
//! The new process is a child of this one. It is given this one's listening sockets themselves, through a
//! [`Channel`]: connections that wait in their queues, and those that come while nobody accepts, are
//! served by whichever process accepts next. Sockets bound anew beside the old ones (`SO_REUSEPORT`) would
//! not do: what waits in the queue of a socket is reset when that socket is closed. Nor are descriptors
//! left open over `exec`, where every program that a check runs would inherit them too.
//!
//! Only when the new process says that it serves does this one stop accepting and drain. Until then
//! nothing is lost but the attempt: if the new process ends, breaks off or takes too long, this one goes
//! on and says why. No configuration is applied meanwhile, so that what is handed over is what is there.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};

use crate::control::{self, Handle, Held, Learned};
use crate::model::Address;
use crate::net::{Channel, Listener, MOST_SOCKETS};
use crate::proxy::{LentSockets, Order};

use super::order;
use super::ports::Table;
use super::predecessor::{Known, Said, VARIABLE};

/// Backends in one message.
const BACKENDS: usize = 100;

/// The program that a new process runs: the one that this process was started from, by its path, where
/// another one may lie by now.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// That of this process. To be called when it starts: later its path tells of the old file only.
    ///
    /// # Errors
    /// The path cannot be found out.
    pub fn of_this_process() -> io::Result<Self> {
        let mut arguments = env::args_os();
        let called = arguments.next().map(PathBuf::from).unwrap_or_default();
        // As it was called, so that a link that leads to another file by now is followed anew.
        let by_path = called.components().count() > 1;
        let path = if by_path { std::path::absolute(called)? } else { env::current_exe()? };
        Ok(Self { path, arguments: arguments.collect() })
    }
}

/// What is handed over.
#[derive(Debug)]
pub(super) struct Estate {
    pub(super) handle: Handle,
    pub(super) orders: Vec<mpsc::UnboundedSender<Order>>,
    pub(super) bound: watch::Receiver<Table>,
    pub(super) admin: Option<AdminSocket>,
}

/// The admin listener.
#[derive(Debug)]
pub(super) struct AdminSocket {
    pub(super) configured: Address,
    pub(super) owns_file: bool,
    pub(super) socket: Listener,
}

impl AdminSocket {
    /// Another handle of it.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        let (configured, socket) = (self.configured.clone(), self.socket.try_clone()?);
        Ok(Self { configured, owns_file: self.owns_file, socket })
    }
}

/// The new process, which serves.
#[derive(Debug)]
pub struct Successor {
    /// Its id.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// This process takes up no configuration any more.
    pub(super) held: Held,
}

/// Starts `program` and hands `estate` over. Gives the new process once it serves.
///
/// # Errors
/// Why it does not, after at most `patience`. It has ended by then, and nothing has changed.
pub(super) async fn replace(
    program: Program,
    estate: Estate,
    patience: Duration,
) -> Result<Successor, String> {
    if std::process::id() == 1 {
        return Err("process 1 ends its container when it ends: replace the container".to_owned());
    }
    let held = estate.handle.hold().await.map_err(|error| error.to_string())?;
    let ledger = estate.handle.ledger();
    if let Some(probation) = ledger.probation.as_ref().filter(|_| !ledger.is_kept) {
        return Err(format!(
            "revision {} has not proved itself yet, and the new process would not know that, for `admin.state` \
             names no folder: confirm it, or roll it back",
            probation.revision
        ));
    }
    let lent = borrow(&estate.orders).await.map_err(|error| format!("its sockets: {error}"))?;
    let learned = control::learned(estate.handle.reader().current());
    let (channel, child) = start(&program, patience)
        .map_err(|error| format!("cannot start {}: {error}", program.path.display()))?;
    let pid = child.pid();
    let talk = move || talk(&channel, &estate, &lent, learned);
    let mut child = child;
    let said = tokio::select! {
        said = tokio::task::spawn_blocking(talk) => said.map_err(|error| error.to_string())?,
        () = tokio::time::sleep(patience) => Err(io::Error::from(io::ErrorKind::TimedOut)),
    };
    match said {
        Ok(Some(Said::Ready { version })) => {
            child.leave();
            Ok(Successor { pid, version, held })
        }
        Ok(Some(Said::Failed { why })) => Err(why),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) =>
        {
            Err(format!("it was not ready within {patience:?}"))
        }
        _ => Err(child.end(patience).await),
    }
}

/// A process that has not said yet that it serves; killed when this is dropped.
#[derive(Debug)]
struct Starting(Option<Child>);

impl Starting {
    fn pid(&self) -> u32 {
        self.0.as_ref().and_then(Child::id).unwrap_or_default()
    }

    /// Leaves it alone for good. Should it end before this process does, it stays in the table of processes
    /// until then, and goes over to who started this one: systemd learns of the end of a service's main
    /// process in no other way. A dropped handle would have it waited for here.
    fn leave(&mut self) {
        std::mem::forget(self.0.take());
    }

    /// Waits for the end of a process that has closed its side, and tells how it ended.
    async fn end(&mut self, patience: Duration) -> String {
        let Some(child) = &mut self.0 else { return String::new() };
        match tokio::time::timeout(patience, child.wait()).await {
            Ok(Ok(status)) => format!("it ended before it was ready ({status})"),
            _ => "it does not take over, as a program without this would".to_owned(),
        }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It may have ended by itself.
            let _ = child.start_kill();
        }
    }
}

fn start(program: &Program, patience: Duration) -> io::Result<(Channel, Starting)> {
    let (channel, theirs) = Channel::pair(patience)?;
    let child = Command::new(&program.path)
        .args(&program.arguments)
        .env(VARIABLE, std::process::id().to_string())
        .stdin(Stdio::from(theirs))
        .spawn()?;
    Ok((channel, Starting(Some(child))))
}

/// Asks every worker for its sockets.
pub(super) async fn borrow(workers: &[mpsc::UnboundedSender<Order>]) -> io::Result<LentSockets> {
    let (to, mut answers) = mpsc::unbounded_channel();
    order(workers, || Order::Lend { to: to.clone() });
    drop(to);
    let (mut all, mut count) = (Vec::new(), 0);
    while let Some(lent) = answers.recv().await {
        all.extend(lent?);
        count += 1;
    }
    if count < workers.len() {
        return Err(io::Error::other("a worker did not answer"));
    }
    Ok(all)
}

/// Hands everything over, and waits for what the new process has to say.
fn talk(
    channel: &Channel,
    estate: &Estate,
    lent: &[(Arc<str>, Listener)],
    learned: Vec<Learned>,
) -> io::Result<Option<Said>> {
    let send =
        |said: &Said, sockets: &[BorrowedFd<'_>]| channel.send(&serde_json::to_vec(said)?, sockets);
    for (name, bound) in &*estate.bound.borrow() {
        let of_it = lent.iter().filter(|(owner, _)| **owner == **name);
        let mut sockets: Vec<_> = of_it.map(|(_, socket)| socket.as_fd()).collect();
        if bound.file.is_some() {
            // All of them are one.
            sockets.truncate(1);
        }
        for some in sockets.chunks(MOST_SOCKETS) {
            let (configured, actual) =
                (bound.configured.clone().into(), bound.actual.clone().into());
            let alone = bound.alone;
            send(&Said::Listener { name: name.clone(), configured, actual, alone }, some)?;
        }
    }
    if let Some(AdminSocket { configured, owns_file, socket }) = &estate.admin {
        let (configured, owns_file) = (configured.clone().into(), *owns_file);
        send(&Said::Admin { configured, owns_file }, &[socket.as_fd()])?;
    }
    let mut known = learned.into_iter().map(Known::from).peekable();
    while known.peek().is_some() {
        let known = known.by_ref().take(BACKENDS).collect();
        send(&Said::Backends { known }, &[])?;
    }
    send(&Said::All, &[])?;
    match channel.receive()? {
        Some((text, _)) => Ok(Some(serde_json::from_slice(&text)?)),
        None => Ok(None),
    }
}

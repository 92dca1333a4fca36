//! Where `plimsoll upgrade` asks a running process to be replaced, and hears what came of it.
//!
//! A Unix socket in Linux's abstract namespace, named by the process: it needs no folder and no
//! configuration, and ends with the process. Only the process's own user and root are heard.

use std::io::{self, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener as StdListener, UnixStream as StdStream};
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// What is asked for; nothing else is.
const QUESTION: &[u8] = b"upgrade\n";

/// For a question to arrive, and for an answer to be read.
const PATIENCE: Duration = Duration::from_secs(5);

/// After a failure to accept.
const PAUSE: Duration = Duration::from_millis(100);

/// Where questions come in.
#[derive(Debug)]
pub(super) struct Desk(UnixListener);

/// One who waits for an answer.
#[derive(Debug)]
pub(super) struct Asker(UnixStream);

impl Desk {
    /// Opens it. To be called on a runtime.
    pub(super) fn open() -> io::Result<Self> {
        let socket = StdListener::bind_addr(&address(std::process::id())?)?;
        socket.set_nonblocking(true)?;
        Ok(Self(UnixListener::from_std(socket)?))
    }

    /// Passes on everybody who asks for an upgrade and may, until nobody wants to hear of them.
    pub(super) async fn serve(self, to: mpsc::Sender<Asker>) {
        loop {
            match self.0.accept().await {
                Ok((stream, _)) => {
                    if let Ok(Some(asker)) = timeout(PATIENCE, admit(stream)).await
                        && to.send(asker).await.is_err()
                    {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot be asked for an upgrade");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

async fn admit(mut stream: UnixStream) -> Option<Asker> {
    let asker = stream.peer_cred().ok()?.uid();
    if asker != rustix::process::geteuid().as_raw() && asker != 0 {
        tracing::warn!(uid = asker, "an upgrade was asked for by somebody who may not");
        return None;
    }
    let mut question = [0; QUESTION.len()];
    stream.read_exact(&mut question).await.ok()?;
    (question == QUESTION).then_some(Asker(stream))
}

impl Asker {
    /// Tells what came of it: the new process, or why there is none.
    pub(super) async fn answer(mut self, outcome: Result<String, &str>) {
        let text = match outcome {
            Ok(told) => format!("upgraded\n{told}"),
            Err(why) => format!("failed\n{why}"),
        };
        // Who asked may have gone away.
        let _ = timeout(PATIENCE, self.0.write_all(text.as_bytes())).await;
    }
}

/// Asks the process `pid` to be replaced by the program that lies at its path now. Gives what it says of
/// the new one, or `Err` within why there is none.
///
/// # Errors
/// The process cannot be asked.
pub fn ask_for_upgrade(pid: u32) -> io::Result<Result<String, String>> {
    let mut stream = StdStream::connect_addr(&address(pid)?)?;
    let other = socket_peercred(&stream)?;
    if u32::try_from(other.pid.as_raw_nonzero().get()).ok() != Some(pid) {
        return Err(io::Error::other("another process stands in its place"));
    }
    stream.write_all(QUESTION)?;
    let mut told = String::new();
    stream.read_to_string(&mut told)?;
    match told.split_once('\n') {
        Some(("upgraded", told)) => Ok(Ok(told.to_owned())),
        Some(("failed", why)) => Ok(Err(why.to_owned())),
        _ => Err(io::Error::other("it ended without an answer, or may not be asked by this user")),
    }
}

fn address(pid: u32) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("plimsoll/upgrade/{pid}"))
}

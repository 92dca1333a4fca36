//! A program's word.

use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::Semaphore;

use super::{Talk, Target};
use crate::model::{Address, Finding, Found};

/// Who may run: a machine with a thousand backends shall not start a thousand programs at once.
pub(super) static TURNS: Semaphore = Semaphore::const_new(4);

/// How much of the output is kept, in bytes.
const KEPT: u64 = 4 * 1024;

/// How long the rest of the output may take to be read when the program has ended, where something that left
/// its group holds it open.
const REST: Duration = Duration::from_millis(100);

/// A program that runs. Whatever became of it, its group is gone with this.
struct Running {
    child: Child,
    group: Option<Pid>,
}

impl Running {
    /// Ends all that is left in its group: once, for the number may be another's after that.
    fn kill(&mut self) {
        if let Some(group) = self.group.take() {
            // Nobody may be left in it.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(super) async fn ask(
    target: &Target<'_>,
    command: &[String],
    talk: &mut Talk,
) -> Result<Finding, String> {
    let Some((program, arguments)) = command.split_first() else {
        return Err("no program is named".to_owned());
    };
    let (host, port) = match target.address {
        Address::Ip(at) => (at.ip().to_string(), at.port().to_string()),
        Address::Unix(path) => (format!("unix:{}", path.display()), String::new()),
    };
    talk.sent(|| command.join(" "));
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("PLIMSOLL_UPSTREAM", target.upstream)
        .env("PLIMSOLL_BACKEND", target.backend)
        .env("PLIMSOLL_HOST", host)
        .env("PLIMSOLL_PORT", port)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // A group of its own, so that all that it starts ends with it.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("{program} does not start: {error}"))?;
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let mut running = Running { child, group };
    let mut output = Vec::new();
    let stdout = running.child.stdout.take();
    let status = {
        let mut reading = pin!(read(stdout, &mut output));
        let (ended, all_read) = tokio::select! {
            ended = running.child.wait() => (ended, false),
            () = &mut reading => (running.child.wait().await, true),
        };
        // What it has left running may hold its output open, and is ended with it.
        running.kill();
        if !all_read {
            let _ = tokio::time::timeout(REST, reading).await;
        }
        ended.map_err(|error| format!("{program}: {error}"))?
    };
    let text = String::from_utf8_lossy(&output);
    talk.came(|| format!("{text}\n{status}"));
    let first = text.lines().next().unwrap_or_default().trim();
    let first: String = first.chars().filter(|c| !c.is_control()).take(200).collect();
    let said = if first.is_empty() { status.to_string() } else { first };
    Ok(match status.code() {
        Some(0) => Finding::up(said),
        Some(1) => Finding::new(Found::Degraded, said),
        _ => Finding::new(Found::Down, said),
    })
}

/// Reads the beginning of the output. The rest is read too, so that the program can end.
async fn read(stdout: Option<ChildStdout>, output: &mut Vec<u8>) {
    let Some(mut stdout) = stdout else { return };
    // What cannot be read is not there.
    let _ = (&mut stdout).take(KEPT).read_to_end(output).await;
    let _ = tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await;
}

//! A process and those that take its place: a group of processes that ends with the test.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::{get, in_time, until};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_plimsoll");

/// The processes, all of which write to one log.
pub(crate) struct Family {
    first: Child,
    group: Pid,
    log: Arc<Mutex<Vec<String>>>,
    folder: TempDir,
}

impl Family {
    /// Starts the first one from a link to the program, and waits until it is ready.
    pub(crate) async fn start(config: &str) -> Self {
        Self::start_as(config, |program| Command::new(program)).await
    }

    /// The same by a command that is told where the program lies.
    pub(crate) async fn start_as(config: &str, command: impl FnOnce(&Path) -> Command) -> Self {
        let folder = TempDir::new().unwrap();
        let program = folder.path().join("plimsoll");
        symlink(PROGRAM, &program).unwrap();
        let file = folder.path().join("plimsoll.toml");
        fs::write(&file, with_log(config)).unwrap();
        let mut first = command(&program)
            .args(["run", "--config"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let group = Pid::from_raw(first.id().unwrap() as i32).unwrap();
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let (into, mut lines) =
            (Arc::clone(&log), BufReader::new(first.stderr.take().unwrap()).lines());
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                into.lock().unwrap().push(line);
            }
        });
        let mut family = Self { first, group, log, folder };
        until("the first process is ready or has ended", async || {
            family.count("ready") > 0 || family.first.try_wait().unwrap().is_some()
        })
        .await;
        assert!(family.count("ready") > 0, "it ended:\n{}", family.text());
        family
    }

    /// Puts another file in the place of the program.
    pub(crate) fn replace_program(&self, by: &Path) {
        let (beside, program) = (self.path("plimsoll.new"), self.path("plimsoll"));
        symlink(by, &beside).unwrap();
        fs::rename(beside, program).unwrap();
    }

    /// Replaces the configuration.
    pub(crate) fn rewrite(&self, config: &str) {
        let beside = self.path("plimsoll.toml.new");
        fs::write(&beside, with_log(config)).unwrap();
        fs::rename(beside, self.path("plimsoll.toml")).unwrap();
    }

    /// A path beside the configuration.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The process that was started first.
    pub(crate) fn first_pid(&self) -> u32 {
        self.group.as_raw_nonzero().get() as u32
    }

    /// The process that serves: the last one that another one gave way to.
    pub(crate) fn pid(&self) -> u32 {
        let last = self.events("another process has taken the place of this one").pop();
        last.map_or(self.first_pid(), |line| line["pid"].as_u64().unwrap() as u32)
    }

    /// Signals a process of the family.
    pub(crate) fn signal(pid: u32, signal: Signal) {
        kill_process(Pid::from_raw(pid as i32).unwrap(), signal).unwrap();
    }

    /// `plimsoll upgrade` of the process that serves.
    pub(crate) async fn upgrade(&self) -> Output {
        let pid = self.pid().to_string();
        let asking = Command::new(PROGRAM).args(["upgrade", &pid]).kill_on_drop(true).output();
        in_time("the answer to `plimsoll upgrade`", asking).await.unwrap()
    }

    /// The same, which has to succeed. Gives the new process.
    pub(crate) async fn upgrade_well(&self) -> u32 {
        let before = self.pid();
        let output = self.upgrade().await;
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{told}\n{}", self.text());
        until("the log tells of it", async || self.pid() != before).await;
        assert!(told.contains(&format!("process {} (version ", self.pid())), "{told}");
        self.pid()
    }

    /// Waits for the end of a process.
    pub(crate) async fn until_gone(&self, pid: u32) {
        until(&format!("process {pid} ends"), async || has_ended(pid)).await;
    }

    pub(crate) fn addr(&self, listener: &str) -> SocketAddr {
        let all = self.events("listening");
        let line = all.iter().find(|line| line["listener"] == listener).unwrap();
        line["address"].as_str().unwrap().parse().unwrap()
    }

    pub(crate) fn admin(&self) -> SocketAddr {
        let line = &self.events("admin listening")[0];
        line["address"].as_str().unwrap().parse().unwrap()
    }

    pub(crate) async fn metrics(&self) -> String {
        get(self.admin(), "/metrics").await.text()
    }

    pub(crate) fn events(&self, message: &str) -> Vec<Value> {
        let log = self.log.lock().unwrap();
        let parsed = log.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        parsed.filter(|line| line["message"] == message).collect()
    }

    pub(crate) fn count(&self, message: &str) -> usize {
        self.events(message).len()
    }

    pub(crate) fn text(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the log of the processes:\n{}", self.text());
        }
        let _ = kill_process_group(self.group, Signal::KILL);
    }
}

fn with_log(config: &str) -> String {
    format!("{config}\n[log]\nformat = \"json\"\n")
}

/// Whether a process has ended, be it that it still stays in the table for who started it.
fn has_ended(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.map_or(true, |stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}

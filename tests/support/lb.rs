//! The program under test: the real one, started from a text, watched through what it tells.
//!
//! It binds ports of the kernel's choice and says which in its log, in lines that are part of its
//! interface: `listening` with `listener` and `address`, `admin listening` with `address`, and
//! `ready` once it serves.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use super::{get, in_time, until};

/// A running balancer; it is killed when this is dropped.
pub(crate) struct Lb {
    child: Child,
    /// The program log, from standard error.
    log: Lines,
    /// Standard output: the access log, unless it goes to a file.
    out: Lines,
    directory: TempDir,
}

/// What a stream has said so far.
type Lines = Arc<Mutex<Vec<String>>>;

impl Lb {
    /// Starts the program with this configuration and waits until it is ready.
    pub(crate) async fn start(config: impl AsRef<str>) -> Self {
        Self::launch(config.as_ref(), program).await
    }

    /// The same with so many descriptors at most.
    pub(crate) async fn start_with_descriptors(config: impl AsRef<str>, most: u32) -> Self {
        let limited = |file: &Path| {
            let mut shell = Command::new("bash");
            let limited = format!("ulimit -n {most} && exec \"$0\" run --config \"$1\"");
            shell.arg("-c").arg(limited).arg(env!("CARGO_BIN_EXE_plimsoll")).arg(file);
            shell
        };
        Self::launch(config.as_ref(), limited).await
    }

    /// The same, started like this.
    pub(crate) async fn start_by(config: &str, program: impl FnOnce(&Path) -> Command) -> Self {
        Self::launch(config, program).await
    }

    async fn launch(config: &str, program: impl FnOnce(&Path) -> Command) -> Self {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("plimsoll.toml");
        std::fs::write(&file, with_json_log(config)).unwrap();
        Self::launch_in(directory, program(&file)).await
    }

    /// Kills the program, and starts it again with what its file holds by then.
    pub(crate) async fn restart(mut self) -> Self {
        self.signal(Signal::KILL);
        self.exit().await;
        let program = program(&self.config_path());
        Self::launch_in(self.directory, program).await
    }

    async fn launch_in(directory: TempDir, mut program: Command) -> Self {
        let mut child = program
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = follow(child.stderr.take().unwrap());
        let out = follow(child.stdout.take().unwrap());
        let mut lb = Self { child, log, out, directory };
        until("the balancer is ready or has ended", async || {
            lb.event("ready", |_| true).is_some() || lb.child.try_wait().unwrap().is_some()
        })
        .await;
        assert!(lb.event("ready", |_| true).is_some(), "it ended at once:\n{}", lb.log_text());
        lb
    }

    /// Runs the program with a configuration that it shall refuse, up to its end.
    pub(crate) async fn refuse(config: impl AsRef<str>) -> Output {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("plimsoll.toml");
        std::fs::write(&file, config.as_ref()).unwrap();
        in_time("the end of the balancer", program(&file).kill_on_drop(true).output())
            .await
            .unwrap()
    }

    /// Where the listener of this name listens.
    pub(crate) fn addr(&self, listener: &str) -> SocketAddr {
        let line = self.event("listening", |line| field(line, "listener") == Some(listener));
        address(&line.unwrap_or_else(|| panic!("no listener {listener}:\n{}", self.log_text())))
    }

    /// Where the admin listener listens.
    pub(crate) fn admin_addr(&self) -> SocketAddr {
        let line = self.event("admin listening", |_| true);
        address(&line.unwrap_or_else(|| panic!("no admin listener:\n{}", self.log_text())))
    }

    /// The configuration's path; files beside it are removed with the balancer.
    pub(crate) fn config_path(&self) -> PathBuf {
        self.directory.path().join("plimsoll.toml")
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Memory of the process, in KiB.
    pub(crate) fn memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Replaces the configuration, without telling the program. The change is atomic.
    pub(crate) fn rewrite(&self, config: impl AsRef<str>) {
        let new = self.directory.path().join("plimsoll.toml.new");
        std::fs::write(&new, with_json_log(config.as_ref())).unwrap();
        std::fs::rename(new, self.config_path()).unwrap();
    }

    /// Replaces the configuration and tells the program by HUP. Whether and when it is taken is for
    /// the test to wait for.
    pub(crate) fn reload(&self, config: impl AsRef<str>) {
        self.rewrite(config);
        self.signal(Signal::HUP);
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid() as i32).unwrap(), signal).unwrap();
    }

    /// Waits for the end of the program.
    pub(crate) async fn exit(&mut self) -> ExitStatus {
        in_time("the end of the balancer", self.child.wait()).await.unwrap()
    }

    /// `/metrics`.
    pub(crate) async fn metrics(&self) -> String {
        let response = get(self.admin_addr(), "/metrics").await;
        assert_eq!(response.status, 200, "{response:?}");
        response.text()
    }

    /// The sum of the samples that match, see [`metric`].
    pub(crate) async fn metric(&self, sample: &str) -> Option<f64> {
        metric(&self.metrics().await, sample)
    }

    /// Waits until a metric has this value (a series that is absent has none).
    pub(crate) async fn until_metric(&self, sample: &str, value: f64) {
        let mut last = None;
        let what = format!("{sample} is {value}");
        until(&what, async || {
            last = self.metric(sample).await;
            last.is_some_and(|last| (last - value).abs() < 1e-9)
        })
        .await;
    }

    /// `GET` of an admin path whose answer is JSON.
    pub(crate) async fn api(&self, path: &str) -> Value {
        let response = get(self.admin_addr(), path).await;
        assert_eq!(response.status, 200, "{path}: {response:?}");
        serde_json::from_slice(&response.body).unwrap()
    }

    /// `/api/v1/ha/status`.
    pub(crate) async fn status(&self) -> Value {
        self.api("/api/v1/ha/status").await
    }

    /// The number of the configuration that is served.
    pub(crate) async fn generation(&self) -> u64 {
        let status = self.status().await;
        status["generation"].as_u64().unwrap_or_else(|| panic!("no generation: {status}"))
    }

    /// Waits until this generation or a later one is served.
    pub(crate) async fn until_generation(&self, generation: u64) {
        let what = format!("generation {generation} is served");
        until(&what, async || self.generation().await >= generation).await;
    }

    /// The program log so far.
    pub(crate) fn log_text(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Waits until a line of the program log contains this text.
    pub(crate) async fn until_log(&self, text: &str) {
        until_line(&self.log, text).await;
    }

    /// The lines on standard output so far.
    pub(crate) fn out(&self) -> Vec<String> {
        self.out.lock().unwrap().clone()
    }

    /// Waits until a line on standard output contains this text, and gives it.
    pub(crate) async fn until_out(&self, text: &str) -> String {
        until_line(&self.out, text).await
    }

    /// The last line of the log with this message that is so.
    pub(crate) fn event(&self, message: &str, is_so: impl Fn(&Value) -> bool) -> Option<Value> {
        let lines = self.log.lock().unwrap();
        let parsed = lines.iter().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        parsed.into_iter().find(|line| field(line, "message") == Some(message) && is_so(line))
    }
}

/// The program with a configuration.
fn program(config: &Path) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    program.arg("run").arg("--config").arg(config);
    program
}

/// Asks for the log form that is read here, at the end, so that the lines of the text stay.
fn with_json_log(config: &str) -> String {
    let mut config = config.to_owned();
    if !config.contains("[log]") {
        let _ = write!(config, "\n[log]\nformat = \"json\"\n");
    }
    config
}

/// Collects a stream's lines.
fn follow(stream: impl AsyncRead + Unpin + Send + 'static) -> Lines {
    let lines = Lines::default();
    let into = Arc::clone(&lines);
    tokio::spawn(async move {
        let mut from = BufReader::new(stream).lines();
        while let Ok(Some(line)) = from.next_line().await {
            into.lock().unwrap().push(line);
        }
    });
    lines
}

async fn until_line(lines: &Lines, text: &str) -> String {
    let find = || lines.lock().unwrap().iter().find(|line| line.contains(text)).cloned();
    until(&format!("a line contains {text:?}"), async || find().is_some()).await;
    find().unwrap()
}

/// A field of a log line, which has it at the top or under `fields`.
fn field<'a>(line: &'a Value, name: &str) -> Option<&'a str> {
    line.get(name).or_else(|| line.get("fields")?.get(name))?.as_str()
}

fn address(line: &Value) -> SocketAddr {
    field(line, "address").unwrap().parse().unwrap()
}

/// The sum of the samples in a metrics text that have the name and at least the labels of
/// `name{label="value",…}`, in any order; `None` if there are none.
pub(crate) fn metric(text: &str, sample: &str) -> Option<f64> {
    let (name, labels) = split_sample(sample);
    let mut sum = None;
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("sample: {line}"));
        let (other, theirs) = split_sample(series);
        if other == name && labels.iter().all(|label| theirs.contains(label)) {
            *sum.get_or_insert(0.0) += value.parse::<f64>().unwrap();
        }
    }
    sum
}

/// A sample's name and its labels, each as `label="value"`.
fn split_sample(sample: &str) -> (&str, Vec<&str>) {
    let Some((name, labels)) = sample.split_once('{') else {
        return (sample, Vec::new());
    };
    let mut rest = labels.strip_suffix('}').unwrap_or_else(|| panic!("no brace: {sample}"));
    let mut labels = Vec::new();
    // A value may hold commas, and quotes behind a backslash.
    while !rest.is_empty() {
        let open = rest.find("=\"").unwrap_or_else(|| panic!("no value: {sample}")) + 2;
        let mut escaped = false;
        let close = rest[open..].find(|c: char| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let end = open + close.unwrap_or_else(|| panic!("no quote: {sample}")) + 1;
        labels.push(&rest[..end]);
        rest = rest[end..].trim_start_matches(',');
    }
    (name, labels)
}

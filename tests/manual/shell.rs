//! A shell in an empty folder, as a reader has it.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::support::PATIENCE;

/// For one line, which may ask a few hundred times or wait for others who do.
const LINE: Duration = Duration::from_mins(1);

/// Told after each line, so that it is known what the line has said.
const DONE: &str = "@@ done";

/// The shell; what it started in the background is killed with it.
pub(crate) struct Shell {
    _process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    folder: TempDir,
    /// What ran in the background, by process group: each job has its own, as in front of a terminal.
    jobs: Vec<i32>,
}

impl Shell {
    /// Starts one that has the program in its path.
    pub(crate) async fn start(program: &Path) -> Self {
        let folder = TempDir::new().unwrap();
        let programs = program.parent().unwrap().display();
        let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
        let mut process = Command::new("bash")
            .args(["--norc", "--noprofile"])
            .current_dir(folder.path())
            .env("PATH", path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut shell = Self { _process: process, input, output, folder, jobs: Vec::new() };
        shell.run("exec 2>&1; set -m").await;
        shell
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a line. Gives what it said.
    pub(crate) async fn run(&mut self, line: &str) -> String {
        let script = format!("{line}\necho; jobs -p | sed 's/^/@@ job /'; echo '{DONE}'\n");
        self.input.write_all(script.as_bytes()).await.unwrap();
        let mut said = String::new();
        loop {
            let what = format!("the end of `{line}`, which said {said}");
            let next = timeout(LINE, self.output.next_line()).await.expect(&what).unwrap();
            let next = next.unwrap_or_else(|| panic!("the shell ended at {line}: {said}"));
            if next == DONE {
                return said;
            }
            match next.strip_prefix("@@ job ") {
                Some(job) => {
                    let job = job.parse().unwrap();
                    if !self.jobs.contains(&job) {
                        self.jobs.push(job);
                    }
                }
                None => writeln!(said, "{next}").unwrap(),
            }
        }
    }

    /// Runs a line again until it says all that is `expected`, if what it `said` is not all of it.
    pub(crate) async fn until_said(&mut self, line: &str, mut said: String, expected: &str) {
        let end = tokio::time::Instant::now() + PATIENCE;
        while let Some(missing) = expected.lines().find(|one| !said.contains(one)) {
            assert!(
                tokio::time::Instant::now() < end,
                "`{line}` does not say {missing:?} but:\n{said}\n{}",
                std::fs::read_to_string(self.folder().join("plimsoll.log")).unwrap_or_default()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
            said = self.run(line).await;
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        for group in self.jobs.iter().filter_map(|job| Pid::from_raw(*job)) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        // One that has taken the place of another is in its group, but may have outlived the test's look.
        let pid = std::fs::read_to_string(self.folder().join("plimsoll.pid"));
        let pid = pid.ok().and_then(|pid| Pid::from_raw(pid.trim().parse().ok()?));
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

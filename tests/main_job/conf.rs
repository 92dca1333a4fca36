//! The sample configurations, started.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::support::in_time;

/// Copies a directory. In TOML files ports that are listened on become ports of the kernel's
/// choice, sockets and named logs stand beside
/// the file, and the log goes to standard output.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let from = entry.unwrap().path();
        let to = to.join(from.file_name().unwrap());
        if from.is_dir() {
            copy(&from, &to);
        } else if from.extension().is_some_and(|extension| extension == "toml") {
            let text = fs::read_to_string(from).unwrap();
            fs::write(&to, with_free_addresses(&text, to.parent().unwrap())).unwrap();
        } else {
            fs::copy(from, to).unwrap();
        }
    }
}

fn with_free_addresses(text: &str, directory: &Path) -> String {
    let sockets = format!("\"unix:{}/", directory.display());
    let logs = format!("\"{}/", directory.display());
    let mut section = "";
    let mut copy = String::new();
    for line in text.lines() {
        if line.starts_with('[') {
            section = line.split(']').next().unwrap().trim_start_matches('[');
        }
        let listens = matches!(section, "listener" | "admin") && line.starts_with("address");
        if listens && line.contains("\"unix:") {
            copy += &line.replace("\"unix:/run/plimsoll/", &sockets);
            copy.push('\n');
        } else if listens {
            copy += "address = \"127.0.0.1:0\"\n";
        } else if !(section == "access_log" && line.starts_with("path")) {
            let line = line.replace("\"/var/log/plimsoll/", &logs);
            copy += &line.replace("pid_file = \"/run/plimsoll/", &format!("pid_file = {logs}"));
            copy.push('\n');
        }
    }
    copy
}

/// The files that are meant to be started: those that name a listener.
fn startable(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            startable(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "toml")
            && fs::read_to_string(&path).unwrap().contains("\n[[listener]]")
        {
            into.push(path);
        }
    }
}

#[tokio::test]
async fn every_sample_configuration_starts() {
    let directory = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf");
    copy(&root, directory.path());
    let mut files = Vec::new();
    startable(directory.path(), &mut files);
    assert!(files.len() >= 10, "{files:?}");
    // All at once: names of backends that do not exist take their time.
    let running: Vec<_> = files.into_iter().map(|file| tokio::spawn(start(file))).collect();
    for one in running {
        one.await.unwrap();
    }
}

/// Starts the program with this file and fails unless it gets ready.
async fn start(file: PathBuf) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .arg("run")
        .arg("--config")
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = String::new();
    in_time("a sample to get ready", async {
        while let Some(line) = lines.next_line().await.unwrap() {
            said += &line;
            said.push('\n');
            if line.contains(": ready") {
                return;
            }
        }
        panic!("{} did not start:\n{said}", file.display());
    })
    .await;
}

//! What is shipped beside the program: the Debian package, the files for systemd and logrotate, for
//! Prometheus and Grafana, for containers. Each is tried with the program that reads it.

#![allow(clippy::unwrap_used, reason = "in a test, what goes wrong shall end the test")]

#[path = "../support/mod.rs"]
mod support;

mod containers;
mod debian;
mod observed;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_plimsoll");

fn at_root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Runs a command, which has to succeed. Gives what it wrote to standard output.
fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {status}\n{out}\n{err}");
    out.into_owned()
}

/// The documents of a file in YAML.
fn yaml(path: &str) -> Vec<Value> {
    let read =
        "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    let text = run(Command::new("python3").args(["-c", read]).arg(at_root(path)));
    serde_json::from_str(&text).unwrap()
}

//! The command line, as typed into the real program: what comes out, and the exit code.

#![allow(clippy::unwrap_used, reason = "in a test, what goes wrong shall end the test")]

#[path = "../support/mod.rs"]
mod support;

mod configure;
mod demo;
mod diagnose;
mod explain;
mod man;
mod operate;
mod probe;
mod run;
mod simulate;
mod terminal;
mod top;

use std::path::Path;
use std::process::{Command, Output};

/// The program with these arguments, up to its end.
fn plimsoll(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn help_names_every_command_and_version_the_version() {
    let help = plimsoll(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let commands = [
        "run",
        "check",
        "demo",
        "explain",
        "schema",
        "simulate",
        "import-nginx",
        "why",
        "probe",
        "status",
        "top",
        "backend",
        "drain",
        "events",
        "reload",
        "diagnose",
        "plan",
        "apply",
        "confirm",
        "config",
        "upgrade",
        "man",
        "completions",
    ];
    for command in commands {
        assert!(out(&help).contains(command), "{command}: {}", out(&help));
        assert_eq!(plimsoll(&[command, "--help"]).status.code(), Some(0));
    }
    let version = plimsoll(&["--version"]);
    let expected = concat!("plimsoll ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(out(&version), expected);
}

#[test]
fn bad_usage_exits_with_2_and_says_what_would_be_good() {
    for arguments in [&["rum"][..], &["run", "--confg"], &["check"], &["demo", "--listen", "x"]] {
        let output = plimsoll(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(err(&output).contains("--help"), "{}", err(&output));
    }
    assert!(err(&plimsoll(&["rum"])).contains("run"));
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = plimsoll(&["completions", shell]);
        assert_eq!(script.status.code(), Some(0));
        for word in ["demo", "schema", "config"] {
            assert!(out(&script).contains(word), "{shell}: {word}");
        }
    }
    // Where there is a shell, it accepts its script.
    let script = out(&plimsoll(&["completions", "bash"]));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), script).unwrap();
    let read = Command::new("bash").arg("-n").arg(file.path()).status();
    assert!(read.unwrap().success());
}

#[test]
fn schema_is_json_that_knows_the_settings() {
    let schema = plimsoll(&["schema"]);
    assert_eq!(schema.status.code(), Some(0));
    let schema: serde_json::Value = serde_json::from_slice(&schema.stdout).unwrap();
    assert!(schema["properties"]["upstream"].is_object(), "{schema}");
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn reference_is_the_checked_in_manual() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let kept = std::fs::read_to_string(root.join("src/manual/config_reference.md")).unwrap();
    assert!(out(&plimsoll(&["schema", "--reference"])) == kept);
}

#[test]
fn check_tells_good_from_bad() {
    let good = plimsoll(&["check", "conf/minimal.toml"]);
    assert_eq!(good.status.code(), Some(0));
    assert!(out(&good).contains("conf/minimal.toml: good (1 listener"), "{}", out(&good));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bad.toml");
    std::fs::write(&file, "[[listener]]\nadress = \"0.0.0.0:80\"\n").unwrap();
    let file = file.to_str().unwrap();
    // One bad file spoils the lot, and the good one is told of all the same.
    let bad = plimsoll(&["check", "conf/minimal.toml", file]);
    assert_eq!(bad.status.code(), Some(2));
    let text = out(&bad);
    for said in ["minimal.toml: good", "bad.toml:2:1", "did you mean", "address", "refused"] {
        assert!(text.contains(said), "{said} is not in: {text}");
    }
    assert!(!text.contains('\x1b'), "colours in a pipe");
    let missing = plimsoll(&["check", "no/such/file.toml"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(out(&missing).contains("no/such/file.toml"));
}

#[test]
fn check_of_a_bad_file_exits_with_2_though_nobody_reads_on() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(["check", "tests/config/values.toml"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(2));
}

#[test]
fn check_tells_machines_as_json() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bad.toml");
    std::fs::write(&file, "[[listener]]\nadress = \"0.0.0.0:80\"\n").unwrap();
    let file = file.to_str().unwrap();
    let output = plimsoll(&["check", "--json", "conf/minimal.toml", file]);
    assert_eq!(output.status.code(), Some(2));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["ok"], false);
    assert_eq!(told["files"][0]["ok"], true);
    assert_eq!(told["files"][1]["file"], file);
    let faults = told["files"][1]["diagnostics"].as_array().unwrap();
    let fault = faults.iter().find(|fault| fault["line"] == 2).unwrap();
    assert_eq!((&fault["column"], &fault["severity"]), (&1.into(), &"error".into()));
    let good = plimsoll(&["check", "--json", "conf/minimal.toml"]);
    assert_eq!(good.status.code(), Some(0));
}

#[test]
fn reader_that_goes_away_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(["schema", "--reference"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), err(&output).as_str()), (Some(0), ""));
}

#[test]
fn import_replaces_its_output_as_a_whole_and_never_its_input() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let text = "server { listen 8080; location / { proxy_pass http://10.0.0.1; } }";
    std::fs::write(path("nginx.conf"), text).unwrap();
    std::fs::write(path("real.toml"), "old").unwrap();
    std::os::unix::fs::symlink(path("real.toml"), path("link.toml")).unwrap();
    let import = |more: &[&str]| {
        let conf = path("nginx.conf");
        plimsoll(&[&["import-nginx", &conf][..], more].concat()).status.code()
    };

    for same in [&["-o", &path("./nginx.conf")][..], &["--report", &path("nginx.conf")]] {
        assert_eq!(import(same), Some(2));
        assert_eq!(std::fs::read_to_string(path("nginx.conf")).unwrap(), text);
    }
    assert_eq!(import(&["-o", &path("a"), "--report", &path("a")]), Some(2));

    // Who has the file open reads the old one to its end.
    let mut open = std::fs::File::open(path("real.toml")).unwrap();
    assert_eq!(import(&["-o", &path("link.toml")]), Some(0));
    let mut old = String::new();
    std::io::Read::read_to_string(&mut open, &mut old).unwrap();
    assert_eq!(old, "old");
    assert!(std::fs::read_to_string(path("real.toml")).unwrap().contains("[[route]]"));
    assert!(std::fs::symlink_metadata(path("link.toml")).unwrap().is_symlink());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
}

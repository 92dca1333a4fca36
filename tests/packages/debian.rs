//! The Debian package, and what it has systemd and logrotate do.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::{PROGRAM, at_root, run};

/// `dpkg` on a system of its own, which has nothing installed.
fn dpkg(root: &Path) -> Command {
    let mut dpkg = Command::new("dpkg");
    dpkg.arg(format!("--root={}", root.display()));
    dpkg.args(["--force-not-root", "--force-script-chrootless", "--force-depends"]);
    dpkg
}

#[test]
fn package_is_built_installed_run_and_purged() {
    let folder = tempfile::tempdir().unwrap();
    let built = run(Command::new(at_root("scripts/package"))
        .args(["--binary", PROGRAM, "--to"])
        .arg(folder.path()));
    let package = built.trim();
    let root = folder.path().join("root");
    for path in ["info", "updates"] {
        fs::create_dir_all(root.join("var/lib/dpkg").join(path)).unwrap();
    }
    fs::write(root.join("var/lib/dpkg/status"), "").unwrap();

    run(dpkg(&root).args(["--install", package]));
    let program = root.join("usr/bin/plimsoll");
    let version = run(Command::new(&program).arg("--version"));
    assert_eq!(version.trim(), concat!("plimsoll ", env!("CARGO_PKG_VERSION")));
    let checked =
        run(Command::new(&program).arg("check").arg(root.join("etc/plimsoll/plimsoll.toml")));
    assert!(checked.contains("good"), "{checked}");
    let schema = fs::read_to_string(root.join("etc/plimsoll/plimsoll.toml")).unwrap();
    let schema = schema.lines().next().unwrap().strip_prefix("#:schema /").unwrap();
    assert!(root.join(schema).is_file(), "{schema}");
    let users = fs::read_to_string(root.join("etc/passwd")).unwrap();
    assert!(users.contains("plimsoll:"), "{users}");
    let unit = fs::read_to_string(root.join("usr/lib/systemd/system/plimsoll.service")).unwrap();
    let starts = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/")).unwrap();
    let mut words = starts.split(' ');
    assert_eq!(root.join(words.next().unwrap()), program);
    assert!(root.join(words.next_back().unwrap().trim_start_matches('/')).is_file(), "{starts}");
    let script = root.join("usr/share/bash-completion/completions/plimsoll");
    run(Command::new("bash").arg("-n").arg(script));
    for page in ["plimsoll", "plimsoll-run", "plimsoll-backend-weight"] {
        let page = root.join(format!("usr/share/man/man1/{page}.1.gz"));
        assert!(run(Command::new("zcat").arg(&page)).contains(".SH NAME"), "{}", page.display());
    }

    // What somebody has written stays when the package goes, and goes when it is purged.
    let configuration = root.join("etc/plimsoll/plimsoll.toml");
    fs::OpenOptions::new()
        .append(true)
        .open(&configuration)
        .unwrap()
        .write_all(b"# mine\n")
        .unwrap();
    run(dpkg(&root).args(["--remove", "plimsoll"]));
    assert!(!program.exists());
    assert!(fs::read_to_string(&configuration).unwrap().ends_with("# mine\n"));
    run(dpkg(&root).args(["--purge", "plimsoll"]));
    assert!(!configuration.exists());
}

#[test]
fn unit_is_understood_and_locks_the_process_in() {
    let unit = at_root("conf/systemd/plimsoll.service");
    // With the program where it is here, since it is verified that there is one.
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().join("plimsoll.service");
    let text = fs::read_to_string(&unit).unwrap().replace("/usr/local/bin/plimsoll", PROGRAM);
    fs::write(&here, text).unwrap();
    fs::copy(at_root("conf/systemd/plimsoll.socket"), folder.path().join("plimsoll.socket"))
        .unwrap();
    let told = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args([&here, &folder.path().join("plimsoll.socket")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&told.stderr);
    // /bin/kill and its like are of packages that need not be there.
    let text = fs::read_to_string(&here).unwrap();
    for line in text.lines().filter(|line| line.starts_with("Exec")) {
        let program = line.split_once('=').unwrap().1.trim_start_matches('-');
        assert!(program.starts_with(PROGRAM) || program.starts_with("/bin/sh "), "{line}");
    }
    let of_ours: Vec<_> = said.lines().filter(|line| line.contains("plimsoll")).collect();
    assert!(of_ours.is_empty(), "{said}");
    // Out of 100, where 0 is locked in most. The threshold is the verdict of today, rounded up.
    run(Command::new("systemd-analyze")
        .args(["security", "--offline=yes", "--no-pager", "--threshold=20"])
        .arg(&unit));
}

#[test]
fn stopping_waits_for_the_drain_whoever_started_the_process() {
    let unit = fs::read_to_string(at_root("conf/systemd/plimsoll.service")).unwrap();
    let stop = unit.lines().find_map(|line| line.strip_prefix("ExecStop=-/bin/sh -c '")).unwrap();
    let stop = stop.strip_suffix('\'').unwrap().replace("$$", "$");
    // It takes its time after TERM, as a drain does.
    let folder = tempfile::tempdir().unwrap();
    let drained = folder.path().join("drained");
    let drains =
        "trap 'sleep 0.5; touch \"$1\"; exit' TERM; echo ready; while :; do sleep 0.1; done";
    let mut process = Command::new("sh")
        .args(["-c", drains, "sh"])
        .arg(&drained)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let pid = process.id().to_string();
    // systemd clears away what has ended; until then it is still there.
    let clears = std::thread::spawn(move || process.wait());
    Command::new("sh").args(["-c", &stop]).env("MAINPID", pid).status().unwrap();
    assert!(drained.exists());
    assert!(clears.join().unwrap().unwrap().success());
    // After a crash there is no process to wait for.
    let mut without = Command::new("sh");
    assert!(!without.args(["-c", &stop]).env_remove("MAINPID").status().unwrap().success());
}

#[test]
fn rotation_moves_the_log_and_loses_no_line() {
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("log");
    fs::create_dir(&logs).unwrap();
    // logrotate takes no file from a folder that everybody may write to.
    fs::set_permissions(&logs, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(logs.join("access.log"), "a line\n").unwrap();
    let signalled = folder.path().join("signalled");
    let kept = fs::read_to_string(at_root("conf/systemd/plimsoll.logrotate")).unwrap();
    let line = kept.lines().find(|line| line.contains("systemctl")).unwrap();
    assert!(line.contains("--signal=USR1 plimsoll.service"), "{line}");
    let ours = kept
        .replace("/var/log/plimsoll", &logs.display().to_string())
        .replace(line, &format!("touch {}", signalled.display()));
    let file = folder.path().join("logrotate");
    fs::write(&file, ours).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let state = folder.path().join("state");
    run(Command::new("logrotate").arg("--force").arg("--state").arg(&state).arg(&file));
    assert_eq!(fs::read_to_string(logs.join("access.log.1")).unwrap(), "a line\n");
    assert_eq!(fs::read_to_string(logs.join("access.log")).unwrap(), "");
    assert!(signalled.exists());
}

//! What systemd gives the process and is told by it; a socket of the test's stands for systemd.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::Command;

use crate::family::Family;
use crate::support::{Origin, at, config, get, until};

/// Where the process reports to.
struct Manager {
    socket: UnixDatagram,
    _folder: tempfile::TempDir,
    path: std::path::PathBuf,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        Self { socket, _folder: folder, path }
    }

    fn command(&self, program: &std::path::Path) -> Command {
        let mut command = Command::new(program);
        command.env("NOTIFY_SOCKET", &self.path);
        command
    }

    /// Waits until it is told something that begins so, and gives it.
    async fn until_told(&self, start: &str) -> String {
        let mut found = None;
        until(&format!("systemd is told {start}"), async || {
            let mut bytes = [0; 1024];
            while let Ok(length) = self.socket.recv(&mut bytes) {
                let text = String::from_utf8(bytes[..length].to_vec()).unwrap();
                if text.starts_with(start) {
                    found = Some(text);
                    return true;
                }
            }
            false
        })
        .await;
        found.unwrap()
    }
}

#[tokio::test]
async fn start_reload_upgrade_and_end_are_told() {
    let a = Origin::start("a").await;
    let manager = Manager::new();
    let text = config("", "", &[at(&a)]);
    let family = Family::start_as(&text, |program| manager.command(program)).await;
    manager.until_told("READY=1").await;
    Family::signal(family.pid(), Signal::HUP);
    let told = manager.until_told("RELOADING=1").await;
    let at = told.split_once("MONOTONIC_USEC=").unwrap().1.parse::<u64>().unwrap();
    assert!(at > 0);
    manager.until_told("READY=1").await;
    family.upgrade_well().await;
    manager.until_told(&format!("MAINPID={}\n", family.pid())).await;
    family.until_gone(family.first_pid()).await;
    Family::signal(family.pid(), Signal::TERM);
    manager.until_told("STOPPING=1").await;
}

#[tokio::test]
async fn watchdog_hears_of_a_living_process_and_of_the_one_that_takes_its_place() {
    let a = Origin::start("a").await;
    let manager = Manager::new();
    let family = Family::start_as(&config("", "", &[at(&a)]), |program| {
        let mut command = manager.command(program);
        command.env("WATCHDOG_USEC", "200000");
        command
    })
    .await;
    for _ in 0..3 {
        manager.until_told("WATCHDOG=1").await;
    }
    family.upgrade_well().await;
    family.until_gone(family.first_pid()).await;
    while manager.socket.recv(&mut [0; 64]).is_ok() {}
    manager.until_told("WATCHDOG=1").await;
    // A process that is stopped gives no sign of life.
    Family::signal(family.pid(), Signal::STOP);
    Family::signal(family.pid(), Signal::KILL);
}

#[tokio::test]
async fn watchdog_of_another_process_is_not_fed() {
    let a = Origin::start("a").await;
    let manager = Manager::new();
    let family = Family::start_as(&config("", "", &[at(&a)]), |program| {
        let mut command = manager.command(program);
        command.env("WATCHDOG_USEC", "20000").env("WATCHDOG_PID", "1");
        command
    })
    .await;
    manager.until_told("READY=1").await;
    Family::signal(family.pid(), Signal::TERM);
    let mut all = Vec::new();
    let mut bytes = [0; 256];
    until("the end is told", async || {
        while let Ok(length) = manager.socket.recv(&mut bytes) {
            all.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
        }
        all.iter().any(|told| told == "STOPPING=1")
    })
    .await;
    assert!(!all.iter().any(|told| told == "WATCHDOG=1"), "{all:?}");
}

/// Starts a program with sockets as systemd does: descriptors from 3 on, and `LISTEN_PID` its own id.
const ACTIVATE: &str = r#"
import os, socket, sys
tcp, unix, program = sys.argv[1], sys.argv[2], sys.argv[3:]
host, port = tcp.rsplit(":", 1)
sockets = [socket.socket(socket.AF_INET), socket.socket(socket.AF_UNIX)]
sockets[0].bind((host, int(port)))
sockets[1].bind(unix)
for number, one in enumerate(sockets):
    one.listen(16)
    keep = os.dup2(one.fileno(), 20 + number)
for number in range(2):
    os.dup2(20 + number, 3 + number)
    os.set_inheritable(3 + number, True)
    os.close(20 + number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2")
os.execv(program[0], program)
"#;

#[tokio::test]
async fn sockets_that_systemd_has_bound_are_taken_up_and_passed_on() {
    let a = Origin::start("a").await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let address = format!("127.0.0.1:{}", crate::support::free_port());
    let text =
        config("", "", &[at(&a)]).replace(
            "name = \"main\"\naddress = \"127.0.0.1:0\"",
            &format!("name = \"main\"\naddress = \"{address}\""),
        ) + &format!("[[listener]]\nname = \"unix\"\naddress = \"unix:{}\"\n", path.display());
    let family = Family::start_as(&text, |program| {
        let mut command = Command::new("python3");
        command.args(["-c", ACTIVATE, &address]).arg(&path).arg(program);
        command
    })
    .await;
    for _ in 0..2 {
        for _ in 0..5 {
            assert_eq!(get(family.addr("main"), "/").await.text(), "a");
        }
        let old = family.pid();
        family.upgrade_well().await;
        family.until_gone(old).await;
    }
    assert_eq!(get(family.addr("main"), "/").await.text(), "a");
    let stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    drop(stream);
    let last = family.pid();
    Family::signal(last, Signal::TERM);
    family.until_gone(last).await;
    assert!(path.exists(), "systemd's file stays");
}

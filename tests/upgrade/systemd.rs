//! What systemd gives the process and is told by it; a socket of the test's stands for systemd.

use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::Command;

use crate::family::Family;
use crate::support::{Origin, PATIENCE, at, config, get, until};

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
import fcntl, os, sys
tcp, unix = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 20) for number in sys.argv[1:3])
program = sys.argv[3:]
os.dup2(tcp, 3)
os.dup2(unix, 4)
os.closerange(5, 256)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2")
os.execv(program[0], program)
"#;

/// A descriptor of it that programs inherit.
fn lend(socket: &impl AsFd) -> OwnedFd {
    rustix::io::dup(socket).unwrap()
}

#[tokio::test]
async fn sockets_that_systemd_has_bound_are_taken_up_passed_on_and_left_as_they_were() {
    let a = Origin::start("a").await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let unix = UnixListener::bind(&path).unwrap();
    let address = tcp.local_addr().unwrap();
    let text =
        config("", "", &[at(&a)]).replace(
            "name = \"main\"\naddress = \"127.0.0.1:0\"",
            &format!("name = \"main\"\naddress = \"{address}\""),
        ) + &format!("[[listener]]\nname = \"unix\"\naddress = \"unix:{}\"\n", path.display());
    let lent = [lend(&tcp), lend(&unix)];
    let family = Family::start_as(&text, |program| {
        let mut command = Command::new("python3");
        command.args(["-c", ACTIVATE]);
        command.args(lent.iter().map(|lent| lent.as_raw_fd().to_string())).arg(program);
        command
    })
    .await;
    drop(lent);
    for _ in 0..2 {
        for _ in 0..5 {
            assert_eq!(get(family.addr("main"), "/").await.text(), "a");
        }
        let old = family.pid();
        family.upgrade_well().await;
        family.until_gone(old).await;
    }
    assert_eq!(get(family.addr("main"), "/").await.text(), "a");
    drop(UnixStream::connect(&path).unwrap());
    let last = family.pid();
    Family::signal(last, Signal::TERM);
    family.until_gone(last).await;
    assert!(path.exists(), "systemd's file stays");
    // Who comes now waits for the service's next start.
    tcp.set_nonblocking(false).unwrap();
    unix.set_nonblocking(false).unwrap();
    let newcomer = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    assert_eq!(tcp.accept().unwrap().1, newcomer.local_addr().unwrap());
    let _newcomer = UnixStream::connect(&path).unwrap();
    unix.accept().unwrap();
}

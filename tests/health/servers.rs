//! Real databases, each in a directory and on a port of its own, gone with the value.

use std::fs::Permissions;
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, getuid, kill_process, kill_process_group};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::support::{free_port, until};

/// A server that runs.
pub(crate) struct Server {
    child: Child,
    pub(crate) directory: TempDir,
    pub(crate) port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.child.wait();
    }
}

impl Server {
    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed()).unwrap()
    }

    /// Signals the server, and not what it has started.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its section as a backend.
    pub(crate) fn backend(&self) -> String {
        format!("address = \"{}\"", self.address())
    }
}

/// A program run as `user` where we are root: no database wants to be.
fn program(user: &str, name: impl AsRef<std::ffi::OsStr>) -> Command {
    if !getuid().is_root() {
        return Command::new(name);
    }
    let mut program = Command::new("setpriv");
    program.args(["--reuid", user, "--regid", user, "--clear-groups"]).arg(name);
    program
}

/// An empty directory that belongs to `user`.
fn directory(user: &str) -> TempDir {
    let directory = TempDir::new().unwrap();
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o700)).unwrap();
    if getuid().is_root() {
        let of = |flag| {
            let told = Command::new("id").args([flag, user]).output().unwrap().stdout;
            String::from_utf8(told).unwrap().trim().parse().ok()
        };
        chown(directory.path(), of("-u"), of("-g")).unwrap();
    }
    directory
}

/// Runs a program to its end; fails with what it says if it does.
fn run(program: &mut Command) -> String {
    let output = program.stdin(Stdio::null()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program:?}: {told}{failed}");
    told
}

/// Starts a server on a free port; on another one if that is taken meanwhile.
async fn serve(directory: TempDir, program: impl Fn(&Path, u16) -> Command) -> Server {
    let start = || {
        let port = free_port();
        let mut program = program(directory.path(), port);
        let quiet = program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        (quiet.process_group(0).spawn().unwrap(), port)
    };
    let (mut child, mut port) = start();
    until("the server accepts connections", async || {
        if child.try_wait().unwrap().is_some() {
            (child, port) = start();
        }
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok()
    })
    .await;
    Server { child, directory, port }
}

/// The password of everybody who has one.
pub(crate) const PASSWORD: &str = "s3cret";

/// Debian's directory of `PostgreSQL`'s programs.
fn postgres_program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").unwrap();
    let mut versions: Vec<_> = versions.map(|version| version.unwrap().path()).collect();
    versions.sort();
    versions.last().unwrap().join("bin").join(name)
}

async fn serve_postgres(data: TempDir) -> Server {
    serve(data, |data, port| {
        let mut server = program("postgres", postgres_program("postgres"));
        server.arg("-D").arg(data).args(["-p", &port.to_string(), "-h", "127.0.0.1"]);
        server.arg("-k").arg(data).args(["-c", "fsync=off"]);
        server
    })
    .await
}

/// `PostgreSQL` with a superuser `probe`, who logs in by SCRAM.
pub(crate) async fn postgres() -> Server {
    let data = directory("postgres");
    let word = data.path().with_extension("word");
    std::fs::write(&word, PASSWORD).unwrap();
    let mut init = program("postgres", postgres_program("initdb"));
    init.arg("-D").arg(data.path()).args(["-U", "probe", "-A", "scram-sha-256", "--no-sync"]);
    run(init.arg("--no-locale").arg(format!("--pwfile={}", word.display())));
    std::fs::remove_file(word).unwrap();
    serve_postgres(data).await
}

/// `PostgreSQL` that follows `primary`.
pub(crate) async fn postgres_standby(primary: &Server) -> Server {
    let data = directory("postgres");
    let mut copy = program("postgres", postgres_program("pg_basebackup"));
    copy.env("PGPASSWORD", PASSWORD).arg("-D").arg(data.path());
    copy.args(["-R", "--no-sync", "-c", "fast", "-h", "127.0.0.1", "-U", "probe"]);
    run(copy.args(["-p", &primary.port.to_string()]));
    serve_postgres(data).await
}

/// Makes a standby the primary.
pub(crate) fn promote_postgres(standby: &Server) {
    let mut promote = program("postgres", postgres_program("pg_ctl"));
    run(promote.arg("promote").arg("-D").arg(standby.directory.path()));
}

/// `MariaDB` with a user `probe`.
pub(crate) async fn mariadb() -> Server {
    let data = directory("mysql");
    let mut init = program("mysql", "mariadb-install-db");
    init.arg("--no-defaults").arg(format!("--datadir={}", data.path().display()));
    run(init.args(["--auth-root-authentication-method=normal", "--skip-test-db"]));
    let server = serve(data, |data, port| {
        let mut server = program("mysql", "/usr/sbin/mariadbd");
        server.arg("--no-defaults").arg(format!("--datadir={}", data.display()));
        server.arg(format!("--socket={}", data.join("socket").display()));
        server.arg(format!("--pid-file={}", data.join("pid").display()));
        server.args(["--bind-address=127.0.0.1", &format!("--port={port}")]);
        server
    })
    .await;
    ask_mariadb(
        &server,
        &format!(
            "CREATE USER probe IDENTIFIED BY '{PASSWORD}'; GRANT REPLICA MONITOR ON *.* TO probe;"
        ),
    );
    server
}

/// Has the root of `MariaDB` say this.
pub(crate) fn ask_mariadb(server: &Server, text: &str) {
    let socket = server.directory.path().join("socket");
    let mut client = Command::new("mariadb");
    run(client.arg("--no-defaults").arg("-S").arg(socket).args(["-u", "root", "-e", text]));
}

/// Redis that follows `primary`, or nobody.
pub(crate) async fn redis(primary: Option<&Server>) -> Server {
    serve(directory("redis"), |data, port| {
        let mut server = program("redis", "redis-server");
        server.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", ""]);
        server.args(["--requirepass", PASSWORD, "--masterauth", PASSWORD]);
        server.args(["--repl-diskless-sync-delay", "0"]).arg("--dir").arg(data);
        if let Some(primary) = primary {
            server.args(["--replicaof", "127.0.0.1", &primary.port.to_string()]);
        }
        server
    })
    .await
}

/// A Sentinel that promotes a replica of `primary` as soon as that is away.
pub(crate) async fn sentinel(primary: &Server) -> Server {
    sentinel_of("127.0.0.1", primary, "").await
}

/// The same, which knows its primary by a host's name and wants a password itself.
pub(crate) async fn shy_sentinel(primary: &Server) -> Server {
    let names = "sentinel resolve-hostnames yes\nsentinel announce-hostnames yes\n";
    sentinel_of("localhost", primary, &format!("requirepass {PASSWORD}\n{names}")).await
}

async fn sentinel_of(host: &str, primary: &Server, more: &str) -> Server {
    serve(directory("redis"), |data, port| {
        let file = data.join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\n{more}\
             sentinel monitor shop {host} {} 1\n\
             sentinel auth-pass shop {PASSWORD}\n\
             sentinel down-after-milliseconds shop 500\n\
             sentinel failover-timeout shop 5000\n",
            data.display(),
            primary.port
        );
        write_for("redis", &file, &text);
        let mut server = program("redis", "redis-sentinel");
        server.arg(&file);
        server
    })
    .await
}

fn write_for(user: &str, file: &Path, text: &str) {
    std::fs::write(file, text).unwrap();
    if getuid().is_root() {
        run(Command::new("chown").arg(format!("{user}:{user}")).arg(file));
    }
}

/// What Redis or a Sentinel answers.
pub(crate) fn ask_redis(server: &Server, words: &[&str]) -> String {
    ask_redis_at(server.port, words)
}

/// What answers there.
pub(crate) fn ask_redis_at(port: u16, words: &[&str]) -> String {
    let mut client = Command::new("redis-cli");
    client.args(["-h", "127.0.0.1", "-p", &port.to_string(), "--no-auth-warning"]);
    run(client.args(["-a", PASSWORD]).args(words))
}

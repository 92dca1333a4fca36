//! Debian's nginx as an origin.

use std::net::SocketAddr;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::support::{free_port, in_time, until};

/// A running nginx; it is killed when this is dropped.
pub(crate) struct Nginx {
    name: &'static str,
    address: SocketAddr,
    directory: TempDir,
    child: Child,
}

impl Nginx {
    /// Answers every `GET` with its name, and keeps what is `PUT` below `/up/`.
    pub(crate) async fn start(name: &'static str, port: u16) -> Self {
        let directory = TempDir::new().unwrap();
        std::fs::write(directory.path().join("nginx.conf"), configuration(name, port)).unwrap();
        std::fs::create_dir(directory.path().join("up")).unwrap();
        let child = spawn(&directory);
        let mut nginx = Self { name, address: ([127, 0, 0, 1], port).into(), directory, child };
        nginx.until_listening().await;
        nginx
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was uploaded to this path.
    pub(crate) fn uploaded(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.directory.path().join(path)).unwrap()
    }

    /// Ends it by SIGKILL: no request is finished, no connection closed in order.
    pub(crate) async fn kill(&mut self) {
        in_time("the end of nginx", self.child.kill()).await.unwrap();
    }

    /// Starts it again on its port.
    pub(crate) async fn restart(&mut self) {
        self.child = spawn(&self.directory);
        self.until_listening().await;
    }

    async fn until_listening(&mut self) {
        let Self { child, address, .. } = self;
        until("nginx listens", async || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "nginx has ended: {ended:?}");
            TcpStream::connect(*address).await.is_ok()
        })
        .await;
    }
}

/// Ports on which nobody listens.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    [(); N].map(|()| free_port())
}

fn spawn(directory: &TempDir) -> Child {
    Command::new("nginx")
        .arg("-p")
        .arg(directory.path())
        .args(["-c", "nginx.conf", "-e", "stderr"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("nginx: {error}; `scripts/test` installs it"))
}

/// One process, so that killing it ends all of it.
fn configuration(name: &str, port: u16) -> String {
    format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr crit;
        events {{ worker_connections 512; }}
        http {{
            access_log off;
            client_max_body_size 8m;
            client_body_temp_path tmp-body; proxy_temp_path tmp-proxy;
            fastcgi_temp_path tmp-fastcgi; uwsgi_temp_path tmp-uwsgi; scgi_temp_path tmp-scgi;
            keepalive_requests 1000000;
            server {{
                listen 127.0.0.1:{port};
                add_header X-Origin {name} always;
                add_header X-Requests $connection_requests always;
                location / {{ return 200 {name}; }}
                location /up/ {{ root .; dav_methods PUT; }}
            }}
        }}"
    )
}

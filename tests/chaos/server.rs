//! Backends that are processes of their own, to be killed and stopped: Debian's nginx.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::support::{free_port, until};

/// One process that answers 200 to everything, and writes down the target of each request.
pub(crate) struct Server {
    directory: TempDir,
    port: u16,
    process: Option<Child>,
}

impl Server {
    /// Starts one.
    pub(crate) async fn start() -> Self {
        let (directory, port) = (TempDir::new().unwrap(), free_port());
        let at = directory.path().display();
        let text = format!(
            "daemon off;\nmaster_process off;\npid {at}/pid;\nerror_log {at}/error.log;\n\
             events {{}}\nhttp {{\nlog_format target '$request_uri';\n\
             access_log {at}/targets target;\nclient_body_temp_path {at}/body;\n\
             proxy_temp_path {at}/proxy;\nfastcgi_temp_path {at}/fastcgi;\n\
             uwsgi_temp_path {at}/uwsgi;\nscgi_temp_path {at}/scgi;\n\
             server {{ listen 127.0.0.1:{port}; location / {{ return 200 ok; }} }}\n}}\n"
        );
        fs::write(directory.path().join("nginx.conf"), text).unwrap();
        let mut server = Self { directory, port, process: None };
        server.restart().await;
        server
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Starts it again on the same port.
    pub(crate) async fn restart(&mut self) {
        assert!(self.process.is_none(), "it runs");
        let process = Command::new("nginx")
            .arg("-c")
            .arg(self.directory.path().join("nginx.conf"))
            .arg("-p")
            .arg(self.directory.path())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx is installed");
        self.process = Some(process);
        let address = self.address();
        until("it listens", async || TcpStream::connect(address).await.is_ok()).await;
    }

    /// As the kernel does it when memory is short.
    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// It does nothing any more, but is there.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// It goes on.
    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("it runs");
        let pid = Pid::from_raw(process.id().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// The targets of the requests that it has answered.
    pub(crate) fn targets(&self) -> Vec<String> {
        let text = fs::read_to_string(self.directory.path().join("targets")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

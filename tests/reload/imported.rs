//! An nginx.conf that people go on editing: imported anew over the same file each time, and loaded.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;

use crate::support::{Client, Load, Origin, free_port, get, in_time, until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_plimsoll");

/// One worker, so that its pools are the only ones.
fn nginx_conf(address: SocketAddr, quiet: &Origin, busy: &Origin, locations: &str) -> String {
    let (quiet, busy) = (quiet.address(), busy.address());
    format!(
        "worker_processes 1;
events {{}}
http {{
    access_log off;
    upstream quiet {{ server {quiet}; keepalive 4; }}
    upstream busy {{ server {busy}; keepalive 16; }}
    proxy_http_version 1.1;
    proxy_set_header Connection \"\";
    server {{
        listen {address};
        location / {{ proxy_pass http://busy; }}
        location = /quiet {{ proxy_pass http://quiet; }}
        {locations}
    }}
}}
"
    )
}

/// Writes the file, and the import over whatever is there.
async fn import(folder: &Path, conf: &str) {
    std::fs::write(folder.join("nginx.conf"), conf).unwrap();
    let mut program = Command::new(PROGRAM);
    program.args(["import-nginx", "nginx.conf", "-o", "plimsoll.toml"]).current_dir(folder);
    let output = in_time("the import", program.output()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn an_nginx_conf_is_edited_imported_and_loaded_again_and_no_request_fails() {
    let (quiet, busy) = (Origin::start("quiet").await, Origin::start("busy").await);
    let moved = Origin::start("moved").await;
    let folder = tempfile::tempdir().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    import(folder.path(), &nginx_conf(address, &quiet, &busy, "")).await;
    let mut program = Command::new(PROGRAM);
    program.args(["run", "--config", "plimsoll.toml"]).current_dir(&folder).kill_on_drop(true);
    let child = program.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("it listens", async || Client::try_connect(address).await.is_some()).await;
    let ask = async |path| get(address, path).await.text();
    assert_eq!((ask("/quiet").await, ask("/moved").await), ("quiet".into(), "busy".into()));
    let load = Load::start(address, 4);
    load.until_answered(50).await;

    let location = format!("location /moved {{ proxy_pass http://{}; }}", moved.address());
    import(folder.path(), &nginx_conf(address, &quiet, &busy, &location)).await;
    let pid = Pid::from_raw(child.id().unwrap() as i32).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
    until("what was edited is in force", async || ask("/moved").await == "moved").await;
    load.until_answered(50).await;
    load.expect_all_good().await;
    assert_eq!(ask("/quiet").await, "quiet");
    assert_eq!((quiet.requests(), quiet.connections()), (2, 1), "its connection is kept");
}

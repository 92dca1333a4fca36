//! One side of a comparison: nginx, or Plimsoll with what the importer made.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::case::{Case, Origins};
use crate::speak;
use crate::support::{Client, Lb, Origin, free_port, in_time, until};

/// What a side did with the requests of a case.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    /// By request, in their order.
    pub(crate) requests: Vec<Seen>,
    /// The lines of the access log, if the case has one.
    pub(crate) log: Vec<String>,
}

/// What came of one request.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    /// All bytes that the client got, once for each time the request was sent.
    pub(crate) answers: Vec<Vec<u8>>,
    /// What the origins got, in the order of its coming: name, head, body.
    pub(crate) received: Vec<(String, Vec<u8>, Vec<u8>)>,
    /// How many connections came to origins for it, each time; only where the case counts them.
    pub(crate) opened: Vec<usize>,
}

/// Sends the case's requests one after the other; `ports` are those of the side itself.
async fn ask(case: &Case, address: SocketAddr, ports: &[u16], origins: &Origins) -> Observed {
    let mut observed = Observed::default();
    let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
    let all_opened = || origins.by_name.values().map(Origin::connections).sum::<usize>();
    let address = case.speaks.plain(address).await;
    for request in &case.requests {
        let mut seen = Seen::default();
        for _ in 0..request.times {
            let before = all_opened();
            let answer = if case.speaks.h2 {
                speak::ask(address, &request.bytes).await
            } else {
                let mut client = Client::connect(address).await;
                client.send(&request.bytes).await;
                client.read_to_end().await
            };
            seen.answers.push(plain(&answer, ports, origins));
            if case.counts {
                seen.opened.push(all_opened() - before);
            }
            let mut came = Vec::new();
            let what = format!("{}: {} origins are reached", case.name, case.reaches);
            until(&what, async || {
                for (name, origin) in &origins.by_name {
                    let had = counts.entry(name).or_default();
                    let all = origin.seen();
                    came.extend(all[*had..].iter().map(|one| (one.order, name, one.clone())));
                    *had = all.len();
                }
                came.len() >= case.reaches
            })
            .await;
            if case.reaches == 0 {
                came.sort_by_key(|(order, _, _)| *order);
            } else {
                came.sort_by_key(|(order, name, _)| (*name, *order));
            }
            let came = came.into_iter();
            seen.received.extend(
                came.map(|(_, name, one)| {
                    (name.clone(), plain(&one.head, ports, origins), one.body)
                }),
            );
        }
        for (name, callee) in &origins.callees {
            let calls = callee.calls();
            let had = std::mem::replace(counts.entry(name).or_default(), calls.len());
            let calls = calls.into_iter().skip(had);
            seen.received.extend(
                calls.map(|(head, body)| (name.clone(), plain(&head, ports, origins), body)),
            );
        }
        observed.requests.push(seen);
    }
    observed
}

/// Bytes without the ports, which differ from run to run.
fn plain(bytes: &[u8], ports: &[u16], origins: &Origins) -> Vec<u8> {
    // Bodies may be any bytes: each is one character here.
    let mut text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    for port in ports {
        text = text.replace(&port.to_string(), "PORT");
    }
    for (name, callee) in &origins.callees {
        let port = callee.address().port().to_string();
        text = text.replace(&port, &format!("PORT-OF-{name}"));
    }
    for (name, around) in &origins.secured {
        text = text.replace(&around.port().to_string(), &format!("PORT-OF-{name}"));
    }
    for (name, origin) in &origins.by_name {
        let (place, name) = if origin.is_unix() {
            (origin.address(), format!("ADDRESS-OF-{name}"))
        } else {
            (origin.port().to_string(), format!("PORT-OF-{name}"))
        };
        text = text.replace(&place, &name);
    }
    text.chars().map(|c| c as u8).collect()
}

/// The lines of the access log once all are there.
async fn logged(case: &Case, log: &Path, ports: &[u16], origins: &Origins) -> Vec<String> {
    let mut lines = Vec::new();
    if case.lines > 0 {
        until(&format!("{}: {} lines are logged", case.name, case.lines), async || {
            let text = std::fs::read(log).unwrap_or_default();
            let text = String::from_utf8_lossy(&plain(&text, ports, origins)).into_owned();
            lines = text.lines().map(str::to_owned).collect();
            text.ends_with('\n') && lines.len() >= case.lines
        })
        .await;
    }
    lines
}

/// A running nginx; it is killed when this is dropped.
struct Nginx {
    child: Child,
}

impl Nginx {
    /// Starts it; `None` if its port was taken meanwhile.
    async fn start(case: &Case, port: u16, directory: &Path, origins: &Origins) -> Option<Self> {
        case.write(directory, port, origins);
        let child = Command::new("nginx")
            .arg("-p")
            .arg(directory)
            .args(["-c", "nginx.conf", "-e", "stderr"])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("nginx: {error}; `scripts/test` installs it"));
        let mut nginx = Self { child };
        let mut ended = false;
        until("nginx listens or has ended", async || {
            ended = nginx.child.try_wait().unwrap().is_some();
            ended || TcpStream::connect(("127.0.0.1", port)).await.is_ok()
        })
        .await;
        (!ended).then_some(nginx)
    }
}

/// nginx's side.
pub(crate) async fn nginx(case: &Case) -> Observed {
    let origins = case.start().await;
    let directory = TempDir::new().unwrap();
    let log = directory.path().join("access.log");
    for _ in 0..5 {
        let port = free_port();
        if let Some(mut nginx) = Nginx::start(case, port, directory.path(), &origins).await {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            let mut observed = ask(case, address, &[port], &origins).await;
            observed.log = logged(case, &log, &[port], &origins).await;
            in_time("the end of nginx", nginx.child.kill()).await.unwrap();
            return observed;
        }
    }
    panic!("{}: nginx does not start", case.name);
}

/// Plimsoll's side, by the importer.
pub(crate) async fn plimsoll(case: &Case) -> Observed {
    let origins = case.start().await;
    let directory = TempDir::new().unwrap();
    let conf = directory.path().join("nginx.conf");
    // The file names a port; that of the kernel's choice is put in its place.
    let named = free_port();
    let log = directory.path().join("access.log");
    case.write(directory.path(), named, &origins);
    let toml = imported(&conf).await;
    // The program log has to say when it is ready.
    let is_log = |line: &&str| line.starts_with("[log]") || line.starts_with("level = ");
    let toml = toml.lines().filter(|line| !is_log(line)).collect::<Vec<_>>().join("\n");
    let lb = Lb::start(toml.replace(&format!("\"127.0.0.1:{named}\""), "\"127.0.0.1:0\"")).await;
    if std::env::var_os("CASE").is_some() {
        eprintln!("{toml}");
    }
    let address = lb.addr("127.0.0.1:0");
    let ports = [named, address.port()];
    let mut observed = ask(case, address, &ports, &origins).await;
    observed.log = logged(case, &log, &ports, &origins).await;
    observed
}

/// What the importer makes of a file.
async fn imported(conf: &Path) -> String {
    let importing =
        Command::new(env!("CARGO_BIN_EXE_plimsoll")).arg("import-nginx").arg(conf).output();
    let output = in_time("the import", importing).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

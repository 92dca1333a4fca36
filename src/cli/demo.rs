//! `plimsoll demo`: three small origins inside the process and the balancer before them.
//!
//! The balancer is the one that `run` starts, from a configuration that is printed, so that the
//! step from the demo to an own file is to copy it.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::cli::run::{block_on, start};
use crate::cli::{DemoArgs, FAILED, complain};
use crate::config;
use crate::server::{Inherited, Signals};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// What to do when one of the usual addresses is taken.
const ELSEWHERE: &str = "; --listen, --admin and --switch choose other addresses";

pub(super) fn demo(arguments: &DemoArgs) -> ExitCode {
    match block_on(run(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::from(FAILED)
        }
    }
}

async fn run(arguments: &DemoArgs) -> io::Result<()> {
    let mut origins = Vec::new();
    for name in NAMES {
        origins.push(Origin::start(name).await?);
    }
    let toml = configuration(arguments, &origins);
    let loaded = config::parse("demo.toml", &toml, &config::process_environment)
        .map_err(|report| io::Error::other(report.render(false)))?;
    let switch = TcpListener::bind(arguments.switch).await.map_err(|error| {
        io::Error::other(format!("cannot listen on {}: {error}{ELSEWHERE}", arguments.switch))
    })?;
    let signals = Signals::listen()?;
    let server = start(loaded, None, Inherited::default())
        .map_err(|error| io::Error::other(format!("{error}{ELSEWHERE}")))?;
    let proxy = server.addresses()["main"];
    let admin = server.admin_address().unwrap_or(arguments.admin);
    let banner = banner(&toml, proxy, admin, switch.local_addr()?);
    io::stdout().write_all(banner.as_bytes())?;
    let switches = axum::serve(switch, switches(&origins));
    tokio::select! {
        stopped = signals.serve(server) => stopped,
        failed = switches => failed,
    }
}

/// A small HTTP origin that can be taken down and up.
struct Origin {
    name: &'static str,
    address: SocketAddr,
    up: watch::Sender<bool>,
}

impl Origin {
    async fn start(name: &'static str) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (up, is_up) = watch::channel(true);
        tokio::spawn(serve(name, listener, is_up));
        Ok(Self { name, address, up })
    }
}

/// Answers on `listener` while the origin is up; while it is down nothing listens on its port.
async fn serve(name: &'static str, listener: TcpListener, mut is_up: watch::Receiver<bool>) {
    let Ok(address) = listener.local_addr() else {
        return;
    };
    let mut listener = Some(listener);
    let mut held = None;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            changed = is_up.changed() => match changed {
                Ok(()) if *is_up.borrow_and_update() => {
                    listener = held.take().and_then(|socket: TcpSocket| socket.listen(1024).ok());
                }
                Ok(()) => {
                    listener = None;
                    connections.shutdown().await;
                    held = hold(address).ok();
                }
                Err(_) => return,
            },
            accepted = accept(listener.as_ref()) => if let Ok((stream, _)) = accepted {
                connections.spawn(async move {
                    let answer = service_fn(move |_| async move {
                        let body = format!("hello from origin {name}\n");
                        Ok::<_, std::convert::Infallible>(hyper::Response::new(body))
                    });
                    // A client that breaks off is no news here.
                    let connection = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), answer);
                    let _ = connection.await;
                });
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Keeps an address on which nobody listens: whoever else took the port meanwhile would answer for the
/// origin.
fn hold(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<(tokio::net::TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

/// `POST /origins/NAME/down` and `…/up`.
fn switches(origins: &[Origin]) -> Router {
    let senders: Vec<_> = origins.iter().map(|origin| (origin.name, origin.up.clone())).collect();
    let turn = |State(senders): State<Vec<(&'static str, watch::Sender<bool>)>>,
                Path((name, to)): Path<(String, String)>| async move {
        let Some((_, up)) = senders.iter().find(|(known, _)| *known == name) else {
            return (StatusCode::NOT_FOUND, format!("no origin {name}; there are a, b and c\n"));
        };
        match &*to {
            "up" => up.send_replace(true),
            "down" => up.send_replace(false),
            _ => return (StatusCode::NOT_FOUND, "turn it up or down\n".to_owned()),
        };
        (StatusCode::OK, format!("origin {name} is {to}\n"))
    };
    Router::new().route("/origins/{name}/{to}", post(turn)).with_state(senders)
}

/// The demo's configuration, as a user would write it.
fn configuration(arguments: &DemoArgs, origins: &[Origin]) -> String {
    let DemoArgs { listen, admin, .. } = arguments;
    let mut toml = format!(
        "workers = 1        # each worker takes turns of its own; without this line, one per core

[access_log]
format = \"off\"

[admin]
address = \"{admin}\"

[[listener]]
name = \"main\"
address = \"{listen}\"

[[route]]
upstream = \"origins\"

[upstream.origins.health]
interval = \"1s\"
timeout = \"1s\"

[upstream.origins.passive]
fail_timeout = \"1s\"
"
    );
    for origin in origins {
        // Writing to a string does not fail.
        let _ = write!(toml, "\n[[upstream.origins.backend]]\naddress = \"{}\"\n", origin.address);
    }
    toml
}

fn banner(toml: &str, proxy: SocketAddr, admin: SocketAddr, switch: SocketAddr) -> String {
    let indented = format!("    {}", toml.trim_end().replace('\n', "\n    "));
    format!(
        "Plimsoll balances over three origins. Try:

    curl http://{proxy}/                             # several times: a, b, c take turns
    curl -X POST http://{switch}/origins/b/down      # b is gone; no request fails
    curl http://{proxy}/                             # a and c
    curl http://{admin}/api/v1/ha/load-balancer/backends
    curl http://{admin}/metrics
    curl -X POST http://{switch}/origins/b/up        # b is back within a few seconds

The same as a file; keep it as plimsoll.toml with the addresses of your own backends (those below end
with the demo) and start `plimsoll run`:

{indented}

Ctrl-C ends it.
"
    )
}

//! The balancer as a part of another program: started from a text, changed while it runs, ended
//! when its host ends.
//!
//! ```sh
//! cargo run --example embed
//! ```

#![allow(clippy::print_stdout, reason = "an example talks to who runs it")]

use std::error::Error;

use plimsoll::config::{self, Loaded};
use plimsoll::control::Origin;
use plimsoll::server::Server;
use tokio::signal::unix::{SignalKind, signal};

/// What is served: a fixed answer here; any other configuration does as well.
fn configuration(answer: &str) -> Result<Loaded, Box<dyn Error>> {
    let toml = format!(
        r#"
        [access_log]
        format = "off"

        [[listener]]
        name = "main"
        address = "127.0.0.1:0" # a port of the system's choice

        [[route]]
        respond = {{ body = "{answer}\n" }}
        "#
    );
    // The report lists every fault with its place and a remedy.
    config::parse("embedded.toml", &toml, &config::process_environment)
        .map_err(|report| report.render(false).into())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    // The balancer has threads of its own; this one stays free.
    let server = Server::start(configuration("started")?, None)?;
    println!("http://{}/", server.addresses()["main"]);

    // The host decides when and to what the configuration changes. Connections live on.
    let generation = server.control().apply(configuration("changed")?, Origin::Embedder).await?;
    println!("generation {} is served", generation.0);

    interrupt.recv().await;
    server.drain();
    tokio::task::spawn_blocking(move || server.wait()).await?;
    println!("drained");
    Ok(())
}

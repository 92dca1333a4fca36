//! A plain reverse proxy to one backend, in a few lines.
//!
//! ```sh
//! cargo run --example reverse_proxy -- 127.0.0.1:9000 127.0.0.1:8080
//! ```
//!
//! The first address is the backend's (a name with a port does as well), the second one is where
//! clients connect.

#![allow(clippy::print_stdout, reason = "an example talks to who runs it")]

use std::error::Error;

use plimsoll::config;
use plimsoll::server::{Server, Signals};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let backend = arguments.next().ok_or("which backend?")?;
    let listen = arguments.next().unwrap_or("127.0.0.1:8080".to_owned());
    let toml = format!(
        r#"
        [[listener]]
        name = "main"
        address = "{listen}"

        [[route]]
        upstream = "backend"

        [[upstream.backend.backend]]
        address = "{backend}"
        "#
    );
    let loaded = config::parse("arguments", &toml, &config::process_environment)
        .map_err(|report| report.render(false))?;

    let signals = Signals::listen()?;
    let server = Server::start(loaded, None)?;
    println!("http://{}/ -> {backend}", server.addresses()["main"]);
    // TERM, INT and QUIT drain.
    Ok(signals.serve(server).await?)
}

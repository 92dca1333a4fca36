//! An exchange of bytes, and the words of agents.

use memchr::memmem;

use super::{Talk, wire};
use crate::config::model::TcpProbe;
use crate::health::agent;
use crate::model::Finding;
use crate::net::Stream;

/// How much of an answer is searched, in bytes.
const SEARCHED: usize = 4 * 1024;

/// The longest line of an agent, in bytes.
const LONGEST_LINE: usize = 1024;

pub(super) async fn ask(
    mut stream: Stream,
    probe: &TcpProbe,
    talk: &mut Talk,
) -> Result<Finding, String> {
    if !probe.send.is_empty() {
        talk.sent(|| wire::shown(probe.send.as_bytes()));
        wire::send(&mut stream, probe.send.as_bytes()).await?;
    }
    if probe.receive.is_empty() {
        return Ok(Finding::up("sent"));
    }
    let mut seen = Vec::new();
    loop {
        let more = wire::read_more(&mut stream, &mut seen, SEARCHED).await?;
        if memmem::find(&seen, probe.receive.as_bytes()).is_some() {
            talk.came(|| wire::shown(&seen));
            return Ok(Finding::up(format!("{:?} came", probe.receive)));
        }
        if !more {
            talk.came(|| wire::shown(&seen));
            let came = seen.len();
            return Err(format!("{:?} is not in the {came} bytes that came", probe.receive));
        }
    }
}

/// An agent's line, up to its end or that of the connection.
pub(super) async fn ask_agent(
    mut stream: Stream,
    send: &str,
    talk: &mut Talk,
) -> Result<Finding, String> {
    if !send.is_empty() {
        talk.sent(|| wire::shown(send.as_bytes()));
        wire::send(&mut stream, send.as_bytes()).await?;
    }
    let mut line = Vec::new();
    while !line.contains(&b'\n') && wire::read_more(&mut stream, &mut line, LONGEST_LINE).await? {}
    let end = memchr::memchr(b'\n', &line).unwrap_or(line.len());
    let line = String::from_utf8_lossy(&line[..end]);
    talk.came(|| line.escape_debug().to_string());
    agent::read(&line)
}

//! `plimsoll why`: asks the running process what it knows of a backend, and tells it as a story.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// How long the admin listener has to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Tells all that is known of `backend`, by its name or as `UPSTREAM/NAME`. `false`: there is none.
///
/// # Errors
/// The admin listener does not answer, or `out` cannot be written to.
pub(super) fn why(admin: SocketAddr, backend: &str, out: &mut impl Write) -> io::Result<bool> {
    let list = ask(admin, "/api/v1/ha/load-balancer/backends")?;
    let all = list["backends"].as_array().map(Vec::as_slice).unwrap_or_default();
    let full = |one: &Value| format!("{}/{}", text(one, "upstream"), text(one, "backend"));
    let found: Vec<_> =
        all.iter().filter(|one| text(one, "backend") == backend || full(one) == backend).collect();
    if found.is_empty() {
        writeln!(out, "there is no backend {backend}; there are:")?;
        for one in all {
            writeln!(out, "  {}", full(one))?;
        }
        return Ok(false);
    }
    let events = ask(admin, "/api/v1/ha/events")?;
    let events = events["events"].as_array().map(Vec::as_slice).unwrap_or_default();
    for one in found {
        tell(one, &full(one), events, out)?;
    }
    Ok(true)
}

fn tell(one: &Value, name: &str, events: &[Value], out: &mut impl Write) -> io::Result<()> {
    let picked = if one["eligible"] == true { "may be picked" } else { "is not picked" };
    writeln!(out, "{name} {picked}: {}", text(one, "why"))?;
    let [admin, probed, passive] =
        ["admin_state", "probed_state", "passive_state"].map(|key| text(one, key));
    writeln!(out, "  operator: {admin}, probes: {probed}, traffic: {passive}")?;
    writeln!(out, "  in flight: {}, picks so far: {}", one["in_flight"], one["picks"])?;
    let concerns = |event: &&Value| {
        event["upstream"] == one["upstream"]
            && (event["backend"] == one["backend"] || event["backend"].is_null())
    };
    let mut silent = true;
    for event in events.iter().filter(concerns) {
        silent = false;
        let [at, kind, actor, cause] = ["at", "kind", "actor", "cause"].map(|key| text(event, key));
        writeln!(out, "  {at}  {kind} (by {actor}): {cause}")?;
        if let Some(next) = event["next"].as_str() {
            writeln!(out, "    then: {next}")?;
        }
    }
    if silent {
        writeln!(out, "  nothing has happened to it since the process started")?;
    }
    Ok(())
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

/// Asks the admin listener. HTTP/1.0: the answer ends with the connection.
fn ask(admin: SocketAddr, path: &str) -> io::Result<Value> {
    let mut stream = TcpStream::connect_timeout(&admin, PATIENCE).map_err(|error| {
        let text = format!(
            "cannot reach the admin listener at {admin}: {error}; --admin says where it is"
        );
        io::Error::new(error.kind(), text)
    })?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {admin}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let refuse = |why: &str| io::Error::other(format!("the admin listener at {admin} {why}"));
    let (head, body) =
        answer.split_once("\r\n\r\n").ok_or_else(|| refuse("broke off its answer"))?;
    if head.split(' ').nth(1) != Some("200") {
        return Err(refuse(&format!("answered {}", head.lines().next().unwrap_or_default())));
    }
    serde_json::from_str(body).map_err(|_| refuse("did not answer in JSON"))
}

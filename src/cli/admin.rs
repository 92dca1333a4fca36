//! How commands ask the running process: through its admin listener.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// How long the admin listener has to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Gets what stands at `path`.
///
/// # Errors
/// The admin listener does not answer, or refuses.
pub(super) fn get(admin: SocketAddr, path: &str) -> io::Result<Value> {
    ask(admin, &format!("GET {path} HTTP/1.0\r\nHost: {admin}\r\n\r\n"))
}

/// Sends `what` to `path`, and gets the answer.
///
/// # Errors
/// The admin listener does not answer, or refuses.
pub(super) fn post(admin: SocketAddr, path: &str, what: &Value) -> io::Result<Value> {
    let body = what.to_string();
    let length = body.len();
    ask(
        admin,
        &format!(
            "POST {path} HTTP/1.0\r\nHost: {admin}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        ),
    )
}

/// HTTP/1.0: the answer ends with the connection.
fn ask(admin: SocketAddr, request: &str) -> io::Result<Value> {
    let mut stream = TcpStream::connect_timeout(&admin, PATIENCE).map_err(|error| {
        let text = format!(
            "cannot reach the admin listener at {admin}: {error}; --admin says where it is"
        );
        io::Error::new(error.kind(), text)
    })?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let refuse = |why: &str| io::Error::other(format!("the admin listener at {admin} {why}"));
    let (head, body) =
        answer.split_once("\r\n\r\n").ok_or_else(|| refuse("broke off its answer"))?;
    let json = serde_json::from_str::<Value>(body);
    if head.split(' ').nth(1) != Some("200") {
        let said = json.ok().and_then(|json| Some(json["detail"].as_str()?.to_owned()));
        let said = said.unwrap_or_else(|| head.lines().next().unwrap_or_default().to_owned());
        return Err(refuse(&format!("answered: {said}")));
    }
    json.map_err(|_| refuse("did not answer in JSON"))
}

//! How commands ask the running process: through its admin listener.

use std::fmt;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use rustls::{ClientConnection, StreamOwned};
use serde_json::Value;

use crate::tls::{BackendTerms, Crls, Identity, Roots, Trust};

/// How long the admin listener has to answer, unless it is asked to wait.
const PATIENCE: Duration = Duration::from_secs(5);

/// What stands in the head before a body of JSON.
const JSON: &str = "Content-Type: application/json\r\n";

/// The usual place.
const USUAL: &str = "127.0.0.1:9901";

/// How the running process is asked.
///
/// Who asks shows the token in the variable `PLIMSOLL_TOKEN`, if there is one: on a command line everybody on
/// the machine could read it.
#[derive(Debug, Clone, Args)]
pub(super) struct Place {
    /// Where the admin listener is: an address, `https://` and an address, or `unix:/path`; `PLIMSOLL_ADMIN`
    /// says it as well, and a token stands in `PLIMSOLL_TOKEN`
    #[arg(long, value_name = "ADDRESS", default_value_t)]
    admin: Address,
    #[command(flatten)]
    credentials: Credentials,
}

/// Whom to believe, and who we are, where the admin listener speaks TLS. What is not said stands in the
/// variables `PLIMSOLL_CACERT`, `PLIMSOLL_CERT` and `PLIMSOLL_KEY`.
#[derive(Debug, Clone, Args)]
pub(super) struct Credentials {
    /// The authorities that vouch for the admin listener, in PEM [default: the system's]
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// The certificate that is shown to it, in PEM
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The key of that certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

impl Credentials {
    /// Whether any stand on the command line.
    pub(super) fn are_given(&self) -> bool {
        let Self { cacert, cert, key } = self;
        [cacert, cert, key].into_iter().any(Option::is_some)
    }

    fn file(said: Option<&PathBuf>, variable: &str) -> Option<PathBuf> {
        let set = || std::env::var_os(variable).filter(|value| !value.is_empty());
        said.cloned().or_else(|| set().map(PathBuf::from))
    }

    /// What sessions with an admin listener of this name are made of. `None`: nothing is said of TLS.
    fn terms(&self, is_secured: bool) -> io::Result<Option<BackendTerms>> {
        /// Certificates between its own and an authority's.
        const DEPTH: usize = 6;
        let cacert = Self::file(self.cacert.as_ref(), "PLIMSOLL_CACERT");
        let cert = Self::file(self.cert.as_ref(), "PLIMSOLL_CERT");
        let key = Self::file(self.key.as_ref(), "PLIMSOLL_KEY");
        if !is_secured && cacert.is_none() && cert.is_none() {
            return Ok(None);
        }
        let roots = match &cacert {
            Some(path) => Roots::read(&read(path)?).map_err(|fault| bad(path, &fault))?,
            None => Roots::system().map_err(io::Error::other)?,
        };
        let identity = match cert.zip(key) {
            Some((cert, key)) => {
                let identity = Identity::read(&read(&cert)?, &read(&key)?, None);
                let at = |is_key| if is_key { &key } else { &cert };
                Some(identity.map_err(|fault| bad(at(fault.is_about_key()), &fault))?)
            }
            None => None,
        };
        let trust = Trust::In(roots, Crls::default(), DEPTH);
        let terms = BackendTerms::new(trust, identity, (None, true), b"http/1.1");
        terms.map(Some).map_err(io::Error::other)
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path).map_err(|error| bad(path, &error))
}

fn bad(path: &Path, why: &dyn fmt::Display) -> io::Error {
    io::Error::other(format!("`{}` {why}", path.display()))
}

/// Where the admin listener is: an address with a port, which `https://` may stand before, or `unix:/path`.
#[derive(Debug, Clone)]
pub(super) struct Address(String);

impl Default for Address {
    /// What the variable `PLIMSOLL_ADMIN` says, or the usual place.
    fn default() -> Self {
        Self(std::env::var("PLIMSOLL_ADMIN").unwrap_or_else(|_| USUAL.to_owned()))
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("unix:/")
            || bare(text).rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
        {
            return Ok(Self(text.to_owned()));
        }
        Err("write it like `127.0.0.1:9901` or `unix:/run/plimsoll/admin.sock`".to_owned())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.admin.fmt(f)
    }
}

/// What was answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

trait Connection: Read + Write {}

impl<T: Read + Write> Connection for T {}

impl Place {
    /// At this address.
    pub(super) fn at(admin: Address, credentials: Credentials) -> Self {
        Self { admin, credentials }
    }

    /// Reads what is at a path.
    ///
    /// # Errors
    /// It cannot be reached, or answers anything but 200; then in its words.
    pub(super) fn get(&self, path: &str) -> io::Result<Value> {
        self.done("GET", path, None, Duration::ZERO)
    }

    /// Sends `what` to a path, and gets the answer.
    ///
    /// # Errors
    /// As of [`Place::get`].
    pub(super) fn post(&self, path: &str, what: &Value) -> io::Result<Value> {
        self.done("POST", path, Some(what), Duration::ZERO)
    }

    /// Asks for something to be done, which takes so long at most beside what every answer may take.
    ///
    /// # Errors
    /// As of [`Place::get`].
    pub(super) fn done(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        patience: Duration,
    ) -> io::Result<Value> {
        let Answer { status, body } = self.ask(method, path, body, patience)?;
        if (200..300).contains(&status) {
            return Ok(body);
        }
        let detail = body["detail"].as_str().unwrap_or("it does not say why");
        Err(io::Error::other(format!("the admin listener at {self} answered {status}: {detail}")))
    }

    /// Asks, and gives whatever is answered.
    ///
    /// # Errors
    /// It cannot be reached, or does not answer in JSON.
    pub(super) fn ask(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        patience: Duration,
    ) -> io::Result<Answer> {
        let body = body.map(|body| (JSON, body.to_string().into_bytes()));
        self.answer(self.read(method, path, body, patience)?)
    }

    /// Sends a configuration to a path, and gives whatever is answered.
    ///
    /// # Errors
    /// As of [`Place::ask`].
    pub(super) fn send_text(
        &self,
        path: &str,
        text: &str,
        patience: Duration,
    ) -> io::Result<Answer> {
        self.send_bytes(path, ("Content-Type: application/toml\r\n", text.into()), patience)
    }

    /// Sends a body to a path, with the lines of the head that tell of it, and gives whatever is answered.
    ///
    /// # Errors
    /// As of [`Place::ask`].
    pub(super) fn send_bytes(
        &self,
        path: &str,
        body: (&str, Vec<u8>),
        patience: Duration,
    ) -> io::Result<Answer> {
        self.answer(self.read("POST", path, Some(body), patience)?)
    }

    /// Reads what is at a path, whatever it is.
    ///
    /// # Errors
    /// As of [`Place::get`].
    pub(super) fn bytes(&self, path: &str, patience: Duration) -> io::Result<Vec<u8>> {
        let (status, body) = self.fetch("GET", path, None, patience)?;
        if status == 200 {
            return Ok(body);
        }
        let told: Value = serde_json::from_slice(&body).unwrap_or_default();
        let detail = told["detail"].as_str().unwrap_or("it does not say why");
        Err(self.refuse(&format!("answered {status}: {detail}")))
    }

    fn answer(&self, (status, body): (u16, String)) -> io::Result<Answer> {
        let body = serde_json::from_str(&body);
        Ok(Answer { status, body: body.map_err(|_| self.refuse("did not answer in JSON"))? })
    }

    /// Reads a text at a path.
    ///
    /// # Errors
    /// It cannot be reached, or answers anything but 200.
    pub(super) fn text(&self, path: &str) -> io::Result<String> {
        match self.read("GET", path, None, Duration::ZERO)? {
            (200, text) => Ok(text),
            (status, _) => Err(self.refuse(&format!("answered {status}"))),
        }
    }

    /// Asks, and gives the status and the text of the answer.
    fn read(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, Vec<u8>)>,
        patience: Duration,
    ) -> io::Result<(u16, String)> {
        let (status, body) = self.fetch(method, path, body, patience)?;
        let body = String::from_utf8(body);
        Ok((status, body.map_err(|_| self.refuse("did not answer in UTF-8"))?))
    }

    /// Asks, and gives the status and the body of the answer.
    fn fetch(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, Vec<u8>)>,
        patience: Duration,
    ) -> io::Result<(u16, Vec<u8>)> {
        const END: &[u8] = b"\r\n\r\n";
        let mut stream = self.send(method, path, body, patience + PATIENCE)?;
        let mut answer = Vec::new();
        // Who wants a certificate and gets none says so only now.
        let read = stream.read_to_end(&mut answer);
        read.map_err(|error| self.refuse(&format!("broke off: {error}")))?;
        let end = answer.windows(END.len()).position(|bytes| bytes == END);
        let end = end.ok_or_else(|| self.refuse("broke off its answer"))?;
        let body = answer.split_off(end + END.len());
        let head = String::from_utf8_lossy(&answer);
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok((status.ok_or_else(|| self.refuse("does not speak HTTP"))?, body))
    }

    fn refuse(&self, why: &str) -> io::Error {
        io::Error::other(format!("the admin listener at {self} {why}"))
    }

    /// Gives each line at a path to `take`, until there are no more or it wants none.
    ///
    /// # Errors
    /// It cannot be reached, or refuses; or what `take` says.
    pub(super) fn follow(
        &self,
        path: &str,
        mut take: impl FnMut(&str) -> io::Result<()>,
    ) -> io::Result<()> {
        /// It is not silent for longer.
        const SILENCE: Duration = Duration::from_mins(1);
        let mut lines = BufReader::new(self.send("GET", path, None, SILENCE)?).lines();
        let first = lines.next().transpose()?.unwrap_or_default();
        if first.split(' ').nth(1) != Some("200") {
            return Err(io::Error::other(format!("the admin listener at {self} answered {first}")));
        }
        let rest = lines.skip_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty()));
        for line in rest {
            let line = line?;
            if !line.is_empty() {
                take(&line)?;
            }
        }
        Ok(())
    }

    /// Connects, in plain or by TLS.
    fn connect(&self, patience: Duration) -> io::Result<Box<dyn Connection>> {
        let place = &self.admin.0;
        let terms = self.credentials.terms(place.starts_with(SECURED))?;
        if let Some(path) = place.strip_prefix("unix:") {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(patience))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            return secured(stream, "localhost", terms);
        }
        let none = || io::Error::other("it is no address with a port");
        let address = bare(place).to_socket_addrs()?.next().ok_or_else(none)?;
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let host = bare(place).rsplit_once(':').map_or("", |(host, _)| host);
        secured(stream, host, terms)
    }

    /// Sends a request, with a body and the lines that tell of it. HTTP/1.0: the answer ends with the connection.
    fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, Vec<u8>)>,
        patience: Duration,
    ) -> io::Result<Box<dyn Connection>> {
        let place = &self.admin.0;
        let mut stream = self.connect(patience).map_err(|error| {
            let told = format!(
                "cannot reach the admin listener at {place}: {error}; --admin says where it is"
            );
            io::Error::other(told)
        })?;
        let host = if place.starts_with("unix:") { "localhost" } else { bare(place) };
        let mut head = format!("{method} {path} HTTP/1.0\r\nHost: {host}\r\n");
        if let Some(token) = std::env::var("PLIMSOLL_TOKEN").ok().filter(|token| !token.is_empty())
        {
            head.extend(["Authorization: Bearer ", &token, "\r\n"]);
        }
        let (lines, body) = body.unwrap_or_default();
        // All at once: each piece would be a record of its own. A broken pipe here is no reader's going away.
        let mut request =
            format!("{head}{lines}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
        request.extend_from_slice(&body);
        let sent = stream.write_all(&request).and_then(|()| stream.flush());
        sent.map_err(|error| self.refuse(&format!("broke off: {error}")))?;
        Ok(stream)
    }
}

/// What stands before an address where TLS is spoken.
const SECURED: &str = "https://";

/// The address itself.
fn bare(place: &str) -> &str {
    place.strip_prefix(SECURED).unwrap_or(place).trim_end_matches('/')
}

/// Shakes hands with an admin listener of this name, where that is wanted.
fn secured<S: Read + Write + 'static>(
    mut stream: S,
    host: &str,
    terms: Option<BackendTerms>,
) -> io::Result<Box<dyn Connection>> {
    let Some(terms) = terms else { return Ok(Box::new(stream)) };
    let to = terms.meet(host);
    let session = ClientConnection::new(Arc::clone(&to.config), to.name.clone());
    let mut session = session.map_err(io::Error::other)?;
    while session.is_handshaking() {
        session.complete_io(&mut stream)?;
    }
    Ok(Box::new(StreamOwned::new(session, stream)))
}

/// A name as one segment of a path.
pub(super) fn segment(name: &str) -> String {
    let mut text = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _ = fmt::Write::write_fmt(&mut text, format_args!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_segment() {
        assert_eq!(segment("api/10.0.0.1:80"), "api%2F10.0.0.1%3A80");
        assert_eq!(segment("unix:/a b?#%"), "unix%3A%2Fa%20b%3F%23%25");
    }
}

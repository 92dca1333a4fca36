//! `PostgreSQL`: start-up, login where a user is given, role and lag.
//!
//! Messages are those of protocol 3.0 (`PostgreSQL`'s manual, chapter "Frontend/Backend Protocol").

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::backend::{DataRowBody, ErrorResponseBody, Message};
use postgres_protocol::message::frontend;

use super::{Talk, in_role, lagging, wire};
use crate::config::model::{Login, Role, SqlProbe};
use crate::model::Finding;
use crate::net::Stream;

/// The longest answer, in bytes.
const LONGEST: usize = 64 * 1024;

/// The most rounds of a password's hash that are computed: 4096 is what servers ask for, and a hostile
/// one shall not keep all other probes waiting.
const MOST_ROUNDS: u32 = 100_000;

/// Whether it follows a primary, and how many seconds it is behind: none if all that came is replayed
/// while the connection to the primary stands.
const QUESTION: &str = "SELECT pg_is_in_recovery(), CASE WHEN pg_is_in_recovery() THEN CASE \
    WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() \
    AND EXISTS (SELECT 1 FROM pg_stat_wal_receiver) THEN 0 \
    ELSE extract(epoch FROM now() - pg_last_xact_replay_timestamp()) END END";

pub(super) async fn ask(
    stream: Stream,
    probe: &SqlProbe,
    talk: &mut Talk,
) -> Result<Finding, String> {
    let mut server = Server { stream, read: BytesMut::new(), talk };
    let user = probe.login.as_ref().map_or("plimsoll", |login| &login.user);
    let mut terms = vec![("user", user), ("application_name", "plimsoll")];
    if !probe.database.is_empty() {
        terms.push(("database", &probe.database));
    }
    server.send(&format!("start-up as {user:?}"), |b| frontend::startup_message(terms, b)).await?;
    let Some(login) = &probe.login else { return server.asks_who_we_are().await };
    server.log_in(login).await?;
    server.send(QUESTION, |b| frontend::query(QUESTION, b)).await?;
    let (follows, lag) = server.row().await?;
    let end = |b: &mut BytesMut| {
        frontend::terminate(b);
        Ok(())
    };
    server.send("end", end).await?;
    if !follows {
        return Ok(in_role(Role::Primary, probe.role));
    }
    Ok(lagging(in_role(Role::Standby, probe.role), lag, probe.max_lag))
}

struct Server<'t> {
    stream: Stream,
    read: BytesMut,
    talk: &'t mut Talk,
}

impl Server<'_> {
    async fn send(
        &mut self,
        what: &str,
        write: impl FnOnce(&mut BytesMut) -> std::io::Result<()>,
    ) -> Result<(), String> {
        let mut bytes = BytesMut::new();
        write(&mut bytes).map_err(|error| format!("the probe is not valid: {error}"))?;
        self.talk.sent(|| what.to_owned());
        wire::send(&mut self.stream, &bytes).await
    }

    /// The next message.
    async fn next(&mut self) -> Result<Message, String> {
        loop {
            let broken = |error: std::io::Error| format!("broken answer: {error}");
            if let Some(message) = Message::parse(&mut self.read).map_err(broken)? {
                return Ok(message);
            }
            let mut more = Vec::new();
            let room = LONGEST.saturating_sub(self.read.len());
            if !wire::read_more(&mut self.stream, &mut more, room).await? {
                return Err(match room {
                    0 => "broken answer: too long".to_owned(),
                    _ => "it closed the connection".to_owned(),
                });
            }
            self.read.extend_from_slice(&more);
        }
    }

    /// Without a user: a server that goes into the matter of who we are is well.
    async fn asks_who_we_are(&mut self) -> Result<Finding, String> {
        match self.next().await? {
            Message::ErrorResponse(error) => {
                let (code, text) = fields(&error);
                self.talk.came(|| format!("error {code}: {text}"));
                // Class 28 is about who we are, 3D000 about the database.
                if code.starts_with("28") || code == "3D000" {
                    return Ok(Finding::up("it knows its users"));
                }
                Err(format!("{text} ({code})"))
            }
            message if is_authentication(&message) => {
                self.talk.came(|| "asks who we are".to_owned());
                Ok(Finding::up("it asks who we are"))
            }
            _ => Err("broken answer: it does not ask who we are".to_owned()),
        }
    }

    async fn log_in(&mut self, login: &Login) -> Result<(), String> {
        let (user, password) = (login.user.as_bytes(), login.password.as_bytes());
        loop {
            match self.next().await? {
                Message::AuthenticationOk => self.talk.came(|| "logged in".to_owned()),
                Message::AuthenticationCleartextPassword => {
                    self.send("password", |b| frontend::password_message(password, b)).await?;
                }
                Message::AuthenticationMd5Password(body) => {
                    let hash = md5_hash(user, password, body.salt());
                    self.send("password (MD5)", |b| frontend::password_message(hash.as_bytes(), b))
                        .await?;
                }
                Message::AuthenticationSasl(body) => {
                    let known = body.mechanisms().any(|one| Ok(one == SCRAM_SHA_256));
                    if !known.unwrap_or(false) {
                        return Err("it asks for a way to log in that is not known".to_owned());
                    }
                    self.scram(password).await?;
                }
                Message::ReadyForQuery(_) => return Ok(()),
                Message::ErrorResponse(error) => return Err(self.failed(&error)),
                message if is_authentication(&message) => {
                    return Err("it asks for a way to log in that is not known".to_owned());
                }
                // Parameters, keys and notices.
                _ => {}
            }
        }
    }

    /// SCRAM-SHA-256 (RFC 7677).
    async fn scram(&mut self, password: &[u8]) -> Result<(), String> {
        let refused = |error: std::io::Error| format!("login: {error}");
        let mut scram = ScramSha256::new(password, ChannelBinding::unsupported());
        let first = scram.message().to_vec();
        self.send("password (SCRAM)", |b| {
            frontend::sasl_initial_response(SCRAM_SHA_256, &first, b)
        })
        .await?;
        match self.next().await? {
            Message::AuthenticationSaslContinue(body) => {
                if rounds(body.data()).is_none_or(|rounds| rounds > MOST_ROUNDS) {
                    return Err("login: it asks for too long a computation".to_owned());
                }
                scram.update(body.data()).map_err(refused)?;
            }
            Message::ErrorResponse(error) => return Err(self.failed(&error)),
            _ => return Err("broken answer in a login".to_owned()),
        }
        let last = scram.message().to_vec();
        self.send("proof", |b| frontend::sasl_response(&last, b)).await?;
        match self.next().await? {
            Message::AuthenticationSaslFinal(body) => scram.finish(body.data()).map_err(refused),
            Message::ErrorResponse(error) => Err(self.failed(&error)),
            _ => Err("broken answer in a login".to_owned()),
        }
    }

    /// The answer to [`QUESTION`].
    async fn row(&mut self) -> Result<(bool, Option<f64>), String> {
        let mut found = None;
        loop {
            match self.next().await? {
                Message::DataRow(row) => found = read(&row),
                Message::ErrorResponse(error) => return Err(self.failed(&error)),
                Message::ReadyForQuery(_) => break,
                _ => {}
            }
        }
        let found = found.ok_or("broken answer: no row")?;
        self.talk.came(|| format!("follows a primary: {}, seconds behind: {:?}", found.0, found.1));
        Ok(found)
    }

    fn failed(&mut self, error: &ErrorResponseBody) -> String {
        let (code, text) = fields(error);
        self.talk.came(|| format!("error {code}: {text}"));
        format!("{text} ({code})")
    }
}

fn is_authentication(message: &Message) -> bool {
    matches!(
        message,
        Message::AuthenticationOk
            | Message::AuthenticationCleartextPassword
            | Message::AuthenticationMd5Password(_)
            | Message::AuthenticationSasl(_)
            | Message::AuthenticationGss
            | Message::AuthenticationSspi
            | Message::AuthenticationKerberosV5
            | Message::AuthenticationScmCredential
    )
}

/// SQLSTATE and message.
fn fields(error: &ErrorResponseBody) -> (String, String) {
    let (mut code, mut text) = (String::new(), String::new());
    let mut fields = error.fields();
    while let Ok(Some(field)) = fields.next() {
        let value = String::from_utf8_lossy(field.value_bytes()).chars().take(200).collect();
        match field.type_() {
            b'C' => code = value,
            b'M' => text = value,
            _ => {}
        }
    }
    (code, text)
}

/// The number of rounds in the server's first message of SCRAM: `r=…,s=…,i=4096`.
fn rounds(message: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(message).ok()?;
    text.split(',').find_map(|part| part.strip_prefix("i="))?.parse().ok()
}

fn read(row: &DataRowBody) -> Option<(bool, Option<f64>)> {
    let ranges: Vec<_> = row.ranges().collect().ok()?;
    let column = |place: usize| row.buffer().get(ranges.get(place)?.clone()?);
    let lag = column(1).and_then(|lag| std::str::from_utf8(lag).ok()?.parse().ok());
    Some((column(0)? == b"t", lag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_of_a_login_are_read_before_they_are_computed() {
        assert_eq!(rounds(b"r=abc,s=c2FsdA==,i=4096"), Some(4096));
        assert_eq!(rounds(b"r=abc,s=c2FsdA==,i=99999999999"), None);
        assert_eq!(rounds(b"r=abc"), None);
    }
}

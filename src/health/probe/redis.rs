//! Redis: login, `PING`, and `ROLE` (its protocol, RESP 2).

use super::{Talk, in_role, wire};
use crate::config::model::{RedisProbe, Role};
use crate::model::{Finding, Found};
use crate::net::Stream;

/// The longest answer, in bytes: `ROLE` of a primary names all its copies.
const LONGEST: usize = 64 * 1024;

pub(super) async fn ask(
    stream: Stream,
    probe: &RedisProbe,
    talk: &mut Talk,
) -> Result<Finding, String> {
    let mut server = Server { stream, read: Vec::new(), talk };
    if let Some(login) = &probe.login {
        let (user, password) = (login.user.as_str(), login.password.as_str());
        let words: &[&str] =
            if user.is_empty() { &["AUTH", password] } else { &["AUTH", user, password] };
        server.say("AUTH", words).await?;
        server.answer().await?;
    }
    server.say("PING", &["PING"]).await?;
    server.answer().await?;
    if probe.role.is_none() {
        return Ok(Finding::up("PONG"));
    }
    server.say("ROLE", &["ROLE"]).await?;
    let mut words = server.role().await?;
    words.truncate(5);
    match words.first().map(String::as_str) {
        Some("master") => Ok(in_role(Role::Primary, probe.role)),
        Some("slave") => {
            let standby = in_role(Role::Standby, probe.role);
            let link = words.get(3).map_or("unknown", String::as_str);
            if standby.found == Found::Up && link != "connected" {
                return Err(format!("its connection to the primary is in the state {link:?}"));
            }
            Ok(standby)
        }
        _ => Err("broken answer: no role".to_owned()),
    }
}

struct Server<'t> {
    stream: Stream,
    read: Vec<u8>,
    talk: &'t mut Talk,
}

impl Server<'_> {
    /// Sends a command; what is shown of it holds no password.
    async fn say(&mut self, shown: &str, words: &[&str]) -> Result<(), String> {
        self.talk.sent(|| shown.to_owned());
        let mut command = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            command.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
        wire::send(&mut self.stream, &command).await
    }

    async fn line(&mut self) -> Result<String, String> {
        loop {
            if let Some(end) = memchr::memmem::find(&self.read, b"\r\n") {
                let line = String::from_utf8_lossy(&self.read[..end]).into_owned();
                self.read.drain(..end + 2);
                return Ok(line);
            }
            if !wire::read_more(&mut self.stream, &mut self.read, LONGEST).await? {
                return Err(match self.read.len() {
                    LONGEST.. => "broken answer: too long".to_owned(),
                    _ => "it closed the connection".to_owned(),
                });
            }
        }
    }

    /// A plain answer; an error is why the backend is not well: `LOADING`, `NOAUTH`, `MASTERDOWN`.
    async fn answer(&mut self) -> Result<(), String> {
        let line = self.line().await?;
        self.talk.came(|| line.clone());
        match line.strip_prefix('-') {
            Some(error) => Err(error.chars().take(200).collect()),
            None if line.starts_with('+') => Ok(()),
            None => Err("broken answer".to_owned()),
        }
    }

    /// The plain values of an answer that is a list: as many as it takes to know a role.
    async fn role(&mut self) -> Result<Vec<String>, String> {
        let head = self.line().await?;
        let count = match head.split_at_checked(1) {
            Some(("*", count)) => count.parse::<usize>().map_err(|_| "broken answer")?,
            Some(("-", error)) => return Err(error.to_owned()),
            _ => return Err("broken answer".to_owned()),
        };
        let mut words = Vec::new();
        for _ in 0..count.min(5) {
            let line = self.line().await?;
            match line.split_at_checked(1) {
                Some(("$", _)) => words.push(self.line().await?),
                Some((":" | "+", value)) => words.push(value.to_owned()),
                // The list of the copies, which nobody asks for.
                _ => break,
            }
        }
        self.talk.came(|| words.join(" "));
        Ok(words)
    }
}

//! Redis Sentinels: who is the primary of a name. They are asked as name servers are, but all of them at
//! once, and more than half have to agree: a Sentinel that is cut off may still name the old primary
//! (<https://redis.io/docs/latest/develop/reference/sentinel-clients/>).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;

use super::{Failure, Found, ONE_TRY};
use crate::config::model::{Login, Sentinels};
use crate::snapshot::build::Endpoint;

/// Bytes of an answer at most: an address and a port.
const LONGEST: usize = 1024;

/// Where a primary is: its address or the name of its host, and its port.
type Place = (String, u16);

/// Asks all Sentinels for the primary of `name`.
pub(super) async fn ask(sentinels: &Sentinels, patience: Duration, name: &str) -> Found {
    let patience = patience.min(ONE_TRY);
    let mut questions = JoinSet::new();
    for (host, port) in sentinels.servers.iter().cloned() {
        let (name, login) = (name.to_owned(), sentinels.login.clone());
        questions.spawn(async move {
            let server = (&*host, port);
            let asked = primary(server, login.as_ref(), &name);
            let answer = tokio::time::timeout(patience, asked).await;
            let told = answer.unwrap_or_else(|_| Err("no answer in time".to_owned()));
            told.map_err(|why| format!("{host}:{port}: {why}"))
        });
    }
    let all = sentinels.servers.len();
    let needed = all / 2 + 1;
    let mut named = BTreeMap::<Option<Place>, usize>::new();
    let mut failures = Vec::new();
    while let Some(answer) = questions.join_next().await {
        match answer {
            Ok(Ok(place)) => {
                let count = named.entry(place.clone()).or_default();
                *count += 1;
                if *count >= needed {
                    return agreed(place, name, patience).await;
                }
            }
            Ok(Err(why)) => failures.push(why),
            Err(_) => {}
        }
    }
    let said = named.iter().map(|(place, count)| match place {
        Some((host, port)) => format!("{count} of {all} name {host}:{port}"),
        None => format!("{count} of {all} do not know {name}"),
    });
    let said: Vec<_> = said.chain(failures).collect();
    Err(Failure::Unanswered(format!("{needed} Sentinels have to agree: {}", said.join("; "))))
}

async fn agreed(place: Option<Place>, name: &str, patience: Duration) -> Found {
    let Some((host, port)) = place else {
        return Err(Failure::Nobody(format!("the Sentinels do not know `{name}`")));
    };
    let unknown = |why| Failure::Unanswered(format!("the Sentinels name `{host}`: {why}"));
    let looking = tokio::time::timeout(patience, lookup_host((&*host, port))).await;
    let found = looking.map_err(|_| unknown("no answer in time".to_owned()))?;
    let found: Vec<_> = found.map_err(|error| unknown(error.to_string()))?.collect();
    // A machine that has both kinds of addresses is one primary.
    let first = found.iter().find(|at| at.is_ipv4()).or(found.first());
    let at: &SocketAddr = first.ok_or_else(|| unknown("it has no address".to_owned()))?;
    let primary = Endpoint { backup: false, ip: at.ip(), port: Some(port), weight: None };
    // It holds until the next failover: `min_ttl` says when to ask again.
    Ok((vec![primary], Instant::now()))
}

/// The primary that one Sentinel names; `None`: it does not know the name.
async fn primary(
    server: (&str, u16),
    login: Option<&Login>,
    name: &str,
) -> Result<Option<Place>, String> {
    let words = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(server).await.map_err(words)?;
    let mut question = String::new();
    if let Some(Login { user, password }) = login {
        let user = Some(&**user).filter(|user| !user.is_empty());
        let said: Vec<_> = ["AUTH"].into_iter().chain(user).chain([&**password]).collect();
        push_command(&mut question, &said);
    }
    push_command(&mut question, &["SENTINEL", "get-master-addr-by-name", name]);
    stream.write_all(question.as_bytes()).await.map_err(words)?;
    let mut read = Vec::new();
    loop {
        match answer(&read, login.is_some())? {
            Some(Said::At(host, port)) => return Ok(Some((host, port))),
            Some(Said::Unknown) => return Ok(None),
            None => {}
        }
        if read.len() >= LONGEST {
            return Err("broken answer: too long".to_owned());
        }
        if stream.read_buf(&mut read).await.map_err(words)? == 0 {
            return Err("it closed the connection".to_owned());
        }
    }
}

/// Appends a command: a list of texts (RESP 2).
fn push_command(out: &mut String, words: &[&str]) {
    // Writing to a string does not fail.
    let _ = write!(out, "*{}\r\n", words.len());
    for word in words {
        let _ = write!(out, "${}\r\n{word}\r\n", word.len());
    }
}

/// What stands in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    /// The primary.
    At(String, u16),
    /// It does not know the name.
    Unknown,
}

/// Reads an answer (RESP 2): a list of host and port, no list, or an error; before it, to who has logged in,
/// that they may. `None`: there is more to come.
fn answer(read: &[u8], logged_in: bool) -> Result<Option<Said>, String> {
    let broken = || "broken answer".to_owned();
    let error = |line: &str| {
        let error = line.strip_prefix('-');
        error.map_or_else(broken, |error| error.chars().take(200).collect())
    };
    let text = str::from_utf8(read).map_err(|_| broken())?;
    let mut lines = text.split_inclusive("\r\n").filter_map(|line| line.strip_suffix("\r\n"));
    if logged_in {
        match lines.next() {
            None => return Ok(None),
            Some(line) if line.starts_with('+') => {}
            Some(line) => return Err(error(line)),
        }
    }
    let Some(head) = lines.next() else { return Ok(None) };
    match head {
        "*-1" | "$-1" | "_" => return Ok(Some(Said::Unknown)),
        "*2" => {}
        _ => return Err(error(head)),
    }
    let values = [lines.next(), lines.next(), lines.next(), lines.next()];
    let [Some(one), Some(host), Some(two), Some(port)] = values else { return Ok(None) };
    let is_host =
        !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_:".contains(c));
    if !one.starts_with('$') || !two.starts_with('$') || !is_host {
        return Err(broken());
    }
    Ok(Some(Said::At(host.to_owned(), port.parse().map_err(|_| broken())?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str, port: u16) -> Said {
        Said::At(host.to_owned(), port)
    }

    #[test]
    fn answers_are_read_piece_by_piece() {
        let whole = b"*2\r\n$9\r\n127.0.0.1\r\n$4\r\n6379\r\n";
        let with_login = [b"+OK\r\n", &whole[..]].concat();
        for (whole, logged_in) in [(&whole[..], false), (&with_login, true)] {
            for end in 0..whole.len() {
                assert_eq!(answer(&whole[..end], logged_in), Ok(None), "{end}");
            }
            assert_eq!(answer(whole, logged_in), Ok(Some(at("127.0.0.1", 6379))));
        }
        assert_eq!(answer(b"*2\r\n$3\r\n::1\r\n$1\r\n1\r\n", false), Ok(Some(at("::1", 1))));
        assert_eq!(answer(b"*2\r\n$2\r\ndb\r\n$1\r\n1\r\n", false), Ok(Some(at("db", 1))));
    }

    #[test]
    fn other_answers_say_what_they_are() {
        assert_eq!(answer(b"*-1\r\n", false), Ok(Some(Said::Unknown)));
        for (read, logged_in, why) in [
            (
                &b"-NOAUTH Authentication required.\r\n"[..],
                false,
                "NOAUTH Authentication required.",
            ),
            (b"-WRONGPASS invalid\r\n-NOAUTH\r\n", true, "WRONGPASS invalid"),
        ] {
            assert_eq!(answer(read, logged_in).unwrap_err(), why);
        }
        for broken in [
            &b"+OK\r\n"[..],
            b"HTTP/1.1 400 Bad Request\r\n",
            b"\xff\xff",
            b"*2\r\n$1\r\n/\r\n$1\r\n1\r\n",
        ] {
            assert_eq!(answer(broken, false).unwrap_err(), "broken answer");
        }
    }

    #[test]
    fn commands_are_lists_of_texts() {
        let mut out = String::new();
        push_command(&mut out, &["AUTH", "me", "wörd"]);
        assert_eq!(out, "*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$5\r\nwörd\r\n");
    }
}

//! Redis Sentinels: who is the primary of a name. They are asked as name servers are, but all of them at
//! once, and more than half have to agree: a Sentinel that is cut off may still name the old primary
//! (<https://redis.io/docs/latest/develop/reference/sentinel-clients/>).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{Failure, Found, ONE_TRY};
use crate::config::model::Resolver;
use crate::snapshot::build::Endpoint;

/// Bytes of an answer at most: an address and a port.
const LONGEST: usize = 1024;

/// Asks all Sentinels for the primary of `name`.
pub(super) async fn ask(settings: &Resolver, name: &str) -> Found {
    let patience = settings.timeout.min(ONE_TRY);
    let mut questions = JoinSet::new();
    for server in &settings.servers {
        let (server, name) = (*server, name.to_owned());
        questions.spawn(async move {
            let answer = tokio::time::timeout(patience, primary(server, &name)).await;
            (server, answer.unwrap_or_else(|_| Err("no answer in time".to_owned())))
        });
    }
    let needed = settings.servers.len() / 2 + 1;
    let mut named = BTreeMap::<Option<SocketAddr>, usize>::new();
    let mut failures = Vec::new();
    while let Some(answer) = questions.join_next().await {
        match answer {
            Ok((_, Ok(address))) => {
                let count = named.entry(address).or_default();
                *count += 1;
                if *count >= needed {
                    return agreed(address, name);
                }
            }
            Ok((server, Err(why))) => failures.push(format!("{server}: {why}")),
            Err(_) => {}
        }
    }
    let said = named.iter().map(|(address, count)| match address {
        Some(address) => format!("{count} of {} name {address}", settings.servers.len()),
        None => format!("{count} of {} do not know {name}", settings.servers.len()),
    });
    let said: Vec<_> = said.chain(failures).collect();
    Err(Failure::Unanswered(format!("{needed} Sentinels have to agree: {}", said.join("; "))))
}

fn agreed(address: Option<SocketAddr>, name: &str) -> Found {
    let Some(address) = address else {
        return Err(Failure::Nobody(format!("the Sentinels do not know `{name}`")));
    };
    let primary =
        Endpoint { backup: false, ip: address.ip(), port: Some(address.port()), weight: None };
    // It holds until the next failover: `min_ttl` says when to ask again.
    Ok((vec![primary], Instant::now()))
}

/// The primary that one Sentinel names; `None`: it does not know the name.
async fn primary(server: SocketAddr, name: &str) -> Result<Option<SocketAddr>, String> {
    let words = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(server).await.map_err(words)?;
    let length = name.len();
    let question = format!(
        "*3\r\n$8\r\nSENTINEL\r\n$23\r\nget-master-addr-by-name\r\n${length}\r\n{name}\r\n"
    );
    stream.write_all(question.as_bytes()).await.map_err(words)?;
    let mut read = Vec::new();
    loop {
        match answer(&read)? {
            Some(Said::At(address)) => return Ok(Some(address)),
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

/// What stands in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    /// The primary.
    At(SocketAddr),
    /// It does not know the name.
    Unknown,
}

/// Reads an answer (RESP 2): a list of address and port, no list, or an error. `None`: there is more to come.
fn answer(read: &[u8]) -> Result<Option<Said>, String> {
    let broken = || "broken answer".to_owned();
    let text = str::from_utf8(read).map_err(|_| broken())?;
    let mut lines = text.split_inclusive("\r\n").filter_map(|line| line.strip_suffix("\r\n"));
    let Some(head) = lines.next() else { return Ok(None) };
    match head {
        "*-1" | "$-1" | "_" => return Ok(Some(Said::Unknown)),
        "*2" => {}
        _ => {
            let error = head.strip_prefix('-');
            return Err(error.map_or_else(broken, |error| error.chars().take(200).collect()));
        }
    }
    let values = [lines.next(), lines.next(), lines.next(), lines.next()];
    let [Some(one), Some(address), Some(two), Some(port)] = values else { return Ok(None) };
    if !one.starts_with('$') || !two.starts_with('$') {
        return Err(broken());
    }
    let ip: IpAddr = address.parse().map_err(|_| {
        format!("it names a host, `{address}`: only addresses are used (`resolve-hostnames no`)")
    })?;
    Ok(Some(Said::At(SocketAddr::new(ip, port.parse().map_err(|_| broken())?))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_piece_by_piece() {
        let whole = b"*2\r\n$9\r\n127.0.0.1\r\n$4\r\n6379\r\n";
        for end in 0..whole.len() {
            assert_eq!(answer(&whole[..end]), Ok(None), "{end}");
        }
        assert_eq!(answer(whole), Ok(Some(Said::At("127.0.0.1:6379".parse().unwrap()))));
        assert_eq!(
            answer(b"*2\r\n$3\r\n::1\r\n$1\r\n1\r\n"),
            Ok(Some(Said::At("[::1]:1".parse().unwrap())))
        );
    }

    #[test]
    fn other_answers_say_what_they_are() {
        assert_eq!(answer(b"*-1\r\n"), Ok(Some(Said::Unknown)));
        assert_eq!(
            answer(b"-NOAUTH Authentication required.\r\n").unwrap_err(),
            "NOAUTH Authentication required."
        );
        assert!(answer(b"*2\r\n$2\r\ndb\r\n$4\r\n6379\r\n").unwrap_err().contains("a host, `db`"));
        for broken in [&b"+OK\r\n"[..], b"HTTP/1.1 400 Bad Request\r\n", b"\xff\xff"] {
            assert_eq!(answer(broken).unwrap_err(), "broken answer");
        }
    }
}

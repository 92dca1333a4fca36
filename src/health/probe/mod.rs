//! Asks one backend once whether it is well, in the way that a check says.
//!
//! `control` decides when and runs each probe as a task of its own, so that one that hangs holds up
//! none of the others. A probe opens a new connection each time: it also shows that the backend
//! still accepts one. What it reads is bounded, what it takes too; the reason of a result is worded for
//! the log. What was said on both sides is kept for those who ask (`plimsoll probe`).
//!
//! | file | what |
//! |---|---|
//! | `http` | a request over HTTP/1.1 |
//! | `grpc` | gRPC's health service |
//! | `wire` | connections, bytes, and what bounds them |
//! | `tcp` | an exchange of bytes, and the words of agents |
//! | `postgres`, `mysql`, `redis` | the protocols of databases, as far as a probe needs them |
//! | `exec` | programs |
//! | `node` | this machine |

mod exec;
mod grpc;
mod http;
mod mysql;
mod node;
mod postgres;
mod redis;
mod tcp;
mod wire;

use std::time::Instant;

use crate::config::model::{Check, Probe, Role};
use crate::model::{Address, Finding, Found};
use crate::tls::ToBackend;

/// Who is asked.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The upstream's name.
    pub upstream: &'a str,
    /// The backend's name.
    pub backend: &'a str,
    /// Where it is.
    pub address: &'a Address,
    /// The `Host` when the check names none.
    pub authority: &'a str,
    /// How it is met; `None`: connections are plain.
    pub tls: Option<&'a ToBackend>,
}

/// What is said in a probe, line by line, for whoever wants to read it.
#[derive(Debug, Default)]
pub struct Talk(Option<Vec<String>>);

impl Talk {
    /// Keeps what is said.
    pub fn kept() -> Self {
        Self(Some(Vec::new()))
    }

    /// What was said.
    pub fn lines(self) -> Vec<String> {
        self.0.unwrap_or_default()
    }

    /// We said this.
    fn sent(&mut self, what: impl FnOnce() -> String) {
        self.note("> ", what);
    }

    /// The other side said this.
    fn came(&mut self, what: impl FnOnce() -> String) {
        self.note("< ", what);
    }

    fn note(&mut self, mark: &str, what: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.0 {
            lines.extend(what().lines().map(|line| format!("{mark}{line}")));
        }
    }
}

/// Asks as `check` says. Never takes longer than its time-out, but for a wait until one of the programs
/// that run already ends. A check that is made of others is asked nothing.
pub async fn probe(target: &Target<'_>, check: &Check, talk: &mut Talk) -> Finding {
    let _turn = match &check.probe {
        Probe::Exec(_) => exec::TURNS.acquire().await.ok(),
        _ => None,
    };
    let started = Instant::now();
    let asked = tokio::time::timeout(check.timeout, ask(target, check, talk)).await;
    let finding = asked.unwrap_or_else(|_| match &check.probe {
        Probe::Agent(_) => Err(Away::Silent(format!("no answer within {:?}", check.timeout))),
        _ => Err(Away::Bad(format!("no answer within {:?}", check.timeout))),
    });
    match finding {
        Ok(finding) => late(finding, check, started),
        Err(Away::Bad(why)) => Finding::new(Found::Down, why),
        Err(Away::Silent(why)) => Finding::new(Found::Nothing, why),
    }
}

/// A good answer that took too long is not so good.
fn late(finding: Finding, check: &Check, started: Instant) -> Finding {
    let took = started.elapsed();
    match check.max_latency {
        Some(most) if finding.found == Found::Up && took > most => {
            let why = format!("it took {took:.0?}, more than {most:?}");
            Finding { found: Found::Degraded, why, ..finding }
        }
        _ => finding,
    }
}

/// Why there is no good answer.
enum Away {
    /// The backend is not well, in words for the log.
    Bad(String),
    /// Whoever should speak for it is not there.
    Silent(String),
}

impl From<String> for Away {
    fn from(why: String) -> Self {
        Self::Bad(why)
    }
}

async fn ask(target: &Target<'_>, check: &Check, talk: &mut Talk) -> Result<Finding, Away> {
    let finding = match &check.probe {
        Probe::Http(probe) => {
            let host = wire::host(target);
            http::ask(wire::secured(target, check).await?, host, probe, talk).await?
        }
        Probe::Grpc(service) => {
            let stream = wire::secured(target, check).await?;
            grpc::ask(stream, wire::host(target), target.tls.is_some(), service, talk).await?
        }
        Probe::Tcp(probe) if probe.send.is_empty() && probe.receive.is_empty() => {
            wire::plain(target, check).await?;
            Finding::up("connected")
        }
        Probe::Tcp(probe) => {
            // What is spoken there is not known.
            let tls = target.tls.map(ToBackend::of_any_protocol);
            let target = Target { tls: tls.as_ref(), ..*target };
            tcp::ask(wire::secured(&target, check).await?, probe, talk).await?
        }
        Probe::Agent(send) => {
            let stream = wire::plain(target, check).await.map_err(Away::Silent)?;
            tcp::ask_agent(stream, send, talk).await.map_err(Away::Silent)?
        }
        Probe::Postgres(probe) => {
            postgres::ask(wire::plain(target, check).await?, probe, talk).await?
        }
        Probe::Mysql(probe) => mysql::ask(wire::plain(target, check).await?, probe, talk).await?,
        Probe::Redis(probe) => redis::ask(wire::plain(target, check).await?, probe, talk).await?,
        Probe::Exec(command) => exec::ask(target, command, talk).await?,
        Probe::Node(probe) => node::ask(probe, talk).await?,
        Probe::Composite(..) => return Err("nothing is asked by it".to_owned().into()),
    };
    Ok(finding)
}

/// A database in this role, when that one is wanted.
fn in_role(is: Role, wanted: Option<Role>) -> Finding {
    match wanted {
        Some(wanted) if wanted != is => {
            let why = format!("it is a {}, and a {} is wanted", is.name(), wanted.name());
            Finding::new(Found::Standby, why)
        }
        _ => Finding::up(format!("it is a {}", is.name())),
    }
}

/// A standby that lags behind by so many seconds; `None`: nobody knows. One that is not wanted may lag as it
/// likes: it stays out, where one that is down may be used for want of others.
fn lagging(finding: Finding, lag: Option<f64>, most: Option<std::time::Duration>) -> Finding {
    match (lag, most) {
        _ if finding.found != Found::Up => finding,
        (_, None) => finding,
        (None, Some(_)) => Finding::new(Found::Down, "it does not follow its primary"),
        (Some(lag), Some(most)) if lag > most.as_secs_f64() => {
            Finding::new(Found::Down, format!("it lags {lag:.1} s behind, more than {most:?}"))
        }
        (Some(lag), Some(_)) => {
            Finding { why: format!("{}, {lag:.1} s behind", finding.why), ..finding }
        }
    }
}

#[cfg(test)]
mod tests;

//! The process that this one takes the place of, as this one sees it. The other side is `upgrade`.

use std::env;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::control::Learned;
use crate::model::{Address, ProbedState};
use crate::net::{Channel, Listener};

use super::inherited::{Inherited, Left};

/// Tells a process that it shall take the place of its parent, whose id is the value. What it inherits
/// comes through its standard input.
pub(super) const VARIABLE: &str = "PLIMSOLL_TAKES_OVER_FROM";

/// What the two tell each other. Fields that one of them does not know are passed over, so that programs
/// of different versions understand each other.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "said", rename_all = "snake_case")]
pub(super) enum Said {
    /// Sockets of a listener; more of them may follow.
    Listener {
        name: String,
        configured: Where,
        actual: Where,
        /// Told by versions before this one of Unix sockets only, which own their files then.
        #[serde(rename = "owns_file")]
        alone: bool,
    },
    /// The socket of the admin listener.
    Admin { configured: Where, owns_file: bool },
    /// What is known of some backends.
    Backends { known: Vec<Known> },
    /// That was all.
    All,
    /// The new process serves.
    Ready { version: String },
    /// It cannot.
    Failed { why: String },
    /// Of a newer version.
    #[serde(other)]
    Unknown,
}

/// An address.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Where {
    Ip(SocketAddr),
    Unix(PathBuf),
}

/// What is known of a backend.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Known {
    upstream: String,
    backend: String,
    probed: String,
    parked_for: Option<Duration>,
}

/// The process before this one, which waits to hear how this one fares.
#[derive(Debug)]
pub struct Predecessor(Channel);

impl Predecessor {
    /// Finds it, if there is one, with all that it hands over.
    ///
    /// # Errors
    /// It broke off.
    pub fn find() -> io::Result<Option<(Self, Inherited)>> {
        let parent = rustix::process::getppid().map(rustix::process::Pid::as_raw_nonzero);
        let told = env::var(VARIABLE).ok().and_then(|told| told.parse().ok());
        // Programs that this one starts inherit the variable too, and are not meant.
        if told.is_none() || told != parent {
            return Ok(None);
        }
        let end = io::stdin().as_fd().try_clone_to_owned()?;
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        let before = Self(Channel::of(end));
        let inherited = before.receive()?;
        Ok(Some((before, inherited)))
    }

    fn receive(&self) -> io::Result<Inherited> {
        let mut inherited = Inherited::default();
        loop {
            let Some((text, sockets)) = self.0.receive()? else {
                return Err(io::Error::other("the process before this one broke off"));
            };
            match serde_json::from_slice(&text)? {
                Said::Listener { name, configured, actual, alone } => {
                    let sockets = adopt(sockets)?;
                    let (configured, actual) = (configured.into(), actual.into());
                    let same = |left: &&mut Left| left.name.as_ref() == Some(&name);
                    if let Some(left) = inherited.listeners.iter_mut().find(same) {
                        left.sockets.extend(sockets);
                    } else {
                        let name = Some(name);
                        let left = Left { name, configured, actual, sockets, alone };
                        inherited.listeners.push(left);
                    }
                }
                Said::Admin { configured, owns_file } => {
                    let (configured, sockets) = (Address::from(configured), adopt(sockets)?);
                    let actual = configured.clone();
                    let alone = owns_file;
                    let left = Left { name: None, configured, actual, sockets, alone };
                    inherited.admin = Some(left);
                }
                Said::Backends { known } => {
                    inherited.learned.extend(known.into_iter().filter_map(learned));
                }
                Said::All => return Ok(inherited),
                Said::Ready { .. } | Said::Failed { .. } | Said::Unknown => {}
            }
        }
    }

    /// Tells it that this process serves. It stops accepting then.
    ///
    /// # Errors
    /// It is gone.
    pub fn ready(self) -> io::Result<()> {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        self.0.send(&serde_json::to_vec(&Said::Ready { version })?, &[])
    }

    /// Tells it why this process cannot serve. It goes on.
    pub fn failed(&self, why: &str) {
        // A long report does not fit, and its beginning tells most.
        let why = why.chars().take(8 << 10).collect();
        let told = serde_json::to_vec(&Said::Failed { why });
        // It sees the end of this process too.
        let _ = told.map(|told| self.0.send(&told, &[]));
    }
}

fn adopt(sockets: Vec<OwnedFd>) -> io::Result<Vec<Listener>> {
    sockets.into_iter().map(|socket| Ok(Listener::adopt(socket)?.0)).collect()
}

/// States that another version had and this one has not are not known.
fn learned(known: Known) -> Option<Learned> {
    let all = [
        ProbedState::Unprobed,
        ProbedState::Checking,
        ProbedState::Up,
        ProbedState::Degraded,
        ProbedState::Standby,
        ProbedState::Draining,
        ProbedState::Down,
    ];
    let Known { upstream, backend, probed, parked_for } = known;
    let probed = all.into_iter().find(|state| state.name() == probed)?;
    Some(Learned { upstream, backend, probed, parked_for })
}

impl From<Learned> for Known {
    fn from(learned: Learned) -> Self {
        let Learned { upstream, backend, probed, parked_for } = learned;
        Self { upstream, backend, probed: probed.name().to_owned(), parked_for }
    }
}

impl From<Where> for Address {
    fn from(place: Where) -> Self {
        match place {
            Where::Ip(address) => Self::Ip(address),
            Where::Unix(path) => Self::Unix(path),
        }
    }
}

impl From<Address> for Where {
    fn from(address: Address) -> Self {
        match address {
            Address::Ip(address) => Self::Ip(address),
            Address::Unix(path) => Self::Unix(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_another_version_are_understood_as_far_as_they_are_known() {
        let more = r#"{"said":"failed","why":"no","colour":"red"}"#;
        assert!(matches!(serde_json::from_str(more).unwrap(), Said::Failed { why } if why == "no"));
        assert!(matches!(
            serde_json::from_str(r#"{"said":"later","more":1}"#).unwrap(),
            Said::Unknown
        ));
    }

    #[test]
    fn what_is_known_of_a_backend_arrives_as_it_was_sent() {
        for (probed, parked_for) in
            [(ProbedState::Down, None), (ProbedState::Up, Some(Duration::from_millis(1500)))]
        {
            let (upstream, backend) = ("api".to_owned(), "10.0.0.1:80".to_owned());
            let one = Learned { upstream, backend, probed, parked_for };
            let sent = serde_json::to_string(&Known::from(one.clone())).unwrap();
            assert_eq!(learned(serde_json::from_str(&sent).unwrap()), Some(one));
        }
        let known = r#"{"upstream":"a","backend":"b","probed":"asleep","parked_for":null}"#;
        assert_eq!(learned(serde_json::from_str(known).unwrap()), None);
    }
}

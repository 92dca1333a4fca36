//! Listeners that pass connections through.

use std::time::Duration;

/// Where the connections of a listener go that passes them through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tcp {
    /// The upstream of connections that fit no name; `None`: they are closed.
    pub upstream: Option<String>,
    /// What clients of TLS ask for, and where they go then.
    pub asked: Vec<AskedFor>,
    /// How long a connection stays on which nothing moves.
    pub idle_timeout: Duration,
}

/// A client of TLS that goes to this upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedFor {
    /// The name that it asks for; `None`: any, or none.
    pub name: Option<ServerName>,
    /// It offers one of these protocols; none: any, or none.
    pub protocols: Vec<String>,
    /// Where it goes.
    pub upstream: String,
}

/// Which names a client of TLS may ask for; in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ServerName {
    /// This one.
    Exact(String),
    /// Those with one label and more before this, which begins with a dot.
    Suffix(String),
}

//! Listeners that pass connections through.

use std::time::Duration;

/// Where the connections of a listener go that passes them through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tcp {
    /// The upstream of connections that fit no name; `None`: they are closed.
    pub upstream: Option<String>,
    /// Names that clients of TLS ask for, and their upstreams.
    pub names: Vec<(ServerName, String)>,
    /// How long a connection stays on which nothing moves.
    pub idle_timeout: Duration,
}

/// Which names a client of TLS may ask for; in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ServerName {
    /// This one.
    Exact(String),
    /// Those with one label and more before this, which begins with a dot.
    Suffix(String),
}

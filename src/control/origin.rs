//! Where changes come from.

/// Where a change comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The start of the process.
    Start,
    /// A signal.
    Signal,
    /// The admin API.
    Api,
    /// The program that embeds the balancer.
    Embedder,
    /// A file of the configuration changed.
    FileWatch,
    /// Probes, or the outcomes of requests.
    Health,
    /// Which tier serves, whether a circuit breaker is open, or that a configuration did not prove itself.
    Policy,
    /// A backend name resolves to other addresses.
    Dns,
    /// A certificate came from its authority.
    Acme,
}

impl Origin {
    /// The word in logs and in the admin API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Signal => "signal",
            Self::Api => "api",
            Self::Embedder => "embedder",
            Self::FileWatch => "file_watch",
            Self::Health => "health",
            Self::Policy => "policy",
            Self::Dns => "dns",
            Self::Acme => "acme",
        }
    }
}

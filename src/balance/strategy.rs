//! The strategies by name, and what each needs to know of a request.

/// How an upstream picks a backend for an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Strategy {
    /// Each eligible backend in turn, weights ignored.
    RoundRobin,
    /// In turn by weight, spread smoothly (after nginx's smooth weighted round robin). The default.
    #[default]
    WeightedRoundRobin,
    /// Fewest requests in flight per weight.
    LeastConnections,
    /// Lowest peak EWMA of time to first byte × requests in flight.
    LeastResponseTime,
    /// The client's address decides (after nginx's `ip_hash`).
    IpHash,
    /// A hash of the request's key, by default path and query (after nginx's `hash`).
    UrlHash,
    /// By chance and weight; with two choices the less loaded of two draws.
    Random,
    /// A ketama ring (after nginx's `hash … consistent`).
    ConsistentHash,
    /// A table of slots (after Google's Maglev).
    Maglev,
    /// Of those that are not loaded more than most the one that answers fastest (after Google's
    /// Prequal).
    Prequal,
}

/// What a strategy needs to know of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Need {
    /// Nothing.
    Nothing,
    /// The client's address.
    ClientAddress,
    /// A key made from the request.
    Key,
}

impl Strategy {
    /// Every strategy.
    pub const ALL: [Self; 10] = [
        Self::RoundRobin,
        Self::WeightedRoundRobin,
        Self::LeastConnections,
        Self::LeastResponseTime,
        Self::IpHash,
        Self::UrlHash,
        Self::Random,
        Self::ConsistentHash,
        Self::Maglev,
        Self::Prequal,
    ];

    /// The name in TOML, metrics and the admin API.
    pub fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round_robin",
            Self::WeightedRoundRobin => "weighted_round_robin",
            Self::LeastConnections => "least_connections",
            Self::LeastResponseTime => "least_response_time",
            Self::IpHash => "ip_hash",
            Self::UrlHash => "url_hash",
            Self::Random => "random",
            Self::ConsistentHash => "consistent_hash",
            Self::Maglev => "maglev",
            Self::Prequal => "prequal",
        }
    }

    /// Whether a part of a backend's weight can be in effect: of a hash that would move clients, and
    /// others take no account of weights.
    pub fn takes_shares(self) -> bool {
        matches!(self, Self::WeightedRoundRobin | Self::LeastConnections | Self::Random)
    }

    /// What the strategy needs to know of a request.
    pub fn needs(self) -> Need {
        match self {
            Self::IpHash => Need::ClientAddress,
            Self::UrlHash | Self::ConsistentHash | Self::Maglev => Need::Key,
            _ => Need::Nothing,
        }
    }
}

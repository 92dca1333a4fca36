//! Names of backends → addresses.
//!
//! A name that has IPv4 addresses is used with those, else with its IPv6 addresses: a machine that
//! has both must not count twice. How long an answer holds is the loop's to say (`min_ttl`,
//! `max_ttl`), so the resolver's own cache is off.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use hickory_resolver::config::{LookupIpStrategy, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{ResolverBuilder, TokioResolver};
use tokio::task::JoinSet;

use crate::config::model as config;

/// How long a start or a reload waits for names that were never resolved.
const PATIENCE: Duration = Duration::from_secs(5);

/// What came of asking for a name.
#[derive(Debug)]
pub(super) struct Answer {
    /// The name.
    pub(super) name: String,
    /// Its addresses, sorted, never none, and how long they hold; or the reason in words.
    pub(super) result: Result<(Vec<IpAddr>, Duration), String>,
}

/// The resolver.
#[derive(Clone)]
pub(super) struct Dns(Result<TokioResolver, String>);

impl Dns {
    /// By the system's `resolv.conf` and `hosts`, as they are now. Without a `resolv.conf` only the
    /// names in `hosts` and `localhost` are found.
    pub(super) fn system() -> Self {
        Self::new(TokioResolver::builder_tokio().unwrap_or_else(|_| {
            let provider = TokioRuntimeProvider::default();
            TokioResolver::builder_with_config(ResolverConfig::default(), provider)
        }))
    }

    pub(super) fn new(mut builder: ResolverBuilder<TokioRuntimeProvider>) -> Self {
        let options = builder.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
        options.cache_size = 0;
        Self(builder.build().map_err(|error| error.to_string()))
    }

    /// Asks for one name.
    pub(super) async fn lookup(self, name: String) -> Answer {
        // `localhost` is never looked for in the search domains (RFC 6761 §6.3).
        let asked = if name == "localhost" { "localhost." } else { &name };
        let result = match &self.0 {
            Ok(resolver) => resolver.lookup_ip(asked).await.map_err(|error| error.to_string()),
            Err(reason) => Err(reason.clone()),
        };
        let result = result.and_then(|found| {
            let mut addresses: Vec<_> = found.iter().collect();
            addresses.sort_unstable();
            addresses.dedup();
            if addresses.is_empty() {
                return Err("it has no addresses".to_owned());
            }
            Ok((addresses, found.valid_until().saturating_duration_since(Instant::now())))
        });
        Answer { name, result }
    }

    /// Asks for all of them at once; those without an answer in 5 s are left out.
    pub(super) async fn resolve(&self, names: impl IntoIterator<Item = String>) -> Vec<Answer> {
        let mut lookups: JoinSet<_> =
            names.into_iter().map(|name| self.clone().lookup(name)).collect();
        let mut answers = Vec::new();
        let all = async {
            while let Some(answer) = lookups.join_next().await {
                answers.extend(answer.ok());
            }
        };
        // What is not there in time is asked for again by the loop.
        let _ = tokio::time::timeout(PATIENCE, all).await;
        answers
    }
}

/// The names of a configuration with how long answers may hold; the shorter times win where several
/// upstreams use a name.
pub(super) fn names(config: &config::Config) -> BTreeMap<String, config::Dns> {
    let mut names = BTreeMap::<String, config::Dns>::new();
    for upstream in config.upstreams.values() {
        for backend in &upstream.backends {
            let config::BackendAddress::Name(name, _) = &backend.address else {
                continue;
            };
            let dns = names.entry(name.clone()).or_insert_with(|| upstream.dns.clone());
            dns.min_ttl = dns.min_ttl.min(upstream.dns.min_ttl);
            dns.max_ttl = dns.max_ttl.min(upstream.dns.max_ttl);
        }
    }
    names
}

//! Names of backends → addresses: how name servers are asked.
//!
//! `control` asks for the names in the file, a worker of `proxy` for those that a request gives. Names
//! are asked for as their upstream says: of which name servers, for which kinds of addresses, as
//! a host (A, AAAA) or as a service (SRV), or of Redis Sentinels as the primary that they know by it. By default a name that has IPv4 addresses is used with those,
//! else with its IPv6 addresses: a machine that has both must not count twice. How long an answer holds
//! is for who asks to say (`min_ttl`, `max_ttl`), so the resolvers' own cache is off.

mod sentinel;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::{ResolverBuilder, TokioResolver};
use tokio::task::JoinSet;

use crate::config::model::{Families, Query, Resolver};
use crate::snapshot::build::Endpoint;

/// How long a start or a reload waits for names that were never resolved.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long one server is waited for.
const ONE_TRY: Duration = Duration::from_secs(5);

/// A round of questions that took as long met a server that was silent.
const SILENCE: Duration = Duration::from_secs(1);

/// What came of asking for a name.
#[derive(Debug)]
pub struct Answer {
    /// What was asked.
    pub query: Query,
    /// Who serves it, sorted, never nobody, and how long that holds; or why there is no answer.
    pub result: Result<(Vec<Endpoint>, Duration), Failure>,
}

/// Why a question has no good answer, in words.
#[derive(Debug)]
pub enum Failure {
    /// It was not answered.
    Unanswered(String),
    /// There is no such name, or it has no addresses.
    Nobody(String),
}

impl Failure {
    fn of(error: &NetError) -> Self {
        if error.is_no_records_found() {
            Self::Nobody(error.to_string())
        } else {
            Self::Unanswered(error.to_string())
        }
    }
}

/// Found addresses, and until when they hold.
type Found = Result<(Vec<Endpoint>, Instant), Failure>;

/// The resolvers.
#[derive(Debug, Clone)]
pub struct Dns {
    /// By the system's settings, for IPv4 first.
    system: Result<TokioResolver, String>,
    /// Those with settings of their own, one for each name server; made when they are first needed.
    others: Arc<Mutex<BTreeMap<Resolver, Vec<TokioResolver>>>>,
}

impl Dns {
    /// By the system's `resolv.conf` and `hosts`, as they are now. Without a `resolv.conf` only the
    /// names in `hosts` and `localhost` are found.
    pub fn system() -> Self {
        Self::new(system_builder())
    }

    /// With a resolver of these settings in place of the system's.
    pub fn new(builder: ResolverBuilder<TokioRuntimeProvider>) -> Self {
        Self { system: build(builder, Families::Ipv4First), others: Arc::default() }
    }

    /// The resolvers of these settings, to be asked in turn.
    fn resolvers(&self, settings: &Resolver) -> Result<Vec<TokioResolver>, String> {
        if settings.servers.is_empty() && settings.families == Families::Ipv4First {
            return self.system.clone().map(|system| vec![system]);
        }
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = others.get(settings) {
            return Ok(known.clone());
        }
        let builders = match &*settings.servers {
            [] => vec![system_builder()],
            servers => servers.iter().map(|server| own(settings, server)).collect(),
        };
        let made = builders.into_iter().map(|builder| build(builder, settings.families));
        let made = made.collect::<Result<Vec<_>, _>>()?;
        others.insert(settings.clone(), made.clone());
        Ok(made)
    }

    /// Asks for one name.
    pub async fn lookup(self, query: Query) -> Answer {
        let result = match &query.resolver.sentinels {
            Some(sentinels) => sentinel::ask(sentinels, query.resolver.timeout, &query.name).await,
            None => self.found(&query).await,
        };
        let result = result.and_then(|(mut found, until)| {
            found.sort_unstable();
            let mut seen = BTreeSet::new();
            found.retain(|one| seen.insert((one.ip, one.port)));
            if found.is_empty() {
                return Err(Failure::Nobody("it has no addresses".to_owned()));
            }
            Ok((found, until.saturating_duration_since(Instant::now())))
        });
        Answer { query, result }
    }

    /// What name servers say.
    async fn found(&self, query: &Query) -> Found {
        let resolvers = self.resolvers(&query.resolver).map_err(Failure::Unanswered)?;
        let late = |_| Err(Failure::Unanswered("it was not answered in time".to_owned()));
        let asking = ask(&resolvers, query);
        tokio::time::timeout(query.resolver.timeout, asking).await.unwrap_or_else(late)
    }

    /// Asks for all of them at once; those without an answer in 5 s are left out.
    pub async fn resolve(&self, queries: impl IntoIterator<Item = Query>) -> Vec<Answer> {
        let mut lookups: JoinSet<_> =
            queries.into_iter().map(|query| self.clone().lookup(query)).collect();
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

fn system_builder() -> ResolverBuilder<TokioRuntimeProvider> {
    TokioResolver::builder_tokio().unwrap_or_else(|_| {
        let provider = TokioRuntimeProvider::default();
        TokioResolver::builder_with_config(ResolverConfig::default(), provider)
    })
}

/// For a name server of one's own; `hosts` is not looked at then.
fn own(settings: &Resolver, server: &SocketAddr) -> ResolverBuilder<TokioRuntimeProvider> {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    for connection in &mut connections {
        connection.port = server.port();
    }
    let server = NameServerConfig::new(server.ip(), true, connections);
    let config = ResolverConfig::from_name_servers(vec![server]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    options.use_hosts_file = ResolveHosts::Never;
    options.timeout = settings.timeout.min(ONE_TRY);
    options.attempts = 1;
    builder
}

fn build(
    mut builder: ResolverBuilder<TokioRuntimeProvider>,
    families: Families,
) -> Result<TokioResolver, String> {
    let options = builder.options_mut();
    options.ip_strategy = match families {
        Families::Ipv4First => LookupIpStrategy::Ipv4thenIpv6,
        Families::All => LookupIpStrategy::Ipv4AndIpv6,
        Families::Ipv4 => LookupIpStrategy::Ipv4Only,
        Families::Ipv6 => LookupIpStrategy::Ipv6Only,
    };
    options.cache_size = 0;
    builder.build().map_err(|error| error.to_string())
}

/// Asks one resolver after the other until one knows, and again those that were silent. Never ends
/// before its time while all are silent.
async fn ask(resolvers: &[TokioResolver], query: &Query) -> Found {
    loop {
        let begun = Instant::now();
        let mut failure = None;
        for resolver in resolvers {
            let found = match query.service {
                None => hosts(resolver, &query.name).await,
                Some(_) => servers(resolver, query).await,
            };
            match found {
                Err(Failure::Unanswered(why)) => failure = Some(Failure::Unanswered(why)),
                known => return known,
            }
        }
        match failure {
            // Nobody was silent: they say that they do not know.
            Some(failure) if begun.elapsed() < SILENCE => return Err(failure),
            _ => {}
        }
    }
}

/// The addresses of a host.
async fn hosts(resolver: &TokioResolver, name: &str) -> Found {
    // `localhost` is never looked for in the search domains (RFC 6761 §6.3).
    let asked = if name == "localhost" { "localhost." } else { name };
    let found = resolver.lookup_ip(asked).await.map_err(|error| Failure::of(&error))?;
    let endpoint = |ip| Endpoint { backup: false, ip, port: None, weight: None };
    Ok((found.iter().map(endpoint).collect(), found.valid_until()))
}

/// The servers of a service (RFC 2782): those of the first priority are primaries, all others backups.
async fn servers(resolver: &TokioResolver, query: &Query) -> Found {
    let found = resolver.lookup(query.to_string(), RecordType::SRV).await;
    let found = found.map_err(|error| Failure::of(&error))?;
    let mut until = found.valid_until();
    let mut lookups = JoinSet::new();
    for record in found.answers() {
        let RData::SRV(srv) = &record.data else { continue };
        let (resolver, srv) = (resolver.clone(), srv.clone());
        lookups.spawn(async move {
            let addresses = hosts(&resolver, &srv.target.to_string()).await;
            (srv.priority, srv.weight, srv.port, addresses)
        });
    }
    let mut servers = Vec::new();
    let mut failure = Failure::Nobody("it has no servers".to_owned());
    while let Some(looked_up) = lookups.join_next().await {
        let Ok((priority, weight, port, addresses)) = looked_up else { continue };
        match addresses {
            Ok((addresses, valid)) => {
                until = until.min(valid);
                servers.extend(addresses.into_iter().map(|one| (priority, weight, port, one.ip)));
            }
            // One target without addresses is not the end of the others.
            Err(reason) => failure = reason,
        }
    }
    let Some(first) = servers.iter().map(|(priority, ..)| *priority).min() else {
        return Err(failure);
    };
    let endpoint = |(priority, weight, port, ip)| Endpoint {
        backup: priority > first,
        ip,
        port: Some(port),
        weight: Some(weight),
    };
    Ok((servers.into_iter().map(endpoint).collect(), until))
}

//! The world of a configuration without a process around it, for those who ask what would be.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::{Addresses, Endpoint, Identities, Input, Known, Orders, build, rebuild};
use crate::config::model::Config;
use crate::model::{BackendId, BackendState, Generation, UpstreamIx};
use crate::snapshot::{Course, Snapshot};
use crate::telemetry::Registry;
use crate::tls::Challenges;

/// The states of backends, by their ids.
pub(crate) type States<'a> = &'a dyn Fn(BackendId) -> Option<BackendState>;

/// What snapshots of one configuration are built with. Names are not asked for: each stands for one
/// backend, at the address `0.0.0.0`.
#[derive(Debug)]
pub struct Offline<'c> {
    config: &'c Config,
    addresses: Addresses,
    identities: Identities,
    registry: Arc<Registry>,
    challenges: Arc<Challenges>,
}

impl<'c> Offline<'c> {
    /// For this configuration.
    pub fn new(config: &'c Config) -> Self {
        let anywhere = || vec![Endpoint::plain(Ipv4Addr::UNSPECIFIED.into())];
        let queries = config.upstreams.values().flat_map(|upstream| {
            upstream.backends.iter().filter_map(|backend| upstream.query(backend))
        });
        let addresses = queries.map(|query| (query, anywhere())).collect();
        let (identities, registry) = (Identities::default(), Registry::new(1));
        Self { config, addresses, identities, registry, challenges: Arc::default() }
    }

    /// Its snapshot, with backends in these states.
    pub fn build(&mut self, states: States<'_>) -> Snapshot {
        let (config, generation) = (self.config, Generation::default());
        let courses = &|name: &str| course(config, name);
        let known = self.known(states, courses);
        build(Input { config, hash: 0, generation, previous: None, known })
    }

    /// The snapshot after `previous`, with backends of one upstream in other states, and what is decided
    /// for it as a whole.
    pub fn rebuild(
        &mut self,
        previous: &Snapshot,
        changed: UpstreamIx,
        states: States<'_>,
        decided: &Course,
    ) -> Snapshot {
        let generation = Generation(previous.generation.0 + 1);
        // Only the changed one is asked for.
        let courses = &|_: &str| decided.clone();
        rebuild(previous, &BTreeSet::from([changed]), generation, self.known(states, courses))
    }

    fn known<'k>(
        &'k mut self,
        states: States<'k>,
        courses: &'k dyn Fn(&str) -> Course,
    ) -> Known<'k> {
        static NONE: Orders = Orders::new();
        let Self { addresses, identities, registry, challenges, .. } = self;
        Known { states, orders: &NONE, courses, addresses, identities, registry, challenges }
    }
}

/// What the operator has decided for an upstream: the tier that is held. What follows from failures of
/// tiers is the control loop's to decide, and not known here.
fn course(config: &Config, name: &str) -> Course {
    let failover = config.upstreams.get(name).and_then(|upstream| upstream.failover.as_ref());
    let Some(pin) = failover.and_then(|failover| failover.pin) else {
        return Course::default();
    };
    let shares = (0..=pin).map(|tier| if tier == pin { 100 } else { 0 }).collect();
    Course { shares: Some(shares), strict: true, ..Course::default() }
}

//! The backends of a section, one for each address of a name, with their counters.
//!
//! Of thousands of backends a reload changes a few, and news of health one. What is as it was is
//! shared with the upstream before, so that neither has the control loop to make nor a worker to take
//! down all of them. It is found by walking along both lists at once, and by name only where they part.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use ahash::AHashMap;

use super::{Endpoint, Known, Order};
use crate::balance::{Limits, Live};
use crate::config::model as config;
use crate::model::{
    Address, AdminState, BackendId, BackendState, PassiveState, ProbedState, Weight,
};
use crate::snapshot::{Backend, Upstream};
use crate::tls::ToBackend;

/// The backends of an upstream in the order of its section. All lists have the same length.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) backends: Vec<Arc<Backend>>,
    /// The counters, of who had some before.
    pub(super) live: Vec<Option<Arc<Live>>>,
    /// Whose entry in the section each is.
    pub(super) entries: Vec<u32>,
}

/// Gathers the backends of a section.
pub(super) fn gather(
    source: &config::Upstream,
    before: Option<&Upstream>,
    known: &mut Known<'_>,
) -> Gathered {
    let addresses = known.addresses;
    let keeps_tls = before.is_some_and(|before| before.source.tls == source.tls);
    let gathered = Gathered::default();
    let orders = known.orders.get(&source.name);
    let mut walk =
        Walk { source, before, keeps_tls, next: 0, places: None, orders, known, gathered };
    for (number, entry) in (0..).zip(&source.backends) {
        match &entry.address {
            config::BackendAddress::Ip(address) => {
                walk.add(number, entry, &Address::Ip(*address), None);
            }
            config::BackendAddress::Unix(path) => {
                walk.add(number, entry, &Address::Unix(path.clone()), None);
            }
            config::BackendAddress::Name(_, port) => {
                let query = source.query(entry);
                for one in query.and_then(|query| addresses.get(&query)).into_iter().flatten() {
                    let at = SocketAddr::new(one.ip, one.port.unwrap_or(*port));
                    walk.add(number, entry, &Address::Ip(at), Some(one));
                }
            }
        }
    }
    walk.gathered
}

/// A walk along the section and the upstream before.
struct Walk<'a, 'k> {
    source: &'a config::Upstream,
    before: Option<&'a Upstream>,
    /// Connections are secured on the same terms as before.
    keeps_tls: bool,
    /// The place in `before` that comes next if nothing has changed.
    next: usize,
    /// All places in `before`; made where the lists part for the first time.
    places: Option<AHashMap<BackendId, usize>>,
    /// What the operator says of these backends.
    orders: Option<&'a BTreeMap<String, Order>>,
    known: &'a mut Known<'k>,
    gathered: Gathered,
}

/// What a backend is known by within its upstream, over reloads and upgrades. One that has a name and moves is
/// another: nothing that is known of it says anything of who answers there.
pub fn known_as(entry: &config::Backend, label: &str, address: &Address) -> String {
    if entry.name.is_some() { format!("{label} at {address}") } else { label.to_owned() }
}

impl<'a> Walk<'a, '_> {
    /// Takes up the backend that `entry` stands for at `address`.
    fn add(
        &mut self,
        number: u32,
        entry: &config::Backend,
        address: &Address,
        found: Option<&Endpoint>,
    ) {
        let (backend, live) = if let Some(place) = self.here(entry, address) {
            self.stays(place, entry, found)
        } else {
            let label = label(self.source, entry, address);
            let known_as = known_as(entry, &label, address);
            let id = self.known.identities.backend(&self.source.name, &known_as);
            match self.place_of(id) {
                Some(place) => self.stays(place, entry, found),
                None => (Arc::new(self.fresh((id, label), entry, address, found)), None),
            }
        };
        self.gathered.backends.push(backend);
        self.gathered.live.push(live);
        self.gathered.entries.push(number);
    }

    /// The next place of before, if this backend is there: written the same, at the same address.
    fn here(&self, entry: &config::Backend, address: &Address) -> Option<(&'a Upstream, usize)> {
        let before = self.before?;
        let backend = before.backends.get(self.next)?;
        let written = &before.source.backends[before.entries[self.next] as usize];
        let same = backend.address == *address
            && written.address == entry.address
            && written.service == entry.service
            && written.name == entry.name;
        same.then_some((before, self.next))
    }

    /// Where a backend was before.
    fn place_of(&mut self, id: BackendId) -> Option<(&'a Upstream, usize)> {
        let before = self.before?;
        let places = self.places.get_or_insert_with(|| {
            before.backends.iter().enumerate().map(|(place, backend)| (backend.id, place)).collect()
        });
        places.get(&id).map(|place| (before, *place))
    }

    /// A backend that was there before, as it is now: the very same where nothing differs.
    fn stays(
        &mut self,
        (before, place): (&Upstream, usize),
        entry: &config::Backend,
        found: Option<&Endpoint>,
    ) -> (Arc<Backend>, Option<Arc<Live>>) {
        self.next = place + 1;
        let was = &before.backends[place];
        let Backend { weight, tier, max_connections, limits, state, .. } = **was;
        let order = self.order(&was.label);
        let now = settings(self.source, entry, found, order);
        let state_now = self.state(was.id, entry, order);
        let same =
            now == (weight, tier, max_connections, limits) && state_now == state && self.keeps_tls;
        let (weight, tier, max_connections, limits) = now;
        let changed = || Backend {
            weight,
            tier,
            max_connections,
            limits,
            state: state_now,
            tls: if self.keeps_tls { was.tls.clone() } else { self.tls(entry) },
            ..Backend::clone(was)
        };
        let backend = if same { Arc::clone(was) } else { Arc::new(changed()) };
        (backend, Some(Arc::clone(&before.live[place])))
    }

    /// A backend that was not there before.
    fn fresh(
        &self,
        (id, label): (BackendId, String),
        entry: &config::Backend,
        address: &Address,
        found: Option<&Endpoint>,
    ) -> Backend {
        let order = self.order(&label);
        let (weight, tier, max_connections, limits) = settings(self.source, entry, found, order);
        Backend {
            id,
            address: address.clone(),
            authority: authority(entry, address),
            weight,
            tier,
            max_connections,
            limits,
            state: self.state(id, entry, order),
            tls: self.tls(entry),
            series: self.known.registry.backend(&self.source.name, &label),
            label,
        }
    }

    /// How a backend is met.
    fn tls(&self, entry: &config::Backend) -> Option<Arc<ToBackend>> {
        let host = match &entry.address {
            config::BackendAddress::Ip(address) => address.ip().to_string(),
            config::BackendAddress::Name(name, _) => name.clone(),
            config::BackendAddress::Unix(_) => "localhost".to_owned(),
        };
        Some(self.source.tls.as_ref()?.meet(&host))
    }

    /// What the operator says of a backend.
    fn order(&self, label: &str) -> Order {
        let said = self.orders.and_then(|orders| orders.get(label));
        said.copied().unwrap_or_default()
    }

    fn state(&self, id: BackendId, entry: &config::Backend, order: Order) -> BackendState {
        let admin = order.admin.unwrap_or(entry.state);
        let mut state = state((self.known.states)(id), admin, !self.source.checks.is_empty());
        if self.source.nginx.failures {
            // Nobody is parked who was before.
            state.passive = PassiveState::Ok;
        }
        state
    }
}

/// What the operator, name servers and the file say of a backend, in this order: weight, tier, most requests, most failures.
fn settings(
    source: &config::Upstream,
    entry: &config::Backend,
    found: Option<&Endpoint>,
    order: Order,
) -> (Weight, u8, u32, Limits) {
    let limits = Limits { max_fails: entry.max_fails, fail_timeout: entry.fail_timeout };
    // A weight of 0 stands beside larger ones, and is next to nothing (RFC 2782).
    let weight = found.and_then(|one| Weight::try_from(i64::from(one.weight?.max(1))).ok());
    let alike = |rules: &config::Failover| rules.strategy == config::FailoverStrategy::ActiveActive;
    let tier = match entry.tier.unwrap_or(0) {
        _ if source.failover.as_ref().is_some_and(alike) => 0,
        tier if found.is_some_and(|one| one.backup) => tier.max(1),
        tier => tier,
    };
    let weight = order.weight.or(weight).unwrap_or(entry.weight);
    (weight, tier, entry.max_connections, limits)
}

/// The name of a backend at `address`, one of those that an entry stands for.
fn label(source: &config::Upstream, entry: &config::Backend, address: &Address) -> String {
    // Where the answer says the port, one address may serve at several.
    let port_is_told = entry.service.is_some() || source.dns.resolver.sentinels.is_some();
    let called = |otherwise: &dyn fmt::Display| match &entry.name {
        Some(name) => name.clone(),
        None => otherwise.to_string(),
    };
    match (&entry.address, address) {
        (config::BackendAddress::Name(name, _), Address::Ip(at)) if port_is_told => {
            format!("{}/{at}", called(name))
        }
        (written @ config::BackendAddress::Name(..), Address::Ip(at)) => {
            format!("{}/{}", called(written), at.ip())
        }
        (written, _) => called(written),
    }
}

/// The `Host` of a backend. A socket's path is none; it is on this machine.
fn authority(entry: &config::Backend, address: &Address) -> String {
    match (&entry.address, address) {
        (config::BackendAddress::Unix(_), _) => "localhost".to_owned(),
        (config::BackendAddress::Name(name, _), Address::Ip(at)) => format!("{name}:{}", at.port()),
        (written, _) => written.to_string(),
    }
}

/// What was known, as far as it still applies. The operator's word is `admin`.
pub(super) fn state(known: Option<BackendState>, admin: AdminState, probed: bool) -> BackendState {
    let known = known.unwrap_or_default();
    let probed = match (probed, known.probed) {
        (false, _) => ProbedState::Unprobed,
        (true, ProbedState::Unprobed) => ProbedState::Checking,
        (true, verdict) => verdict,
    };
    BackendState { admin, probed, passive: known.passive, share: known.share }
}

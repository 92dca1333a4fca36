//! Places that requests name: who is found there, and connections that are kept to it.
//!
//! Each worker asks for names by itself and remembers the answers for as long as they hold; of
//! questions for one name that come at once, one is asked. What clients can name without end is
//! remembered up to a limit.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use ahash::AHashMap;
use tokio::time::Instant;

use crate::balance::Rng;
use crate::dns::Dns;
use crate::model::{Address, UpstreamId, WorkerIx};
use crate::proxy::pool::Pool;
use crate::proxy::view::{Local, budget};
use crate::proxy::worker::Worker;
use crate::snapshot::Upstream;
use crate::snapshot::settings::Query;
use crate::telemetry::BackendSeries;

/// Names, and places with their connections, that a worker remembers.
const MOST: usize = 1024;

/// What a worker knows of places that requests name.
#[derive(Debug, Default)]
pub(super) struct Places {
    dns: OnceCell<Dns>,
    names: RefCell<BTreeMap<Query, Rc<Asked>>>,
    known: RefCell<AHashMap<(UpstreamId, String), Place>>,
}

/// A question for a name, asked once for all that wait for it.
type Asked = tokio::sync::OnceCell<Option<Found>>;

/// The addresses of a name, and until when they hold.
#[derive(Debug)]
struct Found {
    addresses: Vec<IpAddr>,
    until: Instant,
}

/// A place with this worker's connections.
#[derive(Debug)]
struct Place {
    /// The upstream whose settings hold.
    of: Arc<Upstream>,
    addresses: Vec<Address>,
    local: Rc<Local>,
}

impl Places {
    /// The addresses of a name, in lower case, as `of` has it asked; `None` if they are not known.
    pub(super) async fn resolve(
        &self,
        of: &Upstream,
        name: &str,
        port: u16,
    ) -> Option<Vec<Address>> {
        let query = of.question(name);
        let asked = self.asked(&query);
        // The first one reads the system's settings, a small file or two.
        let dns = self.dns.get_or_init(Dns::system);
        let found = asked
            .get_or_init(|| async {
                match dns.clone().lookup(query).await.result {
                    Ok((endpoints, ttl)) => Some(Found {
                        addresses: endpoints.iter().map(|one| one.ip).collect(),
                        until: Instant::now() + of.holds(ttl),
                    }),
                    Err(failure) => {
                        tracing::warn!(name, ?failure, "a name that a request gives is not known");
                        None
                    }
                }
            })
            .await;
        let addresses = &found.as_ref()?.addresses;
        Some(addresses.iter().map(|ip| Address::Ip((*ip, port).into())).collect())
    }

    /// The answer that is there or awaited, else a place for a new one.
    fn asked(&self, query: &Query) -> Rc<Asked> {
        let now = Instant::now();
        let holds = |asked: &Asked| match asked.get() {
            None => true,
            Some(found) => found.as_ref().is_some_and(|found| now < found.until),
        };
        let mut names = self.names.borrow_mut();
        if let Some(asked) = names.get(query).filter(|asked| holds(asked)) {
            return Rc::clone(asked);
        }
        if names.len() >= MOST {
            names.retain(|_, asked| holds(asked));
        }
        if names.len() >= MOST {
            names.clear();
        }
        let asked = Rc::new(Asked::new());
        names.insert(query.clone(), Rc::clone(&asked));
        asked
    }

    /// This worker's side of backends at these addresses, which are written like this, with the
    /// settings of `of`.
    pub(super) fn local(
        &self,
        worker: &Worker,
        of: &Arc<Upstream>,
        authority: &str,
        addresses: Vec<Address>,
    ) -> Rc<Local> {
        let mut known = self.known.borrow_mut();
        let key = (of.id, authority.to_owned());
        if let Some(place) = known.get(&key)
            && Arc::ptr_eq(&place.of, of)
            && place.addresses == addresses
        {
            return Rc::clone(&place.local);
        }
        let before = known.remove(&key);
        if known.len() >= MOST {
            known.drain().for_each(|(_, place)| place.close());
        }
        let upstream = Arc::new(of.at(&addresses, authority, &worker.series_of_found(of)));
        let mut rng = worker.rng.borrow_mut();
        let local = Local::found(upstream, worker.ix, &mut rng, |address| {
            let before = before.as_ref().filter(|before| before.of.pool == of.pool)?;
            let place = before.local.upstream.backends.iter().position(|b| b.address == *address);
            place.map(|place| Rc::clone(&before.local.pools[place]))
        });
        let local = Rc::new(local);
        let place = Place { of: Arc::clone(of), addresses, local: Rc::clone(&local) };
        known.insert(key, place);
        local
    }

    /// Closes connections that are too old, and forgets places without any.
    pub(super) fn prune(&self, now: Instant) {
        self.known.borrow_mut().retain(|_, place| {
            let pools = &place.local.pools;
            pools.iter().for_each(|pool| pool.prune(&place.of.pool, now));
            Rc::strong_count(&place.local) > 1
                || pools.iter().any(|pool| pool.len() > 0 || pool.has_shared())
        });
    }
}

impl Place {
    fn close(&self) {
        self.local.pools.iter().for_each(|pool| pool.close());
    }
}

impl Worker {
    /// The series of all backends that requests name by way of an upstream.
    fn series_of_found(&self, of: &Upstream) -> Arc<BackendSeries> {
        self.registry.backend(&of.name, "*")
    }
}

impl Local {
    /// For backends that a request names; `pool` has the connections that are kept already.
    fn found(
        upstream: Arc<Upstream>,
        worker: WorkerIx,
        rng: &mut Rng,
        pool: impl Fn(&Address) -> Option<Rc<Pool>>,
    ) -> Self {
        let cursors = RefCell::new(upstream.cursors(worker, rng.next_u64()));
        let pools =
            upstream.backends.iter().map(|one| pool(&one.address).unwrap_or_else(|| Pool::of(one)));
        let budget = budget(&upstream, worker);
        let (pools, asked_to_wait) = (pools.collect(), Cell::default());
        Self { pools, cursors, budget, hedges: None, asked_to_wait, upstream }
    }
}

//! Clients that are bound to backends: who a value stands for, and what a cookie says.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use ahash::{AHashMap, RandomState};
use md5::{Digest, Md5};

use crate::balance::{Pick, Sessions};
use crate::model::{
    AdminState, BackendId, BackendIx, BackendState, PassiveState, ProbedState, Tick,
};
use crate::snapshot::settings::{CookieSecret, StickyBy, StickyLearn};
use crate::snapshot::{Backend, Cursors, Upstream};
use crate::tls::keyed_hash;

/// What binds the clients of an upstream.
#[derive(Debug)]
pub struct Sticky {
    /// Where the value comes from.
    pub by: StickyBy,
    /// Whom each value stands for: several, if they have a route in common.
    bound: AHashMap<Box<[u8]>, Vec<BackendIx>>,
    /// Each backend's value.
    values: Box<[Box<str>]>,
    /// The sessions that were learnt, if they are what binds clients.
    learnt: Option<Arc<Learnt>>,
}

/// Sessions that were learnt; they live on from snapshot to snapshot.
pub struct Learnt {
    sessions: Sessions,
    most: usize,
    /// Hashes what names them, with a secret seed.
    hasher: RandomState,
}

impl fmt::Debug for Learnt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The seed stays secret.
        f.debug_struct("Learnt").field("most", &self.most).finish_non_exhaustive()
    }
}

impl Learnt {
    /// The backend of the session of that name.
    pub fn find(&self, name: &[u8], now: Tick, learn: &StickyLearn) -> Option<BackendId> {
        self.sessions.find(self.hasher.hash_one(name), now, learn.timeout)
    }

    /// The same, without that counting as a use.
    pub fn peek(&self, name: &[u8], now: Tick, learn: &StickyLearn) -> Option<BackendId> {
        self.sessions.peek(self.hasher.hash_one(name), now, learn.timeout)
    }

    /// Binds the session of that name to a backend.
    pub fn bind(&self, name: &[u8], backend: BackendId, now: Tick) {
        self.sessions.bind(self.hasher.hash_one(name), backend, now);
    }
}

impl Sticky {
    /// For these backends, of which each has a route or none; sessions that were learnt `before` are
    /// still known.
    pub(super) fn new<'r>(
        (by, before): (&StickyBy, Option<&Self>),
        backends: &[Arc<Backend>],
        routes: impl Iterator<Item = Option<&'r str>>,
    ) -> Self {
        let secret = if let StickyBy::Cookie(cookie) = by { cookie.secret.as_ref() } else { None };
        let values: Box<[Box<str>]> = backends
            .iter()
            .zip(routes)
            .map(|(backend, route)| match (by, secret, route) {
                (StickyBy::Learn(_), ..) => backend.id.0.to_string().into(),
                (_, Some(secret), route) => signed(secret, route.unwrap_or(&backend.label)),
                (_, None, Some(route)) => route.into(),
                (_, None, None) => fingerprint(backend),
            })
            .collect();
        let mut bound: AHashMap<Box<[u8]>, Vec<BackendIx>> = AHashMap::new();
        for (ix, value) in (0..).zip(&values) {
            bound.entry(value.as_bytes().into()).or_default().push(BackendIx(ix));
        }
        let before = before.and_then(|before| before.learnt.as_ref());
        let learnt = match by {
            StickyBy::Learn(StickyLearn { max_sessions: most, .. }) => {
                let before = before.filter(|before| before.most == *most);
                Some(before.cloned().unwrap_or_else(|| {
                    let (sessions, hasher) = (Sessions::new(*most), RandomState::new());
                    Arc::new(Learnt { sessions, most: *most, hasher })
                }))
            }
            StickyBy::Cookie(_) | StickyBy::Route(_) => None,
        };
        Self { by: by.clone(), bound, values, learnt }
    }

    /// The sessions that were learnt.
    pub fn learnt(&self) -> Option<&Learnt> {
        self.learnt.as_deref()
    }

    /// The value that stands for a backend.
    pub fn value(&self, ix: BackendIx) -> &str {
        &self.values[ix.index()]
    }
}

/// The MD5 of the address, in hexadecimal digits: nginx's name for a server without a route.
fn fingerprint(backend: &Backend) -> Box<str> {
    digits(&Md5::digest(backend.address.to_string()))
}

/// What only who has the secret can make of a backend's name: 128 bits are more than can be guessed.
fn signed(secret: &CookieSecret, name: &str) -> Box<str> {
    digits(&keyed_hash(&secret.0, name.as_bytes())[..16])
}

fn digits(bytes: &[u8]) -> Box<str> {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.into()
}

impl Upstream {
    /// The backend that a value stands for, if it can serve now; it counts as a turn of its own.
    ///
    /// One that is draining serves those who are bound to it. A later tier does only when it is in turn; one
    /// that drains as a whole, and so is not, goes on for those who are bound unless a tier before it serves.
    /// Nobody does while a circuit breaker is not closed.
    pub fn pick_bound(
        &self,
        value: &[u8],
        cursors: &mut Cursors,
        pick: &mut Pick<'_>,
    ) -> Option<BackendIx> {
        let bound = self.sticky.as_ref()?.bound.get(value)?;
        bound.iter().copied().find(|ix| {
            let backend = &self.backends[ix.index()];
            let tier = usize::from(backend.tier);
            let in_turn = |tier| self.tiers.is_in_turn(tier);
            let drains = finishes(backend.state);
            let goes_on = drains && !self.course.strict && !(0..tier).any(in_turn);
            if self.course.barrier.is_some() || !(in_turn(tier) || goes_on) {
                return false;
            }
            let (plan, cursor) = self.tiers.at(tier, cursors);
            let may_serve = self.eligible[ix.index()] || drains;
            let found = may_serve && plan.has_room(*ix, pick);
            if found {
                plan.note_bound(*ix, cursor, pick);
            }
            found
        })
    }
}

/// Whether a backend gets no new clients, but is well.
fn finishes(state: BackendState) -> bool {
    use ProbedState::{Degraded, Draining, Unprobed, Up};
    let well = matches!(
        (state.admin, state.probed),
        (AdminState::Draining, Unprobed | Up | Degraded)
            | (AdminState::Enabled | AdminState::Draining, Draining)
    );
    well && state.passive == PassiveState::Ok
}

//! How many keys go elsewhere when an upstream changes that picks by a hash: found out by picking.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use crate::balance::{Key, Need, Pick, Rng, Strategy, Tried};
use crate::config::model::{Config, Upstream};
use crate::model::{BackendState, ProbedState, Tick, UpstreamIx, WorkerIx};
use crate::snapshot::Snapshot;
use crate::snapshot::build::Offline;

/// Keys that are tried: the share is right to a hundredth or so.
const KEYS: u32 = 10_000;

/// The same keys every time.
const SEED: u64 = 0x706c_696d;

/// The part of the keys that `two` sends to another backend than `one`; `None`: one of them knows no keys.
pub(super) fn moved(like: &Config, one: &Upstream, two: &Upstream) -> Option<f64> {
    let (was, is) = (one.strategy.needs(), two.strategy.needs());
    if was == Need::Nothing || is == Need::Nothing {
        return None;
    }
    let same_key = was == is && (is == Need::ClientAddress || one.key == two.key);
    if !same_key {
        return Some(1.0);
    }
    let (before, after) = (picks(like, one), picks(like, two));
    let moved = before.iter().zip(&after).filter(|(was, is)| was != is).count();
    Some(moved as f64 / f64::from(KEYS))
}

/// The backends that the keys go to while all of them work.
fn picks(like: &Config, upstream: &Upstream) -> Vec<Option<String>> {
    let config = alone(like, upstream);
    let working = BackendState { probed: ProbedState::Up, ..BackendState::default() };
    let world = Offline::new(&config).build(&|_| Some(working));
    let mut rng = Rng::new(SEED);
    (0..KEYS).map(|_| pick(&world, upstream.strategy, rng.next_u64())).collect()
}

fn pick(world: &Snapshot, strategy: Strategy, number: u64) -> Option<String> {
    let upstream = world.upstream(UpstreamIx(0));
    let mut cursors = upstream.cursors(WorkerIx(0), 0);
    let bytes = number.to_be_bytes();
    let key = match strategy.needs() {
        Need::ClientAddress => Key::Address(IpAddr::V4(Ipv4Addr::from(number as u32))),
        _ => Key::Bytes(&bytes),
    };
    let (tried, mut rng) = (Tried::new(), Rng::new(SEED));
    let live = &upstream.live;
    let mut pick = Pick { key, live, tried: &tried, now: Tick(0), rng: &mut rng };
    let ix = upstream.preview(&mut cursors, &mut pick)?;
    Some(upstream.backends[ix.index()].label.clone())
}

/// A configuration with nothing but this upstream. Failures are not counted in it, for nobody has any.
fn alone(like: &Config, upstream: &Upstream) -> Config {
    let mut upstream = upstream.clone();
    upstream.nginx.failures = false;
    (upstream.tls, upstream.sticky) = (None, None);
    Config {
        process: like.process.clone(),
        admin: None,
        acme: None,
        listeners: Vec::new(),
        routes: Vec::new(),
        upstreams: BTreeMap::from([(upstream.name.clone(), upstream)]),
        asked: like.asked,
        limits: Vec::new(),
        tracing: None,
        files: Vec::new(),
    }
}

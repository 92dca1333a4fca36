//! Who may be picked → the plans by which backends are picked, tier by tier.

use std::sync::Arc;

use crate::balance::{Candidate, Eligibility, Plan, Settings, Strategy, Tiers};
use crate::config::model as config;
use crate::model::{Address, BackendIx, ProbedState, Share, Weight};
use crate::snapshot::{Backend, Upstream};

/// The plans of all tiers.
pub(super) fn plans(
    source: &config::Upstream,
    backends: &[Arc<Backend>],
    (eligible, shares): (&[bool], Option<&[u32]>),
    before: Option<&Arc<Upstream>>,
) -> Tiers {
    let last = backends.iter().map(|backend| backend.tier).max().unwrap_or(0);
    let plan = |tier: u8| {
        let before = before.map(|before| before.plans().plan(usize::from(tier)));
        plan(source, backends, eligible, tier, before)
    };
    Tiers::new(plan(0), (1..=last).map(plan).collect(), shares)
}

/// The plans of all that may be picked, the degraded beside the others and the unproven behind them.
pub(super) fn open(
    judged: &Eligibility,
    backends: &[Arc<Backend>],
    shares: Option<&[u32]>,
    plans: impl Fn(&[bool], Option<&[u32]>) -> Tiers,
) -> Tiers {
    let tiers = match judged.degraded {
        0 => plans(&judged.eligible, shares),
        share => {
            let [well, sick] = [false, true].map(|degraded| part(backends, judged, degraded));
            plans(&well, shares).with_beside(plans(&sick, None), share)
        }
    };
    if judged.unproven.contains(&true) {
        tiers.with_last(plans(&judged.unproven, None))
    } else {
        tiers
    }
}

/// Those of the eligible that are degraded, or are not.
fn part(backends: &[Arc<Backend>], judged: &Eligibility, degraded: bool) -> Vec<bool> {
    let is_part = |(backend, eligible): (&Arc<Backend>, &bool)| {
        *eligible && (backend.state.probed == ProbedState::Degraded) == degraded
    };
    backends.iter().zip(&judged.eligible).map(is_part).collect()
}

/// Whether failures are counted as in nginx, which does not count those of a single server.
pub(super) fn tallies(source: &config::Upstream, backends: &[Arc<Backend>]) -> bool {
    source.nginx.failures && backends.len() > 1
}

fn plan(
    source: &config::Upstream,
    backends: &[Arc<Backend>],
    eligible: &[bool],
    tier: u8,
    before: Option<&Plan>,
) -> Plan {
    let settings = Settings {
        strategy: source.strategy,
        choices: source.choices,
        by_time: source.by_time,
        bounded_load: source.bounded_load,
        second_of_equals: source.nginx.turns,
        table_size: source.table_size,
        hot_quantile: source.hot_quantile,
    };
    let tallies = tallies(source, backends);
    let scale = scale(source, backends);
    let candidates: Vec<_> = (0..)
        .zip(backends)
        .zip(eligible)
        .filter(|((_, backend), _)| backend.tier == tier)
        .map(|((ix, backend), eligible)| Candidate {
            ix: BackendIx(ix),
            id: backend.id,
            label: place(source.strategy, backend),
            weight: scale.map_or(backend.weight, |scale| in_effect(backend, scale)),
            eligible: *eligible,
            max_connections: backend.max_connections,
            failures: tallies.then_some(backend.limits),
        })
        .collect();
    match before {
        // What does not depend on health, above all a ring, is taken over.
        Some(before) => before.rebuild(&settings, &candidates),
        None => Plan::build(&settings, &candidates),
    }
}

/// By how much all weights are multiplied, so that parts of them are whole numbers; `None`: all of them are
/// in effect. A twentieth is fine enough, and keeps tables short.
fn scale(source: &config::Upstream, backends: &[Arc<Backend>]) -> Option<u32> {
    const FINEST: u32 = 20;
    let parted = |backend: &Arc<Backend>| backend.state.share != Share::WHOLE;
    if !source.strategy.takes_shares() || !backends.iter().any(parted) {
        return None;
    }
    let largest = backends.iter().map(|backend| backend.weight.value()).max()?;
    Some((Weight::MAX / largest).clamp(1, FINEST))
}

/// The weight of a backend in effect, when all are multiplied by `scale`.
fn in_effect(backend: &Backend, scale: u32) -> Weight {
    let part = u64::from(backend.weight.value() * scale) * u64::from(backend.state.share.value());
    Weight::try_from((part / 100).max(1) as i64).unwrap_or(backend.weight)
}

/// The text by which a backend has its place in a table. Of a ring, which is nginx's, it is the address as it
/// is written: a name keeps its place whatever it resolves to, and its addresses share it. Elsewhere each has
/// its own.
fn place(strategy: Strategy, backend: &Backend) -> &str {
    match (strategy, &backend.address) {
        (Strategy::ConsistentHash, Address::Ip(_)) => &backend.authority,
        _ => &backend.label,
    }
}

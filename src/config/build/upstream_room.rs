//! What backends are good for: said of all or of nobody, and whether a tier may be lost.

use super::{Build, Named};
use crate::config::model::{Backend, FailoverStrategy, Upstream};

/// Looks at what is said of each upstream, once it is known of which tier each backend is.
pub(super) fn check(b: &mut Build<'_>, upstreams: &[Named<'_>]) {
    for named in upstreams {
        let (upstream, place) = (&named.model, named.key.place);
        let told = upstream.backends.iter().filter(|one| one.capacity.is_some()).count();
        let Some(failover) = &upstream.failover else {
            if told > 0 {
                let message =
                    format!("`capacity` in `{}` has no effect without `failover`", upstream.name);
                b.warning(place, message, "write `failover`, or `max_connections` of the backends");
            }
            continue;
        };
        if told > 0 && told < upstream.backends.len() {
            let message = format!(
                "`capacity` is written for {told} of the {} backends of `{}`",
                upstream.backends.len(),
                upstream.name
            );
            b.error(place, message, "write it for all of them, or for none");
            continue;
        }
        let Some(load) = upstream.load else { continue };
        if told == 0 {
            let message =
                format!("nobody knows what the backends of `{}` are good for", upstream.name);
            b.warning(place, message, "write `capacity` for each, or leave `load` out");
            continue;
        }
        for (without, room) in losses(upstream, failover.strategy) {
            if room < u64::from(load) {
                let message = format!(
                    "{without}, the backends of `{}` that serve are good for {room} of the {load} requests \
                     in a second that `load` expects",
                    upstream.name
                );
                b.warning(place, message, "the rest would be answered with 503: add backends");
            }
        }
    }
}

/// What may be lost, in words, and what those are good for that would serve then.
fn losses(upstream: &Upstream, strategy: FailoverStrategy) -> Vec<(String, u64)> {
    let tier = |one: &Backend| one.tier.unwrap_or(0);
    let capacity = |one: &Backend| u64::from(one.capacity.unwrap_or(0));
    let sum = |counts: &dyn Fn(&Backend) -> bool| -> u64 {
        upstream.backends.iter().filter(|one| counts(one)).map(capacity).sum()
    };
    let mut tiers: Vec<_> = upstream.backends.iter().map(tier).collect();
    tiers.sort_unstable();
    tiers.dedup();
    if tiers.len() < 2 {
        let most = upstream.backends.iter().map(capacity).max().unwrap_or(0);
        return vec![("without the largest one".to_owned(), sum(&|_| true) - most)];
    }
    tiers
        .iter()
        .filter_map(|lost| {
            let without = format!("without tier {lost}");
            match strategy {
                FailoverStrategy::ActiveActive | FailoverStrategy::MultiActive => {
                    Some((without, sum(&|one| tier(one) != *lost)))
                }
                // One tier serves alone: the next one takes over.
                FailoverStrategy::ActivePassive | FailoverStrategy::Manual => {
                    let next = tiers.iter().find(|tier| *tier > lost)?;
                    Some((without, sum(&|one| tier(one) == *next)))
                }
            }
        })
        .collect()
}

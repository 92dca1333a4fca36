//! The limits' part of a snapshot. What was counted by the same key goes on to count.

use std::sync::Arc;

use ahash::{AHashMap, RandomState};

use crate::config::model as config;
use crate::limit::{Counts, Rate, Rates};
use crate::snapshot::limit::Tallies;
use crate::snapshot::{Limit, LimitUse, Snapshot};
use crate::telemetry::Registry;

/// The limits by name, with their sections.
pub(super) type Limits<'c> = AHashMap<&'c str, (&'c config::Limit, Arc<Limit>)>;

/// Builds every limit.
pub(super) fn limits<'c>(
    config: &'c config::Config,
    previous: Option<&Snapshot>,
    registry: &Registry,
) -> Limits<'c> {
    let uses = || config.routes.iter().flat_map(|route| &route.limits);
    let build = |section: &'c config::Limit| {
        let mut used = uses().filter(|one| one.name == section.name);
        let counted = used.any(|one| one.own.over(&section.terms).concurrency.is_some());
        let before = previous.and_then(|snapshot| {
            snapshot.limits.iter().find(|one| {
                one.name == section.name
                    && one.key == section.key
                    && one.max_keys == section.max_keys
            })
        });
        let before = before.map(|limit| &limit.tallies);
        let rates = before.and_then(|tallies| tallies.rates.clone());
        let counts = before.and_then(|tallies| tallies.counts.clone());
        let keys = section.max_keys;
        let limit = Arc::new(Limit {
            name: section.name.clone(),
            key: section.key.clone(),
            max_keys: keys,
            tallies: Tallies {
                rates: section.rate.map(|_| rates.unwrap_or_else(|| Arc::new(Rates::new(keys)))),
                counts: counted.then(|| counts.unwrap_or_else(|| Arc::new(Counts::new(keys)))),
                hasher: before.map_or_else(RandomState::new, |before| before.hasher.clone()),
            },
            series: registry.limit(&section.name),
        });
        (section.name.as_str(), (section, limit))
    };
    config.limits.iter().map(build).collect()
}

/// The limits of a route; `None` if it has none.
pub(super) fn uses(route: &config::Route, limits: &Limits<'_>) -> Option<Box<[LimitUse]>> {
    let one = |one: &config::LimitUse| {
        // The configuration is checked: every name is a limit's.
        let (section, limit) = &limits[one.name.as_str()];
        let terms = one.own.over(&section.terms);
        LimitUse {
            limit: Arc::clone(limit),
            rate: section.rate.map(|per_second| Rate {
                per_second,
                burst: terms.burst,
                undelayed: terms.undelayed.unwrap_or(terms.burst),
            }),
            concurrency: terms.concurrency,
            status: terms.status,
            dry_run: terms.dry_run,
            log_level: terms.log_level,
        }
    };
    let uses: Box<[_]> = route.limits.iter().map(one).collect();
    (!uses.is_empty()).then_some(uses)
}

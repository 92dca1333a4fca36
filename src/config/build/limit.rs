//! Limits, and the limits of routes.

use ahash::{AHashMap, AHashSet};

use super::template::template;
use super::{Build, Sourced, field};
use crate::config::model::{Limit, LimitLog, LimitTerms, LimitUse, OwnTerms, Route};
use crate::config::nearest::did_you_mean;
use crate::config::tree::{Item, Key, Table};

/// A limit with its name's place.
pub(super) struct NamedLimit<'t> {
    key: &'t Key,
    model: Limit,
}

/// All limits of these files.
pub(super) fn limits<'t>(b: &mut Build<'_>, parts: &'t [Table]) -> Vec<NamedLimit<'t>> {
    let tables = parts.iter().flat_map(|part| part.map("limit"));
    tables
        .filter_map(|(key, item)| Some(NamedLimit { key, model: limit(b, key, item.table()?) }))
        .collect()
}

fn limit(b: &mut Build<'_>, key: &Key, table: &Table) -> Limit {
    Limit {
        name: field::name(b, key.place, &key.name),
        key: template(b, table.place_of("key"), table.text("key")),
        rate: table.written("rate").and_then(|(_, item)| rate(b, item)),
        terms: LimitTerms {
            burst: table.integer("burst").unwrap_or_default(),
            undelayed: table.integer("undelayed"),
            concurrency: table.integer("concurrency"),
            status: table.integer("status").unwrap_or(429),
            dry_run: table.bool("dry_run"),
            log_level: level(table.text("log_level")),
        },
        max_keys: table.integer("max_keys").unwrap_or(65_536),
    }
}

/// `10/s` or `600/min`, in thousandths per second.
fn rate(b: &mut Build<'_>, item: &Item) -> Option<u64> {
    let parsed = item.text().split_once('/').and_then(|(count, unit)| {
        let count = count.trim().parse::<u64>().ok()?;
        let thousandths = match unit.trim() {
            "s" => count.checked_mul(1000)?,
            "min" => count.checked_mul(1000)? / 60,
            _ => return None,
        };
        (1..=1_000_000_000).contains(&thousandths).then_some(thousandths)
    });
    if parsed.is_none() {
        let message = format!("`{}` is not a rate", item.text());
        b.error(item.place, message, "write it like `10/s` or `600/min`");
    }
    parsed
}

fn level(word: &str) -> LimitLog {
    match word {
        "debug" => LimitLog::Debug,
        "info" => LimitLog::Info,
        "warn" => LimitLog::Warn,
        "error" => LimitLog::Error,
        _ => LimitLog::Off,
    }
}

/// The limits of a route.
pub(super) fn uses(table: &Table) -> Vec<LimitUse> {
    let one = |item: &Item| match item.table() {
        None => LimitUse { name: item.text().to_owned(), own: OwnTerms::default() },
        Some(table) => LimitUse {
            name: table.text("name").to_owned(),
            own: OwnTerms {
                burst: table.integer("burst"),
                undelayed: table.integer("undelayed"),
                concurrency: table.integer("concurrency"),
                status: table.integer("status"),
                dry_run: table.written("dry_run").map(|_| table.bool("dry_run")),
                log_level: table.written("log_level").map(|(_, item)| level(item.text())),
            },
        },
    };
    table.list("limits").iter().map(one).collect()
}

/// Checks limits against the routes that use them; gives them by name.
pub(super) fn check(
    b: &mut Build<'_>,
    limits: Vec<NamedLimit<'_>>,
    routes: &[Sourced<'_, Route>],
) -> Vec<Limit> {
    let mut known: AHashMap<&str, &Limit> = AHashMap::new();
    for NamedLimit { key, model } in &limits {
        if known.insert(&model.name, model).is_some() {
            let message = format!("`{}` is the name of two limits", model.name);
            b.error(key.place, message, "choose another name");
        }
    }
    let mut used = AHashSet::new();
    for Sourced { model: route, table } in routes {
        for (one, item) in route.limits.iter().zip(table.list("limits")) {
            used.insert(&*one.name);
            let Some(limit) = known.get(&*one.name) else {
                let help = did_you_mean(&one.name, known.keys().copied());
                b.error(item.place, format!("unknown limit `{}`", one.name), help);
                continue;
            };
            let terms = one.own.over(&limit.terms);
            if limit.rate.is_none() && terms.concurrency.is_none() {
                let message = format!("limit `{}` limits nothing here", one.name);
                b.error(item.place, message, "give it a `rate` or a `concurrency`");
            }
        }
    }
    if !b.faults.any_error() {
        for NamedLimit { key, model } in
            limits.iter().filter(|one| !used.contains(&*one.model.name))
        {
            let message = format!("no route uses limit `{}`", model.name);
            b.warning(key.place, message, "name it in `limits` of a route, or remove it");
        }
    }
    limits.into_iter().map(|one| one.model).collect()
}

//! `access` of a route.

use super::Build;
use super::listener::network;
use crate::config::model::{Access, AccessRule, Who};
use crate::config::tree::{Item, Table};

/// Who may use a route.
pub(super) fn access(b: &mut Build<'_>, table: &Table) -> Option<Access> {
    let (_, item) = table.written("access")?;
    let mut rules = Vec::new();
    for one in table.tables("access") {
        match (one.written("allow"), one.written("deny")) {
            (Some((_, item)), None) => list(b, one.list("allow"), item, true, &mut rules),
            (None, Some((_, item))) => list(b, one.list("deny"), item, false, &mut rules),
            _ if one.mentions("allow") != one.mentions("deny") => {}
            _ => {
                let help = "write `{ allow = [\"10.0.0.0/8\"] }` or `{ deny = [\"all\"] }`";
                b.error(one.place, "a rule lets in or keeps out, one of the two", help);
            }
        }
    }
    if table.list("access").is_empty() {
        let help = "leave `access` out to let everybody in";
        b.error(item.place, "access has no rules", help);
    }
    if let Some(place) = rules.iter().position(|rule| rule.who == Who::All)
        && place + 1 < rules.len()
    {
        let help = "put the rule with `all` last";
        b.warning(item.place, "rules behind one for `all` are never looked at", help);
    }
    Some(Access(rules.into()))
}

/// Whom `auth` is not asked about, where one of the two is enough; whom else the rules speak of, it is.
pub(super) fn spared(
    b: &mut Build<'_>,
    table: &Table,
    access: &mut Option<Access>,
) -> Option<Access> {
    let (_, item) = table.written("access_or_auth").filter(|_| table.bool("access_or_auth"))?;
    if !table.mentions("access") || !table.mentions("auth") {
        let help = "write both, or leave it out";
        b.error(item.place, "`access_or_auth` is about a route that has `access` and `auth`", help);
    }
    access.take()
}

fn list(b: &mut Build<'_>, items: &[Item], whole: &Item, allow: bool, to: &mut Vec<AccessRule>) {
    if items.is_empty() {
        b.error(whole.place, "the rule names nobody", "name networks, or write `[\"all\"]`");
    }
    for item in items {
        let who = match item.text() {
            "all" => Some(Who::All),
            _ => network(b, item).map(Who::Network),
        };
        to.extend(who.map(|who| AccessRule { allow, who }));
    }
}

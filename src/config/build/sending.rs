//! `send` of a route.

use super::address::is_name;
use super::listener::network;
use super::template::template;
use super::{Build, field};
use crate::config::model::{Piece, Reach, Sending, Template, Towards};
use crate::config::tree::{Item, Table};

/// What is sent otherwise than it came.
pub(super) fn sending(b: &mut Build<'_>, route: &Table) -> Option<Box<Sending>> {
    let table = route.table("send")?;
    let to = table.table("to").and_then(|to| towards(b, to));
    if let (Some((at, _)), None) = (table.written("to"), route.written("upstream")) {
        let help = "write `upstream`, whose settings hold for what is sent there";
        b.error(at, "`send.to` needs the route's `upstream`", help);
    }
    for key in ["strip_prefix", "replace_prefix"] {
        if let (Some((at, _)), true) = (route.written(key), table.written("target").is_some()) {
            let help = format!("leave `{key}` out: `send.target` is the whole target");
            b.error(at, format!("`{key}` cannot stand beside `send.target`"), help);
        }
    }
    let target = table.written("target").map(|(_, item)| target(b, item));
    let method = table.written("method").map(|(_, item)| {
        let method = template(b, item.place, item.text());
        if !has_variables(&method) {
            field::method(b, item.place, item.text());
        }
        method
    });
    let body = table.written("body").map(|(_, item)| template(b, item.place, item.text()));
    Some(Box::new(Sending { to, method, target, body, headers: table.bool("headers") }))
}

fn has_variables(template: &Template) -> bool {
    template.0.iter().any(|piece| matches!(piece, Piece::Variable(_)))
}

fn target(b: &mut Build<'_>, item: &Item) -> Template {
    let text = item.text();
    if !text.starts_with(['/', '$']) {
        b.error(item.place, "a target must begin with `/`", "write it like `/search?q=${1}`");
    }
    template(b, item.place, text)
}

fn towards(b: &mut Build<'_>, table: &Table) -> Option<Towards> {
    let (_, item) = table.written("address")?;
    let address = template(b, item.place, item.text());
    if address.0.is_empty() {
        let help = "write it like `${header.x-tenant}.internal:8080`";
        b.error(item.place, "the text is empty, so that it leads nowhere", help);
    } else if !has_variables(&address) {
        let help = "write a backend with this address, or name the upstream";
        b.error(item.place, "the text is the same for every request", help);
    }
    let allow = table.list("allow").iter().filter_map(|item| reach(b, item)).collect();
    Some(Towards { address, allow })
}

fn reach(b: &mut Build<'_>, item: &Item) -> Option<Reach> {
    if let Some(path) = item.text().strip_prefix("unix:") {
        if !path.starts_with('/') {
            let help =
                "write it like `unix:/run/app.sock`, or `unix:/run/apps/` for all in a folder";
            b.error(item.place, format!("`{path}` is no whole path"), help);
        }
        return Some(Reach::Socket(path.to_owned()));
    }
    let name = item.text().to_ascii_lowercase();
    let bare = name.strip_prefix("*.").unwrap_or(&name);
    let is_number = |label: &str| !label.is_empty() && label.bytes().all(|c| c.is_ascii_digit());
    Some(match name.as_str() {
        "*" => Reach::EveryName,
        _ if name.contains(['/', ':']) || bare.rsplit('.').next().is_some_and(is_number) => {
            Reach::Network(network(b, item)?)
        }
        _ if !is_name(bare) => {
            let help = "write it like `10.0.0.0/8`, `api.internal`, `*.internal` or `*`";
            b.error(item.place, format!("`{}` is no host and no network", item.text()), help);
            return None;
        }
        _ if bare.len() < name.len() => Reach::Below(format!(".{bare}")),
        _ => Reach::Name(name),
    })
}

//! Process settings and the admin listener.

use super::Build;
use super::address::socket;
use crate::config::model::{AccessLog, AccessLogFormat, Admin, Log, LogFormat, Process};
use crate::config::tree::Table;

pub(super) fn process(b: &mut Build<'_>, root: &Table) -> Process {
    Process {
        workers: root.integer("workers"),
        drain_timeout: root.duration("drain_timeout").unwrap_or_default(),
        watch_interval: root.duration("watch_interval"),
        log: log(root.section("log")),
        access_log: access_log(b, root.section("access_log")),
    }
}

fn log(table: &Table) -> Log {
    Log {
        level: table.text("level").to_owned(),
        format: match table.text("format") {
            "json" => LogFormat::Json,
            _ => LogFormat::Text,
        },
    }
}

fn access_log(b: &mut Build<'_>, table: &Table) -> AccessLog {
    let format = match table.text("format") {
        "off" => AccessLogFormat::Off,
        "json" => AccessLogFormat::Json,
        _ => AccessLogFormat::Combined,
    };
    let path = table.written("path").map(|(_, item)| item);
    if let Some(item) = path.filter(|item| item.text().is_empty()) {
        b.error(item.place, "path is empty", "leave it out to write to standard output");
    }
    AccessLog { format, path: path.map(|item| item.text().into()) }
}

pub(super) fn admin(b: &mut Build<'_>, table: &Table) -> Admin {
    let place = table.place_of("address");
    let address = socket(b, table.item("address"));
    if !address.ip().is_loopback() && !table.bool("allow_public") {
        let message =
            format!("{address} can be reached by others, and nobody is asked who they are");
        b.error(place, message, "use `127.0.0.1` or `[::1]`, or set `allow_public = true`");
    }
    Admin { address }
}

//! Process settings.

use std::sync::Arc;

use super::template::template_at;
use super::upstream_policy::locality;
use super::{Build, field};
use crate::config::model::{
    AccessLog, AccessLogFormat, Log, LogEscape, LogFormat, LogLine, Process, Stage,
};
use crate::config::nearest::did_you_mean;
use crate::config::tree::Table;

pub(super) fn process(b: &mut Build<'_>, root: &Table) -> Process {
    let pid_file = root.written("pid_file").map(|(_, item)| item);
    if let Some(item) = pid_file.filter(|item| item.text().is_empty()) {
        b.error(item.place, "pid_file is empty", "leave it out to write none");
    }
    Process {
        workers: root.integer("workers"),
        drain_timeout: root.duration("drain_timeout").unwrap_or_default(),
        upgrade_timeout: root.duration("upgrade_timeout").unwrap_or_default(),
        pid_file: pid_file.map(|item| item.text().into()),
        watch_interval: root.duration("watch_interval"),
        max_connections: root.integer("max_connections").unwrap_or_default(),
        node: locality(b, root, "node"),
        memory_limit: root.size("memory_limit"),
        zone: locality(b, root, "zone"),
        region: locality(b, root, "region"),
        log: log(root.section("log")),
        access_log: access_log(b, root.section("access_log")),
        access_logs: b.logs.values().cloned().collect(),
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

/// Reads the logs that routes may name.
pub(super) fn define_logs(b: &mut Build<'_>, root: &Table) {
    for (key, item) in root.map("access_logs") {
        let Some(table) = item.table() else { continue };
        let name = field::name(b, key.place, &key.name);
        let log = access_log(b, table);
        if log.path.is_none() {
            let help = "name a file; `[access_log]` is the one that may go to standard output";
            b.error(key.place, "this access log has no `path`", help);
        }
        b.logs.insert(name, Arc::new(log));
    }
}

/// The logs that a route names.
pub(super) fn logs_of(b: &mut Build<'_>, route: &Table) -> Vec<Arc<AccessLog>> {
    let mut logs = Vec::new();
    for item in route.list("access_logs") {
        if let Some(log) = b.logs.get(item.text()) {
            logs.push(Arc::clone(log));
        } else {
            let help = did_you_mean(item.text(), b.logs.keys().map(String::as_str));
            b.error(item.place, format!("there is no access log `{}`", item.text()), help);
        }
    }
    logs
}

fn access_log(b: &mut Build<'_>, table: &Table) -> AccessLog {
    let format = match table.text("format") {
        "off" => AccessLogFormat::Off,
        "json" => AccessLogFormat::Json,
        "template" => line(b, table),
        _ => AccessLogFormat::Combined,
    };
    if let (Some((at, _)), false) =
        (table.written("template"), matches!(format, AccessLogFormat::Template(_)))
    {
        b.error(at, "`template` has no effect in this format", "set `format = \"template\"`");
    }
    let when = table.written("when").map(|(_, item)| item);
    let when = when.map(|item| template_at(b, item.place, item.text(), Stage::End));
    let path = table.written("path").map(|(_, item)| item);
    if let Some(item) = path.filter(|item| item.text().is_empty()) {
        b.error(item.place, "path is empty", "leave it out to write to standard output");
    }
    AccessLog { format, path: path.map(|item| item.text().into()), when }
}

fn line(b: &mut Build<'_>, table: &Table) -> AccessLogFormat {
    let (at, text) = (table.place_of("template"), table.text("template"));
    if text.is_empty() {
        let help = "for example `template = \"${client_ip} ${status}\"`";
        b.error(at, "the format `template` needs a `template`", help);
    }
    let template = template_at(b, at, text, Stage::End);
    let escape = match table.text("escape") {
        "json" => LogEscape::Json,
        "none" => LogEscape::None,
        _ => LogEscape::Default,
    };
    AccessLogFormat::Template(Arc::new(LogLine { template, escape }))
}

//! The draft → TOML as a person would write it: in order, without what goes without saying, with
//! comments that name the lines it comes from.

use std::fmt::Write as _;

use super::draft::Draft;
use super::listeners::usual_body_limit;
use super::process::AccessLog;
use super::write_route::common_pages;
use crate::config::{Faults, Place, show_duration};

/// Names of places: the file below the main file's folder, and the line.
pub(super) struct Places<'f> {
    pub faults: &'f Faults,
    pub folder: String,
}

impl Places<'_> {
    /// `sites/app.conf:12`
    pub(super) fn name(&self, at: Place) -> String {
        let (file, line, _) = self.faults.position(at);
        let file = file.strip_prefix(&self.folder).unwrap_or(file).trim_start_matches('/');
        format!("{file}:{line}")
    }
}

/// A text as TOML: in '…' where backslashes would have to be doubled.
pub(super) fn quote(text: &str) -> String {
    let literal = !text.contains(['\'', '\u{7f}']) && !text.chars().any(char::is_control);
    if text.contains(['\\', '"']) && literal {
        return format!("'{text}'");
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A list of texts as TOML.
pub(super) fn quoted_list(texts: &[String]) -> String {
    format!("[{}]", texts.iter().map(|text| quote(text)).collect::<Vec<_>>().join(", "))
}

/// A key as TOML: bare where that is possible.
pub(super) fn key(text: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !text.is_empty() && text.chars().all(bare) { text.to_owned() } else { quote(text) }
}

/// Writes the file.
pub(super) fn write(draft: &Draft, main: &str, places: &Places<'_>) -> String {
    let mut out = Writer { text: String::new(), places };
    let main = if main == "-" { "standard input" } else { main };
    out.line(&format!("# Imported from {main} by `plimsoll import-nginx`."));
    out.line("# Comments name the lines that settings come from; what nginx has by default is written out");
    out.line("# where Plimsoll's own default is another.");
    out.process(draft);
    for variable in &draft.variables {
        out.section(&format!("[variable.{}]", key(&variable.name)), variable.at);
        for (name, value) in &variable.lines {
            out.setting(name, value);
        }
    }
    let body_limit = usual_body_limit(&draft.routes);
    let common = common_pages(&draft.routes);
    for listener in &draft.listeners {
        out.section("[[listener]]", listener.at);
        out.setting("address", &quote(&listener.address));
        for (name, value) in &listener.settings {
            out.setting(name, value);
        }
        let passes = listener.settings.iter().any(|(name, _)| *name == "mode");
        if let Some(pages) = common.as_ref().filter(|_| !passes) {
            out.setting("error_pages", pages);
        }
    }
    for route in &draft.routes {
        out.route(route, draft, body_limit, common.as_ref());
    }
    for upstream in draft.upstreams.iter().filter(|one| one.used) {
        out.upstream(upstream);
    }
    for limit in &draft.limits {
        out.section(&format!("[limit.{}]", key(&limit.name)), limit.at);
        for (name, value) in &limit.settings {
            out.setting(name, value);
        }
    }
    out.text
}

/// The file as far as it is written.
pub(super) struct Writer<'w> {
    text: String,
    places: &'w Places<'w>,
}

impl Writer<'_> {
    pub(super) fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    pub(super) fn setting(&mut self, name: &str, value: &str) {
        self.line(&format!("{name} = {value}"));
    }

    /// The same with the line it comes from.
    fn setting_at(&mut self, name: &str, value: &str, at: Place) {
        let place = self.places.name(at);
        self.line(&format!("{name} = {value} # {place}"));
    }

    pub(super) fn section(&mut self, head: &str, at: Place) {
        let place = self.places.name(at);
        self.line("");
        self.line(&format!("{head} # {place}"));
    }

    fn access_log(&mut self, head: &str, log: &AccessLog) {
        self.section(head, log.at);
        if log.format != "combined" {
            self.setting("format", &quote(log.format));
        }
        if let Some(form) = &log.form {
            self.setting("template", &quote(&form.template));
            if form.escape != "default" {
                self.setting("escape", &quote(form.escape));
            }
        }
        if let Some(when) = &log.when {
            self.setting("when", &quote(when));
        }
        if let Some(path) = &log.path {
            self.setting("path", &quote(path));
        }
    }

    fn process(&mut self, draft: &Draft) {
        let process = &draft.process;
        self.line("");
        match (process.workers, process.workers_at) {
            (Some(count), Some(at)) => self.setting_at("workers", &count.to_string(), at),
            (Some(count), None) => {
                self.line(&format!("workers = {count} # nginx without worker_processes"));
            }
            (None, _) => self.line("# workers: one per core"),
        }
        if let Some((time, at)) = process.drain {
            self.setting_at("drain_timeout", &quote(&show_duration(time)), at);
        }
        // `info` is the default.
        if let Some((level, at)) = process.log.filter(|(level, _)| *level != "info") {
            self.section("[log]", at);
            self.setting("level", &quote(level));
        }
        if let Some(log) = &process.access_log
            && (log.format != "combined" || log.path.is_some() || log.when.is_some())
        {
            self.access_log("[access_log]", log);
        }
        let used =
            |log: &&AccessLog| draft.routes.iter().any(|route| route.logs.contains(&log.name));
        for log in process.named_logs.iter().filter(used) {
            self.access_log(&format!("[access_logs.{}]", key(&log.name)), log);
        }
        self.line("");
        self.line("# Metrics and status, for this machine only:");
        self.line("# [admin]");
        self.line("# address = \"127.0.0.1:9901\"");
    }
}

//! Settings of the process as a whole.

use std::collections::BTreeMap;
use std::time::Duration;

use super::findings::Findings;
use super::made::MadeVariables;
use super::tree::Directive;
use super::units;
use super::variables::{Part, Scope, parts};
use crate::config::Stage;

/// What the imported file says of the process.
#[derive(Debug, Default)]
pub(super) struct Process {
    /// `None`: as many as there are cores.
    pub workers: Option<u16>,
    /// Where the number of workers was written.
    pub workers_at: Option<crate::config::Place>,
    pub drain: Option<(Duration, crate::config::Place)>,
    /// How much is told of the program itself.
    pub log: Option<(&'static str, crate::config::Place)>,
    pub access_log: Option<AccessLog>,
    /// Other logs, by name.
    pub named_logs: Vec<AccessLog>,
    /// The log of each `access_log`, by its number: a name, or the usual one.
    pub log_of: BTreeMap<usize, Option<String>>,
    /// Variables that the file makes.
    pub made: MadeVariables,
    /// Forms of lines, by name.
    pub formats: BTreeMap<String, Form>,
}

/// A `log_format`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Form {
    /// The line as a template of Plimsoll's.
    pub template: String,
    pub escape: &'static str,
}

/// An access log.
#[derive(Debug)]
pub(super) struct AccessLog {
    /// Empty of the usual one.
    pub name: String,
    pub format: &'static str,
    pub path: Option<String>,
    pub form: Option<Form>,
    /// Only what this is neither empty nor 0 for is logged.
    pub when: Option<String>,
    pub at: crate::config::Place,
}

pub(super) fn worker_processes(p: &mut Process, d: &Directive, f: &mut Findings<'_>) {
    p.workers_at = Some(d.name.place);
    if d.arg(0) == "auto" {
        p.workers = None;
        f.carried(d);
    } else if let Ok(count @ 1..=1024) = d.arg(0).parse() {
        p.workers = Some(count);
        f.carried(d);
    } else {
        f.missing(d, "this is no number from 1 to 1024", "use `auto`");
    }
}

pub(super) fn worker_shutdown_timeout(p: &mut Process, d: &Directive, f: &mut Findings<'_>) {
    let most = Duration::from_hours(24);
    match units::time(d.arg(0)) {
        Some(time) => {
            f.carried(d);
            if time > most {
                f.differs(d, "the longest `drain_timeout` is a day");
            }
            p.drain = Some((time.min(most), d.name.place));
        }
        None => f.missing(d, "this is no time", "write it like `30s`"),
    }
}

/// Takes in an `error_log`: the first says how much is told. What nginx tells as an error of a server,
/// say, is a warning here.
pub(super) fn error_log(p: &mut Process, d: &Directive, f: &mut Findings<'_>) {
    f.differs(d, "the program log goes to standard error");
    let level = match d.args.last().filter(|_| d.args.len() > 1).map_or("error", |arg| &*arg.text) {
        "debug" => "debug",
        "info" | "notice" => "info",
        "warn" | "error" => "warn",
        "crit" | "alert" | "emerg" => "error",
        other => return f.missing(d, &format!("`{other}` is no level"), "correct it"),
    };
    if p.log.is_some_and(|(first, _)| first != level) {
        f.differs(d, "of several levels the first one counts");
    }
    p.log.get_or_insert((level, d.name.place));
}

/// Takes in an `access_log`: the first is the usual one, others have names.
pub(super) fn access_log(p: &mut Process, d: &Directive, f: &mut Findings<'_>) {
    if d.arg(0) == "off" {
        f.carried(d);
        let (at, format) = (d.name.place, "off");
        let off = AccessLog { name: String::new(), format, path: None, form: None, when: None, at };
        p.access_log.get_or_insert(off);
        return;
    }
    let log = read(p, d, f);
    let Some(usual) = p.access_log.as_ref().filter(|usual| usual.format != "off") else {
        p.access_log = Some(log);
        p.log_of.insert(d.id, None);
        return;
    };
    if usual.is_same(&log) {
        p.log_of.insert(d.id, None);
    } else if log.path.is_none() {
        f.differs(d, "its lines go to the usual access log");
        p.log_of.insert(d.id, None);
    } else if let Some(known) = p.named_logs.iter().find(|known| known.is_same(&log)) {
        p.log_of.insert(d.id, Some(known.name.clone()));
    } else {
        let name = p.name_of(&log);
        p.log_of.insert(d.id, Some(name.clone()));
        p.named_logs.push(AccessLog { name, ..log });
    }
}

impl AccessLog {
    fn is_same(&self, other: &Self) -> bool {
        let of = |log: &Self| (log.format, log.path.clone(), log.form.clone(), log.when.clone());
        of(self) == of(other)
    }
}

impl Process {
    /// A name that no log has yet, after its file: `shop` of `/var/log/nginx/shop.log`.
    fn name_of(&self, log: &AccessLog) -> String {
        let file = log.path.as_deref().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let stem = file.strip_suffix(".log").unwrap_or(file);
        let plain: String = stem.chars().map(|c| if fits(c) { c } else { '-' }).take(60).collect();
        let plain = if plain.is_empty() { "log".to_owned() } else { plain };
        let is_free = |name: &String| self.named_logs.iter().all(|known| known.name != *name);
        let numbered = (2..).map(|n| format!("{plain}-{n}"));
        std::iter::once(plain.clone()).chain(numbered).find(is_free).unwrap_or_default()
    }
}

/// Reads an `access_log` that is not `off`.
fn read(p: &Process, d: &Directive, f: &mut Findings<'_>) -> AccessLog {
    let scope = Scope::with(&p.made);
    let path = d.arg(0);
    let name = d.args.get(1).map(|arg| &*arg.text).filter(|text| !text.contains('='));
    let form = name.and_then(|name| p.formats.get(name).cloned());
    let format = if form.is_some() { "template" } else { "combined" };
    f.carried(d);
    if form.is_none() && name.is_some_and(|name| name != "combined") {
        f.differs(d, "its form is `combined`");
    }
    let mut when = None;
    for arg in d.args.iter().skip(1) {
        if let Some(condition) = arg.text.strip_prefix("if=") {
            match scope.template(condition, Stage::End) {
                Ok(template) => when = Some(template.text),
                Err(variable) => f.missing(d, &format!("`{variable}` has no counterpart"), ""),
            }
        } else if ["buffer=", "gzip", "flush="].iter().any(|word| arg.text.starts_with(word)) {
            f.differs(d, &format!("`{}` is not carried", arg.text));
        }
    }
    if path.starts_with("syslog:") || path.contains('$') {
        f.differs(d, "the log goes to standard output");
    }
    let path = path.starts_with('/').then(|| path.to_owned()).filter(|path| !path.contains('$'));
    if path.is_none() && d.arg(0).starts_with("/dev/") {
        f.carried(d);
    }
    let path = path.filter(|path| path != "/dev/stdout");
    if path.is_none() && !d.arg(0).starts_with('/') && !d.arg(0).starts_with("syslog:") {
        f.differs(d, "relative to a folder of nginx's own; the log goes to standard output");
    }
    AccessLog { name: String::new(), format, path, form, when, at: d.name.place }
}

/// Takes in a `log_format`. What has no counterpart stands as `-`, which nginx writes for what has no
/// value.
pub(super) fn log_format(p: &mut Process, d: &Directive, f: &mut Findings<'_>) {
    let mut escape = "default";
    let mut template = String::new();
    let scope = Scope::with(&p.made);
    f.carried(d);
    for arg in d.args.iter().skip(1) {
        match &*arg.text {
            "escape=json" => escape = "json",
            "escape=none" => escape = "none",
            "escape=default" => {}
            text => {
                for part in parts(text) {
                    match part {
                        Part::Text(plain) => template.push_str(&plain.replace("${", "$${")),
                        Part::Variable(name) => {
                            template.push_str(&of_log(name, escape, &scope, d, f));
                        }
                    }
                }
            }
        }
    }
    p.formats.insert(d.arg(0).to_owned(), Form { template, escape });
}

/// A variable in a line.
fn of_log(name: &str, escape: &str, scope: &Scope, d: &Directive, f: &mut Findings<'_>) -> String {
    if let Ok(one) = scope.template(&format!("${{{name}}}"), Stage::End) {
        one.notes.iter().for_each(|note| f.differs(d, note));
        return one.text;
    }
    f.differs(d, &format!("`${name}` has no counterpart"));
    if escape == "default" { "-".to_owned() } else { String::new() }
}

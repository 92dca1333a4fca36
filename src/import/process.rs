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
    pub access_log: Option<AccessLog>,
    /// Variables that the file makes.
    pub made: MadeVariables,
    /// Forms of lines, by name.
    pub formats: BTreeMap<String, Form>,
}

/// A `log_format`.
#[derive(Debug, Clone)]
pub(super) struct Form {
    /// The line as a template of Plimsoll's.
    pub template: String,
    pub escape: &'static str,
}

/// The access log.
#[derive(Debug)]
pub(super) struct AccessLog {
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

pub(super) fn error_log(_: &mut Process, d: &Directive, f: &mut Findings<'_>) {
    f.differs(d, "the program log goes to standard error, from level `info` on; see `[log]`");
}

pub(super) fn access_log(p: &mut Process, d: &Directive, f: &mut Findings<'_>) {
    let scope = Scope::with(&p.made);
    let taken = |first: &&AccessLog| first.format != "off" || d.arg(0) == "off";
    if let Some(first) = p.access_log.as_ref().filter(taken) {
        let target = first.path.clone().unwrap_or_else(|| first.format.to_owned());
        if target == d.arg(0) {
            f.carried(d);
        } else {
            f.missing(
                d,
                "there is one access log for the process, and another was taken",
                "tell servers apart by the host in a JSON log",
            );
        }
        return;
    }
    let path = d.arg(0);
    if path == "off" {
        f.carried(d);
        p.access_log =
            Some(AccessLog { format: "off", path: None, form: None, when: None, at: d.name.place });
        return;
    }
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
    p.access_log = Some(AccessLog { format, path, form, when, at: d.name.place });
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

//! Settings of the process as a whole.

use std::time::Duration;

use super::findings::Findings;
use super::tree::Directive;
use super::units;

/// What the imported file says of the process.
#[derive(Debug, Default)]
pub(super) struct Process {
    /// `None`: as many as there are cores.
    pub workers: Option<u16>,
    /// Where the number of workers was written.
    pub workers_at: Option<crate::config::Place>,
    pub drain: Option<(Duration, crate::config::Place)>,
    pub access_log: Option<AccessLog>,
    /// Formats that are JSON.
    pub json_formats: Vec<String>,
}

/// The access log.
#[derive(Debug)]
pub(super) struct AccessLog {
    pub format: &'static str,
    pub path: Option<String>,
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
    if let Some(first) = &p.access_log {
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
        p.access_log = Some(AccessLog { format: "off", path: None, at: d.name.place });
        return;
    }
    let name = d.args.get(1).map(|arg| &*arg.text).filter(|text| !text.contains('='));
    let format = match name {
        Some(name) if p.json_formats.iter().any(|json| json == name) => "json",
        _ => "combined",
    };
    f.carried(d);
    if name.is_some_and(|name| name != "combined") {
        f.differs(d, &format!("its form is `{format}`"));
    }
    for arg in d.args.iter().skip(1) {
        if ["buffer=", "gzip", "flush=", "if="].iter().any(|word| arg.text.starts_with(word)) {
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
    p.access_log = Some(AccessLog { format, path, at: d.name.place });
}

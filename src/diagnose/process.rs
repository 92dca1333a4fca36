//! The process, as the kernel knows it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Collected, TAIL};
use crate::config::{Config, MASK};
use crate::telemetry::tail;

/// Finds the process: as said, as it says itself, or as its `pid_file` says.
pub(super) fn find(
    said: Option<u32>,
    status: &Value,
    config: Option<&Config>,
) -> Result<u32, &'static str> {
    let of_file = || {
        let path = config?.process.pid_file.as_ref()?;
        fs::read_to_string(path).ok()?.trim().parse().ok()
    };
    let told = status["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
    let pid = said.or(told).or_else(of_file);
    let pid = pid.ok_or("it is not known which one it is; --pid or `pid_file` tells it")?;
    let line = fs::read_to_string(format!("/proc/{pid}/cmdline"));
    let program = |pid: &str| fs::read_link(format!("/proc/{pid}/exe")).ok();
    let is_same = program("self").is_some_and(|own| program(&pid.to_string()) == Some(own));
    // Whoever is in a container may have told a number that is another one's here.
    let is_ours = is_same || line.is_ok_and(|line| line.contains("plimsoll"));
    if is_ours { Ok(pid) } else { Err("there is none of that number here, or it is no plimsoll") }
}

/// Takes in what there is to know of it.
pub(super) fn collect(pid: u32, into: &mut Collected) {
    let of = |name: &str| PathBuf::from(format!("/proc/{pid}/{name}"));
    for name in ["status", "limits", "cgroup", "io", "smaps_rollup", "schedstat", "oom_score"] {
        into.had(&format!("process/{name}"), fs::read_to_string(of(name)));
    }
    let line = fs::read_to_string(of("cmdline")).map(|line| line.replace('\0', " ") + "\n");
    into.had("process/cmdline", line);
    into.had("process/threads.txt", threads(&of("task")));
    into.had("process/descriptors.txt", descriptors(&of("fd")));
    for name in ["sockstat", "snmp", "netstat"] {
        into.had(&format!("process/net-{name}"), fs::read_to_string(of("net").join(name)));
    }
    into.had("process/sockets.txt", sockets(&of("net")));
    into.had(
        "log.txt",
        log(pid).map(|text| text.lines().map(without_excerpt()).collect::<String>()),
    );
}

/// What each thread does, where it waits in the kernel, and, if that may be known, its stack there.
fn threads(tasks: &Path) -> io::Result<String> {
    let mut text = String::new();
    for task in fs::read_dir(tasks)? {
        let path = task?.path();
        let read = |name: &str| fs::read_to_string(path.join(name)).unwrap_or_default();
        let status = read("status");
        let wanted = ["State:", "voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"];
        let facts = status.lines().filter(|line| wanted.iter().any(|name| line.starts_with(name)));
        let facts: Vec<_> = facts.map(|line| line.replace('\t', " ")).collect();
        let id = path.file_name().unwrap_or_default().to_string_lossy();
        let (name, wait, stack) = (read("comm"), read("wchan"), read("stack"));
        let _ = writeln!(text, "{id} {}: {}; in {wait}", name.trim(), facts.join(", "));
        let _ = writeln!(text, "  {}", read("stat").trim());
        for line in stack.lines() {
            let _ = writeln!(text, "    {line}");
        }
    }
    Ok(text)
}

/// How many descriptors of which kind.
fn descriptors(folder: &Path) -> io::Result<String> {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let target = fs::read_link(entry?.path()).unwrap_or_default();
        let target = target.to_string_lossy();
        // `socket:[123]`, `anon_inode:[eventpoll]`, or a path.
        let kind = match target.split_once(":[") {
            Some(("anon_inode", kind)) => kind.trim_end_matches(']').to_owned(),
            Some((kind, _)) => kind.to_owned(),
            None => target.into_owned(),
        };
        *kinds.entry(kind).or_default() += 1;
    }
    Ok(kinds.iter().fold(String::new(), |text, (kind, count)| text + &format!("{count} {kind}\n")))
}

/// How many sockets of TCP are in which state, in the process's network.
fn sockets(net: &Path) -> io::Result<String> {
    const STATES: [&str; 12] = [
        "",
        "ESTABLISHED",
        "SYN_SENT",
        "SYN_RECV",
        "FIN_WAIT1",
        "FIN_WAIT2",
        "TIME_WAIT",
        "CLOSE",
        "CLOSE_WAIT",
        "LAST_ACK",
        "LISTEN",
        "CLOSING",
    ];
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    let mut listening = String::new();
    for name in ["tcp", "tcp6"] {
        for line in fs::read_to_string(net.join(name))?.lines().skip(1) {
            let mut words = line.split_whitespace().skip(1);
            let (local, state) = (words.next().unwrap_or_default(), words.nth(1));
            let number = state.and_then(|state| usize::from_str_radix(state, 16).ok());
            let state = number.and_then(|number| STATES.get(number)).copied().unwrap_or("other");
            *states.entry(state).or_default() += 1;
            if state == "LISTEN" {
                // Connections that wait stand where others have what was received.
                let queue = words.next().unwrap_or_default();
                let _ = writeln!(listening, "{name} {local} LISTEN queues {queue}");
            }
        }
    }
    Ok(states.iter().fold(listening, |text, (state, count)| text + &format!("{count} {state}\n")))
}

/// The last lines of the log: of the file that standard error goes to, or of systemd's journal.
fn log(pid: u32) -> io::Result<String> {
    let target = fs::read_link(format!("/proc/{pid}/fd/2"))?;
    if target.is_file() {
        return tail(&target, TAIL);
    }
    let unit = format!("_PID={pid}");
    let told = std::process::Command::new("journalctl")
        .args(["--no-pager", "--quiet", "--output=short-iso", "--lines=1000", &unit])
        .output();
    let text = told.ok().filter(|told| told.status.success() && !told.stdout.is_empty());
    let text = text.map(|told| String::from_utf8_lossy(&told.stdout).into_owned());
    text.ok_or_else(|| io::Error::other(format!("it goes to {}", target.display())))
}

/// Takes the lines of a log in their order, and what stands in lines of configurations out of them: they
/// may hold secrets that the present configuration does not. Such a line comes after one with `-->`.
fn without_excerpt() -> impl FnMut(&str) -> String {
    let mut comes = false;
    move |line| {
        // The whole of it may be one line of JSON.
        if let Ok(mut told @ Value::Object(_)) = serde_json::from_str(line) {
            hide_excerpts(&mut told);
            return format!("{told}\n");
        }
        let excerpt = line.split_once(" | ").filter(|_| comes);
        comes = line.contains("--> ");
        excerpt.map_or_else(|| format!("{line}\n"), |(place, _)| format!("{place} | {MASK}\n"))
    }
}

fn hide_excerpts(told: &mut Value) {
    match told {
        Value::String(text) if text.contains("--> ") => {
            *text = text.lines().map(without_excerpt()).collect();
        }
        Value::Object(all) => all.values_mut().for_each(hide_excerpts),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_configurations_are_not_in_a_log() {
        let log = "refused:\nerror: no\n  --> /etc/p.toml:19:32\n19 | password = \"geheim\" | x\n   |   ^ no\n\
                   19 | no excerpt\n";
        let hidden: String = log.lines().map(without_excerpt()).collect();
        assert_eq!(
            hidden,
            "refused:\nerror: no\n  --> /etc/p.toml:19:32\n19 | ***\n   |   ^ no\n19 | no excerpt\n"
        );
        let json =
            serde_json::json!({ "level": "ERROR", "fields": { "message": log } }).to_string();
        let hidden = without_excerpt()(&json);
        assert!(hidden.contains("19 | ***") && !hidden.contains("geheim"), "{hidden}");
        // As systemd's journal shows it.
        let journal =
            "12:00 lb plimsoll[7]:   --> /etc/p.toml:1:1\n12:00 lb plimsoll[7]: 1 | a = \"geheim\"";
        let hidden: String = journal.lines().map(without_excerpt()).collect();
        assert!(hidden.ends_with("plimsoll[7]: 1 | ***\n"), "{hidden}");
    }
}

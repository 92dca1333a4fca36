//! `plimsoll upgrade`: has a running process replaced by the program that lies at its path now.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde_json::json;

use crate::server::ask_for_upgrade;

/// Asks the process of that id, or of the file that tells it. `false`: it goes on as it was.
///
/// # Errors
/// It is not known which process is meant, it cannot be asked, or `out` cannot be written to.
pub(super) fn upgrade(
    pid: Option<u32>,
    pid_file: Option<&Path>,
    as_json: bool,
    out: &mut impl Write,
) -> io::Result<bool> {
    let pid = match (pid, pid_file) {
        (Some(pid), _) => pid,
        (None, Some(file)) => read(file)?,
        (None, None) => return Err(io::Error::other("name the process, by its id or --pid-file")),
    };
    let outcome = ask_for_upgrade(pid).map_err(|error| {
        let text = format!(
            "cannot ask process {pid}: {error}; it has to be `plimsoll run` of the same user (or \
             ask as root) in the same network namespace; signal USR2 asks as well"
        );
        io::Error::new(error.kind(), text)
    })?;
    if as_json {
        let (serves, why) = (outcome.as_ref().ok(), outcome.as_ref().err());
        let told = json!({ "upgraded": outcome.is_ok(), "pid": pid, "serves": serves, "why": why });
        writeln!(out, "{told:#}")?;
    } else {
        match &outcome {
            Ok(new) => writeln!(out, "{new} serves; process {pid} finishes what it has and ends")?,
            Err(why) => {
                let why = why.trim_end();
                writeln!(out, "not upgraded, process {pid} goes on as it was:\n{why}")?;
            }
        }
    }
    Ok(outcome.is_ok())
}

fn read(file: &Path) -> io::Result<u32> {
    let fault =
        |why: &dyn std::fmt::Display| io::Error::other(format!("{}: {why}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| fault(&error))?;
    text.trim().parse().map_err(|_| fault(&"that is no id of a process"))
}

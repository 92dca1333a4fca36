//! nginx's configuration → Plimsoll's, and a report of what became of each directive.
//!
//! The way of a file: `lexer` and `tree` read it with what it includes; `scope` takes out what may
//! not stand where it stands; `translate` gives each server its listeners and hosts (`listen`,
//! `names`) and its locations their routes (`location`, `routes`, `mains`, with `settings` for what holds
//! at a place, and `passing` for what is sent on); `listeners` and `finish` decide what depends on all; `write` makes TOML of the draft. What is
//! found on the way about each directive goes to `findings`, and from there into the `report`.
//!
//! One `table` knows all directives; the manual's chapter is made from it too. Files are read
//! through [`Files`], which is handed in: everything else is pure.
//!
//! Called by `cli`. After nginx's `ngx_conf_file.c`, `ngx_http_core_module.c` and the documentation
//! of its modules.

mod answer;
mod branches;
mod chosen;
mod client;
mod condition;
mod draft;
mod findings;
mod finish;
mod first;
mod geo;
mod glob;
mod groups;
mod headers;
mod ifs;
mod lexer;
mod limits;
mod listen;
mod listeners;
mod location;
mod lookaround;
mod made;
mod mains;
mod maps;
mod messages;
mod names;
mod onward;
mod pages;
mod pass;
mod passing;
mod places;
mod process;
mod referers;
mod refuse;
mod report;
mod resolver;
mod retries;
mod routes;
mod scope;
mod secured;
mod sending;
mod settings;
mod sticky;
mod stream;
mod table;
#[cfg(test)]
mod tests;
mod to_secured;
mod translate;
mod tree;
mod units;
mod upstream;
mod used;
mod variables;
mod verified;
mod write;
mod write_route;
mod write_upstream;

use std::path::Path;

pub use findings::Verdict;
pub use report::{Lint, Report, Row};
pub use tree::Files;

use crate::config::{Diagnostic, Faults, Place};
use findings::Findings;
use table::Contexts;

/// What an import gives.
#[derive(Debug)]
pub struct Imported {
    /// The configuration.
    pub toml: String,
    /// What became of each directive.
    pub report: Report,
    /// What was not carried, and traps, in the order of the files.
    pub warnings: Vec<Diagnostic>,
}

/// Imports a file with all that it includes.
///
/// # Errors
/// Every fault of syntax, or that nothing can be imported.
pub fn import(main: &Path, files: &dyn Files) -> Result<Imported, Vec<Diagnostic>> {
    let mut faults = Faults::default();
    let tree = tree::read(main, files, &mut faults);
    if faults.any_error() {
        return Err(faults.into_diagnostics());
    }
    let mut findings = Findings::new(tree.count, &mut faults);
    let all = tree.directives;
    for (id, what) in &tree.unread {
        findings.missing_at(*id, what, "import on the machine where the file is");
    }
    // A fragment holds what stands in `http` without it.
    let is_fragment = !all.iter().any(|d| d.name.text == "http")
        && all.iter().any(|d| ["server", "upstream"].contains(&&*d.name.text));
    let context = if is_fragment { Contexts::HTTP } else { Contexts::MAIN };
    let checked = scope::check(all.clone(), context, &mut findings);
    let (draft, findings) = translate::translate(&checked, files, findings);
    let report = Report::of(main.display().to_string(), &all, &findings);
    let lints = findings.lints().to_vec();
    let told = warnings(&all, &findings);
    if draft.listeners.is_empty() {
        let help = "a `server` whose `listen` is carried is needed".to_owned();
        let message = "there is nothing to import: no server has a listener that is carried";
        faults.error(Place { file: 0, start: 0, end: 0 }, message, help);
    }
    for (place, what, help) in told.into_iter().chain(lints) {
        faults.warning(place, what, Some(help).filter(|help| !help.is_empty()));
    }
    if faults.any_error() {
        return Err(faults.into_diagnostics());
    }
    let name = main.file_name().unwrap_or(main.as_os_str()).to_string_lossy().into_owned();
    let folder = main.parent().unwrap_or(Path::new("")).display().to_string();
    let toml = write::write(&draft, &name, &write::Places { faults: &faults, folder });
    Ok(Imported { toml, report, warnings: faults.into_diagnostics() })
}

/// What was not carried, each with what to do instead.
fn warnings(all: &[tree::Directive], findings: &Findings<'_>) -> Vec<(Place, String, String)> {
    let mut told = Vec::new();
    for d in all {
        if let Some(found) =
            findings.of(d).filter(|one| one.verdict == Verdict::NotCarried && !one.quiet)
        {
            let notes = found.notes.join("; ");
            let message = format!("`{}` is not carried: {notes}", d.name.text);
            told.push((d.name.place, message, found.instead.join("; ")));
        }
        told.extend(warnings(d.inner(), findings));
    }
    told
}

/// The manual's chapter "Coming from nginx".
pub fn manual() -> String {
    report::manual()
}

//! `plimsoll import-nginx FILE`: a configuration of ours made of nginx's, and what became of it.

use std::fs;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::cli::output::{Readers, replace};
use crate::cli::{BAD, FAILED, ImportArgs, complain, output_failed};
use crate::config::{self, Diagnostic, Severity};
use crate::import::{self, Files, Imported, Verdict};

/// Bytes of a file at most; the importer has a limit for all of them together.
const LARGEST: u64 = 16 << 20;

/// The files of this machine; `-` is standard input.
struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if is_stdin(path) {
            io::stdin().lock().take(LARGEST + 1).read_to_end(&mut bytes)?;
            return Ok(bytes);
        }
        // To open a FIFO would wait for its writer.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        fs::File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn names(&self, directory: &Path) -> io::Result<Vec<String>> {
        let names =
            fs::read_dir(directory)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.collect())
    }
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

pub(super) fn import_nginx(arguments: &ImportArgs, out: &mut impl Write) -> ExitCode {
    let colored = io::stderr().is_terminal();
    let told = |text: &str| {
        let _ = io::stderr().write_all(text.as_bytes());
    };
    if let Some(path) = overwritten(arguments) {
        complain(&format_args!("{} would be overwritten; name another file", path.display()));
        return ExitCode::from(BAD);
    }
    let imported = match import::import(&arguments.file, &Disk) {
        Ok(imported) => imported,
        Err(diagnostics) => {
            told(&config::render(&diagnostics, colored));
            return ExitCode::from(FAILED);
        }
    };
    // What is written is what `run` will read: a fault in it would be the importer's own, but for what
    // the files of certificates and keys hold, which whoever imports may not even read.
    if let Err(report) = config::parse("the imported file", &imported.toml, &|_| None)
        && !report.diagnostics().iter().all(is_of_file)
    {
        told(&report.render(colored));
        complain(&"the importer has made a file that is not good; please report this");
        return ExitCode::from(FAILED);
    }
    if let Err(failed) = written(arguments, &imported, out) {
        return failed;
    }
    told(&config::render(&imported.warnings, colored));
    let count = |verdict| imported.report.count(verdict);
    complain(&format_args!(
        "{} directives: {} carried, {} with a difference, {} not",
        imported.report.rows.len(),
        count(Verdict::Carried),
        count(Verdict::Difference),
        count(Verdict::NotCarried),
    ));
    if arguments.strict && !imported.warnings.is_empty() {
        return ExitCode::from(BAD);
    }
    ExitCode::SUCCESS
}

/// Whether a finding is about a file that the configuration names, not about itself.
fn is_of_file(finding: &Diagnostic) -> bool {
    finding.severity == Severity::Warning
        || [" cannot be read: ", "` holds "].iter().any(|words| finding.message.contains(words))
}

/// A file that was named twice, so that what is read or written first would be lost.
fn overwritten(arguments: &ImportArgs) -> Option<&Path> {
    let is_same = |a: &Path, b: &Path| {
        let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        real(a) == real(b) && fs::metadata(a).map_or(true, |file| file.is_file())
    };
    let (output, report) = (arguments.output.as_deref(), arguments.report.as_deref());
    let pairs =
        [(output, Some(&*arguments.file)), (report, Some(&*arguments.file)), (report, output)];
    pairs.into_iter().find_map(|pair| match pair {
        (Some(written), Some(other)) if is_same(written, other) => Some(written),
        _ => None,
    })
}

/// Writes what was asked for.
fn written(
    arguments: &ImportArgs,
    imported: &Imported,
    out: &mut impl Write,
) -> Result<(), ExitCode> {
    let file = |path: &Path, text: &str| {
        replace(path, text.as_bytes(), Readers::AsBefore).map_err(|error| {
            complain(&format_args!("{} cannot be written: {error}", path.display()));
            ExitCode::from(FAILED)
        })
    };
    match &arguments.output {
        Some(path) => file(path, &imported.toml)?,
        None => out.write_all(imported.toml.as_bytes()).map_err(|error| output_failed(&error))?,
    }
    let Some(path) = &arguments.report else {
        return Ok(());
    };
    if path.extension().is_some_and(|extension| extension == "json") {
        return file(path, &format!("{:#}\n", imported.report.to_json()));
    }
    file(path, &imported.report.markdown())
}

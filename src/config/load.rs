//! One load: the main file, what it includes, then all checks; all faults or a configuration.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::build::{Build, build};
use super::diagnostic::{Diagnostic, Report};
use super::faults::{Faults, Place};
use super::files::{self, Hash};
use super::model::Config;
use super::read;
use super::settings::INCLUDABLE;
use super::tree::{Item, Table};

/// How environment variables are looked up.
pub type Environment<'e> = &'e dyn Fn(&str) -> Option<String>;

/// The variables of this process; what is not UTF-8 counts as not set.
pub fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Bytes of a configuration file at most.
pub(super) const LARGEST: u64 = 64 << 20;

/// A good configuration.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is allowed but hardly meant, in the order of the files.
    pub warnings: Vec<Diagnostic>,
    /// A hash of the files' texts (not of secrets): the same files give the same number on every
    /// machine. For logs and metrics.
    pub hash: u64,
    /// A hash of the texts and of what secrets and bodies from files and the environment hold.
    /// Equal to that of an earlier load: nothing has changed. Not to be published.
    pub fingerprint: u64,
    /// Files and directories whose change calls for another load: `config.files`, the files of
    /// secrets and bodies, and the directories in which `include` looks for files.
    pub watched: Vec<PathBuf>,
    /// What each configuration file held, the main one first.
    pub texts: Arc<[FileText]>,
}

/// A file of a configuration, and what it held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileText {
    /// As it was named, or found by `include`.
    pub path: PathBuf,
    /// What it held.
    pub text: Arc<str>,
}

/// Loads a file and what it includes.
///
/// # Errors
/// Every fault of every file, when there is one.
pub fn load(path: &Path, environment: Environment<'_>) -> Result<Loaded, Report> {
    load_with(path, &[], environment)
}

/// The same as if the files of `given` held these texts, wherever they are read.
///
/// # Errors
/// Every fault of every file, when there is one.
pub fn load_with(
    path: &Path,
    given: &[FileText],
    environment: Environment<'_>,
) -> Result<Loaded, Report> {
    Load::new(environment, given).whole(path)
}

/// Loads a configuration of before: these are all its files, the main one first, whatever there is in their
/// places now.
///
/// # Errors
/// Every fault of every file, when there is one.
pub fn load_only(given: &[FileText], environment: Environment<'_>) -> Result<Loaded, Report> {
    let main = given.first().map(|file| file.path.clone()).unwrap_or_default();
    Load { only_given: true, ..Load::new(environment, given) }.whole(&main)
}

/// Loads one text, without includes: for demos, tests and embedders. Secrets by file are relative
/// to the working directory; `name` stands for the file's in reports.
///
/// # Errors
/// Every fault of the text, when there is one.
pub fn parse(name: &str, text: &str, environment: Environment<'_>) -> Result<Loaded, Report> {
    let mut load = Load::new(environment, &[]);
    load.source(Path::new(name), text.as_bytes().to_vec());
    let include = load.parts.first().and_then(|table| table.list("include").first());
    if let Some(place) = include.map(|item| item.place) {
        let help = "load it from a file to use `include`".to_owned();
        load.faults.error(place, "this configuration is no file and includes none", help);
    }
    load.finish()
}

fn pattern_of(item: &Item) -> (Place, String) {
    (item.place, item.text().to_owned())
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// A load under way.
struct Load<'e> {
    environment: Environment<'e>,
    /// Files that are not read, but taken to hold this.
    given: &'e [FileText],
    /// There are no other files than these.
    only_given: bool,
    faults: Faults,
    /// What each file holds, the main one first.
    parts: Vec<Table>,
    /// The path of each file.
    paths: Vec<PathBuf>,
    /// The text of each.
    texts: Vec<FileText>,
    /// The same without symbolic links, so that no file is read twice.
    seen: BTreeSet<PathBuf>,
    watched: Vec<PathBuf>,
    hash: Hash,
    /// Whether a file could not be read or parsed: what it defines is not known.
    incomplete: bool,
}

impl<'e> Load<'e> {
    fn new(environment: Environment<'e>, given: &'e [FileText]) -> Self {
        Self {
            environment,
            given,
            only_given: false,
            faults: Faults::default(),
            parts: Vec::new(),
            paths: Vec::new(),
            texts: Vec::new(),
            seen: BTreeSet::new(),
            watched: Vec::new(),
            hash: Hash::EMPTY,
            incomplete: false,
        }
    }

    /// The main file and what it includes.
    fn whole(mut self, path: &Path) -> Result<Loaded, Report> {
        self.watched.push(path.to_owned());
        match self.given(path).map_or_else(|| files::read(path, LARGEST), Ok) {
            Ok(bytes) => {
                self.seen.insert(real(path));
                self.source(path, bytes);
            }
            Err(error) => {
                let at = Place::top(self.faults.add_source(path.display().to_string(), "".into()));
                let help = "name a file that this user may read".to_owned();
                self.faults.error(at, format!("cannot be read: {error}"), help);
            }
        }
        if let Some(table) = self.parts.first() {
            let patterns: Vec<_> = table.list("include").iter().map(pattern_of).collect();
            for (place, pattern) in patterns {
                self.include(path, place, &pattern);
            }
        }
        self.finish()
    }

    /// What a file is taken to hold.
    fn given(&self, path: &Path) -> Option<Vec<u8>> {
        let given = self.given.iter().find(|file| file.path == path)?;
        Some(given.text.as_bytes().to_vec())
    }

    /// Parses and reads one file's content. Gives whether its syntax is good.
    fn source(&mut self, path: &Path, bytes: Vec<u8>) -> bool {
        self.hash.add(&bytes);
        let name = path.display().to_string();
        let text: Arc<str> = match String::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                // What replaces the bad bytes stands where they stood, and takes three.
                let shown = String::from_utf8_lossy(error.as_bytes()).into();
                let at = Place {
                    file: self.faults.add_source(name, shown),
                    start: valid,
                    end: valid + 3,
                };
                let help = "save the file as UTF-8".to_owned();
                self.faults.error(at, format!("byte {valid} is not UTF-8 text"), help);
                self.incomplete = true;
                return false;
            }
        };
        let file = self.faults.add_source(name, Arc::clone(&text));
        let before = self.faults.count();
        let table = read::parse(&mut self.faults, file, &text);
        let parsed = self.faults.count();
        let part = read::read(&mut self.faults, file, &table);
        self.parts.push(part);
        self.paths.push(path.to_owned());
        self.texts.push(FileText { path: path.to_owned(), text });
        let good = parsed == before;
        if !good {
            // What was recovered names the includes, but is no ground for further faults.
            self.faults.truncate(parsed);
            self.incomplete = true;
        }
        good
    }

    /// Reads the files of one `include` pattern of the main file.
    fn include(&mut self, main: &Path, place: Place, pattern: &str) {
        let path = main.parent().unwrap_or(Path::new("")).join(pattern);
        let directory = path.parent().unwrap_or(Path::new("")).to_owned();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if files::is_pattern(&directory.to_string_lossy()) {
            let help = "let `*` and `?` stand in the file's name only".to_owned();
            self.faults.error(place, "a pattern cannot stand in a directory's name", help);
        } else if files::is_pattern(&name) {
            self.watched.push(directory.clone());
            let directory = if directory.as_os_str().is_empty() { ".".into() } else { directory };
            match self.matching(&directory, &name) {
                Ok(paths) => paths.iter().for_each(|path| self.included(place, path)),
                Err(error) => {
                    let message = format!("{} cannot be read: {error}", directory.display());
                    let help = "make the directory, or correct the pattern".to_owned();
                    self.faults.warning(place, message, help);
                }
            }
        } else {
            self.included(place, &path);
        }
    }

    /// The files of a directory whose name fits.
    fn matching(&self, directory: &Path, pattern: &str) -> io::Result<Vec<PathBuf>> {
        if !self.only_given {
            return files::matching(directory, pattern);
        }
        let fits = |path: &&PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            path.parent() == Some(directory) && files::fits(pattern, &name)
        };
        Ok(self.given.iter().skip(1).map(|file| &file.path).filter(fits).cloned().collect())
    }

    /// Reads one included file, unless it was read before.
    fn included(&mut self, place: Place, path: &Path) {
        if !self.seen.insert(real(path)) {
            return;
        }
        self.watched.push(path.to_owned());
        match self.given(path).map_or_else(|| files::read_regular(path, LARGEST), Ok) {
            Ok(bytes) => {
                if self.source(path, bytes) {
                    self.refuse_process_settings();
                }
            }
            Err(error) => {
                let message = format!("{} cannot be read: {error}", path.display());
                let help = "correct the name; a pattern with `*` may match nothing".to_owned();
                self.faults.error(place, message, help);
                self.incomplete = true;
            }
        }
    }

    /// Process settings stand in the main file, where an operator looks for them.
    fn refuse_process_settings(&mut self) {
        let Some(part) = self.parts.last() else {
            return;
        };
        for entry in &part.entries {
            let Some(place) = entry.written else { continue };
            if entry.key == "include" {
                let help = "include it from the main file".to_owned();
                self.faults.error(place, "an included file cannot include others", help);
            } else if !INCLUDABLE.contains(&entry.key) {
                let message = format!("`{}` belongs to the process, not to an include", entry.key);
                let help = format!("move it to {}", self.paths[0].display());
                self.faults.error(place, message, help);
            }
        }
    }

    fn finish(mut self) -> Result<Loaded, Report> {
        let mut config = None;
        let mut fingerprint = self.hash;
        if !self.incomplete && !self.parts.is_empty() {
            let bases = self.paths.iter();
            let bases = bases.map(|path| path.parent().unwrap_or(Path::new("")).to_owned());
            let mut context = Build::new(self.faults, bases.collect(), self.environment);
            config = Some(build(&mut context, &self.parts, &self.paths));
            self.faults = context.faults;
            self.watched.extend(context.secret_files);
            fingerprint.add(&context.secrets.value().to_le_bytes());
        }
        self.watched.sort();
        self.watched.dedup();
        let failed = self.faults.any_error();
        let diagnostics = self.faults.into_diagnostics();
        match config {
            Some(config) if !failed => Ok(Loaded {
                config,
                warnings: diagnostics,
                hash: self.hash.value(),
                fingerprint: fingerprint.value(),
                watched: self.watched,
                texts: self.texts.into(),
            }),
            _ => Err(Report { diagnostics, watched: self.watched }),
        }
    }
}

//! Words → a tree of directives, with what `include` brings in put in its place.
//!
//! Includes are resolved as nginx does: relative to the folder of the main file, by `glob(3)`, in
//! the order of names; a pattern may find nothing. Cycles and endless depth are refused, and the
//! whole import is bounded, so that no input takes memory or time without end.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::glob;
use super::lexer::{LexError, Lexer, Token, Word};
use crate::config::{Faults, Place};

/// Files within files at most.
const DEEPEST_INCLUDE: usize = 16;
/// Blocks within blocks at most.
const DEEPEST_BLOCK: usize = 32;
/// Files at most.
const MOST_FILES: usize = 2_000;
/// Bytes of all files at most.
const MOST_BYTES: usize = 16 << 20;
/// Directives at most.
const MOST_DIRECTIVES: usize = 200_000;
/// Faults told at most: after a slip many of them are its echo.
const MOST_FAULTS: usize = 50;

/// How files are read: handed in, so that the importer itself touches nothing.
pub trait Files {
    /// The content of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// The names in a directory.
    fn names(&self, directory: &Path) -> io::Result<Vec<String>>;
}

/// A directive with its arguments and its block.
#[derive(Debug, Clone)]
pub(super) struct Directive {
    /// Its number, in the order of reading: the key of what is found about it.
    pub id: usize,
    /// Its name.
    pub name: Word,
    /// What stands behind the name.
    pub args: Vec<Word>,
    /// What stands in braces, if braces end it.
    pub block: Option<Vec<Directive>>,
}

impl Directive {
    /// An argument's text; empty if there is none.
    pub(super) fn arg(&self, index: usize) -> &str {
        self.args.get(index).map_or("", |word| &word.text)
    }

    /// What stands in braces.
    pub(super) fn inner(&self) -> &[Directive] {
        self.block.as_deref().unwrap_or_default()
    }

    /// The directive without its block, as one would write it.
    pub(super) fn head(&self) -> String {
        let words = std::iter::once(&self.name).chain(&self.args);
        words.map(|word| &*word.text).collect::<Vec<_>>().join(" ")
    }
}

/// Everything that was read.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// The directives of the main file.
    pub directives: Vec<Directive>,
    /// Included files that could not be read, by the id of their `include`.
    pub unread: Vec<(usize, String)>,
    /// How many directives there are.
    pub count: usize,
}

/// Reads the main file and what it includes. Faults of syntax go to `faults`.
pub(super) fn read(main: &Path, files: &dyn Files, faults: &mut Faults) -> Tree {
    let mut reader = Reader {
        files,
        faults,
        folder: main.parent().unwrap_or(Path::new("")).to_owned(),
        open: vec![normal(main)],
        read_files: 0,
        read_bytes: 0,
        tree: Tree::default(),
        full: false,
    };
    match files.read(main) {
        Ok(bytes) => reader.tree.directives = reader.file(main, bytes, 0),
        Err(error) => {
            let file = reader.faults.add_source(main.display().to_string(), "".into());
            let help = "name a file that this user may read".to_owned();
            reader.faults.error(Place::top(file), format!("cannot be read: {error}"), help);
        }
    }
    reader.tree
}

struct Reader<'r> {
    files: &'r dyn Files,
    faults: &'r mut Faults,
    /// The main file's folder.
    folder: PathBuf,
    /// The files that are being read, the innermost last.
    open: Vec<PathBuf>,
    read_files: usize,
    read_bytes: usize,
    tree: Tree,
    /// A bound was reached: nothing more is read.
    full: bool,
}

impl Reader<'_> {
    fn file(&mut self, path: &Path, bytes: Vec<u8>, depth: usize) -> Vec<Directive> {
        self.read_files += 1;
        self.read_bytes += bytes.len();
        // Comments are written in all kinds of encodings, which nginx does not look at.
        let text: Arc<str> = match String::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into(),
        };
        let file = self.faults.add_source(path.display().to_string(), Arc::clone(&text));
        if self.read_files > MOST_FILES || self.read_bytes > MOST_BYTES {
            self.too_much(
                Place::top(file),
                "files with more than 16 MiB, or more than 2000 of them",
            );
            return Vec::new();
        }
        let mut lexer = Lexer::new(file, &text);
        self.run(&mut lexer, depth, None)
    }

    fn too_much(&mut self, at: Place, what: &str) {
        if !self.full {
            self.full = true;
            let help = "import the parts one by one".to_owned();
            self.faults.error(at, format!("this is too much to import: {what}"), help);
        }
    }

    fn fault(&mut self, at: Place, message: impl Into<String>, help: &str) {
        if self.faults.count() < MOST_FAULTS {
            self.faults.error(at, message, help.to_owned());
        }
    }

    /// Directives up to the end of the block that `open` began, or of the file.
    fn run(&mut self, lexer: &mut Lexer<'_>, depth: usize, open: Option<Place>) -> Vec<Directive> {
        let mut found = Vec::new();
        while !self.full {
            match (self.statement(lexer, depth, &mut found), open) {
                (None, _) => {}
                (Some(Ended::Brace(place)), None) => {
                    self.fault(place, "unexpected `}`", "no block is open here; leave it out");
                }
                (Some(Ended::Brace(_)), Some(_)) | (Some(Ended::File), None) => break,
                (Some(Ended::File), Some(place)) => {
                    self.fault(place, "this block is never closed", "add the `}` that is missing");
                    break;
                }
            }
        }
        found
    }

    /// One directive, or the end of the run.
    fn statement(
        &mut self,
        lexer: &mut Lexer<'_>,
        depth: usize,
        found: &mut Vec<Directive>,
    ) -> Option<Ended> {
        let mut words: Vec<Word> = Vec::new();
        loop {
            let token = match lexer.next() {
                Ok(token) => token,
                Err(LexError { place, message, help }) => {
                    self.fault(place, message, help);
                    continue;
                }
            };
            match (token, words.last()) {
                (Token::Word(word), _) => words.push(word),
                (Token::End(_), Some(_)) => {
                    self.simple(words, depth, found);
                    return None;
                }
                (Token::Open(place), Some(_)) => {
                    let directive = self.block(lexer, words, place, depth);
                    found.extend(directive);
                    return None;
                }
                (Token::Close(place), None) => return Some(Ended::Brace(place)),
                (Token::Close(place), Some(last)) => {
                    let at = Place { start: last.place.start, ..place };
                    self.fault(at, "unexpected `}`", "end the directive before it with `;`");
                    return Some(Ended::Brace(place));
                }
                (Token::End(place), None) => {
                    self.fault(place, "unexpected `;`", "there is no directive before it");
                }
                (Token::Open(place), None) => {
                    self.fault(place, "unexpected `{`", "there is no directive before it");
                    self.nested(lexer, depth, place);
                    return None;
                }
                (Token::Finish(_), None) => return Some(Ended::File),
                (Token::Finish(_), Some(last)) => {
                    let at = last.place;
                    self.fault(at, "the file ends within a directive", "end it with `;`");
                    return Some(Ended::File);
                }
            }
        }
    }

    /// A number for a directive.
    fn number(&mut self, at: Place) -> usize {
        self.tree.count += 1;
        if self.tree.count > MOST_DIRECTIVES {
            self.too_much(at, "more than 200000 directives");
        }
        self.tree.count - 1
    }

    fn simple(&mut self, mut words: Vec<Word>, depth: usize, found: &mut Vec<Directive>) {
        let name = words.remove(0);
        let id = self.number(name.place);
        let directive = Directive { id, name, args: words, block: None };
        let included = (directive.name.text == "include" && directive.args.len() == 1)
            .then(|| self.include(&directive, depth));
        found.push(directive);
        found.extend(included.into_iter().flatten());
    }

    fn block(
        &mut self,
        lexer: &mut Lexer<'_>,
        mut words: Vec<Word>,
        open: Place,
        depth: usize,
    ) -> Option<Directive> {
        let name = words.remove(0);
        let id = self.number(name.place);
        let block = if name.text.ends_with("_by_lua_block") {
            if !lexer.skip_lua() {
                self.fault(
                    open,
                    "this block of Lua is never closed",
                    "add the `}` that is missing",
                );
            }
            Vec::new()
        } else {
            self.nested(lexer, depth, open)?
        };
        Some(Directive { id, name, args: words, block: Some(block) })
    }

    /// The inside of a block that has just been opened.
    fn nested(
        &mut self,
        lexer: &mut Lexer<'_>,
        depth: usize,
        open: Place,
    ) -> Option<Vec<Directive>> {
        if depth >= DEEPEST_BLOCK {
            self.too_much(open, "blocks within blocks, more than 32 deep");
            return None;
        }
        Some(self.run(lexer, depth + 1, Some(open)))
    }

    /// The directives that an `include` brings in.
    fn include(&mut self, directive: &Directive, depth: usize) -> Vec<Directive> {
        let at = directive.args[0].place;
        let path = self.folder.join(directive.arg(0));
        if self.open.len() > DEEPEST_INCLUDE {
            self.fault(at, "files that include each other, more than 16 deep", "include less deep");
            return Vec::new();
        }
        let mut found = Vec::new();
        for path in self.matching(&path) {
            if self.open.contains(&path) {
                let message = format!("{} includes itself", path.display());
                self.fault(at, message, "leave one of the includes out");
                continue;
            }
            match self.files.read(&path) {
                Ok(bytes) => {
                    self.open.push(path.clone());
                    found.extend(self.file(&path, bytes, depth));
                    self.open.pop();
                }
                Err(error) => {
                    let what = format!("{} cannot be read: {error}", path.display());
                    self.tree.unread.push((directive.id, what));
                }
            }
            if self.full {
                break;
            }
        }
        found
    }

    /// The files that a path with patterns stands for, by name; a path without is itself.
    fn matching(&self, path: &Path) -> Vec<PathBuf> {
        if !glob::is_pattern(&path.to_string_lossy()) {
            return vec![normal(path)];
        }
        let mut found = vec![PathBuf::new()];
        for part in path.components() {
            let name = part.as_os_str().to_string_lossy();
            if !glob::is_pattern(&name) {
                for path in &mut found {
                    path.push(part);
                }
                continue;
            }
            let mut next = Vec::new();
            for directory in &found {
                let here =
                    if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
                let mut names = self.files.names(here).unwrap_or_default();
                names.retain(|one| glob::fits(&name, one));
                names.sort();
                next.extend(names.iter().map(|one| directory.join(one)));
                if next.len() > MOST_FILES {
                    next.truncate(MOST_FILES + 1);
                    break;
                }
            }
            found = next;
        }
        found.iter().map(|path| normal(path)).collect()
    }
}

/// What ended a run of directives.
enum Ended {
    Brace(Place),
    File,
}

/// A path without `.` and without a step down that `..` takes back, so that a file is told again.
fn normal(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(normal.components().next_back(), Some(Component::Normal(_))) =>
            {
                normal.pop();
            }
            part => normal.push(part),
        }
    }
    normal
}

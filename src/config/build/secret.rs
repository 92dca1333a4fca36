//! `{ file = … }` and `{ env = … }` in place of a text.
//!
//! What is read never becomes part of a message: reports name the reference only.

use super::{Build, field};
use crate::config::files;
use crate::config::tree::{Item, Table};

/// Bytes of a secret or body from a file at most.
const LARGEST: u64 = 1 << 20;

impl Build<'_> {
    /// The bytes of a text or of what it refers to; empty, and reported, if there are none.
    pub(super) fn bytes(&mut self, item: &Item) -> Vec<u8> {
        match item.table() {
            None => item.text().as_bytes().to_vec(),
            Some(table) => self.referred(table).unwrap_or_default(),
        }
    }

    /// A header value from a reference, without the line break at its end.
    pub(super) fn secret_value(&mut self, table: &Table) -> Option<String> {
        let bytes = self.referred(table)?;
        let value = String::from_utf8(bytes).ok();
        let value = value.map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
        let value = value.filter(|text| field::is_value(text.as_bytes()));
        if value.is_none() {
            let help = "it must be one line of UTF-8 text without control characters";
            self.error(table.place, "what this refers to cannot be a header value", help);
        }
        value
    }

    /// The bytes of the file of that name.
    pub(super) fn file(&mut self, file: &Item) -> Option<Vec<u8>> {
        let bytes = self.read_file(file)?;
        self.secrets.add(&bytes);
        Some(bytes)
    }

    fn read_file(&mut self, file: &Item) -> Option<Vec<u8>> {
        let path = self.bases[file.place.file].join(file.text());
        let result = files::read_regular(&path, LARGEST);
        self.secret_files.push(path);
        result
            .map_err(|error| {
                let message = format!("`{}` cannot be read: {error}", file.text());
                self.error(file.place, message, "name a regular file that this user may read");
            })
            .ok()
    }

    fn referred(&mut self, table: &Table) -> Option<Vec<u8>> {
        let bytes = self.look_up(table)?;
        self.secrets.add(&bytes);
        Some(bytes)
    }

    fn look_up(&mut self, table: &Table) -> Option<Vec<u8>> {
        match (table.written("file"), table.written("env")) {
            (Some((_, file)), None) => self.read_file(file),
            (None, Some((_, name))) => {
                let value = (self.environment)(name.text());
                if value.is_none() {
                    let message = format!("the environment has no variable `{}`", name.text());
                    self.error(name.place, message, "set it for the process, or correct the name");
                }
                value.map(String::into_bytes)
            }
            _ => {
                let help = "write `{ file = \"…\" }` or `{ env = \"…\" }`";
                self.error(table.place, "exactly one of `file` and `env` is needed", help);
                None
            }
        }
    }
}

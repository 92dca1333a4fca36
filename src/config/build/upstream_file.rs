//! The backends of a file of their own: TOML, JSON or a plain list, by what its name ends with. All three
//! become the same table with places, so that the same faults are found in each.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde_json::value::RawValue;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::Build;
use crate::config::faults::Place;
use crate::config::settings::BACKENDS_FILE;
use crate::config::tree::{Item, Table};
use crate::config::{files, read};

/// Bytes of such a file at most.
const LARGEST: u64 = 16 << 20;

/// The backends of the file that an upstream names; `None` when it names none, or what it holds cannot
/// be read, which is reported.
pub(super) fn backends(b: &mut Build<'_>, upstream: &Table) -> Option<Table> {
    let (_, item) = upstream.written("backends_file")?;
    let (path, text) = content(b, item)?;
    let file = b.faults.add_source(path.clone(), Arc::clone(&text));
    let faults = b.faults.count();
    let extension = Path::new(&path).extension().unwrap_or_default();
    let table = match extension.to_str() {
        Some("toml") => read::parse(&mut b.faults, file, &text),
        Some("json") => json(b, file, &text)?,
        _ => plain(&text),
    };
    if b.faults.count() > faults {
        return None;
    }
    let table = read::read_as(&BACKENDS_FILE, &mut b.faults, file, &table);
    if table.list("backend").is_empty() && b.faults.count() == faults {
        let help = "name one; to take all out of service, write `state = \"disabled\"`";
        b.error(Place::top(file), "no backend stands in this file", help);
    }
    Some(table)
}

/// The file's name and text.
fn content(b: &mut Build<'_>, item: &Item) -> Option<(String, Arc<str>)> {
    let path = b.bases[item.place.file].join(item.text());
    let read = files::read_regular(&path, LARGEST);
    let name = path.display().to_string();
    b.secret_files.push(path);
    let text = read.map_err(|error| error.to_string()).and_then(|bytes| {
        b.secrets.add(&bytes);
        String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())
    });
    match text {
        Ok(text) => Some((name, text.into())),
        Err(why) => {
            let message = format!("`{}` cannot be read: {why}", item.text());
            b.error(item.place, message, "name a text file that this user may read");
            None
        }
    }
}

/// An address a line; what follows `#`, and empty lines, do not count.
fn plain(text: &str) -> DeTable<'_> {
    let mut start = 0;
    let lines = text.split_inclusive('\n').filter_map(|line| {
        let begin = start;
        start += line.len();
        let address = line.split('#').next().unwrap_or_default();
        let indent = address.len() - address.trim_start().len();
        let address = address.trim();
        let span = begin + indent..begin + indent + address.len();
        (!address.is_empty()).then(|| written_as(span, address.into()))
    });
    list(lines.collect())
}

/// A list of addresses and of objects with the settings of a backend.
fn json<'t>(b: &mut Build<'_>, file: usize, text: &'t str) -> Option<DeTable<'t>> {
    let at = |raw: &RawValue| {
        // A part of `text`, and so somewhere behind its beginning.
        let start = raw.get().as_ptr() as usize - text.as_ptr() as usize;
        start..start + raw.get().len()
    };
    let entries = match serde_json::from_str::<Vec<&RawValue>>(text) {
        Ok(entries) => entries,
        Err(error) => {
            let line = error.line().saturating_sub(1);
            let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
            let start = (start + error.column().saturating_sub(1)).min(text.len());
            let place = Place::of(file, start..start + 1);
            let help = "write a list: `[\"10.0.0.1:8080\", { \"address\": \"10.0.0.2:8080\", \"weight\": 2 }]`";
            b.error(place, error.to_string(), help);
            return None;
        }
    };
    let entry =
        |raw: &&'t RawValue| match serde_json::from_str::<BTreeMap<String, &RawValue>>(raw.get()) {
            Ok(settings) => {
                let mut table = DeTable::new();
                for (key, value) in settings {
                    let span = at(value);
                    table.insert(Spanned::new(span.clone(), key.into()), scalar(span, value.get()));
                }
                Spanned::new(at(raw), DeValue::Table(table))
            }
            Err(_) => match serde_json::from_str::<String>(raw.get()) {
                Ok(address) => written_as(at(raw), address.into()),
                Err(_) => scalar(at(raw), raw.get()),
            },
        };
    Some(list(entries.iter().map(entry).collect()))
}

/// A value of JSON as one of TOML: texts, numbers and truth are written alike. Others are no value of a
/// setting, and refused as such.
fn scalar(span: Range<usize>, text: &str) -> Spanned<DeValue<'_>> {
    let value = match serde_json::from_str::<String>(text) {
        Ok(text) => DeValue::String(text.into()),
        Err(_) => match DeValue::parse(text) {
            Ok(value) => value.into_inner(),
            Err(_) => DeValue::Array(DeArray::new()),
        },
    };
    Spanned::new(span, value)
}

/// A backend of which the address is given.
fn written_as(span: Range<usize>, address: Cow<'_, str>) -> Spanned<DeValue<'_>> {
    let key = Spanned::new(span.clone(), "address".into());
    let value = Spanned::new(span.clone(), DeValue::String(address));
    Spanned::new(span, DeValue::Table(DeTable::from_iter([(key, value)])))
}

fn list(entries: Vec<Spanned<DeValue<'_>>>) -> DeTable<'_> {
    let mut backends = DeArray::new();
    for entry in entries {
        backends.push(entry);
    }
    let backends = Spanned::new(0..0, DeValue::Array(backends));
    DeTable::from_iter([(Spanned::new(0..0, "backend".into()), backends)])
}

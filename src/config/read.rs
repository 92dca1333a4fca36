//! TOML → [`Table`], by the table of settings: unknown keys, wrong types, units and ranges.
//!
//! One walk over the parser's spanned tree that never stops at a fault. What values mean together
//! is the business of `build` and `whole`.

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::faults::{Faults, Place};
use super::nearest::did_you_mean;
use super::settings::ROOT;
use super::table::{Kind, Section, Setting, Unset};
use super::tree::{Entry, Item, Key, Table, Value};
use super::units::{parse_duration, parse_size, show_duration, show_size};

/// Parses a source and reports every syntax error; gives what could be recovered.
pub(super) fn parse<'a>(faults: &mut Faults, file: usize, text: &'a str) -> DeTable<'a> {
    let (table, mut errors) = DeTable::parse_recoverable(text);
    errors.sort_by_key(|error| error.span().map(|span| span.start));
    let mut last_line = 0;
    for error in errors {
        let span = error.span().unwrap_or_default();
        // What follows an error on its line is mostly its echo.
        let line = memchr::memchr_iter(b'\n', &text.as_bytes()[..span.start]).count() + 1;
        if line != last_line {
            let place = Place::of(file, span.start..span.end.max(span.start + 1));
            faults.error(place, error.message(), syntax_remedy(error.message()).to_owned());
        }
        last_line = line;
    }
    table.into_inner()
}

/// What to do about a syntax error, by the parser's words for it.
fn syntax_remedy(message: &str) -> &'static str {
    const REMEDIES: [(&str, &str); 15] = [
        ("duplicate key", "keep one of the two"),
        ("string values must be quoted", "put the text in quotes: `\"…\"`"),
        ("invalid boolean", "write `true` or `false`, or put a text in quotes"),
        ("missing opening quote", "put the text in quotes: `\"…\"`"),
        ("missing escaped value", "double the backslash, or use '…', where it stands for itself"),
        ("invalid basic string", "close the text with `\"` on its line"),
        ("invalid literal string", "close the text with `'` on its line"),
        ("unclosed array table", "close the section's name with `]]`"),
        ("unclosed table", "close the section's name with `]`"),
        ("unclosed array", "close the list with `]`"),
        ("unclosed inline table", "close it with `}`"),
        ("missing comma", "put a comma between the two"),
        ("extra", "take it out"),
        ("key with no value", "write `key = value`; a section stands in brackets"),
        ("missing value", "write a value behind `=`"),
    ];
    let known = REMEDIES.iter().find(|(beginning, _)| message.starts_with(beginning));
    known.map_or(
        "texts stand in quotes, lists in `[…]`, sections in `[name]` or `[[name]]`",
        |one| one.1,
    )
}

/// Reads a parsed source by the table of settings.
pub(super) fn read(faults: &mut Faults, file: usize, table: &DeTable<'_>) -> Table {
    Reader { faults, file, inherited: None }.table(&ROOT, Place::top(file), table)
}

/// Reads a parsed source that holds one section.
pub(super) fn read_as(
    section: &'static Section,
    faults: &mut Faults,
    file: usize,
    table: &DeTable<'_>,
) -> Table {
    Reader { faults, file, inherited: None }.table(section, Place::top(file), table)
}

struct Reader<'f> {
    faults: &'f mut Faults,
    file: usize,
    /// The place of the section whose defaults are being read; spans of defaults mean nothing.
    inherited: Option<Place>,
}

impl Reader<'_> {
    fn place<T>(&self, spanned: &Spanned<T>) -> Place {
        self.inherited.unwrap_or_else(|| Place::of(self.file, spanned.span()))
    }

    fn table(&mut self, section: &'static Section, place: Place, table: &DeTable<'_>) -> Table {
        let mut entries: Vec<Entry> = Vec::with_capacity(section.settings.len());
        let mut refused = Vec::new();
        for (key, value) in table {
            let written = self.place(key);
            let Some(setting) = section.find(key.get_ref()) else {
                let known = section.settings.iter().map(|setting| setting.key);
                let message = format!("unknown setting `{}` in {}", key.get_ref(), section.title);
                self.faults.error(written, message, did_you_mean(key.get_ref(), known));
                continue;
            };
            match self.item(setting, &setting.kind, value) {
                Some(item) => {
                    let written = self.inherited.is_none().then_some(written);
                    entries.push(Entry { key: setting.key, written, item });
                }
                None => refused.push(setting.key),
            }
        }
        for setting in section.settings {
            let missing = || !entries.iter().any(|entry| entry.key == setting.key);
            match setting.unset {
                Unset::Fault if !table.contains_key(setting.key) => {
                    let message = format!("{} has no `{}`", section.title, setting.key);
                    self.faults.error(place, message, example(setting));
                }
                Unset::Value(default) if missing() => {
                    let item = self.default(setting, default, place);
                    entries.extend(item.map(|item| Entry {
                        key: setting.key,
                        written: None,
                        item,
                    }));
                }
                _ => {}
            }
        }
        Table { section, place, entries, refused }
    }

    fn default(&mut self, setting: &'static Setting, toml: &str, place: Place) -> Option<Item> {
        let value = DeValue::parse(toml).ok()?;
        let outer = self.inherited.replace(place);
        let item = self.item(setting, &setting.kind, &value);
        self.inherited = outer;
        item
    }

    fn item(
        &mut self,
        setting: &'static Setting,
        kind: &'static Kind,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<Item> {
        let place = self.place(value);
        let value = match (kind, value.get_ref()) {
            (Kind::Table(section) | Kind::Or(_, section), DeValue::Table(table)) => {
                Some(Value::Table(self.table(section, place, table)))
            }
            (Kind::Or(kind, _), _) => return self.item(setting, kind, value),
            (Kind::List(kind), DeValue::Array(array)) => {
                let items = array.iter().filter_map(|item| self.item(setting, kind, item));
                Some(Value::List(items.collect()))
            }
            (Kind::Map(kind), DeValue::Table(table)) => {
                Some(Value::Map(self.map(setting, kind, table)))
            }
            (kind, value) => self.scalar(setting, kind, place, value),
        }?;
        Some(Item { place, value })
    }

    fn map(
        &mut self,
        setting: &'static Setting,
        kind: &'static Kind,
        table: &DeTable<'_>,
    ) -> Vec<(Key, Item)> {
        let mut entries: Vec<_> = table
            .iter()
            .filter_map(|(name, value)| {
                let key = Key { place: self.place(name), name: name.get_ref().to_string() };
                let mut item = self.item(setting, kind, value)?;
                if let Value::Table(table) = &mut item.value
                    && matches!(kind, Kind::Table(_))
                {
                    // A section is best shown by its name: `[upstream.NAME]` may be spread out.
                    table.place = key.place;
                }
                Some((key, item))
            })
            .collect();
        entries.sort_by_key(|(key, _)| key.place);
        entries
    }

    fn scalar(
        &mut self,
        setting: &Setting,
        kind: &Kind,
        place: Place,
        found: &DeValue<'_>,
    ) -> Option<Value> {
        let value = match (kind, found) {
            (Kind::Bool, DeValue::Boolean(on)) => Ok(Value::Bool(*on)),
            (Kind::Integer { min, max }, DeValue::Integer(number)) => {
                whole_number(number, *min, *max).map(Value::Integer)
            }
            (Kind::Float { min, max }, DeValue::Float(_) | DeValue::Integer(_)) => {
                number(found, *min, *max)
            }
            (Kind::Duration { min, max, off }, DeValue::String(text)) => match &**text {
                "off" if *off => Ok(Value::Duration(None)),
                text => match parse_duration(text) {
                    Some(duration) => between(duration, *min, *max, show_duration)
                        .map(|duration| Value::Duration(Some(duration))),
                    None => Err(mismatch(kind, &format!("`{text}`"))),
                },
            },
            (Kind::Size { unlimited: true, .. }, DeValue::String(text)) if text == "unlimited" => {
                Ok(Value::Size(None))
            }
            (Kind::SizeOrText { .. }, DeValue::String(text)) if text.contains("${") => {
                Ok(Value::Text(text.to_string()))
            }
            (
                Kind::Size { min, max, .. } | Kind::SizeOrText { min, max },
                DeValue::String(_) | DeValue::Integer(_),
            ) => size(kind, found, *min, *max),
            (Kind::Statuses, DeValue::Integer(number)) => {
                whole_number(number, 100, 599).map(|one| Value::Statuses(one as u16, one as u16))
            }
            (Kind::Statuses, DeValue::String(text)) => match status_range(text) {
                Some((first, last)) => Ok(Value::Statuses(first, last)),
                None => Err(mismatch(kind, &format!("`{text}`"))),
            },
            (Kind::Text, DeValue::String(text)) => Ok(Value::Text(text.to_string())),
            (Kind::Word(words), DeValue::String(text)) => {
                if words.contains(&&**text) {
                    Ok(Value::Text(text.to_string()))
                } else {
                    let message = format!("{} cannot be `{text}`", setting.key);
                    self.faults.error(place, message, did_you_mean(text, words.iter().copied()));
                    return None;
                }
            }
            _ => Err(mismatch(kind, type_name(found))),
        };
        value
            .map_err(|fault| {
                let (fault, remedy) = match fault {
                    Fault::TooSmall(text) => (text, setting.remedy),
                    Fault::Other(text) => (text, ""),
                };
                let help = match remedy {
                    "" => bare_duration(kind, found).unwrap_or_else(|| example(setting)),
                    remedy => remedy.to_owned(),
                };
                self.faults.error(place, format!("{} {fault}", setting.key), help);
            })
            .ok()
    }
}

/// Why a value is refused, as what follows the setting's name.
enum Fault {
    TooSmall(String),
    Other(String),
}

fn example(setting: &Setting) -> String {
    format!("for example `{} = {}`", setting.key, setting.example)
}

/// A bare number where a duration is meant: seconds are the likeliest meaning.
fn bare_duration(kind: &Kind, found: &DeValue<'_>) -> Option<String> {
    match (kind, found) {
        (Kind::Duration { .. }, DeValue::Integer(number)) => Some(with_units(number.as_str())),
        (Kind::Duration { .. }, DeValue::String(text))
            if !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit()) =>
        {
            Some(with_units(text))
        }
        _ => None,
    }
}

fn with_units(number: &str) -> String {
    format!("write the unit: `\"{number}s\"` or `\"{number}ms\"`")
}

fn mismatch(kind: &Kind, found: &str) -> Fault {
    Fault::Other(format!("must be {}, found {found}", describe(kind)))
}

/// A kind in words, as in "must be …".
pub(super) fn describe(kind: &Kind) -> String {
    let words = |words: &[&str]| format!("one of {}", words.join(", "));
    match kind {
        Kind::Bool => "true or false".to_owned(),
        Kind::Integer { .. } => "a whole number".to_owned(),
        Kind::Float { .. } => "a number".to_owned(),
        Kind::Duration { off: false, .. } => "a duration like \"30s\"".to_owned(),
        Kind::Duration { off: true, .. } => "a duration like \"30s\", or \"off\"".to_owned(),
        Kind::Size { unlimited: false, .. } => "a size like \"64KiB\"".to_owned(),
        Kind::Size { unlimited: true, .. } => "a size like \"64KiB\", or \"unlimited\"".to_owned(),
        Kind::SizeOrText { .. } => {
            "a size like \"64KiB\", or a text with `${variables}`".to_owned()
        }
        Kind::Statuses => "a status or a range of them like \"200-399\"".to_owned(),
        Kind::Text => "a text in quotes".to_owned(),
        Kind::Word(list) => words(list),
        Kind::List(Kind::Table(section)) => format!("a list of sections, {}", section.title),
        Kind::List(_) => "a list in square brackets".to_owned(),
        Kind::Map(_) => "a table of names and values".to_owned(),
        Kind::Table(section) => format!("a section, {}", section.title),
        Kind::Or(kind, section) => format!("{} or {}", describe(kind), section.title),
    }
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn between<T: PartialOrd + Copy>(
    value: T,
    min: T,
    max: T,
    show: impl Fn(T) -> String,
) -> Result<T, Fault> {
    if value < min {
        let text = format!("must be at least {}, found {}", show(min), show(value));
        Err(Fault::TooSmall(text))
    } else if value > max {
        let text = format!("must be at most {}, found {}", show(max), show(value));
        Err(Fault::Other(text))
    } else {
        Ok(value)
    }
}

fn whole_number(number: &DeInteger<'_>, min: i64, max: i64) -> Result<i64, Fault> {
    let value = i64::from_str_radix(number.as_str(), number.radix());
    let value = value.map_err(|_| Fault::Other(format!("is out of range: {number}")))?;
    between(value, min, max, |number| number.to_string())
}

fn number(found: &DeValue<'_>, min: f64, max: f64) -> Result<Value, Fault> {
    let text = match found {
        DeValue::Float(float) => float.as_str(),
        DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str(),
        _ => "",
    };
    match text.parse::<f64>() {
        Ok(number) if !number.is_nan() => {
            between(number, min, max, |number| number.to_string()).map(Value::Float)
        }
        _ => Err(Fault::Other("must be a decimal number".to_owned())),
    }
}

fn size(kind: &Kind, found: &DeValue<'_>, min: u64, max: u64) -> Result<Value, Fault> {
    let bytes = match found {
        DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix())
            .map_err(|_| mismatch(kind, number.as_str()))?,
        DeValue::String(text) => {
            parse_size(text).ok_or_else(|| mismatch(kind, &format!("`{text}`")))?
        }
        other => return Err(mismatch(kind, type_name(other))),
    };
    between(bytes, min, max, show_size).map(|bytes| Value::Size(Some(bytes)))
}

/// `204` or `200-399`, both ends included, within 100 to 599.
fn status_range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (100 <= first && first <= last && last <= 599).then_some((first, last))
}

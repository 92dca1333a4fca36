//! What was read: values of the kinds that the table of settings asks for, with their places.
//!
//! `read` makes it, `build` takes settings out of it by key. A default stands in for what was not
//! written and for what was refused (the fault is reported), so that `build` meets a value
//! wherever there is a default, and goes on to find the faults behind it.

use std::time::Duration;

use super::faults::Place;
use super::table::Section;

/// A name that the operator chose or a known key, as written.
pub(super) struct Key {
    /// Where.
    pub place: Place,
    /// What.
    pub name: String,
}

/// A value with its place.
pub(super) struct Item {
    /// Where; of a default, its section.
    pub place: Place,
    /// What.
    pub value: Value,
}

/// A value of a known kind.
pub(super) enum Value {
    Bool(bool),
    Integer(i64),
    Float(f64),
    /// `None` is "off".
    Duration(Option<Duration>),
    /// `None` is "unlimited".
    Size(Option<u64>),
    Statuses(u16, u16),
    Text(String),
    List(Vec<Item>),
    /// In the order of the file.
    Map(Vec<(Key, Item)>),
    Table(Table),
}

/// A section with the values of its settings.
pub(super) struct Table {
    /// What it may hold.
    pub section: &'static Section,
    /// Where it stands.
    pub place: Place,
    /// Values and defaults.
    pub entries: Vec<Entry>,
    /// Settings that are written, but whose value was refused.
    pub refused: Vec<&'static str>,
}

/// The value of one setting.
pub(super) struct Entry {
    /// The key in the table of settings.
    pub key: &'static str,
    /// Where the key is written; `None` of a default.
    pub written: Option<Place>,
    /// The value.
    pub item: Item,
}

impl Item {
    /// The text; empty of anything else.
    pub(super) fn text(&self) -> &str {
        match &self.value {
            Value::Text(text) => text,
            _ => "",
        }
    }

    /// The section, if it is one.
    pub(super) fn table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }
}

impl Table {
    /// The value of a setting: written or default.
    pub(super) fn item(&self, key: &str) -> Option<&Item> {
        debug_assert!(self.section.find(key).is_some(), "{key} is not in {}", self.section.title);
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.item)
    }

    /// The value of a setting if it was written, with the place of its key.
    pub(super) fn written(&self, key: &str) -> Option<(Place, &Item)> {
        debug_assert!(self.section.find(key).is_some(), "{key} is not in {}", self.section.title);
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some((entry.written?, &entry.item))
    }

    /// Whether a setting is written, even if its value was refused.
    pub(super) fn mentions(&self, key: &str) -> bool {
        self.refused.contains(&key) || self.written(key).is_some()
    }

    /// The place of the value of the first of these settings that is written; of the section if
    /// none is.
    pub(super) fn place_of_either(&self, keys: [&str; 2]) -> Place {
        let written = keys.iter().find_map(|key| self.written(key));
        written.map_or(self.place, |(_, item)| item.place)
    }

    /// The place of a setting's value; of the section if it was not written.
    pub(super) fn place_of(&self, key: &str) -> Place {
        self.written(key).map_or(self.place, |(_, item)| item.place)
    }

    pub(super) fn bool(&self, key: &str) -> bool {
        matches!(self.item(key), Some(Item { value: Value::Bool(true), .. }))
    }

    /// A whole number whose range the table of settings guards.
    pub(super) fn integer<T: TryFrom<i64>>(&self, key: &str) -> Option<T> {
        match self.item(key)?.value {
            Value::Integer(number) => T::try_from(number).ok(),
            _ => None,
        }
    }

    pub(super) fn float(&self, key: &str) -> Option<f64> {
        match self.item(key)?.value {
            Value::Float(number) => Some(number),
            _ => None,
        }
    }

    /// A duration; `None` is "off" or not written.
    pub(super) fn duration(&self, key: &str) -> Option<Duration> {
        match self.item(key)?.value {
            Value::Duration(duration) => duration,
            _ => None,
        }
    }

    /// A number of bytes; `None` is "unlimited" or not written.
    pub(super) fn size(&self, key: &str) -> Option<u64> {
        match self.item(key)?.value {
            Value::Size(bytes) => bytes,
            _ => None,
        }
    }

    /// A text; empty if not written.
    pub(super) fn text(&self, key: &str) -> &str {
        self.item(key).map_or("", Item::text)
    }

    /// The section under a key that has a default.
    pub(super) fn section(&self, key: &str) -> &Self {
        // `read` puts the default in for whatever is not there or was refused.
        self.table(key).expect("a section with a default is always there")
    }

    /// The section under a key, if it was written.
    pub(super) fn table(&self, key: &str) -> Option<&Self> {
        self.item(key)?.table()
    }

    /// The values of a list; empty if not written.
    pub(super) fn list(&self, key: &str) -> &[Item] {
        match self.item(key) {
            Some(Item { value: Value::List(items), .. }) => items,
            _ => &[],
        }
    }

    /// The sections of a list.
    pub(super) fn tables(&self, key: &str) -> impl Iterator<Item = &Self> {
        self.list(key).iter().filter_map(Item::table)
    }

    /// Names and values; empty if not written.
    pub(super) fn map(&self, key: &str) -> &[(Key, Item)] {
        match self.item(key) {
            Some(Item { value: Value::Map(entries), .. }) => entries,
            _ => &[],
        }
    }

    /// The numbers of a list.
    pub(super) fn integers(&self, key: &str) -> Vec<u16> {
        let number = |item: &Item| match item.value {
            Value::Integer(number) => u16::try_from(number).ok(),
            _ => None,
        };
        self.list(key).iter().filter_map(number).collect()
    }
}

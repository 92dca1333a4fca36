//! The shape of the table of settings: what a setting is, independent of its value.
//!
//! Every setting is written once, in `settings`. Reading, "did you mean", the JSON schema and the
//! reference manual all come from there, so none of them can tell another story than the rest.

use std::time::Duration;

/// A TOML table with known keys.
pub(super) struct Section {
    /// The header as an operator writes it, `[[route]]`.
    pub title: &'static str,
    /// What the section is for.
    pub doc: &'static str,
    /// Its settings, in the order of the manual.
    pub settings: &'static [Setting],
}

impl Section {
    /// The setting of that key.
    pub(super) fn find(&self, key: &str) -> Option<&'static Setting> {
        self.settings.iter().find(|setting| setting.key == key)
    }
}

/// One setting.
pub(super) struct Setting {
    /// Its key in TOML.
    pub key: &'static str,
    /// What it may hold.
    pub kind: Kind,
    /// What holds when it is not written.
    pub unset: Unset,
    /// What it does.
    pub doc: &'static str,
    /// A value, as TOML.
    pub example: &'static str,
    /// What to do in place of too small a value; empty when the range says it all.
    pub remedy: &'static str,
}

/// What holds when a setting is not written.
pub(super) enum Unset {
    /// It must be written.
    Fault,
    /// Nothing; in words, what that means.
    Nothing(&'static str),
    /// This value, as TOML.
    Value(&'static str),
}

/// What a setting may hold.
pub(super) enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Integer { min: i64, max: i64 },
    /// A number.
    Float { min: f64, max: f64 },
    /// A duration with its unit; `"off"` too if `off`.
    Duration { min: Duration, max: Duration, off: bool },
    /// Bytes, as a number or with a unit; `"unlimited"` too if `unlimited`.
    Size { min: u64, max: u64, unlimited: bool },
    /// Bytes, as a number or with a unit; or a text with `${variables}`.
    SizeOrText { min: u64, max: u64 },
    /// A status (`204`) or a range of them (`"200-399"`).
    Statuses,
    /// Any text.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Any number of values in square brackets; of sections, `[[section]]`.
    List(&'static Kind),
    /// Values under names that the operator chooses.
    Map(&'static Kind),
    /// A section.
    Table(&'static Section),
    /// A plain value, or a section in its stead.
    Or(&'static Kind, &'static Section),
}

impl Setting {
    /// A setting that must be written.
    pub(super) const fn required(
        key: &'static str,
        kind: Kind,
        doc: &'static str,
        example: &'static str,
    ) -> Self {
        Self { key, kind, unset: Unset::Fault, doc, example, remedy: "" }
    }

    /// A setting whose absence has a meaning of its own.
    pub(super) const fn optional(
        key: &'static str,
        kind: Kind,
        meaning: &'static str,
        doc: &'static str,
        example: &'static str,
    ) -> Self {
        Self { key, kind, unset: Unset::Nothing(meaning), doc, example, remedy: "" }
    }

    /// A setting with a default, given as TOML.
    pub(super) const fn with_default(
        key: &'static str,
        kind: Kind,
        default: &'static str,
        doc: &'static str,
        example: &'static str,
    ) -> Self {
        Self { key, kind, unset: Unset::Value(default), doc, example, remedy: "" }
    }

    /// The same with a remedy for too small a value.
    pub(super) const fn remedy(mut self, remedy: &'static str) -> Self {
        self.remedy = remedy;
        self
    }
}

/// A time-out: 1 ms to a day.
pub(super) const TIMEOUT: Kind =
    Kind::Duration { min: Duration::from_millis(1), max: Duration::from_hours(24), off: false };

/// A time-out that may be `"off"`.
pub(super) const TIMEOUT_OR_OFF: Kind =
    Kind::Duration { min: Duration::from_millis(1), max: Duration::from_hours(24), off: true };

/// A count, where 0 often stands for "no limit".
pub(super) const COUNT: Kind = Kind::Integer { min: 0, max: 4_294_967_295 };

/// A list of texts.
pub(super) const TEXTS: Kind = Kind::List(&Kind::Text);

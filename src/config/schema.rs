//! The JSON schema (draft 7) of the configuration, from the table of settings.
//!
//! For editors: completion, documentation and red lines while writing. It says less than `check`
//! does; what values mean together is beyond a schema.

use serde_json::{Map, Value, json};

use super::settings::ROOT;
use super::table::{Kind, Section, Setting, Unset};

/// The schema as a JSON text, ended by a line break.
pub fn schema() -> String {
    let mut schema = section(&ROOT);
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("Plimsoll configuration");
    format!("{schema:#}\n")
}

fn section(section: &Section) -> Value {
    let is_required = |setting: &&Setting| matches!(setting.unset, Unset::Fault);
    let required: Vec<_> =
        section.settings.iter().filter(is_required).map(|setting| setting.key).collect();
    let properties: Map<_, _> = section
        .settings
        .iter()
        .map(|setting| (setting.key.to_owned(), property(setting)))
        .collect();
    let mut schema = json!({
        "type": "object",
        "description": section.doc,
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn property(setting: &Setting) -> Value {
    let mut schema = kind(&setting.kind);
    schema["description"] = json!(setting.doc);
    schema["examples"] = json!([as_json(setting.example)]);
    if let Unset::Value(default) = setting.unset {
        schema["default"] = as_json(default);
    }
    schema
}

fn kind(of: &Kind) -> Value {
    match of {
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Float { min, max } => json!({ "type": "number", "minimum": min, "maximum": max }),
        Kind::Duration { off, .. } => {
            let off = if *off { "|off" } else { "" };
            let pattern = format!("^(([0-9]+(d|h|m|s|ms))+{off})$");
            json!({ "type": "string", "pattern": pattern })
        }
        Kind::Size { unlimited, .. } => {
            let unlimited = if *unlimited { "|unlimited" } else { "" };
            let pattern = format!("^([0-9]+( *([KMG]i|[kMG])?B)?{unlimited})$");
            json!({ "type": ["integer", "string"], "minimum": 0, "pattern": pattern })
        }
        Kind::SizeOrText { .. } => json!({
            "type": ["integer", "string"],
            "minimum": 0,
            "pattern": "^([0-9]+( *([KMG]i|[kMG])?B)?|.*\\$\\{.*)$",
        }),
        Kind::Statuses => json!({
            "type": ["integer", "string"],
            "minimum": 100,
            "maximum": 599,
            "pattern": "^[1-5][0-9][0-9](-[1-5][0-9][0-9])?$",
        }),
        Kind::Text => json!({ "type": "string" }),
        Kind::Word(words) => json!({ "type": "string", "enum": words }),
        Kind::List(item) => json!({ "type": "array", "items": kind(item) }),
        Kind::Map(item) => json!({ "type": "object", "additionalProperties": kind(item) }),
        Kind::Table(table) => section(table),
        Kind::Or(plain, table) => json!({ "anyOf": [kind(plain), section(table)] }),
    }
}

/// A default or example of the table as JSON.
fn as_json(toml: &str) -> Value {
    let document: Option<toml::Table> = toml::from_str(&format!("value = {toml}")).ok();
    let value = document.and_then(|mut document| document.remove("value"));
    value.and_then(|value| serde_json::to_value(value).ok()).unwrap_or_default()
}

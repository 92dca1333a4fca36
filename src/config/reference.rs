//! The reference manual of the configuration, from the table of settings.

use std::fmt::Write;

use super::build::variables::known;
use super::model::Stage;
use super::read::describe;
use super::settings::ROOT;
use super::table::{Kind, Section, Setting, Unset};
use super::units::{show_duration, show_size};

/// The reference as Markdown: every section, and of every setting its type, default, range,
/// meaning and an example.
pub fn reference() -> String {
    let mut text = "# Configuration reference\n\n\
         Generated from the table of settings in `src/config/settings`; refresh it with \
         `UPDATE=1 cargo test --test config`.\n\n\
         Durations are texts with units, the largest first: `\"1h\"`, `\"1m30s\"`, `\"250ms\"` \
         (`d`, `h`, `m`, `s`, `ms`). Sizes are texts with a unit, or plain numbers of bytes: \
         `\"64KiB\"`, `\"10MB\"`, `512` (`B`; `kB`, `MB`, `GB` of 1000; `KiB`, `MiB`, `GiB` of \
         1024).\n\n\
         In texts, `${NAME}` is a variable; which there are stands at the end. `$${` is a plain \
         `${`.\n"
        .to_owned();
    let mut sections: Vec<&Section> = vec![&ROOT];
    let mut shown = 0;
    while let Some(section) = sections.get(shown) {
        // A String takes all that is written to it.
        let _ = write_section(&mut text, section);
        for setting in section.settings {
            if let Some(inner) = inner_section(&setting.kind)
                && !sections.iter().any(|known| known.title == inner.title)
            {
                sections.push(inner);
            }
        }
        shown += 1;
    }
    let _ = write_variables(&mut text);
    text
}

fn write_variables(text: &mut String) -> std::fmt::Result {
    writeln!(
        text,
        "\n## Variables\n\nWhat has no value is empty, in the access log `-`. A variable of the \
         response can stand only where there is one.\n"
    )?;
    writeln!(text, "| variable | known | meaning |\n|---|---|---|")?;
    known().try_for_each(|one| {
        let stage = match one.stage {
            Stage::Request => "always",
            Stage::Response => "in `response_headers`, the body of `respond` and the access log",
            Stage::End => "in the access log",
        };
        writeln!(text, "| `${{{}}}` | {stage} | {} |", one.name, cell(one.doc))
    })
}

fn inner_section(kind: &Kind) -> Option<&'static Section> {
    match kind {
        Kind::Table(section) | Kind::Or(_, section) => Some(section),
        Kind::List(item) | Kind::Map(item) => inner_section(item),
        _ => None,
    }
}

fn write_section(text: &mut String, section: &Section) -> std::fmt::Result {
    let title = match section.title {
        "the top level" => "The top level".to_owned(),
        title => format!("`{title}`"),
    };
    writeln!(text, "\n## {title}\n\n{}\n", section.doc)?;
    writeln!(text, "| setting | type | default | meaning | example |\n|---|---|---|---|---|")?;
    section.settings.iter().try_for_each(|setting| {
        let key = setting.key;
        let kind = cell(&type_and_range(&setting.kind));
        let default = cell(&default(setting));
        let example = cell(&format!("`{key} = {}`", setting.example));
        writeln!(text, "| `{key}` | {kind} | {default} | {} | {example} |", cell(setting.doc))
    })
}

fn default(setting: &Setting) -> String {
    match (&setting.unset, &setting.kind) {
        (Unset::Fault, _) => "must be written".to_owned(),
        (Unset::Nothing(meaning), _) => format!("none: {meaning}"),
        (Unset::Value(_), Kind::Table(_)) => "that of each setting".to_owned(),
        (Unset::Value(default), _) => format!("`{default}`"),
    }
}

fn type_and_range(kind: &Kind) -> String {
    match kind {
        Kind::Integer { min, max } => format!("whole number, {min} to {max}"),
        Kind::Float { min, max } => format!("number, {min} to {max}"),
        Kind::Duration { min, max, off } => {
            let off = if *off { ", or `\"off\"`" } else { "" };
            format!("duration, {} to {}{off}", show_duration(*min), show_duration(*max))
        }
        Kind::Size { min, max, unlimited } => {
            let unlimited = if *unlimited { ", or `\"unlimited\"`" } else { "" };
            format!("size, {} to {}{unlimited}", show_size(*min), show_size(*max))
        }
        Kind::SizeOrText { min, max } => {
            format!("size, {} to {}, or text", show_size(*min), show_size(*max))
        }
        Kind::Text => "text".to_owned(),
        Kind::Word(words) => {
            words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", ")
        }
        Kind::List(Kind::Table(section)) => format!("sections, `{}`", section.title),
        Kind::List(item) => format!("list of: {}", type_and_range(item)),
        Kind::Map(Kind::Table(section)) => format!("sections by name, `{}`", section.title),
        Kind::Map(item) => format!("names with values of: {}", type_and_range(item)),
        Kind::Table(section) => format!("section, `{}`", section.title),
        Kind::Or(plain, section) => format!("{}, or `{}`", type_and_range(plain), section.title),
        Kind::Bool | Kind::Statuses => describe(kind),
    }
}

/// A text that does not break a Markdown table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

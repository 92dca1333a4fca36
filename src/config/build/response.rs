//! Routes: what becomes of responses.

use regex::bytes::Regex;

use super::field::{self, Head};
use super::template::template_at;
use super::{Build, route};
use crate::config::faults::Place;
use crate::config::model::{
    CookieFlags, CookieName, CookieRules, Fits, Flags, HeaderEdit, PacingRules, Piece, Rate,
    ResponseRules, Rewrite, SameSite, Stage, Statuses, Template, ToPiece, Trailer,
};
use crate::config::tree::{Item, Table, Value};

/// What a route wants of its responses; `None`: nothing.
pub(super) fn rules(b: &mut Build<'_>, table: &Table) -> Option<Box<ResponseRules>> {
    let keys = [
        "redirect_rewrite",
        "cookie_rewrite",
        "response_trailers",
        "early_hints",
        "early_hints_when",
        "response_buffer",
        "rate",
        "nginx",
    ];
    if keys.iter().all(|key| table.written(key).is_none()) {
        return None;
    }
    let mut rules = ResponseRules {
        redirects: rewrites(b, table, "redirect_rewrite"),
        early_hints: table.bool("early_hints"),
        early_hints_when: early_hints_when(b, table),
        pacing: pacing(b, table),
        ..ResponseRules::default()
    };
    if let Some(cookies) = table.table("cookie_rewrite") {
        rules.cookies = CookieRules {
            domain: rewrites(b, cookies, "domain"),
            path: rewrites(b, cookies, "path"),
            flags: cookies.tables("flags").filter_map(|one| flags(b, one)).collect(),
        };
    }
    if let Some(trailers) = table.table("response_trailers") {
        rules.pass_trailers = trailers.bool("pass");
        rules.trailers = trailers.tables("add").filter_map(|one| trailer(b, one)).collect();
    }
    if let Some(nginx) = table.table("nginx") {
        rules.hides = nginx.bool("hidden_headers");
        rules.first_of_repeated = nginx.bool("first_of_repeated");
        rules.chunked = nginx.bool("chunked");
        rules.passed = names(b, nginx, "passed_headers");
        rules.absolute_redirects = nginx.bool("absolute_redirect");
    }
    Some(Box::new(rules))
}

/// The text that decides where early hints are passed on.
fn early_hints_when(b: &mut Build<'_>, table: &Table) -> Option<Template> {
    let (at, when) = table.written("early_hints_when")?;
    if !table.bool("early_hints") {
        let help = "leave one of the two out";
        b.error(at, "`early_hints_when` has no effect where `early_hints` is false", help);
    }
    Some(template_at(b, when.place, when.text(), Stage::Request))
}

/// A rate that is known, or a text that gives it.
fn rate(b: &mut Build<'_>, table: &Table, key: &str) -> Rate {
    match table.table("rate").and_then(|rate| rate.item(key)) {
        Some(Item { value: Value::Size(Some(bytes)), .. }) => Rate::Fixed(*bytes),
        Some(item) if !item.text().is_empty() => {
            Rate::Of(template_at(b, item.place, item.text(), Stage::Response))
        }
        _ => Rate::default(),
    }
}

fn pacing(b: &mut Build<'_>, table: &Table) -> PacingRules {
    let heeds = |word| {
        let nginx = table.table("nginx");
        nginx.is_some_and(|one| one.list("x_accel").iter().any(|item| item.text() == word))
    };
    PacingRules {
        ahead: table.size("response_buffer").unwrap_or_default() as usize,
        client_rate: rate(b, table, "client"),
        client_after: table
            .table("rate")
            .and_then(|rate| rate.size("client_after"))
            .unwrap_or_default(),
        backend_rate: rate(b, table, "backend"),
        heeds_buffering: heeds("buffering"),
        heeds_rate: heeds("limit_rate"),
    }
}

fn names(b: &mut Build<'_>, table: &Table, key: &str) -> Vec<String> {
    let mut names = Vec::new();
    for item in table.list(key) {
        if field::field_name(b, item.place, item.text()) {
            names.push(item.text().to_owned());
        }
    }
    names
}

fn statuses(table: &Table) -> Statuses {
    let range = |item: &Item| match item.value {
        Value::Statuses(first, last) => Some((first, last)),
        _ => None,
    };
    Statuses(table.list("statuses").iter().filter_map(range).collect())
}

/// Fields that are put in one by one.
pub(super) fn fields(b: &mut Build<'_>, table: &Table) -> Vec<HeaderEdit> {
    let mut edits = Vec::new();
    for one in table.tables("fields") {
        let (Some((at, name)), Some(value)) = (one.written("name"), one.item("value")) else {
            continue;
        };
        let good_name = field::changed_field(b, at, name.text(), Head::Response);
        let name = name.text().to_owned();
        let value = match value.table() {
            Some(secret) => b.secret_value(secret).map(|text| Template(vec![Piece::Text(text)])),
            None => Some(value_of(b, value)),
        };
        let (Some(value), true) = (value, good_name) else {
            continue;
        };
        let replace = one.bool("replace");
        let edit =
            if replace { HeaderEdit::Set(name, value) } else { HeaderEdit::Add(name, value) };
        let statuses = statuses(one);
        edits.push(if statuses == Statuses::default() {
            edit
        } else {
            HeaderEdit::When(statuses, Box::new(edit))
        });
    }
    edits
}

fn value_of(b: &mut Build<'_>, item: &Item) -> Template {
    field::field_value(b, item.place, item.text());
    template_at(b, item.place, item.text(), Stage::Response)
}

fn trailer(b: &mut Build<'_>, table: &Table) -> Option<Trailer> {
    let (at, name) = table.written("name")?;
    let value = value_of(b, table.item("value")?);
    if !field::field_name(b, at, name.text()) {
        return None;
    }
    if !crate::http1::is_trailer(name.text().as_bytes()) {
        let message = format!("`{}` cannot stand behind a body", name.text());
        b.error(name.place, message, "put it into `response_headers`");
        return None;
    }
    Some(Trailer { name: name.text().to_owned(), value, statuses: statuses(table) })
}

fn rewrites(b: &mut Build<'_>, table: &Table, key: &str) -> Vec<Rewrite> {
    table.tables(key).filter_map(|one| rewrite(b, one)).collect()
}

fn rewrite(b: &mut Build<'_>, table: &Table) -> Option<Rewrite> {
    let (_, to) = table.written("to")?;
    field::field_value(b, to.place, to.text());
    match (table.written("from"), table.written("regex")) {
        (Some((_, from)), None) => {
            let from = Fits::Text(value_of(b, from));
            Some(Rewrite {
                from,
                to: vec![ToPiece::Text(template_at(b, to.place, to.text(), Stage::Response))],
            })
        }
        (None, Some((_, regex))) => {
            let regex = route::regex(b, regex)?;
            let to = with_groups(b, to.place, to.text(), &regex);
            Some(Rewrite { from: Fits::Regex(regex), to })
        }
        _ => {
            b.error(
                table.place,
                "exactly one of `from` and `regex` is needed",
                "write one of them",
            );
            None
        }
    }
}

/// Cuts a text at `${N}` and `${NAME}` of the groups of `regex`.
fn with_groups(b: &mut Build<'_>, at: Place, text: &str, regex: &Regex) -> Vec<ToPiece> {
    let mut pieces = Vec::new();
    let (mut done, mut from) = (0, 0);
    while let Some(found) = text[from..].find("${").map(|found| from + found) {
        from = found + 2;
        let Some(length) = text[from..].find('}') else { break };
        let name = &text[from..from + length];
        let numbered = name.parse::<usize>().ok().filter(|n| *n < regex.captures_len());
        let named = || regex.capture_names().position(|group| group == Some(name));
        if text[..found].ends_with('$') {
            continue;
        }
        if let Some(group) = numbered.or_else(named) {
            if done < found {
                pieces.push(ToPiece::Text(template_at(b, at, &text[done..found], Stage::Response)));
            }
            pieces.push(ToPiece::Group(group));
            done = from + length + 1;
        }
    }
    if done < text.len() {
        pieces.push(ToPiece::Text(template_at(b, at, &text[done..], Stage::Response)));
    }
    pieces
}

fn flags(b: &mut Build<'_>, table: &Table) -> Option<CookieFlags> {
    let cookie = match (table.written("cookie"), table.written("regex")) {
        (Some((_, name)), None) => CookieName::Exact(value_of(b, name)),
        (None, Some((_, regex))) => CookieName::Regex(route::regex(b, regex)?),
        _ => {
            let message = "exactly one of `cookie` and `regex` is needed";
            b.error(table.place, message, "write one of them");
            return None;
        }
    };
    let flag = |key| table.written(key).map(|_| table.bool(key));
    let same_site = match table.text("same_site") {
        "strict" => Some(SameSite::Strict),
        "lax" => Some(SameSite::Lax),
        "none" => Some(SameSite::None),
        "remove" => Some(SameSite::Removed),
        _ => None,
    };
    let flags = Flags { secure: flag("secure"), http_only: flag("http_only"), same_site };
    let words = table.list("words").iter().map(|item| value_of(b, item)).collect();
    Some(CookieFlags { cookie, flags, words })
}

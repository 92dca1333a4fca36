//! `[upstream.NAME.sticky]`

use super::template::template_at;
use super::{Build, field};
use crate::config::Place;
use crate::config::model::{
    CookieSecret, Piece, Stage, Sticky, StickyCookie, StickyLearn, Template,
};
use crate::config::tree::Table;

/// The ways to bind a client.
const WAYS: [&str; 3] = ["cookie", "route", "learn"];

/// Settings that only one of the ways has.
const OWN: [(&str, &str); 11] = [
    ("expires", "cookie"),
    ("domain", "cookie"),
    ("path", "cookie"),
    ("secure", "cookie"),
    ("http_only", "cookie"),
    ("same_site", "cookie"),
    ("secret", "cookie"),
    ("lookup", "learn"),
    ("timeout", "learn"),
    ("known", "learn"),
    ("max_sessions", "learn"),
];

/// Fewer bytes of a secret could be guessed.
const LEAST_SECRET: usize = 16;

pub(super) fn sticky(b: &mut Build<'_>, table: &Table) -> Sticky {
    let mut ways = WAYS.iter().filter_map(|way| Some((*way, table.written(way)?.0)));
    let Some((way, at)) = ways.next() else {
        let help = "write `cookie = \"NAME\"`, `route = [\"${cookie.NAME}\"]`, or `learn`";
        b.error(table.place, "nothing says what binds a client to its backend", help);
        return Sticky::Route(Vec::new());
    };
    for (other, at) in ways {
        let message = format!("`{way}` and `{other}` are two ways to bind a client");
        b.error(at, message, "keep one of them");
    }
    for (key, of) in OWN.iter().filter(|(_, of)| *of != way) {
        if let Some((at, _)) = table.written(key) {
            let message =
                format!("`{key}` belongs to `{of}`, and it is `{way}` that binds clients");
            b.error(at, message, format!("leave it out, or use `{of}`"));
        }
    }
    match way {
        "cookie" => {
            if !field::is_token(table.text("cookie")) {
                let message = format!("`{}` cannot be the name of a cookie", table.text("cookie"));
                b.error(table.place_of("cookie"), message, "use letters, digits, `-` and `_`");
            }
            Sticky::Cookie(cookie_of(b, table, table.text("cookie")))
        }
        "route" => {
            let help = "for example `[\"${cookie.route}\"]`";
            Sticky::Route(texts(b, table, ("route", Stage::Request), at, help))
        }
        _ => {
            let help = "for example `[\"${upstream.cookie.sid}\"]`";
            let create = texts(b, table, ("learn", Stage::Response), at, help);
            let help = "say what names a session, for example `lookup = [\"${cookie.sid}\"]`";
            let lookup = texts(b, table, ("lookup", Stage::Request), table.place, help);
            Sticky::Learn(StickyLearn {
                create,
                lookup,
                timeout: table.duration("timeout").unwrap_or_default(),
                at_end: table.text("known") == "end",
                max_sessions: table.integer("max_sessions").unwrap_or_default(),
            })
        }
    }
}

/// The texts of a way, of which there must be one.
fn texts(
    b: &mut Build<'_>,
    table: &Table,
    (key, stage): (&str, Stage),
    at: Place,
    help: &str,
) -> Vec<Template> {
    let texts = table.list(key);
    if texts.is_empty() {
        b.error(at, format!("without a text in `{key}` nobody is bound"), help);
    }
    texts.iter().map(|item| template_at(b, item.place, item.text(), stage)).collect()
}

fn cookie_of(b: &mut Build<'_>, table: &Table, name: &str) -> StickyCookie {
    let mut attributes = String::new();
    for key in ["domain", "path"] {
        let Some((_, item)) = table.written(key) else { continue };
        if item.text().is_empty()
            || item.text().contains([';', ',', ' '])
            || !field::is_value(item.text().as_bytes())
        {
            let message = format!("`{}` cannot be the {key} of a cookie", item.text());
            b.error(item.place, message, "use no spaces, commas and semicolons");
        }
        attributes.extend(["; ", key, "=", item.text()]);
    }
    for (key, word) in [("secure", "; secure"), ("http_only", "; httponly")] {
        if table.bool(key) {
            attributes.push_str(word);
        }
    }
    let same_site = table.written("same_site").map(|(_, item)| {
        let text = template_at(b, item.place, item.text(), Stage::Request);
        if let Template(pieces) = &text
            && let [Piece::Text(word)] = &pieces[..]
            && !["strict", "lax", "none"].contains(&&*word.to_ascii_lowercase())
        {
            let message = format!("same_site cannot be `{word}`");
            b.error(item.place, message, "it is `strict`, `lax` or `none`");
        }
        text
    });
    let secret = table.written("secret").map(|(_, item)| {
        let mut secret = b.bytes(item);
        while let Some(b'\n' | b'\r') = secret.last() {
            secret.pop();
        }
        if secret.len() < LEAST_SECRET {
            let help = "make one with `openssl rand -hex 32`";
            b.error(item.place, format!("a secret has at least {LEAST_SECRET} bytes"), help);
        }
        CookieSecret(secret)
    });
    StickyCookie {
        name: name.to_owned(),
        expires: table.duration("expires"),
        attributes,
        same_site,
        secret,
    }
}

//! `[upstream.NAME.sticky]`

use super::template::template;
use super::{Build, field};
use crate::config::model::{Piece, Sticky, StickyCookie, Template};
use crate::config::tree::Table;

/// Settings that only the cookie has.
const OF_COOKIE: [&str; 6] = ["expires", "domain", "path", "secure", "http_only", "same_site"];

pub(super) fn sticky(b: &mut Build<'_>, table: &Table) -> Sticky {
    let cookie = table.written("cookie").map(|(_, item)| item);
    let routes = table.list("route");
    match (cookie, table.written("route")) {
        (Some(item), None) => {
            if !field::is_token(item.text()) {
                let message = format!("`{}` cannot be the name of a cookie", item.text());
                b.error(item.place, message, "use letters, digits, `-` and `_`");
            }
            return Sticky::Cookie(cookie_of(b, table, item.text()));
        }
        (None, None) => {
            let help = "write `cookie = \"NAME\"`, or `route = [\"${cookie.NAME}\"]`";
            b.error(table.place, "nothing says what binds a client to its backend", help);
        }
        (Some(_), Some((at, _))) => {
            b.error(at, "`cookie` and `route` are two ways to bind a client", "keep one of them");
        }
        (None, Some((at, _))) => {
            if routes.is_empty() {
                let help = "for example `[\"${cookie.route}\"]`";
                b.error(at, "without a text nobody is bound", help);
            }
            for (key, at) in OF_COOKIE.iter().filter_map(|key| Some((key, table.written(key)?.0))) {
                let message = format!("`{key}` is of the cookie, and none is set");
                b.error(at, message, "leave it out, or use `cookie`");
            }
        }
    }
    Sticky::Route(routes.iter().map(|item| template(b, item.place, item.text())).collect())
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
        let text = template(b, item.place, item.text());
        if let Template(pieces) = &text
            && let [Piece::Text(word)] = &pieces[..]
            && !["strict", "lax", "none"].contains(&&*word.to_ascii_lowercase())
        {
            let message = format!("same_site cannot be `{word}`");
            b.error(item.place, message, "it is `strict`, `lax` or `none`");
        }
        text
    });
    StickyCookie {
        name: name.to_owned(),
        expires: table.duration("expires"),
        attributes,
        same_site,
    }
}

//! `[upstream.NAME.queue]`

use super::Build;
use super::template::template;
use crate::config::model::{Backend, Piece, Queue, Template};
use crate::config::tree::Table;

/// The queue of an upstream, which is the `table`, with these backends.
pub(super) fn queue(b: &mut Build<'_>, table: &Table, backends: &[Backend]) -> Option<Queue> {
    let section = table.table("queue")?;
    let (at, text) = (section.place_of("priority"), section.text("priority"));
    let priority = template(b, at, text);
    let fixed = match &priority {
        Template(pieces) if pieces.is_empty() => Some(""),
        Template(pieces) => match &pieces[..] {
            [Piece::Text(text)] => Some(&**text),
            _ => None,
        },
    };
    if fixed.is_some_and(|text| !matches!(text.as_bytes(), [b'0'..=b'9'])) {
        let message = format!("`{text}` is no priority");
        b.error(
            at,
            message,
            "it is a number from 0, who goes first, to 9, or a text that gives one",
        );
    }
    let bounded = backends.iter().any(|one| one.max_connections > 0);
    let adapts = table.table("adaptive").is_some();
    if !bounded && !adapts && table.integer::<u32>("max_in_flight").unwrap_or_default() == 0 {
        let message = "no backend is ever full, so requests wait only while all are out";
        let help = "give the backends `max_connections`, or the upstream `max_in_flight`";
        b.warning(section.place, message, help);
    }
    Some(Queue {
        depth: section.integer("depth").unwrap_or_default(),
        timeout: section.duration("timeout").unwrap_or_default(),
        priority,
    })
}

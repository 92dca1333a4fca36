//! Routes: what becomes of request bodies.

use super::Build;
use crate::config::model::RequestBuffering;
use crate::config::tree::Table;

/// How bodies are kept whole.
pub(super) fn buffering(b: &mut Build<'_>, table: &Table) -> Option<RequestBuffering> {
    let item = table.item("directory")?;
    let directory = b.bases[item.place.file].join(item.text());
    if !directory.is_dir() {
        let message = format!("`{}` is no directory", item.text());
        b.error(table.place_of("directory"), message, "make it, or name another");
    }
    let memory = table.size("memory").and_then(|size| usize::try_from(size).ok());
    Some(RequestBuffering { memory: memory.unwrap_or_default(), directory })
}

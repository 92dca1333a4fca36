//! `plimsoll schema`: the configuration for editors (JSON schema) and for readers (Markdown).

use std::io::{self, Write};

use crate::config;

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// The JSON schema, draft 7.
    JsonSchema,
    /// The reference manual, Markdown.
    Reference,
}

/// Writes the schema or the reference of the configuration.
///
/// # Errors
/// When nothing can be written.
pub fn schema(output: Output, out: &mut impl Write) -> io::Result<()> {
    let text = match output {
        Output::JsonSchema => config::schema(),
        Output::Reference => config::reference(),
    };
    out.write_all(text.as_bytes())
}

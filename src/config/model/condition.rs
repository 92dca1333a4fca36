//! What a request must be for a route, beside host and path.

use super::{Pattern, Template};

/// A condition on what a request gives for a text with variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The text.
    pub value: Template,
    /// What it must be.
    pub test: Test,
}

/// What a text must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// This, byte for byte.
    Is(String),
    /// Anything but this.
    IsNot(String),
    /// The expression is found in it.
    Matches(Pattern),
    /// The expression is not found in it.
    MatchesNot(Pattern),
}

impl Test {
    /// Whether a text passes.
    pub fn passes(&self, text: &[u8]) -> bool {
        match self {
            Self::Is(wanted) => text == wanted.as_bytes(),
            Self::IsNot(unwanted) => text != unwanted.as_bytes(),
            Self::Matches(pattern) => pattern.0.is_match(text),
            Self::MatchesNot(pattern) => !pattern.0.is_match(text),
        }
    }
}

//! Text → [`Config`]: reading, checking and explaining what the operator wrote.

pub mod model;

pub use model::Config;

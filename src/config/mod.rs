//! Text → [`Config`]: reading, checking and explaining what the operator wrote.
//!
//! The way of a file: `load` finds it and its includes; `read` compares it with the one table of
//! `settings` and gives a `tree` of typed values with places; `build` makes the `model` of it and
//! checks what values mean together. No step stops at a fault: `faults` collects them, and a load
//! ends in a [`Loaded`] configuration or a [`Report`] of everything that is wrong.
//!
//! Called by `cli` (check, run), by `control` for every reload, and by embedders through [`parse`].

mod build;
mod diagnostic;
mod faults;
mod files;
mod load;
mod masked;
pub mod model;
mod nearest;
mod read;
mod reference;
mod schema;
mod settings;
mod table;
#[cfg(test)]
mod tests;
mod tree;
mod units;

pub(crate) use build::{
    backend_address, is_authority, is_name, is_path, is_token, is_trailer, is_value,
    stage_of_variable,
};
pub use diagnostic::{Diagnostic, Report, Severity, render};
pub(crate) use faults::{Faults, Place};
pub use load::{
    Environment, FileText, Loaded, load, load_only, load_with, parse, process_environment,
};
pub use masked::{MASK, Masked, holds_mask, masked};
pub use model::{Config, Stage};
pub use reference::reference;
pub use schema::schema;
pub(crate) use units::{parse_duration, show_duration, show_size};

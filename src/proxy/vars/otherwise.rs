//! What a backend gets otherwise than the client asked for.

use crate::http1::encode::push_decimal;

/// What is sent otherwise than it came, as far as it is in the head.
#[derive(Debug, Clone, Default)]
pub struct Otherwise {
    /// The host that the request names as its place, with its port unless that goes without saying;
    /// empty where it names none.
    pub host: String,
    /// Its port; 0 where it has none.
    pub port: u16,
    /// The method in place of the client's.
    pub method: Option<Vec<u8>>,
    /// The whole target in place of the client's.
    pub target: Option<Vec<u8>>,
    /// The client's fields are sent on.
    pub headers: bool,
}

impl Otherwise {
    /// Appends the port of the place that the request names.
    pub(super) fn push_port(&self, out: &mut Vec<u8>) {
        if self.port > 0 {
            push_decimal(out, u64::from(self.port));
        }
    }
}

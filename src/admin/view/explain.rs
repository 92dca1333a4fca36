//! A request that somebody asks about.

use std::net::{IpAddr, Ipv4Addr};

use serde::Deserialize;

use crate::proxy::explain::Wanted;

/// The body of `POST /api/v1/ha/explain`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct Question {
    /// The method; GET if left out.
    method: Option<String>,
    /// `https://example.com/path?query`, or a path.
    url: String,
    /// Fields, as `Name: value`.
    #[serde(default)]
    headers: Vec<String>,
    /// Who asks; 127.0.0.1 if left out.
    client: Option<IpAddr>,
    /// The listener's name or address.
    listener: Option<String>,
}

impl Question {
    pub(in crate::admin) fn wanted(self) -> Wanted {
        Wanted {
            method: self.method.unwrap_or_else(|| "GET".to_owned()),
            url: self.url,
            fields: self.headers,
            client: self.client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            listener: self.listener,
        }
    }
}

//! Upstreams of the draft → TOML.

use std::time::Duration;

use super::draft::{Policy, Upstream};
use super::write::{Writer, key, quote, quoted_list};
use crate::config::show_duration;

impl Writer<'_> {
    /// `[upstream.NAME]`
    pub(super) fn upstream(&mut self, upstream: &Upstream) {
        let name = key(&upstream.name);
        self.section(&format!("[upstream.{name}]"), upstream.at);
        for (name, value) in &upstream.settings {
            self.setting(name, value);
        }
        let minute = Duration::from_mins(1);
        let policy = &upstream.policy;
        for (name, time, ours) in [
            ("timeouts.connect", policy.connect, Duration::from_secs(3)),
            ("timeouts.read", policy.read, minute),
            ("timeouts.write", policy.write, minute),
        ] {
            if time != ours {
                self.setting(name, &quote(&show_duration(time)));
            }
        }
        if !upstream.alone {
            for (name, value) in retry(policy, upstream) {
                self.setting(&format!("retry.{name}"), &value);
            }
        }
        for backend in &upstream.backends {
            self.section(&format!("[[upstream.{name}.backend]]"), backend.at);
            if let Some(name) = &backend.name {
                self.setting("name", &quote(name));
            }
            self.setting("address", &quote(&backend.address));
            if backend.weight != 1 {
                self.setting("weight", &backend.weight.to_string());
            }
            if backend.backup {
                self.setting("backup", "true");
            }
            if let Some(state) = backend.state {
                self.setting("state", &quote(state));
            }
            if backend.max_connections > 0 {
                self.setting("max_connections", &backend.max_connections.to_string());
            }
            if let Some(service) = &backend.service {
                self.setting("service", &quote(service));
            }
            if let Some(route) = &backend.route {
                self.setting("route", &quote(route));
            }
            if let Some(count) = backend.max_fails {
                self.setting("max_fails", &count.to_string());
            }
            if let Some(time) = backend.fail_timeout {
                self.setting("fail_timeout", &quote(&show_duration(time)));
            }
        }
    }
}

/// A retry policy as far as it differs from Plimsoll's own.
pub(super) fn retry(policy: &Policy, upstream: &Upstream) -> Vec<(&'static str, String)> {
    let mut settings = Vec::new();
    // With fewer backends than tries, all are tried anyhow.
    let all = upstream.most_tries.is_some_and(|most| most <= 3 && policy.tries == 0);
    if policy.tries != 3 && !all {
        settings.push(("tries", policy.tries.min(1_000).to_string()));
    }
    if policy.tries == 1 {
        return settings;
    }
    if let Some(time) = policy.timeout {
        settings.push(("timeout", quote(&show_duration(time))));
    }
    let words = [
        (policy.reset, "reset"),
        (policy.timed_out, "timeout"),
        (policy.invalid, "invalid_response"),
    ];
    let on: Vec<_> =
        words.iter().filter(|(on, _)| *on).map(|(_, word)| (*word).to_owned()).collect();
    if on.len() < words.len() {
        settings.push(("on", quoted_list(&on)));
    }
    if !policy.reset || !policy.timed_out {
        settings.push(("unsent", quote("as_listed")));
    }
    if !policy.statuses.is_empty() {
        let statuses: Vec<_> = policy.statuses.iter().map(u16::to_string).collect();
        settings.push(("statuses", format!("[{}]", statuses.join(", "))));
    }
    if policy.streams {
        settings.push(("replay_body", "0".to_owned()));
    }
    if policy.non_idempotent {
        settings.push(("non_idempotent", "true".to_owned()));
    }
    settings
}

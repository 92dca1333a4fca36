//! How a request and its attempts look in JSON: the keys, in their order.
//!
//! Keys are always there, `null` where there is nothing to tell, so that a log pipeline sees one
//! shape. Times are in seconds.

use std::time::Duration;

use jiff::Timestamp;
use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::{Attempt, Entry, capped};

/// Appends the line of `entry`, with its line end.
pub(super) fn write(entry: &Entry<'_>, out: &mut Vec<u8>) {
    // Neither writing to a Vec nor any of the values below can fail.
    let _ = serde_json::to_writer(&mut *out, entry);
    out.push(b'\n');
}

impl Serialize for Entry<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let time = Timestamp::try_from(self.time).unwrap_or(Timestamp::UNIX_EPOCH);
        let mut line = out.serialize_struct("Entry", 20)?;
        // RFC 3339 in UTC with milliseconds.
        line.serialize_field("time", &format_args!("{time:.3}"))?;
        line.serialize_field("client", &format_args!("{}", self.client))?;
        line.serialize_field("user", &self.user.map(Text))?;
        line.serialize_field("method", &Text(self.method))?;
        line.serialize_field("target", &Text(self.target))?;
        line.serialize_field("version", &Text(self.version))?;
        line.serialize_field("host", &self.host.map(Text))?;
        line.serialize_field("status", &self.status)?;
        line.serialize_field("request_bytes", &self.request_bytes)?;
        line.serialize_field("response_bytes", &self.body_bytes)?;
        line.serialize_field("duration_seconds", &Seconds(self.duration))?;
        line.serialize_field("referer", &self.referer.map(Text))?;
        line.serialize_field("user_agent", &self.user_agent.map(Text))?;
        line.serialize_field("request_id", &Text(self.request_id))?;
        line.serialize_field("trace_id", &self.trace_id.map(Text))?;
        line.serialize_field("listener", self.listener)?;
        line.serialize_field("route", self.route)?;
        line.serialize_field("upstream", &self.upstream)?;
        line.serialize_field("failure", &self.failure)?;
        line.serialize_field("attempts", self.attempts)?;
        line.end()
    }
}

impl Serialize for Attempt<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut attempt = out.serialize_struct("Attempt", 8)?;
        attempt.serialize_field("backend", self.backend)?;
        attempt.serialize_field("outcome", self.outcome.name())?;
        attempt.serialize_field("status", &self.status)?;
        attempt.serialize_field("reused", &self.reused)?;
        attempt.serialize_field("connect_seconds", &self.connect.map(Seconds))?;
        attempt.serialize_field("first_byte_seconds", &self.first_byte.map(Seconds))?;
        attempt.serialize_field("duration_seconds", &Seconds(self.duration))?;
        attempt.serialize_field("retried_because", &self.retried_because)?;
        attempt.end()
    }
}

/// Bytes from the network: UTF-8 as it is, U+FFFD for what is not; the serializer escapes control
/// characters.
struct Text<'a>(&'a [u8]);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&String::from_utf8_lossy(capped(self.0)))
    }
}

/// Seconds, to the microsecond.
struct Seconds(Duration);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_f64(self.0.as_micros() as f64 / 1e6)
    }
}

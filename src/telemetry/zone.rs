//! The time zone in which people are told the time.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

/// A time zone, usually the system's.
#[derive(Debug, Clone)]
pub struct Zone(TimeZone);

impl Zone {
    /// The system's.
    pub fn system() -> Self {
        Self(TimeZone::system())
    }

    /// That of Greenwich.
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// Appends a time since 1970 like `21/Nov/2026:05:00:00 +0000`.
    pub fn push_local(&self, time: Duration, out: &mut Vec<u8>) {
        let text = self.at(time).strftime("%d/%b/%Y:%H:%M:%S %z").to_string();
        out.extend_from_slice(text.as_bytes());
    }

    /// Appends a time since 1970 like `2026-11-21T05:00:00+00:00` (ISO 8601).
    pub fn push_iso8601(&self, time: Duration, out: &mut Vec<u8>) {
        let text = self.at(time).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
        out.extend_from_slice(text.as_bytes());
    }

    /// Appends a time since 1970 like `Sat, 21 Nov 2026 05:00:00 GMT` (RFC 9110 §5.6.7), whatever the
    /// zone.
    pub fn push_http(time: Duration, out: &mut Vec<u8>) {
        let text = Self::utc().at(time).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        out.extend_from_slice(text.as_bytes());
    }

    fn at(&self, time: Duration) -> Zoned {
        // Times beyond the year 9999 are not worth an error here.
        let time = SignedDuration::try_from(time).unwrap_or_default();
        let time = Timestamp::from_duration(time).unwrap_or(Timestamp::UNIX_EPOCH);
        time.to_zoned(self.0.clone())
    }
}

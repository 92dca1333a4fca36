//! The text of the `Date` field.

use std::cell::Cell;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// An IMF-fixdate, always 29 bytes (RFC 9110 §5.6.7).
pub(super) type DateText = [u8; 29];

/// A moment of the last second, with its text.
#[derive(Debug, Clone, Copy)]
struct Date {
    made: Instant,
    /// From when on the text is another one.
    until: Instant,
    /// When it was made, since 1970.
    time: Duration,
    text: DateText,
}

impl Date {
    fn new(now: Instant) -> Self {
        let time = SystemTime::now();
        let formatted = httpdate::fmt_http_date(time);
        let mut text = [b' '; 29];
        let n = formatted.len().min(text.len());
        text[..n].copy_from_slice(&formatted.as_bytes()[..n]);
        let time = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { made: now, until: now + Duration::from_secs(1), time, text }
    }
}

/// A worker's `Date` field, whose text is made once a second (RFC 9110 §6.6.1).
#[derive(Debug)]
pub(super) struct Dates(Cell<Date>);

impl Dates {
    pub(super) fn new(now: Instant) -> Self {
        Self(Cell::new(Date::new(now)))
    }

    /// The text for `now`.
    pub(super) fn text(&self, now: Instant) -> DateText {
        let mut date = self.0.get();
        if now >= date.until {
            date = Date::new(now);
            self.0.set(date);
        }
        date.text
    }

    /// A moment of the last second, and the time since 1970 at that moment.
    pub(super) fn anchor(&self) -> (std::time::Instant, Duration) {
        let Date { made, time, .. } = self.0.get();
        (made.into_std(), time)
    }
}

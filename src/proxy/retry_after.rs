//! Backends that ask to be left alone (`Retry-After`, RFC 9110 §10.2.3).

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::http1::ResponseHead;
use crate::model::{Clock, Event};
use crate::proxy::forward::Forward;

/// What an upstream's backends ask for is told to control this often at most, by each worker.
const PAUSE: Duration = Duration::from_millis(50);

impl Forward<'_> {
    /// Tells control if the backend asks to be left alone, for at most so long.
    #[cold]
    pub(super) fn heed(&self, response: &ResponseHead, most: Duration, now: Instant) {
        let Some(value) = response.find("retry-after") else { return };
        let Some(asked) = parse(value, SystemTime::now()).filter(|asked| !asked.is_zero()) else {
            return;
        };
        let told = &self.passage.local.asked_to_wait;
        if told.get().is_some_and(|at| now.saturating_duration_since(at) < PAUSE) {
            return;
        }
        told.set(Some(now));
        let (pause, at) = (asked.min(most), Clock::tick(now.into_std()));
        self.passage.at.worker.report(Event::AskedToWait { backend: self.backend.id, pause, at });
    }
}

/// Seconds, or a date.
fn parse(value: &[u8], now: SystemTime) -> Option<Duration> {
    let text = str::from_utf8(value).ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More than can be counted is for ever.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    date.duration_since(now).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_seconds_or_a_date_to_come() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_700);
        let parse = |value: &str| parse(value.as_bytes(), now).map(|it| it.as_secs());
        assert_eq!(parse("120"), Some(120));
        assert_eq!(parse("Sun, 06 Nov 1994 08:49:37 GMT"), Some(77));
        assert_eq!(parse("99999999999"), Some(99_999_999_999));
        assert_eq!(parse("99999999999999999999"), Some(u64::MAX));
        for not in ["", "soon", "-1", "+1", "1.5", "Sun, 06 Nov 1994 08:00:00 GMT"] {
            assert_eq!(parse(not), None, "{not}");
        }
    }
}

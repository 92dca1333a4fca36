//! nginx's `combined`: `$remote_addr - $remote_user [$time_local] "$request" $status
//! $body_bytes_sent "$http_referer" "$http_user_agent"`, byte for byte.
//!
//! The escaping is that of nginx's `log_format … escape=default`; the tests compare with the access
//! log of a real nginx.

use std::io::Write;
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Entry, capped};

/// Appends the line of `entry`, with its line end.
pub(super) fn write(entry: &Entry<'_>, clock: &mut LocalClock, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{} - ", entry.client);
    optional(entry.user, out);
    out.extend_from_slice(b" [");
    out.extend_from_slice(clock.text(entry.time).as_bytes());
    out.extend_from_slice(b"] \"");
    request_line(entry, out);
    let _ = write!(out, "\" {} {} \"", entry.status, entry.body_bytes);
    optional(entry.referer, out);
    out.extend_from_slice(b"\" \"");
    optional(entry.user_agent, out);
    out.extend_from_slice(b"\"\n");
}

fn request_line(entry: &Entry<'_>, out: &mut Vec<u8>) {
    let parts = [entry.method, entry.target, entry.version];
    for (place, part) in parts.into_iter().filter(|part| !part.is_empty()).enumerate() {
        if place > 0 {
            out.push(b' ');
        }
        escape(capped(part), out);
    }
}

/// A field that was not sent is `-`; one that was sent empty is empty.
fn optional(field: Option<&[u8]>, out: &mut Vec<u8>) {
    match field {
        Some(field) => escape(capped(field), out),
        None => out.push(b'-'),
    }
}

fn escape(field: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let is_plain = |byte: u8| matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\';
    for run in field.chunk_by(|a, b| is_plain(*a) && is_plain(*b)) {
        match *run {
            [byte] if !is_plain(byte) => {
                let [high, low] = [byte >> 4, byte & 15].map(|digit| HEX[usize::from(digit)]);
                out.extend_from_slice(&[b'\\', b'x', high, low]);
            }
            _ => out.extend_from_slice(run),
        }
    }
}

/// `$time_local`: formatted once per second. One per worker.
#[derive(Debug)]
pub(super) struct LocalClock {
    zone: TimeZone,
    second: i64,
    text: String,
}

impl LocalClock {
    /// A clock for a time zone, usually the system's.
    pub(super) fn new(zone: TimeZone) -> Self {
        Self { zone, second: i64::MIN, text: String::new() }
    }

    fn text(&mut self, time: SystemTime) -> &str {
        // Times outside of years −9999 to 9999 are not worth an error here.
        let time = Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH);
        if time.as_second() != self.second {
            self.second = time.as_second();
            let local = time.to_zoned(self.zone.clone());
            self.text = local.strftime("%d/%b/%Y:%H:%M:%S %z").to_string();
        }
        &self.text
    }
}

/// The user name of an `Authorization` field with Basic credentials, as nginx tells it in
/// `$remote_user`: `None` without a colon, or when there is nothing before it.
pub fn basic_user(authorization: &[u8]) -> Option<Vec<u8>> {
    let (scheme, rest) = authorization.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let mut user = base64(rest.trim_ascii_start())?;
    let colon = user.iter().position(|byte| *byte == b':')?;
    user.truncate(colon);
    (!user.is_empty()).then_some(user)
}

/// Base64 (RFC 4648 §4) up to the first `=`; padding is not asked for.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.split(|byte| *byte == b'=').next()?;
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        let mut bits = 0_u32;
        for place in 0..4 {
            let value = match group.get(place) {
                None => 0,
                Some(digit @ b'A'..=b'Z') => digit - b'A',
                Some(digit @ b'a'..=b'z') => digit - b'a' + 26,
                Some(digit @ b'0'..=b'9') => digit - b'0' + 52,
                Some(b'+') => 62,
                Some(b'/') => 63,
                Some(_) => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        // Two digits make one byte, three make two, four make three; one alone makes none.
        let whole = group.len().checked_sub(1).filter(|whole| *whole > 0)?;
        bytes.extend_from_slice(&bits.to_be_bytes()[1..=whole]);
    }
    Some(bytes)
}

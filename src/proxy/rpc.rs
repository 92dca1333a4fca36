//! What gRPC says in fields, after its protocol over HTTP/2
//! (`github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md`).

use std::time::Duration;

use crate::http1::encode::push_decimal;
use crate::http1::{Known, RequestHead, ResponseHead, Version};
use crate::proxy::failure::Failure;

/// The type of calls and their answers.
pub(super) const CONTENT_TYPE: &str = "application/grpc";

/// Whether a request is a call. Costs requests over HTTP/1 one comparison.
#[inline]
pub(super) fn is_call(head: &RequestHead) -> bool {
    head.version() == Version::Http2
        && head
            .first(Known::ContentType)
            .is_some_and(|value| value.starts_with(b"application/grpc"))
}

/// Whether this type is that of an answer of gRPC. The trailers of `application/grpc-web` stand in the body.
pub(super) fn is_answer(content_type: &[u8]) -> bool {
    match content_type.strip_prefix(CONTENT_TYPE.as_bytes()) {
        Some(rest) => matches!(rest.first(), None | Some(b'+' | b';' | b' ')),
        None => false,
    }
}

/// The time that a call may take, if it says one. What cannot be read is none.
pub(super) fn timeout(head: &RequestHead) -> Option<Duration> {
    parse_timeout(head.find("grpc-timeout")?)
}

/// One to eight digits and a unit.
fn parse_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// Appends a time as calls have it: up to eight digits, and a unit in which they are enough.
pub(super) fn push_timeout(out: &mut Vec<u8>, time: Duration) {
    let micros = time.as_micros();
    // Whoever has none left has a little, so that nobody takes it for no limit.
    let (number, unit) = match micros {
        0..100_000_000 => (micros.max(1), b'u'),
        100_000_000..100_000_000_000 => (micros / 1000, b'm'),
        _ => ((micros / 1_000_000).min(99_999_999), b'S'),
    };
    push_decimal(out, number as u64);
    out.push(unit);
}

/// What a failure of ours is called in gRPC. Its status decides, as clients do it themselves with an
/// answer that is none of gRPC's (`doc/http-grpc-status-mapping.md`).
pub(super) fn code(failure: Failure) -> u8 {
    match (failure, failure.status()) {
        // A call whose time is over while its messages are still to come counts as one of a slow client.
        (Failure::TotalTimeout | Failure::Deadline | Failure::BodyTimeout, _) => 4,
        (_, 400) => 13,
        (_, 401) => 16,
        (_, 403) => 7,
        (_, 404) => 12,
        (_, 429 | 502 | 503 | 504) => 14,
        _ => 2,
    }
}

/// The status that an answer stands for which is over with its head: that of HTTP for its
/// `grpc-status` (`google.rpc.Code`). `None`: it says none, or that all is well.
pub(super) fn status(answer: &ResponseHead) -> Option<u16> {
    Some(match answer.find("grpc-status")? {
        b"0" => return None,
        b"1" => 499,
        b"3" | b"9" | b"11" => 400,
        b"4" => 504,
        b"5" => 404,
        b"6" | b"10" => 409,
        b"7" => 403,
        b"8" => 429,
        b"12" => 501,
        b"14" => 503,
        b"16" => 401,
        _ => 500,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Outcome;

    #[test]
    fn answers_are_known_by_their_type() {
        for text in ["application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8"]
        {
            assert!(is_answer(text.as_bytes()), "{text}");
        }
        for text in ["application/grpc-web", "application/grpc-web+proto", "application/json", ""] {
            assert!(!is_answer(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn times_are_digits_and_a_unit() {
        for (text, expected) in [
            ("1H", Some(Duration::from_hours(1))),
            ("2M", Some(Duration::from_mins(2))),
            ("99999999S", Some(Duration::from_secs(99_999_999))),
            ("150m", Some(Duration::from_millis(150))),
            ("7u", Some(Duration::from_micros(7))),
            ("8n", Some(Duration::from_nanos(8))),
            ("0m", Some(Duration::ZERO)),
            ("", None),
            ("m", None),
            ("1", None),
            ("1s", None),
            ("+1S", None),
            ("1 S", None),
            ("123456789S", None),
        ] {
            assert_eq!(parse_timeout(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_time_is_told_in_eight_digits_and_not_longer_than_it_is() {
        for (time, expected) in [
            (Duration::ZERO, "1u"),
            (Duration::from_micros(1), "1u"),
            (Duration::from_nanos(99_999_999_999), "99999999u"),
            (Duration::from_micros(100_000_999), "100000m"),
            (Duration::from_millis(99_999_999), "99999999m"),
            (Duration::from_secs(100_000), "100000S"),
            (Duration::MAX, "99999999S"),
        ] {
            let mut out = Vec::new();
            push_timeout(&mut out, time);
            assert_eq!(str::from_utf8(&out).unwrap(), expected);
            let told = parse_timeout(&out).unwrap();
            assert!(told <= time.max(Duration::from_micros(1)), "{told:?}");
        }
    }

    #[test]
    fn failures_have_their_codes() {
        assert_eq!(code(Failure::NoneEligible), 14);
        assert_eq!(code(Failure::Attempt(Outcome::Reset)), 14);
        assert_eq!(code(Failure::TotalTimeout), 4);
        assert_eq!(code(Failure::Deadline), 4);
        assert_eq!(code(Failure::BodyTimeout), 4);
        assert_eq!(code(Failure::NoRoute), 12);
        assert_eq!(code(Failure::Forbidden), 7);
        assert_eq!(code(Failure::AuthRefused(401)), 16);
        assert_eq!(code(Failure::BodyTooLarge), 2);
    }
}

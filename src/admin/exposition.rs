//! In which form metrics are told: what a scraper accepts (RFC 9110 §12.5.1).

use axum::http::{HeaderMap, header};

use crate::telemetry::Exposition;

/// The media type of `OpenMetrics`.
pub(super) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `OpenMetrics` for who prefers it to plain text, as Prometheus does; plain text for all others, such
/// as people.
pub(super) fn accepted(fields: &HeaderMap) -> Exposition {
    let lines = fields.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok());
    let (mut open_metrics, mut plain) = (0.0, 0.0);
    for range in lines.flat_map(|line| line.split(',')) {
        let mut parts = range.split(';').map(|part| part.trim().to_ascii_lowercase());
        let media = parts.next().unwrap_or_default();
        let (mut weight, mut fits) = (1.0_f32, true);
        for part in parts {
            match part.split_once('=') {
                Some(("q", value)) => weight = value.trim().parse().unwrap_or(0.0),
                Some(("version", value)) => fits = value.trim().trim_matches('"') == "1.0.0",
                _ => {}
            }
        }
        match &*media {
            "application/openmetrics-text" if fits => {
                open_metrics = weight.max(open_metrics);
            }
            "text/plain" => plain = weight.max(plain),
            _ => {}
        }
    }
    if open_metrics > 0.0 && open_metrics >= plain {
        Exposition::OpenMetrics
    } else {
        Exposition::Prometheus
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn who_prefers_it_gets_openmetrics() {
        let of = |accept: &'static str| {
            let value = HeaderValue::from_static(accept);
            accepted(&HeaderMap::from_iter([(header::ACCEPT, value)]))
        };
        for wanted in [
            // Prometheus 2.42.
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;\
             q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            // Prometheus 3.
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;\
             version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "application/openmetrics-text",
        ] {
            assert_eq!(of(wanted), Exposition::OpenMetrics, "{wanted}");
        }
        for plain in [
            "*/*",
            "text/plain",
            "text/html,*/*;q=0.8",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;version=1.0.0;q=0.3,text/plain;version=0.0.4",
            "application/openmetrics-text;version=1.0.0;q=0",
        ] {
            assert_eq!(of(plain), Exposition::Prometheus, "{plain}");
        }
        assert_eq!(accepted(&HeaderMap::new()), Exposition::Prometheus);
    }
}

//! What of an upstream is done as nginx does it.

/// `[upstream.NAME.nginx]`
#[expect(clippy::struct_excessive_bools, reason = "independent settings")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpstreamNginx {
    /// Failures are counted as by `max_fails` and `fail_timeout`, instead of parking.
    pub failures: bool,
    /// Workers begin with the first backend; of equally loaded draws the second is taken.
    pub turns: bool,
    /// The status for a request for which there is no backend: 502 or 503.
    pub none_eligible: u16,
    /// An answer without addresses leaves a name without backends.
    pub empty_answer: bool,
    /// What does not begin like HTTP is a body without a head.
    pub bare_answers: bool,
    /// A response of HTTP/1.0 may be chunked.
    pub chunked_http10: bool,
    /// `Connection: close` is sent, and no connection is kept.
    pub connection_close: bool,
}

//! Why a head was refused. Made by the parsers of this room; `proxy` answers, logs and counts it.

/// Why a head was refused. The connection that it came on must be closed: where the message ends is
/// not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.reason())]
pub enum HeadError {
    /// The request line or its target is malformed.
    BadRequestLine,
    /// The status line is malformed, or its status is outside of 100 to 599.
    BadStatusLine,
    /// A field line is malformed: its end, its name, or a control in its value.
    BadHeader,
    /// `Content-Length` or `Transfer-Encoding` are malformed, contradictory or doubled.
    BadFraming,
    /// `Host` is missing, doubled or not `host[:port]`.
    BadHost,
    /// A field that has one value only is there more than once.
    RepeatedField,
    /// The head, or a line of it, is larger than the limit.
    TooLarge,
    /// The head has more fields than the limit.
    TooManyFields,
    /// The request target is longer than the limit.
    TargetTooLong,
    /// The method is one that we never serve: `CONNECT` and `TRACE`.
    MethodNotAllowed,
    /// An expectation other than `100-continue`.
    UnknownExpectation,
    /// A transfer coding other than `chunked`.
    UnknownTransferCoding,
    /// A version other than `HTTP/1.0` and `HTTP/1.1`.
    UnsupportedVersion,
    /// The first line of the HTTP/2 connection preface (RFC 9113 §3.4).
    Http2Preface,
}

impl HeadError {
    /// Every reason, for tables of metrics and docs.
    pub const ALL: [Self; 14] = [
        Self::BadRequestLine,
        Self::BadStatusLine,
        Self::BadHeader,
        Self::BadFraming,
        Self::BadHost,
        Self::RepeatedField,
        Self::TooLarge,
        Self::TooManyFields,
        Self::TargetTooLong,
        Self::MethodNotAllowed,
        Self::UnknownExpectation,
        Self::UnknownTransferCoding,
        Self::UnsupportedVersion,
        Self::Http2Preface,
    ];

    /// The status for the client when the head was a request. A refused response is always a 502.
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequestLine
            | Self::BadHeader
            | Self::BadFraming
            | Self::BadHost
            | Self::RepeatedField => 400,
            Self::MethodNotAllowed => 405,
            Self::TargetTooLong => 414,
            Self::UnknownExpectation => 417,
            Self::TooLarge | Self::TooManyFields => 431,
            Self::UnknownTransferCoding => 501,
            Self::BadStatusLine => 502,
            Self::UnsupportedVersion | Self::Http2Preface => 505,
        }
    }

    /// A fixed text for the log. Never contains bytes of the message.
    pub fn reason(self) -> &'static str {
        match self {
            Self::BadRequestLine => "malformed request line",
            Self::BadStatusLine => "malformed status line",
            Self::BadHeader => "malformed header field",
            Self::BadFraming => "ambiguous or malformed body length",
            Self::BadHost => "missing, repeated or malformed host",
            Self::RepeatedField => "repeated header field",
            Self::TooLarge => "head too large",
            Self::TooManyFields => "too many header fields",
            Self::TargetTooLong => "request target too long",
            Self::MethodNotAllowed => "method not allowed",
            Self::UnknownExpectation => "unknown expectation",
            Self::UnknownTransferCoding => "unknown transfer coding",
            Self::UnsupportedVersion => "unsupported protocol version",
            Self::Http2Preface => "HTTP/2 preface on an HTTP/1 connection",
        }
    }
}

//! How much one head may be, and what its fields may be called.

/// How much one head may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a head from its start line to its empty line, at most 16 MiB. Default 32 KiB.
    pub max_head_bytes: usize,
    /// Field lines of a head. Default 100.
    pub max_fields: usize,
    /// Bytes of a request target as received. Default 8 KiB.
    pub max_target_bytes: usize,
    /// Bytes of one field line. Default: as many as the head.
    pub max_field_bytes: usize,
    /// Which names fields may have. Default: any token.
    pub names: Names,
    /// Whether a request that repeats a field which has one value only is refused; `Host` and
    /// different lengths are always. Default: no.
    pub unique: bool,
    /// Whether a response of HTTP/1.0 may be chunked, which that version does not know (RFC 9112 §6.1).
    /// Default: no.
    pub chunked_http10: bool,
}

/// Which names of fields are taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Names {
    /// Every token (RFC 9110 §5.1); what is none is refused.
    #[default]
    Tokens,
    /// Letters, digits and `-`; fields with other names are left out (nginx's
    /// `ignore_invalid_headers`). What has a space or a control in its name, or none at all, is
    /// refused.
    Plain {
        /// Whether `_` is taken too (nginx's `underscores_in_headers`).
        underscores: bool,
    },
}

impl Names {
    /// Whether a line, whose name a parser would take or not, is left out.
    pub(super) fn leave_out(self, line: &[u8]) -> bool {
        let Self::Plain { underscores } = self else {
            return false;
        };
        let Some(colon) = memchr::memchr(b':', line) else {
            return false;
        };
        let name = &line[..colon];
        let is_odd = |byte: &u8| {
            !byte.is_ascii_alphanumeric() && *byte != b'-' && !(underscores && *byte == b'_')
        };
        name.iter().any(is_odd) && name.iter().all(|byte| *byte > b' ' && *byte != 0x7f)
    }
}

impl Limits {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        max_head_bytes: 32 << 10,
        max_fields: 100,
        max_target_bytes: 8 << 10,
        max_field_bytes: usize::MAX,
        names: Names::Tokens,
        unique: false,
        chunked_http10: false,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

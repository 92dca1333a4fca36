//! Settings of `[route.nginx]`: what is only there to be exactly like nginx.

use super::{onward, response};
use crate::config::table::{Kind, Section, Setting};

pub(super) const NGINX: Setting = Setting::optional(
    "nginx",
    Kind::Table(&SECTION),
    "Plimsoll's own ways",
    "For files that come from nginx: its ways where they are not ours.",
    "{ hidden_headers = true }",
);

static SECTION: Section = Section {
    title: "[route.nginx]",
    doc: "What nginx does otherwise, for files that come from it (`plimsoll import-nginx` writes \
          this). Where there is no need to be like nginx, leave it out.",
    settings: &[
        response::HIDDEN_HEADERS,
        response::PASSED_HEADERS,
        response::FIRST_OF_REPEATED,
        response::CHUNKED,
        response::ABSOLUTE_REDIRECT,
        response::X_ACCEL,
        onward::ACCEL_REDIRECT,
        onward::RECURSIVE_ERROR_PAGES,
        onward::REQUEST_URI,
        Setting::with_default(
            "ignore_client_abort",
            Kind::Bool,
            "false",
            "Whether a request goes on whose client has closed its side of the connection: it may be \
             gone, or have said no more than that it will send nothing further. Otherwise it is given \
             up (499).",
            "true",
        ),
    ],
};

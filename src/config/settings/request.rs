//! Settings of `[[route]]` about request bodies.

use crate::config::table::{Kind, Section, Setting};

pub(super) const BUFFERING: Setting = Setting::optional(
    "request_buffering",
    Kind::Table(&SECTION),
    "bodies are sent on as they come",
    "Read the whole body of a request before a backend is asked, so that a slow client occupies no \
     backend. It is then sent with its length, and can be sent again whole.",
    r#"{ memory = "64KiB" }"#,
);

static SECTION: Section = Section {
    title: "request_buffering = { … }",
    doc: "How request bodies are kept until they are whole. `max_body` bounds them. Their trailer \
          fields are not passed on.",
    settings: &[
        Setting::with_default(
            "memory",
            Kind::Size { min: 0, max: 1 << 30, unlimited: false },
            r#""64KiB""#,
            "Bytes of a body that are kept in memory. What is beyond goes to a file.",
            r#""1MiB""#,
        ),
        Setting::with_default(
            "directory",
            Kind::Text,
            r#""/tmp""#,
            "Where these files are made. They have no names, and are gone with their request.",
            r#""/var/tmp""#,
        ),
    ],
};

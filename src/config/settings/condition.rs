//! `when` of a route.

use crate::config::table::{Kind, Section, Setting};

pub(super) const WHEN: Setting = Setting::optional(
    "when",
    Kind::List(&KIND),
    "no further conditions",
    "What a request must be beside host, path, methods and headers; all must hold.",
    r#"[{ value = "${arg.version}", is = "2" }, { value = "${cookie.beta}", not = "" }]"#,
);

pub(super) static KIND: Kind = Kind::Table(&SECTION);

static SECTION: Section = Section {
    title: "when = [{ … }]",
    doc: "One condition: a text, and exactly one of the others.",
    settings: &[
        Setting::required(
            "value",
            Kind::Text,
            "What is compared: a text with `${variables}`.",
            r#""${arg.version}""#,
        ),
        Setting::optional(
            "is",
            Kind::Text,
            "another rule is given",
            "It must be this, in this case; `\"\"` is nothing at all.",
            r#""2""#,
        ),
        Setting::optional(
            "not",
            Kind::Text,
            "another rule is given",
            "It must be anything but this.",
            r#""""#,
        ),
        Setting::optional(
            "regex",
            Kind::Text,
            "another rule is given",
            "A regular expression that must be found in it.",
            r#""(?i)bot""#,
        ),
        Setting::optional(
            "not_regex",
            Kind::Text,
            "another rule is given",
            "A regular expression that must not be found in it.",
            r#""^(GET|HEAD)$""#,
        ),
    ],
};

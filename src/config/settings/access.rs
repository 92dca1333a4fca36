//! `access` of a route.

use crate::config::table::{Kind, Section, Setting, TEXTS};

pub(super) const ACCESS: Setting = Setting::optional(
    "access",
    Kind::List(&KIND),
    "everybody",
    "Who may use the route, by the client's address (after `trusted_proxies`): the first rule that \
     fits decides, and who is in none may. Others are answered with 403.",
    r#"[{ allow = ["10.0.0.0/8", "fd00::/8"] }, { deny = ["all"] }]"#,
);

static KIND: Kind = Kind::Table(&SECTION);

static SECTION: Section = Section {
    title: "access = [{ … }]",
    doc: "One rule; either of the two.",
    settings: &[
        Setting::optional(
            "allow",
            TEXTS,
            "`deny` is given",
            "Networks (CIDR) and addresses that are let in, or `all`.",
            r#"["10.0.0.0/8", "192.0.2.7"]"#,
        ),
        Setting::optional(
            "deny",
            TEXTS,
            "`allow` is given",
            "Networks (CIDR) and addresses that are kept out, or `all`.",
            r#"["all"]"#,
        ),
    ],
};

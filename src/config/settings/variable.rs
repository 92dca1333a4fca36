//! Settings of `[variable.NAME]`.

use crate::config::table::{Kind, Section, Setting};

pub(super) const VARIABLE: Setting = Setting::with_default(
    "variable",
    Kind::Map(&KIND),
    "{}",
    "Variables of your own, by name: letters, digits, `_` and `-`. Texts use them as `${NAME}`.",
    r#"{ shard = { from = "${cookie.user}", split = [{ percent = 10, give = "new" }, { give = "old" }] } }"#,
);

static KIND: Kind = Kind::Table(&SECTION);

static SECTION: Section = Section {
    title: "[variable.NAME]",
    doc: "A variable that is made of a text, by `cases` or by `split`. It is worked out where it is \
          used, and costs nothing where it is not.\n\
          \n\
          Of the cases the first that fits holds: whole texts, then networks (the smallest \
          first), then hosts with a `*.` (the longest \
          first), then those with a `.*`, then regular expressions in the order of the file; if none \
          does, `default`.",
    settings: &[
        Setting::required(
            "from",
            Kind::Text,
            "The text that decides: a text with `${variables}`.",
            r#""${header.upgrade}""#,
        ),
        Setting::optional(
            "cases",
            Kind::List(&Kind::Table(&CASE)),
            "`split` is given",
            "What is given for which text.",
            r#"[{ is = "", give = "close" }]"#,
        ),
        Setting::with_default(
            "default",
            Kind::Text,
            r#""""#,
            "What is given when no case fits: a text with `${variables}`.",
            r#""upgrade""#,
        ),
        Setting::optional(
            "split",
            Kind::List(&Kind::Table(&SHARE)),
            "`cases` is given",
            "What is given to which share of all texts. The same text always gets the same \
             (`MurmurHash2`, as nginx's `split_clients`).",
            r#"[{ percent = 0.5, give = "new" }, { give = "old" }]"#,
        ),
    ],
};

static CASE: Section = Section {
    title: "cases = [{ … }] of a variable",
    doc: "What is given for a text; exactly one of `is`, `host`, `network` and `regex`.",
    settings: &[
        Setting::optional(
            "is",
            Kind::Text,
            "another rule is given",
            "The whole text; upper and lower case are the same.",
            r#""websocket""#,
        ),
        Setting::optional(
            "host",
            Kind::Text,
            "another rule is given",
            "A host: a name, `*.example.com` (any name below), `.example.com` (that and the name \
             itself) or `www.example.*`. Upper and lower case are the same.",
            r#""*.example.com""#,
        ),
        Setting::optional(
            "network",
            Kind::Text,
            "another rule is given",
            "A network, or one address, in which the text's address is; of several, the smallest counts.",
            r#""10.0.0.0/8""#,
        ),
        Setting::optional(
            "regex",
            Kind::Text,
            "another rule is given",
            "A regular expression that must be found in the text. What its groups found stands in \
             `give` as `${capture.NAME}` or `${capture.1}`.",
            r#""^/(?<shop>[a-z]+)/""#,
        ),
        Setting::required(
            "give",
            Kind::Text,
            "What is given: a text with `${variables}`.",
            r#""shop-${capture.shop}""#,
        ),
    ],
};

static SHARE: Section = Section {
    title: "split = [{ … }] of a variable",
    doc: "One share.",
    settings: &[
        Setting::optional(
            "percent",
            Kind::Float { min: 0.01, max: 100.0 },
            "all that is left; only the last one may",
            "Percent of all texts, to two decimals.",
            "0.5",
        ),
        Setting::required(
            "give",
            Kind::Text,
            "What is given: a text with `${variables}`.",
            r#""new""#,
        ),
    ],
};

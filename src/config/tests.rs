//! What holds for the whole table of settings, and that no text makes loading panic.

use std::collections::BTreeSet;
use std::fs;

use proptest::prelude::*;
use toml::de::DeValue;

use super::faults::Faults;
use super::settings::ROOT;
use super::table::{Kind, Section, Setting, Unset};
use super::tree::{Item, Table, Value};
use super::{Loaded, Severity, load, parse, read, reference, schema};
use crate::balance::Strategy;
use crate::model::AdminState;

const FULL: &str = include_str!("../../conf/full.toml");

fn no_environment(_: &str) -> Option<String> {
    None
}

/// Every section with its title, each once.
fn sections() -> Vec<&'static Section> {
    fn of(kind: &'static Kind) -> Option<&'static Section> {
        match kind {
            Kind::Table(section) | Kind::Or(_, section) => Some(section),
            Kind::List(item) | Kind::Map(item) => of(item),
            _ => None,
        }
    }
    let mut all: Vec<&Section> = vec![&ROOT];
    let mut next = 0;
    while next < all.len() {
        for setting in all[next].settings {
            let inner = of(&setting.kind);
            all.extend(inner.filter(|new| !all.iter().any(|known| known.title == new.title)));
        }
        next += 1;
    }
    all
}

fn settings() -> impl Iterator<Item = (&'static Section, &'static Setting)> {
    sections()
        .into_iter()
        .flat_map(|section| section.settings.iter().map(move |one| (section, one)))
}

#[test]
fn every_setting_says_what_it_is() {
    for (section, setting) in settings() {
        let name = format!("{}: {}", section.title, setting.key);
        assert!(setting.doc.ends_with('.'), "{name}: the doc is a sentence");
        assert!(DeValue::parse(setting.example).is_ok(), "{name}: the example is TOML");
        if let Unset::Value(default) = setting.unset {
            assert!(DeValue::parse(default).is_ok(), "{name}: the default is TOML");
            assert_ne!(default, setting.example, "{name}: the example shows more than the default");
        }
        let same = section.settings.iter().filter(|other| other.key == setting.key);
        assert_eq!(same.count(), 1, "{name} is there once");
    }
}

/// An admin listener that asks clients for certificates.
const ASKS_CLIENTS: &str = "tls = { chain = \"example.pem\", key = \"example.key\", \
                            clients = { ca = \"clients-ca.pem\" } }";

/// What stands before a setting of each section, but for lines of that very setting.
const LEADS: &[(&str, &str)] = &[
    ("[variable.NAME]", "[variable.v]\nfrom = \"a\""),
    (
        "cases = [{ … }] of a variable",
        "[variable.v]\nfrom = \"a\"\n[[variable.v.cases]]\ngive = \"x\"",
    ),
    (
        "split = [{ … }] of a variable",
        "[variable.v]\nfrom = \"a\"\n[[variable.v.split]]\ngive = \"x\"",
    ),
    ("[log]", "[log]"),
    ("[access_log]", "[access_log]"),
    ("[access_logs.NAME]", "[access_logs.orders]\npath = \"shop.log\""),
    ("[acme]", "[acme]\nstate = \"state\"\naccept_terms = true"),
    (
        "[acme.external_account]",
        "[acme]\nstate = \"state\"\naccept_terms = true\n[acme.external_account]\n\
         id = \"kid-1\"\nkey = \"zWNDZM6e\"",
    ),
    ("[tracing]", "[tracing]\nendpoint = \"https://collector.test\"\nca = \"internal-ca.pem\""),
    ("[admin]", "[admin]\naddress = \"127.0.0.1:1\""),
    ("[admin.guard]", "[admin.guard]"),
    ("[admin.tls]", "[admin.tls]\nchain = \"example.pem\"\nkey = \"example.key\""),
    (
        "[admin.tls.clients]",
        "[admin.tls]\nchain = \"example.pem\"\nkey = \"example.key\"\n[admin.tls.clients]\n\
         ca = \"clients-ca.pem\"",
    ),
    (
        "[admin.certificates.NAME]",
        "[admin.tls]\nchain = \"example.pem\"\nkey = \"example.key\"\n\
         clients = { ca = \"clients-ca.pem\" }\n[admin.certificates.ann]\nsan = \"ann.test\"",
    ),
    (
        "[admin.tokens.NAME]",
        "[admin.tokens.deploy]\n\
         sha256 = \"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"",
    ),
    ("[[listener]]", "[[listener]]\naddress = \"127.0.0.1:0\""),
    ("[listener.nginx]", "[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.nginx]"),
    (
        "[listener.tls]",
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\n\
         certificate = [{ chain = \"example.pem\", key = \"example.key\" }]",
    ),
    (
        "[[listener.tls.certificate]]",
        "[acme]\nstate = \"state\"\naccept_terms = true\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\n[[listener.tls.certificate]]\n\
         chain = \"example.pem\"\nkey = \"example.key\"",
    ),
    (
        "[listener.tls.clients]",
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[[listener.tls.certificate]]\n\
         chain = \"example.pem\"\nkey = \"example.key\"\n[listener.tls.clients]\n\
         ca = \"clients-ca.pem\"",
    ),
    ("x_forwarded = { … }", "[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.x_forwarded]"),
    ("[[route]]", "[[route]]"),
    ("headers = { NAME = … }", "[[route]]\nupstream = \"api\"\n[route.headers.x]"),
    ("when = [{ … }]", "[[route]]\nupstream = \"api\"\n[[route.when]]\nvalue = \"${host}\""),
    ("access = [{ … }]", "[[route]]\nupstream = \"api\"\n[[route.access]]"),
    ("split = [{ … }]", "[[route]]\n[[route.split]]\nupstream = \"api\""),
    ("redirect = { … }", "[[route]]\n[route.redirect]\nto = \"/\""),
    ("respond = { … }", "[[route]]\n[route.respond]"),
    ("host_header = { … }", "[[route]]\nupstream = \"api\"\n[route.host_header]"),
    ("request_headers = { … }", "[[route]]\nupstream = \"api\"\n[route.request_headers]"),
    ("response_headers = { … }", "[[route]]\nupstream = \"api\"\n[route.response_headers]"),
    (
        "response_headers.fields = [{ … }]",
        "[[route]]\nupstream = \"api\"\n[[route.response_headers.fields]]\nname = \"X\"\nvalue = \"1\"",
    ),
    (
        "redirect_rewrite = [{ … }]",
        "[[route]]\nupstream = \"api\"\n[[route.redirect_rewrite]]\nfrom = \"/\"\nto = \"/\"",
    ),
    ("send = { … }", "[[route]]\nupstream = \"api\"\n[route.send]"),
    ("to = { … }", "[[route]]\nupstream = \"api\"\n[route.send.to]\naddress = \"${arg.a}\""),
    ("request_buffering = { … }", "[[route]]\nupstream = \"api\"\n[route.request_buffering]"),
    ("rate = { … }", "[[route]]\nupstream = \"api\"\n[route.rate]"),
    ("cookie_rewrite = { … }", "[[route]]\nupstream = \"api\"\n[route.cookie_rewrite]"),
    (
        "flags = [{ … }] of a cookie",
        "[[route]]\nupstream = \"api\"\n[[route.cookie_rewrite.flags]]\ncookie = \"a\"",
    ),
    ("response_trailers = { … }", "[[route]]\nupstream = \"api\"\n[route.response_trailers]"),
    (
        "response_trailers.add = [{ … }]",
        "[[route]]\nupstream = \"api\"\n[[route.response_trailers.add]]\nname = \"X\"\nvalue = \"1\"",
    ),
    (
        "rewrite = [{ … }]",
        "[[route]]\nupstream = \"api\"\n[[route.rewrite]]\nregex = \"/(.*)\"\nto = \"/new\"",
    ),
    (
        "error_pages = [{ … }]",
        "[[route]]\nupstream = \"api\"\n[[route.error_pages]]\nstatuses = [404]",
    ),
    ("[route.nginx]", "[[route]]\nupstream = \"api\"\n[route.nginx]"),
    ("timeouts = { … } of a route", "[[route]]\nupstream = \"api\"\n[route.timeouts]"),
    ("retry = { … } of a route", "[[route]]\nupstream = \"api\"\n[route.retry]"),
    ("{ file = … } or { env = … }", "[[route]]\n[route.respond.body]"),
    ("[upstream.NAME]", "[upstream.api]\nbackend = [{ address = \"10.0.0.9\" }]"),
    ("[[upstream.NAME.backend]]", "[[upstream.api.backend]]\naddress = \"a\""),
    ("[upstream.NAME.pool]", "[[upstream.api.backend]]\naddress = \"a\"\n[upstream.api.pool]"),
    (
        "[upstream.NAME.timeouts]",
        "[[upstream.api.backend]]\naddress = \"a\"\n[upstream.api.timeouts]",
    ),
    ("[upstream.NAME.retry]", "[[upstream.api.backend]]\naddress = \"a\"\n[upstream.api.retry]"),
    (
        "[upstream.NAME.passive]",
        "[[upstream.api.backend]]\naddress = \"a\"\n[upstream.api.passive]",
    ),
    (
        "[upstream.NAME.ejection]",
        "[[upstream.api.backend]]\naddress = \"a\"\n[upstream.api.ejection]",
    ),
    (
        "[upstream.NAME.failover]",
        "[[upstream.api.backend]]\naddress = \"a\"\n[[upstream.api.backend]]\naddress = \"b\"\n\
         tier = 1\n[upstream.api.failover]",
    ),
    ("[upstream.NAME.panic]", "[[upstream.api.backend]]\naddress = \"a\"\n[upstream.api.panic]"),
    (
        "[upstream.NAME.breaker]",
        "[[upstream.api.backend]]\naddress = \"a\"\n[upstream.api.breaker]",
    ),
    (
        "[upstream.NAME.health] or [upstream.NAME.check.CHECK]",
        "[[upstream.api.backend]]\naddress = \"127.0.0.1\"\n[upstream.api.check.web]\n\
         [upstream.api.check.database]\n[upstream.api.check.one]",
    ),
    ("[upstream.NAME.flap]", "[[upstream.api.backend]]\naddress = \"a\"\n[upstream.api.flap]"),
    ("[upstream.NAME.tls]", "[[upstream.api.backend]]\naddress = \"a\"\n[upstream.api.tls]"),
    ("[limit.NAME]", "[limit.all]\nrate = \"1/s\""),
    ("limits = [{ … }]", "[[route]]\nupstream = \"api\"\n[[route.limits]]\nname = \"clients\""),
    (
        "[upstream.NAME.adaptive]",
        "[[upstream.api.backend]]\naddress = \"a\"\n[upstream.api.adaptive]",
    ),
    (
        "[upstream.NAME.admission]",
        "[[upstream.api.backend]]\naddress = \"a\"\n[upstream.api.admission]",
    ),
    ("[upstream.NAME.hedge]", "[[upstream.api.backend]]\naddress = \"a\"\n[upstream.api.hedge]"),
    ("[upstream.NAME.queue]", "[[upstream.api.backend]]\naddress = \"a\"\n[upstream.api.queue]"),
    ("[upstream.NAME.sticky]", "[[upstream.api.backend]]\naddress = \"a\"\n[upstream.api.sticky]"),
    ("[dns]", "[dns]"),
    ("[upstream.NAME.nginx]", "[[upstream.api.backend]]\naddress = \"a\"\n[upstream.api.nginx]"),
    (
        "[[listener.sni]]",
        "[[listener]]\naddress = \"127.0.0.1:0\"\nmode = \"tcp\"\n[[listener.sni]]\n\
         names = [\"a.test\"]\nupstream = \"api\"",
    ),
    ("[upstream.NAME.dns]", "[[upstream.api.backend]]\naddress = \"a\"\n[upstream.api.dns]"),
];

/// What cannot stand beside a setting.
fn excluded_by<'k>(section: &Section, key: &'k str) -> [&'k str; 2] {
    match key {
        // A rule has either a text or a regular expression.
        "regex" if !section.title.starts_with("cases") => ["from", "cookie"],
        "socket_mode" => ["address", key],
        "acme" => ["chain", "key"],
        "subject" => ["san", key],
        // The example speaks no TLS.
        "endpoint" => ["ca", key],
        _ => [key, key],
    }
}

/// A configuration in which `line` stands in the section.
fn around(section: &Section, setting: &Setting, line: &str) -> String {
    let key = setting.key;
    if ["listener", "route", "upstream"].contains(&key) && section.title == ROOT.title {
        // The examples of the three fit each other.
        let others =
            ROOT.settings.iter().filter(|one| ["listener", "route", "upstream"].contains(&one.key));
        let others = others.filter(|one| one.key != key);
        return others
            .fold(line.to_owned(), |text, one| format!("{text}\n{} = {}", one.key, one.example));
    }
    let of_listener = section.title.contains("[listener") || section.title == "x_forwarded = { … }";
    let name = if of_listener { "other" } else { "main" };
    let mut text = format!("[[listener]]\nname = \"{name}\"\naddress = \"127.0.0.1:0\"\n");
    text += "[[route]]\npath = \"/other\"\nsplit = [{ upstream = \"api\" }, { upstream = \"canary\" }]\n";
    text += "[[route]]\npath = \"@other\"\nupstream = \"api\"\n";
    text += "[[upstream.canary.backend]]\naddress = \"10.0.0.1\"\n";
    if key != "access_logs" || section.title == "[[route]]" {
        text += "[access_logs.shop]\npath = \"a.log\"\n";
    }
    if key != "limit" {
        text += "[limit.clients]\nrate = \"1/s\"\n[limit.logins]\nconcurrency = 1\n";
    }
    if !section.title.contains("[upstream.") {
        text += "[[upstream.api.backend]]\naddress = \"10.0.0.2\"\n";
    }
    let Some((_, lead)) = LEADS.iter().find(|(title, _)| *title == section.title) else {
        assert_eq!(section.title, ROOT.title, "LEADS lacks a section");
        return format!("{line}\n{text}");
    };
    let without = |one: &str, key: &str| !one.starts_with(&format!("{key} ="));
    let excluded = excluded_by(section, key);
    let beside = |one: &&str| without(one, key) && excluded.iter().all(|key| without(one, key));
    for beside in lead.lines().filter(beside) {
        text = format!("{text}{beside}\n");
    }
    let action = ["upstream", "split", "redirect", "respond", "go_to"].contains(&key);
    let needed = match (section.title, key) {
        ("[[route]]", _) if !action => "upstream = \"api\"",
        ("error_pages = [{ … }]", "file" | "to") => "",
        ("error_pages = [{ … }]", _) => "file = \"sorry.html\"",
        ("cases = [{ … }] of a variable", "give") => "regex = \"(?<shop>a)\"",
        ("[access_log]" | "[access_logs.NAME]", "template") => "format = \"template\"",
        ("[[route]]", "access_logs") | ("[[listener]]", "mode") => "upstream = \"api\"",
        ("[[listener]]" | "[admin]", "socket_mode") => "address = \"unix:/run/app.sock\"",
        ("when = [{ … }]", "value") => "is = \"a\"",
        ("[upstream.NAME.sticky]", "learn") => "lookup = [\"${cookie.a}\"]",
        ("[upstream.NAME.sticky]", "lookup") => "learn = [\"${upstream.cookie.a}\"]",
        ("[upstream.NAME.sticky]", "timeout" | "known" | "max_sessions") => {
            "learn = [\"${upstream.cookie.a}\"]\nlookup = [\"${cookie.a}\"]"
        }
        ("[upstream.NAME.sticky]", other) if !["cookie", "route"].contains(&other) => {
            "cookie = \"a\""
        }
        ("[[listener]]", "upstream" | "sni") => "mode = \"tcp\"",
        ("[[listener]]", "tunnel_timeout") => "mode = \"tcp\"\nupstream = \"api\"",
        ("[admin]", "certificates") => ASKS_CLIENTS,
        ("[[listener]]", "proxy_protocol") => "trusted_proxies = [\"10.0.0.1\"]",
        ("[[listener.tls.certificate]]", "acme") => "names = [\"a.test\"]",
        ("[upstream.NAME.dns]", key) => of_sentinels(key),
        ("[upstream.NAME.tls]", "certificate") => "key = \"plimsoll.key\"",
        ("[upstream.NAME.tls]", "password") => {
            "certificate = \"plimsoll.pem\"\nkey = \"plimsoll.key\""
        }
        ("[upstream.NAME.tls]", "key") => "certificate = \"plimsoll.pem\"",
        ("[upstream.NAME.health] or [upstream.NAME.check.CHECK]", key) => of_check(key),
        ("[upstream.NAME]", key) => of_strategy(key),
        _ => "",
    };
    format!("{text}{needed}\n{line}\n")
}

/// What Sentinels need so that a setting means something.
fn of_sentinels(key: &str) -> &'static str {
    match key {
        "sentinel_user" => "sentinels = [\"10.0.0.5\"]\nsentinel_password = \"a\"",
        "sentinel_password" => "sentinels = [\"10.0.0.5\"]",
        _ => "",
    }
}

/// The strategy that looks at a setting.
fn of_strategy(key: &str) -> &'static str {
    match key {
        "choices" => "strategy = \"random\"",
        "transparent" => "source = \"10.0.0.100\"",
        "compare" => "strategy = \"random\"\nchoices = 2",
        "measure" => "strategy = \"least_response_time\"",
        "table_size" => "strategy = \"maglev\"",
        "hot_quantile" => "strategy = \"prequal\"",
        "key" | "bounded_load" => "strategy = \"consistent_hash\"",
        _ => "",
    }
}

/// What a check needs so that a setting means something.
fn of_check(key: &str) -> &'static str {
    match key {
        "send" | "receive" => "type = \"tcp\"",
        "service" => "type = \"grpc\"",
        "user" => "type = \"mysql\"",
        "password" | "database" | "role" | "max_lag" => "type = \"postgres\"\nuser = \"a\"",
        "command" => "type = \"exec\"",
        "warn" | "limit" => "type = \"memory\"",
        "checks" => "type = \"composite\"",
        "at_least" => "type = \"composite\"\nchecks = [\"web\", \"database\"]",
        _ => "",
    }
}

#[test]
fn every_example_loads() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("secrets")).unwrap();
    fs::create_dir(directory.path().join("conf.d")).unwrap();
    fs::write(directory.path().join("secrets/token"), "x\n").unwrap();
    fs::write(directory.path().join("secrets/eab"), "zWNDZM6e\n").unwrap();
    fs::write(directory.path().join("sorry.html"), "sorry").unwrap();
    fs::write(directory.path().join("api.backends"), "10.0.0.1:8080\n").unwrap();
    let tls = concat!(env!("CARGO_MANIFEST_DIR"), "/conf/tls");
    for file in fs::read_dir(tls).unwrap().map(|file| file.unwrap()) {
        fs::copy(file.path(), directory.path().join(file.file_name())).unwrap();
    }
    for (from, to) in [
        ("clients-ca.pem", "internal-ca.pem"),
        ("clients-ca.pem", "operators-ca.pem"),
        ("example.pem", "admin.pem"),
        ("example.key", "admin.key"),
        ("example.pem", "plimsoll.pem"),
        ("example.key", "plimsoll.key"),
    ] {
        fs::copy(directory.path().join(from), directory.path().join(to)).unwrap();
    }
    let path = directory.path().join("example.toml");
    for (section, setting) in settings() {
        let text = around(section, setting, &format!("{} = {}", setting.key, setting.example));
        fs::write(&path, &text).unwrap();
        if let Err(report) = load(&path, &|_| Some("x".to_owned())) {
            panic!("{} in {}:\n{report}\n{text}", setting.key, section.title);
        }
    }
}

#[test]
fn full_example_shows_every_setting() {
    fn collect(table: &Table, seen: &mut BTreeSet<(&'static str, &'static str)>) {
        for entry in table.entries.iter().filter(|entry| entry.written.is_some()) {
            seen.insert((table.section.title, entry.key));
            walk(&entry.item, seen);
        }
    }
    fn walk(item: &Item, seen: &mut BTreeSet<(&'static str, &'static str)>) {
        match &item.value {
            Value::Table(table) => collect(table, seen),
            Value::List(items) => items.iter().for_each(|item| walk(item, seen)),
            Value::Map(entries) => entries.iter().for_each(|(_, item)| walk(item, seen)),
            _ => {}
        }
    }
    let mut faults = Faults::default();
    let file = faults.add_source("full.toml".to_owned(), FULL.into());
    let parsed = read::parse(&mut faults, file, FULL);
    let mut seen = BTreeSet::new();
    collect(&read::read(&mut faults, file, &parsed), &mut seen);
    assert_eq!(faults.count(), 0);
    for (section, setting) in settings() {
        // The example must load in every environment.
        if setting.key != "env" {
            let one = (section.title, setting.key);
            assert!(seen.contains(&one), "{one:?} is missing in conf/full.toml");
        }
    }
}

#[test]
fn words_of_the_table_are_those_of_the_model() {
    let words = |section: &str, key: &str| {
        let section = sections().into_iter().find(|one| one.title == section).unwrap();
        match section.find(key).unwrap().kind {
            Kind::Word(words) => words.to_vec(),
            _ => panic!("{key} is no word"),
        }
    };
    assert_eq!(words("[upstream.NAME]", "strategy"), Strategy::ALL.map(Strategy::name));
    let states = [AdminState::Enabled, AdminState::Draining, AdminState::Disabled];
    assert_eq!(words("[[upstream.NAME.backend]]", "state"), states.map(AdminState::name));
}

#[test]
fn schema_and_reference_name_every_setting() {
    let (schema, reference) = (schema(), reference());
    for (section, setting) in settings() {
        assert!(schema.contains(&format!("\"{}\"", setting.key)), "{}", setting.key);
        assert!(reference.contains(&format!("| `{}` |", setting.key)), "{}", setting.key);
        assert!(
            reference.to_lowercase().contains(&section.title.to_lowercase()),
            "{}",
            section.title
        );
    }
}

/// Loading ends in a configuration or in a report with an error, and can be shown in either case.
fn load_is_total(text: &str) {
    match parse("fuzz.toml", text, &no_environment) {
        Ok(Loaded { warnings, .. }) => {
            assert!(warnings.iter().all(|one| one.severity == Severity::Warning));
        }
        Err(report) => {
            assert!(report.diagnostics().iter().any(|one| one.severity == Severity::Error));
            let lines = text.split('\n').count();
            assert!(report.diagnostics().iter().all(|one| (1..=lines).contains(&one.line)));
            let _ = (report.render(false), report.render(true), report.to_json());
        }
    }
}

#[test]
fn a_syntax_error_at_a_wide_character_is_shown() {
    for text in ["é", "a\té", "a = é", "a = \"é\u{1f600}", "\u{1f600} = 1", "é\n\u{1f600}"] {
        load_is_total(text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_text_is_loaded_or_explained(text in "[ -~\n\té\u{1f600}]*") {
        load_is_total(&text);
    }

    #[test]
    fn a_mutated_configuration_is_loaded_or_explained(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..40_usize, "[ -~\n\\[\\]=\"'{}é]{0,6}"), 1..6),
    ) {
        let mut text: Vec<char> = FULL.chars().collect();
        for (at, length, put) in cuts {
            let at = at.index(text.len() + 1);
            let end = (at + length).min(text.len());
            text.splice(at..end, put.chars());
        }
        load_is_total(&text.into_iter().collect::<String>());
    }

    #[test]
    fn a_setting_with_a_value_of_another_is_loaded_or_explained(
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
    ) {
        let all: Vec<_> = settings().collect();
        let (section, setting) = *to.get(&all);
        let line = format!("{} = {}", setting.key, from.get(&all).1.example);
        load_is_total(&around(section, setting, &line));
    }
}

//! Configurations as operators meet them: the samples in `conf/`, the generated manual and schema,
//! what is said about faults, includes, secrets and size.
//!
//! `UPDATE=1 cargo test --test config` writes generated and expected files anew; look at the
//! difference before committing it.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use plimsoll::cli::check::{Form, check};
use plimsoll::config::model::{Action, BackendAddress, HeaderEdit, Piece, Probe};
use plimsoll::config::{self, Loaded, Report, Severity};

fn no_environment(_: &str) -> Option<String> {
    None
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Compares a checked-in file with what it should be.
fn assert_fresh(path: &Path, fresh: &str) {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path, fresh).unwrap();
    }
    let kept = fs::read_to_string(path).unwrap_or_default();
    assert!(
        kept == fresh,
        "{} is out of date; `UPDATE=1 cargo test --test config` writes it anew.\n{}",
        path.display(),
        first_difference(&kept, fresh)
    );
}

fn first_difference(kept: &str, fresh: &str) -> String {
    let (mut kept, mut fresh) = (kept.lines(), fresh.lines());
    let mut line = 0;
    loop {
        line += 1;
        match (kept.next(), fresh.next()) {
            (a, b) if a != b => {
                return format!(
                    "line {line}\n kept: {}\nfresh: {}",
                    a.unwrap_or("(end)"),
                    b.unwrap_or("(end)")
                );
            }
            (None, None) => return "only the line breaks at the end differ".to_owned(),
            _ => {}
        }
    }
}

fn toml_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(toml_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Writes files into a new directory; the first is the main one.
fn written(files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let main = directory.path().join(files[0].0);
    (directory, main)
}

fn load_files(files: &[(&str, &str)]) -> Result<Loaded, Report> {
    let (_directory, main) = written(files);
    config::load(&main, &no_environment)
}

fn messages(report: &Report) -> Vec<&str> {
    report.diagnostics().iter().map(|one| &*one.message).collect()
}

const MINIMAL: &str = r#"
[[listener]]
address = "127.0.0.1:8080"
[[route]]
upstream = "app"
[[upstream.app.backend]]
address = "127.0.0.1:9001"
"#;

// ---- conf/ -------------------------------------------------------------------------------------

#[test]
fn every_sample_loads_without_a_warning() {
    let mut included = vec![root("conf/blue-green/green.toml")];
    let is_main =
        |path: &&PathBuf| path.parent() == Some(&*root("conf")) || path.ends_with("plimsoll.toml");
    let files = toml_files(&root("conf"));
    for main in files.iter().filter(is_main) {
        let loaded =
            config::load(main, &no_environment).unwrap_or_else(|report| panic!("{report}"));
        assert_eq!(config::render(&loaded.warnings, false), "");
        let admin = loaded.config.admin.expect("every sample has an admin listener");
        let address = admin.address.to_string();
        let usual = ["127.0.0.1:9901", "unix:/run/plimsoll/admin.sock"];
        assert!(usual.contains(&&*address), "{address}");
        included.extend(loaded.config.files);
    }
    for file in &files {
        assert!(included.contains(file), "{} is included by no sample", file.display());
    }
}

#[test]
fn configuration_of_the_containers_loads_without_a_warning() {
    let loaded = config::load(&root("docker/plimsoll/plimsoll.toml"), &no_environment).unwrap();
    assert_eq!(config::render(&loaded.warnings, false), "");
}

#[test]
fn every_sample_names_the_schema() {
    for file in toml_files(&root("conf")) {
        let text = fs::read_to_string(&file).unwrap();
        let schema = text.lines().next().and_then(|line| line.strip_prefix("#:schema ")).unwrap();
        let schema = file.parent().unwrap().join(schema).canonicalize().unwrap();
        assert_eq!(schema, root("conf/plimsoll.schema.json"));
    }
}

#[test]
fn blue_and_green_differ_in_their_backends_only() {
    let main = fs::read_to_string(root("conf/blue-green/plimsoll.toml")).unwrap();
    let [blue, green] = ["blue.toml", "green.toml"]
        .map(|name| fs::read_to_string(root("conf/blue-green").join(name)).unwrap());
    let switched = main.replace("[\"blue.toml\"]", "[\"green.toml\"]");
    assert_ne!(main, switched);
    let [before, after] = [&main, &switched].map(|main| {
        load_files(&[("plimsoll.toml", main), ("blue.toml", &blue), ("green.toml", &green)])
            .unwrap()
    });
    assert_eq!(before.config.listeners, after.config.listeners);
    assert_ne!(before.config.upstreams["app"].backends, after.config.upstreams["app"].backends);
    assert_ne!(before.hash, after.hash);
}

#[test]
fn reference_and_schema_are_fresh() {
    assert_fresh(&root("src/manual/config_reference.md"), &config::reference());
    assert_fresh(&root("conf/plimsoll.schema.json"), &config::schema());
}

// ---- what is said about faults -----------------------------------------------------------------

/// Each `tests/config/NAME.toml` has its report beside it, in `NAME.txt`.
#[test]
fn faults_are_reported_as_expected() {
    for path in toml_files(&root("tests/config")) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let shown = match config::parse(name, &text, &no_environment) {
            Ok(loaded) => config::render(&loaded.warnings, false),
            Err(report) => report.render(false),
        };
        assert_fresh(&path.with_extension("txt"), &shown);
    }
}

#[test]
fn a_fault_looks_like_this() {
    let text = MINIMAL.to_owned() + "weight = 0\n";
    let report = config::parse("plimsoll.toml", &text, &no_environment).unwrap_err();
    assert_eq!(
        report.to_string(),
        "error: weight must be at least 1, found 0\n  \
           --> plimsoll.toml:8:10\n\
         8 | weight = 0\n  \
           |          ^ to keep a backend out of rotation use `state = \"disabled\"`\n"
    );
    assert_eq!(
        report.to_json(),
        serde_json::json!([{
            "severity": "error",
            "file": "plimsoll.toml",
            "line": 8,
            "column": 10,
            "message": "weight must be at least 1, found 0",
            "help": "to keep a backend out of rotation use `state = \"disabled\"`",
        }])
    );
    let colored = report.render(true);
    assert!(colored.contains("\x1b[1;31merror\x1b[0m"), "{colored}");
}

#[test]
fn long_lines_are_shown_around_the_fault() {
    let hosts = format!("hosts = [{}\"a b\"]", "\"x.example.com\", ".repeat(500));
    let text = MINIMAL.replace("[[route]]", &format!("[[route]]\n{hosts}"));
    let report = config::parse("plimsoll.toml", &text, &no_environment).unwrap_err();
    let shown = report.to_string();
    let lines: Vec<_> = shown.lines().collect();
    assert!(lines[2].chars().count() < 220 && lines[2].contains("\"a b\""), "{shown}");
    let caret = lines[3].chars().position(|c| c == '^').unwrap();
    let excerpt: Vec<char> = lines[2].chars().collect();
    assert_eq!(excerpt[caret..caret + 5].iter().collect::<String>(), "\"a b\"");
}

#[test]
fn terminals_are_not_moved_by_what_a_file_holds() {
    let text = "\"\u{1b}[2J\" = 1\n".replace('\u{1b}', "\\u001b") + MINIMAL;
    let report = config::parse("plimsoll.toml", &text, &no_environment).unwrap_err();
    assert!(!report.to_string().contains('\u{1b}'), "{report}");
}

#[test]
fn check_sums_up_and_tells_good_from_bad() {
    let (_directory, bad) = written(&[("bad.toml", &(MINIMAL.to_owned() + "weight = 0\n"))]);
    let good = root("conf/minimal.toml");
    let run = |files: &[PathBuf], form| {
        let mut out = Vec::new();
        let result = check(files, form, &no_environment, &mut out).unwrap();
        (result, String::from_utf8(out).unwrap())
    };
    let (result, text) = run(std::slice::from_ref(&good), Form::Plain);
    assert!(result);
    assert!(text.ends_with("minimal.toml: good (1 listener, 1 route, 1 upstream, 2 backends)\n"));
    let (result, text) = run(&[bad.clone(), good.clone()], Form::Plain);
    assert!(!result);
    assert!(text.contains("bad.toml: refused (1 error)\n"), "{text}");
    assert!(text.contains("minimal.toml: good"), "every file is checked: {text}");
    let (result, text) = run(&[good, bad], Form::Json);
    assert!(!result);
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["ok"], false);
    assert_eq!(document["files"][0]["ok"], true);
    assert_eq!(document["files"][1]["diagnostics"][0]["line"], 8);
}

// ---- includes ----------------------------------------------------------------------------------

#[test]
fn includes_are_read_in_order_and_hidden_files_are_not() {
    let main = "include = [\"conf.d/*.toml\", \"last.toml\"]\n".to_owned() + MINIMAL;
    let route = |name: &str| {
        format!("[[route]]\nname = \"{name}\"\npath = \"/{name}\"\nupstream = \"app\"\n")
    };
    let loaded = load_files(&[
        ("main.toml", &main),
        ("conf.d/b.toml", &route("b")),
        ("conf.d/a.toml", &route("a")),
        ("conf.d/.hidden.toml", "not toml"),
        ("conf.d/a.toml~", "not toml"),
        ("last.toml", &route("last")),
    ])
    .unwrap();
    let names: Vec<_> = loaded.config.routes.iter().map(|route| &*route.name).collect();
    assert_eq!(names, ["route-1", "a", "b", "last"]);
    assert_eq!(loaded.config.files.len(), 4);
    assert!(loaded.watched.iter().any(|path| path.ends_with("conf.d")), "new files are noticed");
}

#[test]
fn a_pattern_may_match_nothing_but_its_directory_should_be_there() {
    let main = "include = [\"*.none\", \"none/*.toml\"]\n".to_owned() + MINIMAL;
    let loaded = load_files(&[("main.toml", &main)]).unwrap();
    assert_eq!(loaded.warnings.len(), 1);
    assert!(loaded.warnings[0].message.contains("/none cannot be read: "));
    assert!(loaded.watched.iter().any(|path| path.ends_with("none")), "it may be made later");
}

#[test]
fn a_file_is_included_once_however_often_it_is_named() {
    let main = "include = [\"*.toml\", \"one.toml\", \"./one.toml\"]\n".to_owned() + MINIMAL;
    let one = "[[route]]\npath = \"/one\"\nupstream = \"app\"\n";
    let loaded = load_files(&[("main.toml", &main), ("one.toml", one)]).unwrap();
    assert_eq!(loaded.config.routes.len(), 2);
}

#[test]
fn faults_of_all_files_come_in_one_report() {
    let main = "include = [\"missing.toml\", \"b.toml\", \"*/x.toml\"]\nworkers = 0\n".to_owned()
        + MINIMAL;
    let report = load_files(&[("main.toml", &main), ("b.toml", "[[route]]\nupstrem = \"app\"\n")]);
    let report = report.unwrap_err();
    let found: Vec<_> = report
        .diagnostics()
        .iter()
        .map(|one| (one.file.rsplit('/').next().unwrap(), one.line, &*one.message))
        .collect();
    assert_eq!(found.len(), 4, "{report}");
    assert!(found[0].2.contains("missing.toml cannot be read"), "{report}");
    assert_eq!(found[1].2, "a pattern cannot stand in a directory's name");
    assert_eq!(found[2], ("main.toml", 2, "workers must be at least 1, found 0"));
    assert_eq!(found[3], ("b.toml", 2, "unknown setting `upstrem` in [[route]]"));
    let watched: Vec<_> = report.watched().filter_map(Path::file_name).collect();
    assert!(watched.contains(&"missing.toml".as_ref()), "a repair is noticed");
}

#[test]
fn includes_hold_no_process_settings_and_no_includes() {
    let main = "include = [\"b.toml\"]\n".to_owned() + MINIMAL;
    let included = "include = [\"c.toml\"]\nworkers = 2\n[admin]\n";
    let report = load_files(&[("main.toml", &main), ("b.toml", included)]).unwrap_err();
    assert_eq!(
        messages(&report),
        [
            "an included file cannot include others",
            "`workers` belongs to the process, not to an include",
            "`admin` belongs to the process, not to an include",
        ]
    );
}

#[test]
fn names_used_in_two_files_are_reported_with_both_places() {
    let main = "include = [\"b.toml\"]\n".to_owned() + MINIMAL;
    let included = MINIMAL.replace("[[route]]", "[[route]]\npath = \"/b\"");
    let report = load_files(&[("main.toml", &main), ("b.toml", &included)]).unwrap_err();
    assert_eq!(
        messages(&report),
        [
            "`127.0.0.1:8080` is the name of two listeners",
            "`127.0.0.1:8080` is listened on twice",
            "`app` is the name of two upstreams",
        ]
    );
    for one in report.diagnostics() {
        assert!(one.file.ends_with("b.toml"));
        assert!(one.help.as_ref().unwrap().contains("main.toml:"), "{report}");
    }
}

#[test]
fn a_text_includes_nothing() {
    let text = "include = [\"x.toml\"]\n".to_owned() + MINIMAL;
    let report = config::parse("text", &text, &no_environment).unwrap_err();
    assert_eq!(messages(&report), ["this configuration is no file and includes none"]);
}

#[test]
fn what_cannot_be_read_is_reported() {
    let (directory, _) = written(&[("x.toml", "")]);
    let report = config::load(&directory.path().join("none.toml"), &no_environment).unwrap_err();
    assert!(report.to_string().starts_with("error: cannot be read: "), "{report}");
    let path = directory.path().join("latin1.toml");
    fs::write(&path, b"# one\n# caf\xe9\n").unwrap();
    let report = config::load(&path, &no_environment).unwrap_err();
    assert_eq!(messages(&report), ["byte 11 is not UTF-8 text"]);
    let fault = &report.diagnostics()[0];
    assert_eq!((fault.line, fault.column), (2, 6), "{report}");
}

// ---- secrets -----------------------------------------------------------------------------------

const SECRETS: &str = r#"
[[listener]]
address = "127.0.0.1:8080"
[[route]]
upstream = "app"
request_headers = { set = { X-Token = { file = "token" } } }
[[route]]
path = "/page"
respond = { body = { file = "page" } }
[upstream.app.health]
headers = { Authorization = { env = "PROBE" } }
[[upstream.app.backend]]
address = "127.0.0.1:9001"
"#;

#[test]
fn secrets_are_taken_as_they_are_and_never_shown() {
    let (directory, main) =
        written(&[("main.toml", SECRETS), ("token", "s3cr3t-${host}\n"), ("page", "s3cr3t\n")]);
    let environment = |name: &str| (name == "PROBE").then(|| "s3cr3t".to_owned());
    let loaded = config::load(&main, &environment).unwrap();
    let route = &loaded.config.routes[0];
    let HeaderEdit::Set(_, value) = &route.request_headers[0] else { panic!() };
    assert_eq!(value.0, [Piece::Text("s3cr3t-${host}".to_owned())], "no variables in secrets");
    let Action::Respond(respond) = &loaded.config.routes[1].action else { panic!() };
    assert_eq!(respond.body, b"s3cr3t\n", "a body is taken byte for byte");
    let Probe::Http(probe) = &loaded.config.upstreams["app"].checks[0].probe else { panic!() };
    assert_eq!(probe.headers, [("Authorization".to_owned(), "s3cr3t".to_owned())]);
    assert!(!format!("{loaded:?}").contains("s3cr3t"));

    fs::write(directory.path().join("token"), "other").unwrap();
    let changed = config::load(&main, &environment).unwrap();
    assert_eq!(changed.hash, loaded.hash, "the published hash tells nothing about secrets");
    assert_ne!(changed.fingerprint, loaded.fingerprint, "a new secret is a change");
    assert!(changed.watched.contains(&directory.path().join("token")));

    fs::write(directory.path().join("token"), "s3cr3t\nsecond line").unwrap();
    let report = config::load(&main, &environment).unwrap_err();
    assert_eq!(messages(&report), ["what this refers to cannot be a header value"]);
    assert!(!format!("{report}{report:?}").contains("s3cr3t"));
}

#[test]
fn a_missing_secret_is_a_fault_at_its_place() {
    let (_directory, main) = written(&[("main.toml", SECRETS), ("page/x", "")]);
    let report = config::load(&main, &no_environment).unwrap_err();
    let found: Vec<_> = report.diagnostics().iter().map(|one| (one.line, &*one.message)).collect();
    assert_eq!(found[0].0, 6);
    assert!(found[0].1.starts_with("`token` cannot be read"), "{report}");
    assert_eq!(found[1], (9, "`page` cannot be read: not a regular file"));
    assert_eq!(found[2], (11, "the environment has no variable `PROBE`"));
}

// ---- meaning -----------------------------------------------------------------------------------

#[test]
fn same_files_have_the_same_hash_everywhere() {
    let hash = |text| config::parse("x", text, &no_environment).unwrap().hash;
    assert_eq!(hash(MINIMAL), hash(MINIMAL));
    assert_eq!(
        hash(MINIMAL),
        17_456_831_809_410_098_191,
        "frozen: other versions must find the same number"
    );
    assert_ne!(hash(MINIMAL), hash(&(MINIMAL.to_owned() + "\n")));
}

#[test]
fn defaults_are_those_of_the_manual() {
    let loaded = config::parse("x", MINIMAL, &no_environment).unwrap();
    assert_eq!(loaded.warnings, []);
    let shown = format!("{:#?}\n", loaded.config);
    assert_fresh(&root("tests/config/defaults.model.txt"), &shown);
}

#[test]
fn a_backend_address_has_port_80_unless_told() {
    let text = MINIMAL.replace("127.0.0.1:9001", "127.0.0.1");
    let loaded = config::parse("x", &text, &no_environment).unwrap();
    let address = &loaded.config.upstreams["app"].backends[0].address;
    assert_eq!(*address, BackendAddress::Ip("127.0.0.1:80".parse().unwrap()));
}

#[test]
fn ten_thousand_routes_and_backends_load_and_each_slip_is_found() {
    use std::fmt::Write;
    let mut text = String::from("[[listener]]\naddress = \"127.0.0.1:8080\"\n");
    for n in 0..10_000 {
        writeln!(text, "[[route]]\nhosts = [\"h{n}.example.com\"]\nupstream = \"u{}\"", n / 10)
            .unwrap();
    }
    for n in 0..10_000 {
        let upstream = n / 10;
        let address = format!("10.{}.{}.{}:80", n / 65_536, n / 256 % 256, n % 256);
        writeln!(text, "[[upstream.u{upstream}.backend]]\naddress = \"{address}\"").unwrap();
    }
    let loaded = config::parse("large.toml", &text, &no_environment).unwrap();
    assert_eq!(loaded.config.routes.len(), 10_000);
    assert_eq!(loaded.warnings, []);
    let slips = text.replace("upstream = \"u", "upstream = \"v");
    let report = config::parse("large.toml", &slips, &no_environment).unwrap_err();
    let errors = report.diagnostics().iter().filter(|one| one.severity == Severity::Error);
    assert_eq!(errors.count(), 10_000);
}

// ---- certificates ------------------------------------------------------------------------------

/// So many days from now, in whole seconds.
fn day(days: i64) -> SystemTime {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let at = now.as_secs().strict_add_signed(days * 86_400);
    SystemTime::UNIX_EPOCH + Duration::from_secs(at)
}

/// What is said of a configuration with a certificate that is valid between these days from now.
fn said_of_certificate(from: i64, until: i64) -> Vec<String> {
    let mut params = rcgen::CertificateParams::new(["a.test".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (day(from).into(), day(until).into());
    let key = rcgen::KeyPair::generate().unwrap();
    let chain = params.self_signed(&key).unwrap().pem();
    let main = MINIMAL.replace(
        "[[route]]",
        "tls = { certificate = [{ chain = \"a.pem\", key = \"a.key\" }] }\n[[route]]",
    );
    let files = [("main.toml", &*main), ("a.pem", &chain), ("a.key", &key.serialize_pem())];
    let loaded = load_files(&files).unwrap();
    loaded.warnings.into_iter().map(|one| one.message).collect()
}

#[test]
fn a_certificate_that_is_not_valid_or_not_for_long_is_warned_of() {
    for (from, until, expected) in [
        (-10, 80, None),
        (-80, 10, Some("expires in 9 days")),
        (-80, -2, Some("expired 2 days ago")),
        (2, 90, Some("is not valid yet")),
        // Of those that are made for a week at once no warning comes at once.
        (-1, 6, None),
        (-6, 1, Some("expires in 0 days")),
    ] {
        let expected: Vec<_> =
            expected.iter().map(|what| format!("the certificate in `a.pem` {what}")).collect();
        assert_eq!(said_of_certificate(from, until), expected, "{from} to {until}");
    }
}

#[test]
fn a_list_of_revoked_certificates_that_has_run_out_is_warned_of() {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
    let key = rcgen::KeyPair::generate().unwrap();
    let authority = rcgen::CertifiedIssuer::self_signed(params, key).unwrap();
    let list = |until: i64| {
        let params = rcgen::CertificateRevocationListParams {
            this_update: day(-9).into(),
            next_update: day(until).into(),
            crl_number: rcgen::SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        params.signed_by(&authority).unwrap().pem().unwrap()
    };
    let main = format!(
        "{MINIMAL}[[upstream.b.backend]]\naddress = \"127.0.0.1:1\"\n\
         [upstream.b.tls]\nca = \"ca.pem\"\ncrl = [\"good.pem\", \"over.pem\"]\n"
    );
    let (ca, good, over) = (authority.pem(), list(1), list(-1));
    let files = [("main.toml", &*main), ("ca.pem", &ca), ("good.pem", &good), ("over.pem", &over)];
    let warnings = load_files(&files).unwrap().warnings;
    let said: Vec<_> = warnings.iter().map(|one| &*one.message).collect();
    let expected = "the list of revoked certificates in `over.pem` has run out";
    assert!(said.contains(&expected), "{said:?}");
    assert!(!said.iter().any(|one| one.contains("good.pem")), "{said:?}");
}

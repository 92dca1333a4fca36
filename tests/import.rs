//! Imports of whole files: what is written and reported, kept beside each file, and real nginx's
//! opinion of the files themselves.
//!
//! `UPDATE=1 cargo test --test import` writes the kept results anew; look at the difference before
//! committing it.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "import/broken.rs"]
mod broken;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use plimsoll::config;

const PROGRAM: &str = env!("CARGO_BIN_EXE_plimsoll");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The program, run in the folder of the files, so that results name no place of this machine.
fn import(folder: &Path, arguments: &[&str]) -> Output {
    let mut program = Command::new(PROGRAM);
    program.arg("import-nginx").args(arguments).current_dir(folder).output().unwrap()
}

fn assert_fresh(path: &Path, fresh: &str) {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path, fresh).unwrap();
    }
    let kept = fs::read_to_string(path).unwrap_or_default();
    let differing = kept.lines().zip(fresh.lines()).find(|(kept, fresh)| kept != fresh);
    assert!(
        kept == fresh,
        "{} is out of date; `UPDATE=1 cargo test --test import` writes it anew: {differing:?}",
        path.display(),
    );
}

/// The main files of a folder: `NAME.conf`, and `NAME/nginx.conf`.
fn mains(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "conf") {
            found.push(path);
        } else if path.join("nginx.conf").exists() {
            found.push(path.join("nginx.conf"));
        }
    }
    found.sort();
    found
}

fn all() -> Vec<PathBuf> {
    let mut all = mains(&root().join("tests/import"));
    all.extend(field());
    all
}

/// Files as they stand in the field.
fn field() -> Vec<PathBuf> {
    mains(&root().join("tests/import/field"))
}

#[test]
fn every_file_is_imported_as_is_kept_beside_it() {
    let scratch = tempfile::tempdir().unwrap();
    for main in all() {
        let folder = main.parent().unwrap();
        let name = main.file_name().unwrap().to_str().unwrap();
        let [toml, report] = ["plimsoll.toml", "report.md"].map(|name| scratch.path().join(name));
        let arguments = [name, "-o", toml.to_str().unwrap(), "--report", report.to_str().unwrap()];
        let output = import(folder, &arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{}: {said}", main.display());
        assert_fresh(&main.with_extension("toml"), &fs::read_to_string(&toml).unwrap());
        assert_fresh(&main.with_extension("report.md"), &fs::read_to_string(&report).unwrap());
    }
}

#[test]
fn every_imported_file_is_good_and_without_warnings() {
    for main in all() {
        let mut loaded = config::load(&main.with_extension("toml"), &|_| None)
            .unwrap_or_else(|report| panic!("{report}"));
        // What whoever runs the tests is not allowed is no fault of the file.
        loaded.warnings.retain(|one| !one.message.contains("addresses of other machines"));
        assert_eq!(config::render(&loaded.warnings, false), "");
        assert!(loaded.config.admin.is_none(), "{}", main.display());
    }
}

#[test]
fn no_listener_is_opened_that_nginx_would_not_open() {
    for main in all() {
        let loaded = config::load(&main.with_extension("toml"), &|_| None).unwrap();
        let mut folder = String::new();
        texts(main.parent().unwrap(), &mut folder);
        for listener in loaded.config.listeners {
            let address = listener.address.to_string();
            let port = address.rsplit(':').next().unwrap();
            let listens = |line: &str| {
                let words = line.split(['{', ';', ' ', ':']).map(str::trim);
                line.contains("listen") && words.into_iter().any(|word| word == port)
            };
            assert!(folder.lines().any(listens), "{}: {port}", main.display());
        }
    }
}

/// All configurations of nginx in a folder and below.
fn texts(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "conf") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn ten_files_of_the_field_are_real() {
    let files = field();
    assert_eq!(files.len(), 10, "{files:?}");
    for main in files {
        accepted_by_nginx(&main);
    }
}

/// Copies a folder, with paths of the system turned to places below the copy.
fn copy(from: &Path, to: &Path, base: &str) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target, base);
        } else {
            let text = fs::read_to_string(&path).unwrap();
            let text = text.replace("/var/log/nginx/", base).replace("/etc/ssl/", base);
            let text = text.replace("user www-data;", "").replace("/run/nginx.pid", "nginx.pid");
            fs::write(target, text).unwrap();
        }
    }
}

/// Asks `nginx -t`, with certificates and folders that it wants made for it.
fn accepted_by_nginx(main: &Path) {
    let directory = tempfile::tempdir().unwrap();
    let base = format!("{}/", directory.path().display());
    copy(main.parent().unwrap(), directory.path(), &base);
    certificate(directory.path());
    let name = main.file_name().unwrap();
    let output = Command::new("nginx")
        .args(["-t", "-p", &base, "-e", "stderr", "-g", "error_log stderr; daemon off;", "-c"])
        .arg(name)
        .output()
        .expect("nginx runs; `scripts/test` installs it");
    let said = String::from_utf8_lossy(&output.stderr);
    // Without root, nginx cannot make its own folders; it has judged the syntax by then.
    let good = output.status.success() || said.contains("syntax is ok");
    assert!(good, "{}: {said}", main.display());
}

/// A certificate for nobody, in the names that the files use.
fn certificate(directory: &Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args([
            "-nodes", "-subj", "/CN=test", "-days", "2", "-keyout", "site.key", "-out", "site.pem",
        ])
        .current_dir(directory)
        .output()
        .expect("openssl runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[test]
fn what_is_no_configuration_is_refused_with_1_and_its_place() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.conf"), "http {\n  server {\n}\n").unwrap();
    let output = import(directory.path(), &["a.conf", "-o", "a.toml"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("--> a.conf:1:6") && said.contains("add the `}`"), "{said}");
    assert!(!directory.path().join("a.toml").exists());
    let missing = import(directory.path(), &["none.conf"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8(missing.stderr).unwrap().contains("none.conf"));
}

#[test]
fn strict_turns_warnings_into_2_and_writes_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let good = "server { listen 80; location / { proxy_pass http://127.0.0.1:9000; } }";
    let warned = good.replace("listen 80;", "listen 80; gzip on;");
    for (text, code) in [(good, 0), (&*warned, 2)] {
        fs::write(directory.path().join("a.conf"), text).unwrap();
        let output = import(directory.path(), &["a.conf", "--strict"]);
        assert_eq!(output.status.code(), Some(code));
        assert!(String::from_utf8(output.stdout).unwrap().contains("127.0.0.1:9000"));
        assert_eq!(import(directory.path(), &["a.conf"]).status.code(), Some(0));
    }
    let said = String::from_utf8(import(directory.path(), &["a.conf"]).stderr).unwrap();
    assert!(said.contains("--> a.conf:1:21"), "{said}");
}

#[test]
fn standard_input_is_read_where_no_file_is_named() {
    let text = "server { listen 80; location / { proxy_pass http://127.0.0.1:9000; } }";
    let mut child = Command::new(PROGRAM)
        .args(["import-nginx", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let toml = String::from_utf8(output.stdout).unwrap();
    assert!(toml.starts_with("# Imported from standard input by"), "{toml}");
    assert!(toml.contains("127.0.0.1:9000"), "{toml}");
}

#[test]
fn report_for_programs_is_json_with_every_directive() {
    let directory = tempfile::tempdir().unwrap();
    let text = "http { gzip on; server { listen 80; location / { proxy_pass http://a; } } }";
    fs::write(directory.path().join("a.conf"), text).unwrap();
    import(directory.path(), &["a.conf", "-o", "a.toml", "--report", "a.json"]);
    let report = fs::read_to_string(directory.path().join("a.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let rows = report["directives"].as_array().unwrap();
    let names: Vec<_> = rows.iter().map(|row| row["directive"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["http", "gzip on", "server", "listen 80", "location /", "proxy_pass http://a"]
    );
    let gzip = &rows[1];
    assert_eq!((&gzip["line"], &gzip["column"]), (&1.into(), &8.into()));
    assert_eq!(gzip["verdict"], "not carried");
    assert_eq!(report["not_carried"], 1);
}

#[test]
fn chapter_of_the_manual_is_that_of_the_table() {
    let path = root().join("src/manual/coming_from_nginx.md");
    assert_fresh(&path, &plimsoll::import::manual());
}

//! The importer as a whole: whatever it is given, it ends, and what it writes is good.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::{Files, Imported, Verdict, import};
use crate::config;

/// Files in memory.
#[derive(Default)]
struct Memory(BTreeMap<PathBuf, Vec<u8>>);

impl Memory {
    fn of(files: &[(&str, &str)]) -> Self {
        let files =
            files.iter().map(|(name, text)| (PathBuf::from(name), text.as_bytes().to_vec()));
        Self(files.collect())
    }
}

impl Files for Memory {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn names(&self, directory: &Path) -> io::Result<Vec<String>> {
        let directory = if directory == Path::new(".") { Path::new("") } else { directory };
        let inside = self.0.keys().filter_map(|path| path.strip_prefix(directory).ok());
        let first = inside.filter_map(|path| path.components().next());
        Ok(first.map(|part| part.as_os_str().to_string_lossy().into_owned()).collect())
    }
}

pub(super) fn imported(files: &[(&str, &str)]) -> Imported {
    import(Path::new(files[0].0), &Memory::of(files))
        .unwrap_or_else(|faults| panic!("{}", config::render(&faults, false)))
}

fn refused(files: &[(&str, &str)]) -> Vec<String> {
    let faults = import(Path::new(files[0].0), &Memory::of(files)).unwrap_err();
    let told = faults
        .iter()
        .map(|one| format!("{}:{}:{} {}", one.file, one.line, one.column, one.message));
    told.collect()
}

/// What became of the directive that begins so.
pub(super) fn verdict(imported: &Imported, directive: &str) -> Verdict {
    let row = imported.report.rows.iter().find(|row| row.directive.starts_with(directive));
    row.unwrap_or_else(|| panic!("no {directive}: {:?}", imported.report.rows)).verdict
}

const SERVER: &str = "server { listen 8080; location / { proxy_pass http://10.0.0.1; } }";

#[test]
fn listeners_speak_what_and_with_whom_nginx_does() {
    let text = "http { server { listen 8443; ssl on; location / { return 204; } } \
                server { listen [::]:8080 ipv6only=off; location / { return 204; } } }";
    let toml = imported(&[("nginx.conf", text)]).toml;
    assert!(!toml.contains("8443"), "TLS without a certificate is left out: {toml}");
    assert!(toml.contains(r#"address = "[::]:8080""#), "{toml}");
    assert!(toml.contains(r#"address = "0.0.0.0:8080""#), "{toml}");
}

#[test]
fn authentication_of_other_modules_is_not_left_out() {
    for directive in ["auth_ldap \"x\"", "auth_pam x", "auth_digest x", "auth_gss on"] {
        let text = format!(
            "server {{ listen 8080; location / {{ {directive}; proxy_pass http://10.0.0.1; }} }}"
        );
        let toml = imported(&[("nginx.conf", &text)]).toml;
        assert!(toml.contains("status = 403") && !toml.contains("upstream = "), "{toml}");
    }
}

#[test]
fn upgrades_pass_where_connection_is_the_clients_own() {
    let kept_back = |connection: &str| {
        let text = format!(
            "server {{ listen 8080; location / {{ proxy_pass http://10.0.0.1; \
             proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; \
             proxy_set_header Connection {connection}; }} }}"
        );
        imported(&[("nginx.conf", &text)]).toml.contains("upgrades = []")
    };
    assert!(!kept_back("upgrade") && !kept_back("$http_connection"));
    assert!(kept_back("''"));
}

#[test]
fn faults_of_syntax_are_told_with_their_places() {
    for (text, expected) in [
        ("http {\n  server {\n}\n", "nginx.conf:1:6 this block is never closed"),
        ("user a;\n}\n", "nginx.conf:2:1 unexpected `}`"),
        ("user a;;", "nginx.conf:1:8 unexpected `;`"),
        ("events { a }", "nginx.conf:1:10 unexpected `}`"),
        ("http { log_format a 'b;\n}", "nginx.conf:1:21 this quote is never closed"),
        ("user 'a'b;", "nginx.conf:1:9 unexpected `b` behind a closing quote"),
        ("user a", "nginx.conf:1:6 the file ends within a directive"),
        ("{ user a; }", "nginx.conf:1:1 unexpected `{`"),
        (
            "events {}",
            "nginx.conf:1:1 there is nothing to import: no server has a listener that is carried",
        ),
    ] {
        let told = refused(&[("nginx.conf", text)]);
        assert!(told.iter().any(|one| one == expected), "{text}: {told:?}");
    }
}

#[test]
fn every_fault_is_told_at_once() {
    let told = refused(&[("a.conf", "user 'a'b;\n;\n}\nevents {")]);
    assert_eq!(told.len(), 4, "{told:?}");
}

#[test]
fn includes_are_relative_to_the_main_file_and_in_the_order_of_names() {
    let files = [
        ("etc/nginx.conf", "http { include conf.d/*.conf; }"),
        ("etc/conf.d/b.conf", "server { listen 82; return 200; }"),
        ("etc/conf.d/a.conf", "server { listen 81; include snippets/x; }"),
        ("etc/snippets/x", "return 204;"),
        ("etc/conf.d/.c.conf", "server { listen 83; return 200; }"),
    ];
    let toml = imported(&files).toml;
    let [a, b] = ["0.0.0.0:81", "0.0.0.0:82"].map(|port| toml.find(port).unwrap());
    assert!(a < b && !toml.contains(":83"), "{toml}");
    assert!(toml.contains("# snippets/x:1"), "{toml}");
}

#[test]
fn include_that_is_missing_is_told_and_the_rest_imported() {
    let text = format!("http {{ include mime.types; {SERVER} }}");
    let imported = imported(&[("nginx.conf", &text)]);
    assert_eq!(verdict(&imported, "include"), Verdict::NotCarried);
    assert!(imported.warnings[0].message.contains("mime.types"), "{:?}", imported.warnings);
}

#[test]
fn files_that_include_each_other_are_refused() {
    let told = refused(&[("a", "include b;"), ("b", "include ./a;")]);
    assert!(told[0].contains("includes itself"), "{told:?}");
    let wide = refused(&[("a", "include *;"), ("b", "include c;"), ("c", "include b;")]);
    assert!(wide.iter().any(|one| one.contains("includes itself")), "{wide:?}");
}

#[test]
fn depth_and_size_are_bounded() {
    let deep = "server {".repeat(10_000);
    assert!(refused(&[("a", &deep)]).iter().any(|one| one.contains("too much")));
    let long = "a;".repeat(200_001);
    assert!(refused(&[("a", &long)]).iter().any(|one| one.contains("too much")));
}

#[test]
fn fragment_is_taken_for_the_inside_of_http() {
    let imported = imported(&[("site.conf", SERVER)]);
    assert!(imported.toml.contains("address = \"0.0.0.0:8080\""), "{}", imported.toml);
}

#[test]
fn inner_levels_hide_outer_ones_as_a_whole() {
    let imported = imported(&[(
        "nginx.conf",
        "http { proxy_set_header A 1; proxy_set_header B 2; server { listen 80;
           location / { proxy_pass http://a; }
           location /x/ { proxy_pass http://a; proxy_set_header C 3; } } }",
    )]);
    let (root, inner) = imported.toml.split_once("path_prefix = \"/x/\"").unwrap();
    assert!(root.contains("set.A") && root.contains("set.B"), "{root}");
    assert!(inner.contains("set.C") && !inner.contains("set.A"), "{inner}");
}

#[test]
fn what_would_let_in_whom_nginx_keeps_out_refuses() {
    for guard in [
        "deny all; allow 10.0.0.0/8;",
        "allow nobody; deny all;",
        "auth_basic closed; auth_basic_user_file x;",
        "deny all;",
        "access_by_lua_block { if x then return \"}\" end }",
    ] {
        let text =
            format!("server {{ listen 80; location / {{ {guard} proxy_pass http://10.0.0.1; }} }}");
        let imported = imported(&[("a.conf", &text)]);
        assert!(imported.toml.contains("respond = { status = 403 }"), "{guard}: {}", imported.toml);
        assert!(!imported.toml.contains("upstream = "), "{guard}");
    }
}

#[test]
fn lists_of_addresses_are_carried_and_the_last_word_of_satisfy_any_is_no() {
    for (rules, expected) in [
        ("allow 10.0.0.0/8; deny all;", "[{ allow = [\"10.0.0.0/8\"] }, { deny = [\"all\"] }]"),
        (
            "deny 10.0.0.1; deny 10.0.0.2; allow all;",
            "[{ deny = [\"10.0.0.1\", \"10.0.0.2\"] }, { allow = [\"all\"] }]",
        ),
        (
            "satisfy any; allow 10.0.0.1; auth_basic closed;",
            "[{ allow = [\"10.0.0.1\"] }, { deny = [\"all\"] }]",
        ),
    ] {
        let text =
            format!("server {{ listen 80; location / {{ {rules} proxy_pass http://10.0.0.1; }} }}");
        let toml = imported(&[("a.conf", &text)]).toml;
        assert!(toml.contains(&format!("access = {expected}\n")), "{rules}: {toml}");
        assert!(toml.contains("upstream = "), "{rules}");
        assert!(!toml.contains("access_or_auth"), "{rules}");
    }
}

#[test]
fn whom_satisfy_any_lets_in_by_address_nobody_asks_about() {
    let allow = "access = [{ allow = [\"10.0.0.1\"] }, { deny = [\"all\"] }]";
    for (rules, access) in [
        ("satisfy any; allow 10.0.0.1; deny all;", Some(allow)),
        // Others are asked about anyhow.
        ("satisfy any; allow 10.0.0.1;", Some("access = [{ allow = [\"10.0.0.1\"] }]")),
        ("satisfy any; deny all;", None),
        ("satisfy any; allow 10.0.0.1; deny all; auth_basic closed;", Some(allow)),
        ("satisfy any; auth_basic closed;", None),
    ] {
        let text = format!(
            "server {{ listen 80; location / {{ {rules} auth_request /ask; \
             proxy_pass http://10.0.0.1; }} location = /ask {{ proxy_pass http://10.0.0.2; }} }}"
        );
        let toml = imported(&[("a.conf", &text)]).toml;
        assert!(toml.contains("auth = \"/ask\""), "{rules}: {toml}");
        assert_eq!(toml.contains("access_or_auth = true\n"), access.is_some(), "{rules}: {toml}");
        match access {
            Some(access) => assert!(toml.contains(access), "{rules}: {toml}"),
            None => assert!(!toml.contains("access ="), "{rules}: {toml}"),
        }
    }
}

#[test]
fn rewrites_of_a_server_are_all_there() {
    let text = "server { listen 80; rewrite ^/a /b last; if ($http_x) { return 403; } \
                rewrite ^/c /d last; location / { proxy_pass http://10.0.0.1; } }";
    let toml = imported(&[("a.conf", text)]).toml;
    let (first, second) = (toml.find("^/a").unwrap(), toml.find("^/c").unwrap());
    let between = toml.find("status = 403").unwrap();
    assert!(first < between && between < second, "{toml}");
    let checked = config::parse("a.toml", &toml, &|_| None).unwrap();
    assert!(checked.warnings.is_empty(), "{:?}", checked.warnings);
}

#[test]
fn break_of_a_server_ends_what_stands_behind_it_or_is_told_of() {
    let of = |condition: &str| {
        let text = format!(
            "server {{ listen 80; if ({condition}) {{ break; }} rewrite ^/c /d last; return 403; \
             location / {{ proxy_pass http://10.0.0.1; }} }}"
        );
        let imported = imported(&[("a.conf", &text)]);
        (imported.toml.matches("not_regex = \"^a\"").count(), imported.warnings.len())
    };
    assert_eq!(of("$http_x ~ ^a"), (2, 0));
    // The rewrite may change what is asked for.
    assert_eq!(of("$uri ~ ^a").0, 0);
    assert!(of("$uri ~ ^a").1 > 0);
}

#[test]
fn path_that_a_rewrite_made_is_the_one_that_is_told() {
    let of = |more: &str| {
        let text = format!(
            "server {{ listen 80; location /a/ {{ rewrite ^/a/(.*)$ /b/$1 break; {more} }} }}"
        );
        let toml = imported(&[("a.conf", &text)]).toml;
        (toml.contains("replace_prefix"), toml.contains("\nrewrite = ["))
    };
    assert_eq!(of("proxy_pass http://10.0.0.1;"), (true, false));
    let told = "proxy_set_header X-Uri $uri; proxy_pass http://10.0.0.1;";
    assert_eq!(of(told), (false, true));
    // The rewritten path is sent, whatever `proxy_pass` has behind its host.
    assert!(of("proxy_pass http://10.0.0.1/c/;").1);
}

#[test]
fn odd_files_are_read_as_nginx_reads_them() {
    let main = "\u{feff}events{}\r\nhttp{ # a comment\r\n  include  conf.d/*/[0-9]*.con[f];\r\n\
                \tinclude \"conf.d/none/*.conf\" ;server{listen 80;set $a x;\r\n\
                location ~ \"^/(a|b{2,3})$\"{return # here\r\n 200 'it; {is} \"${a}y\"';}}}\r\n";
    let files = [
        ("nginx.conf", main),
        (
            "conf.d/a/1.conf",
            "server { listen 81; location / { proxy_pass\r\nhttp://10.0.0.1\r\n;# c\r\n}}",
        ),
        ("conf.d/b/2.conf", "server { listen 82; location / { proxy_pass http://${b}; } }"),
        ("conf.d/b/x.conf", "nonsense"),
    ];
    let imported = imported(&files);
    assert!(imported.toml.contains(r#"path_regex = "^/(a|b{2,3})$""#), "{}", imported.toml);
    assert!(imported.toml.contains(r#"body = 'it; {is} "xy"'"#), "{}", imported.toml);
    assert!(imported.toml.contains("address = \"10.0.0.1\""), "{}", imported.toml);
    // What is wrong is told where it stands.
    let at = imported.warnings.iter().map(|one| (one.file.as_str(), one.line, one.column));
    assert!(at.clone().any(|at| at == ("conf.d/b/2.conf", 1, 34)), "{:?}", imported.warnings);
    assert!(at.clone().all(|(file, ..)| file == "conf.d/b/2.conf"), "{:?}", imported.warnings);
}

#[test]
fn group_that_a_rewrite_has_not_is_told_of() {
    let text = "server { listen 80; location ~ ^/x/(.*)$ { rewrite ^ /y/$1 break; \
                proxy_pass http://10.0.0.1; } }";
    let imported = imported(&[("a.conf", text)]);
    assert!(imported.toml.contains("to = \"/y/\""), "{}", imported.toml);
    assert!(imported.warnings.iter().any(|one| one.message.contains("`$1` is nothing here")));
}

/// A server with TLS and these lines.
fn with_tls(lines: &str) -> String {
    format!(
        "server {{ listen 80; listen 443 ssl; server_name a.test *.b.test; \
         ssl_certificate /etc/a.pem; ssl_certificate_key /etc/a.key; {lines} \
         location / {{ proxy_pass http://10.0.0.1; }} }}"
    )
}

#[test]
fn listeners_show_the_certificates_of_their_servers_for_their_names() {
    let other = "server { listen 443 ssl http2 default_server; server_name c.test; \
                 ssl_certificate /etc/c.pem; ssl_certificate_key /etc/c.key; \
                 ssl_stapling_file /etc/c.ocsp; ssl_protocols TLSv1.3; return 204; }";
    let text = format!("{} {other}", with_tls("ssl_verify_client off;"));
    let imported = imported(&[("a.conf", &text)]);
    let expected = "tls.certificate = [{ chain = \"/etc/c.pem\", key = \"/etc/c.key\", \
                    ocsp = \"/etc/c.ocsp\", names = [\"c.test\"] }, \
                    { chain = \"/etc/a.pem\", key = \"/etc/a.key\", names = [\"a.test\", \"*.b.test\"] }]\n\
                    tls.misdirected = \"serve\"\ntls.policy = \"modern\"\nhttp2 = true\n";
    assert!(imported.toml.contains(expected), "{}", imported.toml);
    assert_eq!(imported.toml.matches("tls.certificate").count(), 1);
    assert_eq!(verdict(&imported, "listen 443"), Verdict::Carried);
    assert_eq!(verdict(&imported, "ssl_verify_client"), Verdict::Carried);
}

#[test]
fn listeners_whose_tls_cannot_be_carried_whole_are_left_out() {
    for lines in [
        "ssl_verify_client optional;",
        "ssl_verify_client optional_no_ca; ssl_client_certificate /etc/ca.pem;",
        "ssl_certificate /etc/b.pem;",
        "ssl_certificate $ssl_server_name.pem; ssl_certificate_key /etc/b.key;",
    ] {
        let imported = imported(&[("a.conf", &with_tls(lines))]);
        assert!(!imported.toml.contains(":443"), "{lines}: {}", imported.toml);
        assert_eq!(verdict(&imported, "listen 443"), Verdict::NotCarried, "{lines}");
        assert!(imported.toml.contains("0.0.0.0:80"), "{lines}: {}", imported.toml);
    }
    // Also for another server of the same address.
    let strict = with_tls("ssl_verify_client on; ssl_client_certificate /etc/ca.pem;");
    let strict = strict.replace("a.test *.b.test", "d.test");
    let imported = imported(&[("a.conf", &(with_tls("") + &strict))]);
    assert!(!imported.toml.contains(":443"), "{}", imported.toml);
}

#[test]
fn passwords_of_keys_are_those_of_the_file() {
    let toml = imported(&[("a.conf", &with_tls("ssl_password_file /etc/passwords;"))]).toml;
    let expected = "key = \"/etc/a.key\", password = { file = \"/etc/passwords\" }";
    assert!(toml.contains(expected), "{toml}");
    let text = "server { listen 80; location / { proxy_ssl_certificate /etc/own.pem; \
                proxy_ssl_certificate_key /etc/own.key; proxy_ssl_password_file /etc/p; \
                proxy_pass https://10.0.0.1; } }";
    let toml = imported(&[("a.conf", text)]).toml;
    assert!(toml.contains("tls.password = { file = \"/etc/p\" }"), "{toml}");
}

#[test]
fn clients_have_to_show_the_certificates_that_nginx_asks_for() {
    let lines = "ssl_verify_client on; ssl_client_certificate /etc/ca.pem;";
    let made = imported(&[("a.conf", &with_tls(lines))]);
    let expected = "tls.clients.ca = \"/etc/ca.pem\"\ntls.clients.depth = 1\nhttp2 = false\n";
    assert!(made.toml.contains(expected), "{}", made.toml);
    // A default server that refuses handshakes asks for none.
    let refusing = "server { listen 443 ssl default_server; ssl_reject_handshake on; }";
    let lines = "ssl_verify_client optional; ssl_client_certificate /etc/ca.pem; \
                 ssl_crl /etc/gone.pem; ssl_verify_depth 3;";
    let made = imported(&[("a.conf", &format!("{refusing} {}", with_tls(lines)))]);
    let expected = "tls.clients.ca = \"/etc/ca.pem\"\ntls.clients.verify = \"optional\"\n\
                    tls.clients.crl = [\"/etc/gone.pem\"]\ntls.clients.depth = 3\n";
    assert!(made.toml.contains(expected), "{}", made.toml);
    assert_eq!(verdict(&made, "ssl_crl"), Verdict::Carried);
}

#[test]
fn rewrites_within_if_are_rules_with_conditions() {
    for place in [
        "RULE location / { proxy_pass http://10.0.0.1; }",
        "location / { RULE proxy_pass http://10.0.0.1; }",
    ] {
        let rule = "if ($http_x) { rewrite ^/a /b last; }";
        let text = format!("server {{ listen 80; {} }}", place.replace("RULE", rule));
        let made = imported(&[("a.conf", &text)]);
        let expected = "rewrite = [{ regex = \"^/a\", to = \"/b\", then = \"last\", \
                        when = [{ value = \"${header.x}\", not_regex = \"^0?$\" }] }]\n";
        assert!(made.toml.contains(expected), "{}", made.toml);
        assert_eq!(verdict(&made, "if"), Verdict::Carried);
        assert_eq!(verdict(&made, "rewrite"), Verdict::Carried);
    }
}

#[test]
fn pages_that_are_files_are_carried_where_they_are_found() {
    let text = "server { listen 80; error_page 502 504 /50x.html; error_page 404 = /gone.json; \
                location = /50x.html { root /srv/html/; } location / { root /srv; \
                proxy_pass http://10.0.0.1; } }";
    let files = [("a.conf", text), ("/srv/html/50x.html", "sorry"), ("/srv/gone.json", "{}")];
    let made = imported(&files);
    let page =
        "{ statuses = [502, 504], file = \"/srv/html/50x.html\", content_type = \"text/html\" }";
    assert!(made.toml.contains(page), "{}", made.toml);
    assert!(made.toml.contains("to = \"/gone.json\""), "the location proxies: {}", made.toml);
    let made = imported(&files[..1]);
    assert!(!made.toml.contains("50x.html\", content"), "{}", made.toml);
    assert_eq!(verdict(&made, "error_page 502"), Verdict::NotCarried);
}

#[test]
fn handshakes_that_nginx_refuses_are_refused() {
    let refusing = "server { listen 443 ssl default_server; ssl_reject_handshake on; }";
    let imported = imported(&[("a.conf", &format!("{refusing} {}", with_tls("")))]);
    assert!(imported.toml.contains("tls.unknown_names = \"refuse\"\n"), "{}", imported.toml);
    let other =
        refusing.replace(" default_server", "").replace("on; }", "on; server_name r.test; }");
    let imported = self::imported(&[("a.conf", &(with_tls("") + &other))]);
    assert!(!imported.toml.contains(":443"), "{}", imported.toml);
}

#[test]
fn conditions_on_the_scheme_are_asked_where_requests_come_both_ways() {
    let text = with_tls("if ($scheme = http) { return 301 https://$host$request_uri; }");
    let toml = imported(&[("a.conf", &text)]).toml;
    assert!(toml.contains("value = \"${scheme}\", is = \"http\""), "{toml}");
    let secured = text.replace("listen 80; ", "");
    let toml = imported(&[("a.conf", &secured)]).toml;
    assert!(!toml.contains("redirect = {"), "{toml}");
}

#[test]
fn backends_are_met_over_tls_as_nginx_meets_them() {
    let text = |lines: &str| {
        format!(
            "upstream app {{ server 10.0.0.1:8443; }} server {{ listen 80; {lines} \
             location / {{ proxy_pass https://app; }} \
             location /out/ {{ proxy_pass https://api.test; }} }}"
        )
    };
    let toml = imported(&[("a.conf", &text(""))]).toml;
    assert_eq!(toml.matches("tls.insecure = true\ntls.sni = false\n").count(), 2, "{toml}");
    assert!(toml.contains("address = \"api.test:443\""), "{toml}");
    let verified = "proxy_ssl_verify on; proxy_ssl_trusted_certificate /etc/ca.pem; \
                    proxy_ssl_server_name on; proxy_ssl_crl /etc/crl.pem; \
                    proxy_ssl_certificate /etc/own.pem; proxy_ssl_certificate_key /etc/own.key;";
    let toml = imported(&[("a.conf", &text(verified))]).toml;
    let expected = "tls.ca = \"/etc/ca.pem\"\ntls.crl = [\"/etc/crl.pem\"]\n\
                    tls.depth = 1\ntls.server_name = \"api.test\"\ntls.certificate = \"/etc/own.pem\"\n\
                    tls.key = \"/etc/own.key\"\n";
    assert!(toml.contains(expected), "{toml}");
    assert!(!toml.contains("insecure"), "{toml}");
    let varying = "proxy_ssl_certificate /etc/$host.pem; proxy_ssl_certificate_key /etc/own.key;";
    let toml = imported(&[("a.conf", &text(varying))]).toml;
    let expected = "tls.certificate = \"/etc/${host}.pem\"\ntls.key = \"/etc/own.key\"\n";
    assert!(toml.contains(expected), "{toml}");
    // What cannot be kept of it is not left away.
    for lines in [
        "proxy_ssl_verify on;",
        "proxy_ssl_certificate /etc/own.pem;",
        "proxy_ssl_certificate /etc/$unknown.pem; proxy_ssl_certificate_key /etc/own.key;",
        "proxy_ssl_certificate data:$ssl_client_raw_cert; proxy_ssl_certificate_key /etc/own.key;",
    ] {
        let toml = imported(&[("a.conf", &text(lines))]).toml;
        assert!(!toml.contains("10.0.0.1"), "{lines}: {toml}");
    }
}

#[test]
fn directive_that_nginx_would_refuse_is_left_out() {
    for (text, directive) in [
        ("server { listen 80; return 200; worker_processes 2; }", "worker_processes"),
        ("server { listen 80; return 200; client_max_body_size; }", "client_max_body_size"),
        ("server { listen 80; return 200; client_max_body_size 1 2; }", "client_max_body_size"),
        ("server { listen 80; return 200; client_max_body_size lots; }", "client_max_body_size"),
        ("server { listen 80; return 200; nonsense 1; }", "nonsense"),
        ("server { listen 80; return 200; sendfile { on; } location / ; }", "location"),
    ] {
        assert_eq!(
            verdict(&imported(&[("a.conf", text)]), directive),
            Verdict::NotCarried,
            "{text}"
        );
    }
}

#[test]
fn what_a_mutation_has_found_is_imported_well() {
    let found = [
        ("", "proxy_pass http://;", Verdict::NotCarried),
        ("", "proxy_pass http:///x;", Verdict::NotCarried),
        ("split_clients $uri $u { 5% a; * b; }", "proxy_pass http://$u;", Verdict::Carried),
        ("split_clients $msec $u { 5% a; * b; }", "proxy_pass http://$u;", Verdict::Carried),
        ("split_clients $none $u { 5% a; * b; }", "proxy_pass http://$u;", Verdict::Difference),
    ];
    for (before, pass, expected) in found {
        let text = format!(
            "http {{ upstream a {{ server 10.0.0.1; }} upstream b {{ server 10.0.0.2; }} {before} \
             server {{ listen 8080; location / {{ {pass} }} }} }}"
        );
        let imported = imported(&[("nginx.conf", &text)]);
        let read = config::parse("imported.toml", &imported.toml, &|_| None);
        assert!(read.is_ok(), "{pass}: {}", read.unwrap_err());
        assert_eq!(verdict(&imported, "proxy_pass"), expected, "{pass}: {}", imported.toml);
    }
}

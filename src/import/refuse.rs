//! What keeps clients out and is not carried: in its place everybody is kept out.
//!
//! What is left out must never make reachable what nginx keeps somebody from. So a place refuses
//! where a rule of nginx's cannot be said, or where nobody knows what stands there: in a file that
//! cannot be read, or in a directive of another module whose name speaks of access.

use std::collections::BTreeMap;

use super::answer::status;
use super::draft::Action;
use super::findings::Findings;
use super::listen::{At, Listen};
use super::scope::effective;
use super::settings::Settings;
use super::table::{self, Contexts, Rule};
use super::translate::Site;
use super::tree::Directive;

/// What to do about an expression.
pub(super) const UNREAD: &str = "write it without look-around and back-references";

/// The name of what is put in place of a directive that may keep clients out: a row of the table.
const STAND_IN: &str = "auth_*";

/// What the names of directives have in them that are about who may come in.
const WORDS: [&str; 17] = [
    "acl", "access", "allow", "auth", "block", "captcha", "deny", "forbid", "jwt", "login", "oidc",
    "permit", "protect", "restrict", "secur", "verify", "waf",
];

/// Files that ship with nginx or with what goes with it, and hold nothing about access.
const HARMLESS: [&str; 8] = [
    "mime.types",
    "fastcgi.conf",
    "fastcgi_params",
    "proxy_params",
    "uwsgi_params",
    "scgi_params",
    "options-ssl-nginx.conf",
    "koi-win",
];

/// What everybody gets where nobody comes in.
pub(super) fn answer(s: &Settings<'_>) -> Action {
    let is_said = s.access.first() == Some(&(false, "all"));
    if is_said { status(403) } else { Action::Refuse }
}

/// Puts a guard in place of a directive that is left out, if it may have kept clients out there.
pub(super) fn stand_in(
    d: &Directive,
    context: Contexts,
    f: &mut Findings<'_>,
) -> Option<Directive> {
    let places = Contexts::LEVELS.and(Contexts::LIMIT_EXCEPT);
    let places = places.and(Contexts::SERVER_IF).and(Contexts::LOCATION_IF);
    if !places.has(context) || !may_keep_out(d) {
        return None;
    }
    f.missing(d, "it may keep clients out, so that everybody is kept out here (403)", "");
    Some(guard_at(d))
}

/// The same for a file that could not be read.
pub(super) fn unread(d: &Directive, context: Contexts, f: &mut Findings<'_>) -> Option<Directive> {
    let name = d.arg(0).rsplit('/').next().unwrap_or_default();
    let places = Contexts::LEVELS.and(Contexts::LIMIT_EXCEPT);
    let places = places.and(Contexts::SERVER_IF).and(Contexts::LOCATION_IF);
    if f.of(d).is_none() || HARMLESS.contains(&name) || !places.has(context) {
        return None;
    }
    f.missing(d, "what stands in it may keep clients out: everybody is kept out here (403)", "");
    Some(guard_at(d))
}

fn guard_at(d: &Directive) -> Directive {
    let mut guard = Directive { args: Vec::new(), block: None, ..d.clone() };
    STAND_IN.clone_into(&mut guard.name.text);
    guard
}

/// Whether a directive that cannot stand where it stands, or that is not known, is about access.
fn may_keep_out(d: &Directive) -> bool {
    let name = &*d.name.text;
    match table::find(name).map(|row| row.rule) {
        Some(Rule::Guard) => true,
        Some(_) => {
            let own = ["allow", "auth_basic", "auth_request", "deny", "internal", "limit_except"];
            own.contains(&name)
        }
        // Of scripts only those have a say that run before the content is made.
        None if name.contains("_by_lua") => false,
        None => WORDS.iter().any(|word| name.to_ascii_lowercase().contains(word)),
    }
}

/// Whether what an `if` does may be to keep its requests from what others get.
pub(super) fn turns_away(block: &Directive) -> bool {
    let turns = |d: &Directive| {
        let row = table::find(&d.name.text).map(|row| row.rule);
        matches!(&*d.name.text, "return" | "rewrite" | "proxy_pass" | "grpc_pass")
            || matches!(row, Some(Rule::Guard | Rule::Content))
    };
    block.inner().iter().any(turns)
}

/// What an `if` is answered with when nobody knows whether its condition holds: an error as it is,
/// and anything else is refused.
pub(super) fn answer_of(says: &Directive) -> Action {
    let code = says.arg(0).parse::<u16>().ok().filter(|code| (400..600).contains(code));
    match code {
        Some(444) => Action::Close,
        Some(code) => status(code),
        None => Action::Refuse,
    }
}

/// Whether the client's address is another in a server of nginx's than its listeners take it for:
/// they go by their default server.
pub(super) fn address_unsure(
    http: &[Directive],
    site: &Site<'_>,
    sites: &[Site<'_>],
    defaults: &BTreeMap<At, usize>,
) -> bool {
    let words = |server: &Directive| -> Vec<String> {
        let all = effective(&[http, server.inner()]).into_iter();
        let mut words: Vec<_> =
            all.filter(|(_, row)| row.name.contains("real_ip")).map(|(d, _)| d.head()).collect();
        words.sort();
        words
    };
    let own = words(site.block);
    let of_default = |one: &Listen| {
        let default = defaults.get(&one.address).and_then(|index| sites.get(*index));
        default.is_none_or(|default| words(default.block) == own)
    };
    // A name would have to be asked for.
    let is_unread = |line: &String| {
        let who = line.strip_prefix("set_real_ip_from ");
        who.is_some_and(|who| !is_network(who) && who != "unix:")
    };
    own.iter().any(is_unread) || !site.listens.iter().all(of_default)
}

/// Whether a text is an address or a network.
pub(super) fn is_network(text: &str) -> bool {
    text.parse::<ipnet::IpNet>().is_ok() || text.parse::<std::net::IpAddr>().is_ok()
}

impl Settings<'_> {
    /// Whether nobody comes in.
    pub(super) fn keeps_all_out(&self) -> bool {
        let by_address = self.access.first() == Some(&(false, "all"))
            || (self.address_unsure && !self.access.is_empty());
        self.guard.is_some() || (by_address && !self.is_enough_to_ask())
    }

    /// Whether those who are not let in by address come in all the same if `auth_request` says so.
    pub(super) fn is_enough_to_ask(&self) -> bool {
        self.satisfy_any && self.says.auth.is_some()
    }

    /// What `satisfy any` makes of a guard: who is not let in by address would have to say who they
    /// are. Of what nobody knows, it makes nothing.
    pub(super) fn settle_any(&mut self) {
        let known = self.guard.is_some_and(|guard| guard.name.text != STAND_IN);
        let others = !self.access.is_empty() || self.says.auth.is_some();
        if self.satisfy_any && others && known {
            self.guard = None;
            self.access.push((false, "all"));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::import::tests::imported;

    /// The routes of a file, one a line: path rule, condition and action.
    fn routes(files: &[(&str, &str)]) -> Vec<String> {
        let toml = imported(files).toml;
        let routes = toml.split("[[route]]").skip(1).map(|route| {
            let route = route.split("\n[").next().unwrap_or_default();
            let told = ["path", "first", "when", "access", "auth", "upstream =", "respond"];
            let lines = route.lines().filter(|line| told.iter().any(|key| line.starts_with(key)));
            lines.collect::<Vec<_>>().join("; ")
        });
        routes.collect()
    }

    fn server(inner: &str) -> String {
        format!("server {{ listen 80; {inner} }}")
    }

    const REFUSED: &str = "respond = { status = 403 }";

    #[test]
    fn place_refuses_where_a_rule_cannot_be_said() {
        for rule in [
            // Conditions that no route can ask for.
            "if ($ssl_client_v_end = x) { return 403; }",
            "if ($unknown) { return 302 /login; }",
            "if ($unknown) { rewrite ^ /login last; }",
            "if ($unknown) { proxy_pass http://10.0.0.2; }",
            "if ($http_x ~ (a(?=b)|c)) { return 403; }",
            "if ($http_x !~ ^a(?!b)) { return 403; }",
            "valid_referers ~(?=a); if ($invalid_referer) { return 403; }",
            "set $in 0; if ($unknown) { set $in 1; } if ($in = 0) { return 403; }",
            "if (-f /etc/closed) { rewrite ^ /closed last; }",
            // Rewrites that lead away.
            "rewrite ^/(?=a)(.*) /b/$1 last;",
            "rewrite ^/(.*) /b/$unknown last;",
            // Directives of other modules.
            "auth_spnego on;",
            "js_access main.check;",
            "rewrite_by_lua_block { ngx.exit(403) }",
            "geo_deny on;",
            "satisfy any; allow 10.0.0.0/8; deny all; include none.conf;",
            // Files that cannot be read.
            "include snippets/closed.conf;",
            // Addresses that are not known here.
            "set_real_ip_from 10.0.0.1; allow 192.0.2.0/24; deny all;",
            "set_real_ip_from 10.0.0.1; deny 192.0.2.7;",
            // What nginx itself would not start with.
            "deny;",
            "auth_basic;",
            "limit_except { deny all; }",
            "limit_except \"a b\" { deny all; }",
        ] {
            let text = server(&format!("location / {{ {rule} proxy_pass http://10.0.0.1; }}"));
            let routes = routes(&[("a.conf", &text)]);
            assert!(routes.iter().any(|one| one == REFUSED), "{rule}: {routes:?}");
            assert!(!routes.iter().any(|one| one.contains("upstream")), "{rule}: {routes:?}");
        }
    }

    #[test]
    fn errors_are_answered_as_they_are_by_whom_nobody_can_tell_apart() {
        for (rule, expected) in [
            ("if ($unknown) { return 401; }", "respond = { status = 401 }"),
            ("if ($unknown) { return 444; }", "respond = \"close\""),
            ("if (-f /tmp/maintenance) { return 503; }", "respond = { status = 503 }"),
        ] {
            let inside = server(&format!("location / {{ {rule} proxy_pass http://10.0.0.1; }}"));
            let before = server(&format!("{rule} location / {{ proxy_pass http://10.0.0.1; }}"));
            for text in [inside, before] {
                let routes = routes(&[("a.conf", &text)]);
                assert_eq!(routes, [expected], "{text}");
            }
        }
    }

    #[test]
    fn server_refuses_what_it_may_send_elsewhere() {
        for (rule, expected) in [
            ("rewrite ^/(?=a)x /b last;", r#"path_regex = "^/x"; first = true; "#),
            ("rewrite (a|(?=b)) /b last;", ""),
            ("if ($unknown) { rewrite ^ /b last; }", ""),
            ("if ($http_x) { rewrite ^/(?=a) /b last; }", ""),
        ] {
            let text = server(&format!("{rule} location / {{ proxy_pass http://10.0.0.1; }}"));
            let routes = routes(&[("a.conf", &text)]);
            assert_eq!(routes[0], format!("{expected}{REFUSED}"), "{rule}");
        }
    }

    #[test]
    fn location_whose_expression_cannot_be_read_refuses_all_that_it_may_fit() {
        let text = server(
            "location / { proxy_pass http://10.0.0.1; } location ~* ^/a(?=b)(.*) { deny all; } \
             location ~ ^/c(?!d)(.*)$ { proxy_pass http://10.0.0.2; } \
             location ^~ /e { location ~ (f|(?<=g)) { proxy_pass http://10.0.0.2; } }",
        );
        let routes = routes(&[("a.conf", &text)]);
        let expected = [
            "upstream = \"10-0-0-1\"".to_owned(),
            format!("path_regex = \"(?i)^/a(.*)\"; {REFUSED}"),
            "path_regex = \"^/c(.*)$\"; when = [{ value = \"${normalized_path}\", \
             not_regex = \"^/c(?:d)\" }]; upstream = \"10-0-0-2\""
                .to_owned(),
            format!("path_prefix = \"/e\"; path_regex = \"^\"; {REFUSED}"),
        ];
        assert!(expected.iter().all(|one| routes.contains(one)), "{routes:#?}");
    }

    #[test]
    fn hosts_that_a_server_may_have_are_refused() {
        let text = "http { server { listen 80; location / { proxy_pass http://10.0.0.1; } } \
                    server { listen 80; server_name a.test ~^b(?=c)d; deny all; return 204; } }";
        let toml = imported(&[("a.conf", text)]).toml;
        let refused = "hosts = [\"~^bd\"]\n# What keeps clients out here is not carried; see the \
                       report.\nrespond = { status = 403 }";
        assert!(toml.contains(refused), "{toml}");
    }

    #[test]
    fn address_that_only_the_default_server_knows_lets_nobody_in() {
        let of = |first: &str, second: &str| {
            let text = format!(
                "http {{ server {{ listen 80; server_name a; {first} return 204; }} \
                 server {{ listen 80; server_name b; {second} allow 10.0.0.0/8; deny all; \
                 location / {{ proxy_pass http://10.0.0.1; }} }} }}"
            );
            routes(&[("a.conf", &text)]).iter().any(|one| one.contains("upstream"))
        };
        let real = "set_real_ip_from 10.0.0.1;";
        assert!(of("", "") && of(real, real));
        assert!(!of(real, "") && !of("", real));
        let named = "set_real_ip_from proxy.test;";
        assert!(!of(named, named));
    }

    #[test]
    fn files_that_hold_nothing_about_access_may_be_missing() {
        for (file, open) in [("mime.types", true), ("/etc/nginx/proxy_params", true), ("x", false)]
        {
            let inner = format!("include {file}; location / {{ proxy_pass http://10.0.0.1; }}");
            let routes = routes(&[("a.conf", &server(&inner))]);
            assert_eq!(routes.iter().any(|one| one.contains("upstream")), open, "{file}");
        }
    }

    #[test]
    fn what_is_asked_for_is_no_file() {
        let text = server(
            "location / { if (!-f $request_filename) { proxy_pass http://10.0.0.1; break; } }",
        );
        assert_eq!(routes(&[("a.conf", &text)]), ["upstream = \"10-0-0-1\""]);
    }

    #[test]
    fn path_that_cannot_be_put_in_leads_nowhere() {
        for to in ["http://10.0.0.1/only/$ssl_nobody", "http://10.0.0.1/only#x"] {
            let text = server(&format!("location /a {{ proxy_pass {to}; }}"));
            let routes = routes(&[("a.conf", &text)]);
            assert!(!routes.iter().any(|one| one.contains("upstream")), "{to}: {routes:?}");
        }
    }

    #[test]
    fn two_upstreams_of_one_name_are_told_and_the_first_counts() {
        let text = "http { upstream a { server 10.0.0.1; } upstream a { server 10.0.0.2; } \
                    server { listen 80; location / { proxy_pass http://a; } } }";
        let imported = imported(&[("a.conf", text)]);
        assert!(imported.toml.contains("10.0.0.1") && !imported.toml.contains("10.0.0.2"));
        assert!(imported.warnings.iter().any(|one| one.message.contains("of this name")));
    }

    #[test]
    fn maps_of_files_are_made_or_lead_nowhere() {
        let text = "http { map $http_x $to { default a; include to.map; } \
                    upstream a { server 10.0.0.1; } upstream b { server 10.0.0.2; } \
                    server { listen 80; location / { proxy_pass http://$to; } } }";
        let read = routes(&[("a.conf", text), ("to.map", "y b;")]);
        assert!(read[0].contains("when") && read[0].contains("\"b\""), "{read:?}");
        let unread = routes(&[("a.conf", text)]);
        assert_eq!(unread, ["respond = { status = 502 }"]);
    }

    #[test]
    fn unix_sockets_are_listened_on_and_their_clients_known() {
        let text = "server { listen unix:/run/a.sock default_server; listen 127.0.0.1:80; \
                    set_real_ip_from unix:; location / { allow unix:; deny all; \
                    proxy_pass http://10.0.0.1; } }";
        let toml = imported(&[("a.conf", text)]).toml;
        assert!(toml.contains("address = \"unix:/run/a.sock\""), "{toml}");
        assert!(toml.contains("trusted_proxies = [\"unix:\"]"), "{toml}");
        let access = "access = [{ allow = [\"unix:\"] }, { deny = [\"all\"] }]";
        assert!(toml.contains(access), "{toml}");
    }

    #[test]
    fn ranges_of_ports_are_listened_on() {
        let text = "server { listen 127.0.0.1:8000-8002; location / { return 204; } }";
        let toml = imported(&[("a.conf", text)]).toml;
        let ports = [":8000\"", ":8001\"", ":8002\""];
        assert!(ports.iter().all(|port| toml.contains(port)), "{toml}");
    }
}

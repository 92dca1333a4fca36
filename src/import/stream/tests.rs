use crate::import::tests::imported;

fn toml(stream: &str) -> String {
    let text = format!("events {{}} stream {{ {stream} }}");
    let toml = imported(&[("nginx.conf", &text)]).toml;
    let loaded = crate::config::parse("imported.toml", &toml, &|_| None);
    loaded.unwrap_or_else(|report| panic!("{report}\n{toml}"));
    toml
}

fn left_out(server: &str) {
    let text = format!(
        "http {{ server {{ listen 80; location / {{ return 204; }} }} }} \
         stream {{ server {{ {server} }} }}"
    );
    let toml = imported(&[("nginx.conf", &text)]).toml;
    assert!(!toml.contains("tcp"), "{server}: {toml}");
}

#[test]
fn servers_become_listeners_that_pass_connections_through() {
    let toml = toml(
        "upstream db { least_conn; server 10.0.0.1:5432 max_fails=2; server 10.0.0.2:5432 backup; }\n\
         server { listen 127.0.0.1:5432; proxy_pass db; proxy_timeout 1h; \
         proxy_connect_timeout 2s; proxy_protocol on; }\n\
         server { listen 6379 proxy_protocol; proxy_pass 10.0.0.3:6379; }",
    );
    for line in [
        "mode = \"tcp\"",
        "upstream = \"db\"",
        "tunnel_timeout = \"1h\"",
        "strategy = \"least_connections\"",
        "send_proxy = \"v1\"",
        "timeouts.connect = \"2s\"",
        "passive.max_fails",
        "backup = true",
        "proxy_protocol = true",
        "trusted_proxies = [\"0.0.0.0/0\", \"::/0\"]",
        "upstream = \"10-0-0-3-6379\"",
    ] {
        assert!(toml.contains(line), "{line}: {toml}");
    }
}

#[test]
fn one_group_in_two_ways_is_two_upstreams() {
    let toml = toml(
        "upstream db { server 10.0.0.1:1; server 10.0.0.2:1; } proxy_timeout 5m;\n\
         server { listen 1; proxy_pass db; } server { listen 2; proxy_pass db; }\n\
         server { listen 3; proxy_pass db; proxy_protocol on; }",
    );
    assert_eq!(toml.matches("upstream = \"db\"").count(), 2, "{toml}");
    assert!(toml.contains("upstream = \"db-2\""), "{toml}");
    assert_eq!(toml.matches("tunnel_timeout = \"5m\"").count(), 3, "{toml}");
}

#[test]
fn connections_go_by_the_name_that_is_asked_for() {
    let toml = toml(
        "map $ssl_preread_server_name $to { hostnames; a.test one; .b.test one; *.c.test \
         10.0.0.9:443; default two; }\n\
         upstream one { server 10.0.0.1:443; } upstream two { server 10.0.0.2:443; }\n\
         server { listen 443; ssl_preread on; proxy_pass $to; }",
    );
    let names = "sni = [{ names = [\"a.test\", \"*.b.test\", \"b.test\"], upstream = \"one\" }, \
                 { names = [\"*.c.test\"], upstream = \"10-0-0-9-443\" }]";
    assert!(toml.contains(names), "{toml}");
    assert!(toml.contains("upstream = \"two\""), "{toml}");
    assert!(toml.contains("header_timeout = \"30s\""), "{toml}");
}

#[test]
fn what_cannot_be_carried_is_left_out_with_its_server() {
    for server in [
        "listen 53 udp; proxy_pass 10.0.0.1:53;",
        "listen 443 ssl; proxy_pass 10.0.0.1:80;",
        "listen 1; proxy_pass 10.0.0.1:1; allow 10.0.0.0/8; deny all;",
        "listen 1; proxy_pass 10.0.0.1:1; proxy_ssl on;",
        "listen 1; proxy_pass $elsewhere;",
        "listen 1; return hello;",
        "listen 1;",
        "listen 1; proxy_pass nowhere/at/all;",
    ] {
        left_out(server);
    }
}

#[test]
fn a_key_that_is_not_known_of_a_connection_is_told() {
    let by = |key: &str| {
        toml(&format!(
            "upstream a {{ hash {key} consistent; server 10.0.0.1:1; server 10.0.0.2:1; }} \
             server {{ listen 1; proxy_pass a; }}"
        ))
    };
    assert!(by("$remote_addr").contains("strategy = \"consistent_hash\""));
    assert!(!by("$http_x").contains("strategy"));
}

#[test]
fn connections_may_leave_from_the_clients_address() {
    let by = |bind: &str| {
        toml(&format!("server {{ listen 1; proxy_pass 10.0.0.1:1; proxy_bind {bind}; }}"))
    };
    let toml = by("$remote_addr transparent");
    assert!(toml.contains("source = \"${client_ip}\"\ntransparent = true"), "{toml}");
    assert!(by("$remote_addr:$remote_port").contains("source = \"${client_ip}:${client_port}\""));
    assert!(by("10.9.0.1").contains("source = \"10.9.0.1\""));
    for none in ["off", "$http_x"] {
        assert!(!by(none).contains("source"), "{none}");
    }
}

#[test]
fn connections_go_by_the_protocols_that_are_offered() {
    let by = |entries: &str| {
        imported(&[(
            "nginx.conf",
            &format!(
                "http {{ server {{ listen 80; location / {{ return 204; }} }} }} \
                 stream {{ map $ssl_preread_alpn_protocols $to {{ {entries} }} \
                 server {{ listen 443; ssl_preread on; proxy_pass $to; }} }}"
            ),
        )])
        .toml
    };
    let toml = by(r"~\bacme-tls/1\b 10.0.0.1:1; ~\bhttp/1\.1\b 10.0.0.2:1; default 10.0.0.3:1;");
    for line in [
        "{ protocols = [\"acme-tls/1\"], upstream = \"10-0-0-1-1\" }",
        "{ protocols = [\"http/1.1\"], upstream = \"10-0-0-2-1\" }",
        "upstream = \"10-0-0-3-1\"",
    ] {
        assert!(toml.contains(line), "{line}: {toml}");
    }
    crate::config::parse("imported.toml", &toml, &|_| None).unwrap();
    assert!(by("acme-tls/1 10.0.0.1:1; default 10.0.0.3:1;").contains("protocols"));
    // All that a client offers is another thing than one of it.
    for entries in ["h2,http/1.1 10.0.0.1:1;", "~h2 10.0.0.1:1;", "h2 10.0.0.1:1;"] {
        assert!(!by(entries).contains("tcp"), "{entries}");
    }
}

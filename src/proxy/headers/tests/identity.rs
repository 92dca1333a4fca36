use super::*;

fn head(fields: &str) -> RequestHead {
    request_head(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes())
}

fn client(downstream: &str, fields: &str) -> String {
    client_address(address(downstream), &head(fields), &forwarded()).to_string()
}

#[test]
fn an_untrusted_downstream_is_the_client_whatever_it_says() {
    assert_eq!(client("192.0.2.1", "X-Forwarded-For: 1.1.1.1\r\n"), "192.0.2.1");
}

#[test]
fn trusted_proxies_are_walked_from_the_right_to_the_first_that_is_not() {
    assert_eq!(client("10.0.0.1", ""), "10.0.0.1");
    assert_eq!(client("10.0.0.1", "X-Forwarded-For: 1.1.1.1\r\n"), "1.1.1.1");
    let forged = "X-Forwarded-For: 6.6.6.6, 1.1.1.1, 10.2.0.1 ,fd00::2\r\n";
    assert_eq!(client("10.0.0.1", forged), "1.1.1.1");
    assert_eq!(client("fd00::1", forged), "1.1.1.1");
    assert_eq!(client("10.0.0.1", "X-Forwarded-For: 10.3.0.1, 10.2.0.1\r\n"), "10.3.0.1");
}

#[test]
fn several_lines_are_one_list_and_empty_entries_are_none() {
    let lines = "X-Forwarded-For: 6.6.6.6, 1.1.1.1\r\nA: b\r\nx-forwarded-for: , 10.2.0.1,\r\n\
                 X-FORWARDED-FOR:\r\n";
    assert_eq!(client("10.0.0.1", lines), "1.1.1.1");
}

#[test]
fn what_cannot_be_read_ends_the_walk_at_the_entry_before_it() {
    for bad in ["unknown", "1.1.1", "1.1.1.1.1", "1.1.1.1:x", "[1.1.1.1]", "\u{e4}", "fe80::1%eth0"]
    {
        let fields = format!("X-Forwarded-For: 1.1.1.1, {bad}, 10.2.0.1\r\n");
        assert_eq!(client("10.0.0.1", &fields), "10.2.0.1", "{bad}");
    }
    assert_eq!(client("10.0.0.1", "X-Forwarded-For: -\r\n"), "10.0.0.1");
}

#[test]
fn entries_may_have_a_port_and_brackets() {
    for (entry, expected) in [
        ("1.1.1.1:80", "1.1.1.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:80", "2001:db8::1"),
        ("::ffff:1.1.1.1", "1.1.1.1"),
    ] {
        assert_eq!(client("10.0.0.1", &format!("X-Forwarded-For: {entry}\r\n")), expected);
    }
}

/// The client behind 10.0.0.1, told in this way.
fn told(source: AddressSource, recursive: bool, fields: &str) -> String {
    let forwarded = Forwarded { client_address: source, recursive, ..forwarded() };
    client_address(address("10.0.0.1"), &head(fields), &forwarded).to_string()
}

#[test]
fn addresses_are_told_in_the_field_that_is_named() {
    let named = || AddressSource::Field("x-real-ip".to_owned());
    assert_eq!(
        told(named(), true, "X-Real-IP: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n"),
        "1.1.1.1"
    );
    assert_eq!(told(named(), true, "X-Real-Ip: 3.3.3.3, 10.2.0.1\r\n"), "3.3.3.3");
    assert_eq!(told(named(), true, "X-Forwarded-For: 2.2.2.2\r\n"), "10.0.0.1");
    assert_eq!(told(AddressSource::None, true, "X-Forwarded-For: 2.2.2.2\r\n"), "10.0.0.1");
}

#[test]
fn forwarded_tells_the_address_as_rfc_7239_has_it() {
    for (value, expected) in [
        ("for=1.1.1.1", "1.1.1.1"),
        ("for=6.6.6.6, For=\"[2001:db8::1]:4711\";proto=http;by=10.9.9.9", "2001:db8::1"),
        ("proto=https;for=1.1.1.1 , for=10.2.0.1", "1.1.1.1"),
        ("for=1.1.1.1, for=_hidden", "10.0.0.1"),
        ("for=1.1.1.1, proto=http", "10.0.0.1"),
        ("for=\"1.1.1.1", "10.0.0.1"),
    ] {
        let fields = format!("Forwarded: {value}\r\n");
        assert_eq!(told(AddressSource::Forwarded, true, &fields), expected, "{value}");
    }
}

#[test]
fn without_recursion_the_last_address_counts_whoever_it_is() {
    let fields = "X-Forwarded-For: 1.1.1.1, 10.2.0.1\r\n";
    assert_eq!(told(AddressSource::XForwardedFor, false, fields), "10.2.0.1");
    assert_eq!(told(AddressSource::XForwardedFor, true, fields), "1.1.1.1");
}

#[test]
fn an_ipv4_address_in_ipv6_form_counts_as_ipv4() {
    let head = head("X-Forwarded-For: 1.1.1.1\r\n");
    let client = ClientIdentity::new(address("::ffff:10.0.0.1"), "http", &head, &forwarded());
    let expected = ClientIdentity {
        address: address("1.1.1.1"),
        downstream: address("10.0.0.1"),
        trusted: true,
        scheme: "http",
    };
    assert_eq!(client, expected);
}

#[test]
fn a_sane_request_id_is_kept_and_any_other_is_made_anew() {
    let random = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];
    let id = |fields: &str| {
        let mut made = [0; 32];
        let field = RequestIdField::Usual;
        let id = request_id(&head(fields), Some(&field), random, &mut made).to_vec();
        String::from_utf8(id).unwrap()
    };
    let longest = "a".repeat(128);
    for sane in ["x", "f47ac10b-58cc", "{\"~\"}", &longest] {
        assert_eq!(id(&format!("X-Request-Id: {sane}\r\n")), sane);
    }
    for bad in ["", "a b", "\u{e4}", "a\tb", &"a".repeat(129)] {
        let made = id(&format!("X-Request-Id: {bad}\r\n"));
        assert_eq!(made, "0123456789abcdeffedcba9876543210", "{bad:?}");
    }
    assert_eq!(id(""), "0123456789abcdeffedcba9876543210");
}

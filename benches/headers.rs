//! Writing the heads that are passed on, with 6 and with 30 fields and no edits: the usual case.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use plimsoll::http1::{Framing, Limits, RequestHead, ResponseHead};
use plimsoll::proxy::headers::{
    ClientIdentity, Persistence, RequestContext, ResponseContext, request_id, write_request_head,
    write_response_head,
};
use plimsoll::proxy::vars::Vars;
use plimsoll::snapshot::settings::{
    AddressSource, ForwardPolicy, Forwarded, HostPolicy, PathRewrite, RequestIdField, XForwarded,
};

const SIZES: [usize; 2] = [6, 30];

const REQUEST_FIELDS: [(&str, &str); 5] = [
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Accept-Language", "en-GB,en;q=0.7,de;q=0.3"),
    ("Cookie", "session=0123456789abcdef0123456789abcdef; theme=dark"),
    ("Connection", "keep-alive"),
];

const RESPONSE_FIELDS: [(&str, &str); 6] = [
    ("Date", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ("Server", "origin"),
    ("Content-Type", "text/html; charset=utf-8"),
    ("Content-Length", "1024"),
    ("ETag", "\"65a1b2c3-400\""),
    ("Connection", "keep-alive"),
];

/// The field lines, and as many more as are wanted.
fn lines(fields: &[(&str, &str)], size: usize) -> String {
    let usual = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    let more = (fields.len()..size).map(|place| format!("X-Custom-{place}: value of {place}\r\n"));
    usual.chain(more).collect()
}

fn request(size: usize) -> RequestHead {
    let fields = lines(&REQUEST_FIELDS, size - 1);
    let text = format!("GET /shop/items?page=2 HTTP/1.1\r\nHost: shop.example.com\r\n{fields}\r\n");
    let mut head = RequestHead::default();
    head.parse(text.as_bytes(), &Limits::default()).expect("a valid head");
    assert_eq!(head.fields().len(), size);
    head
}

fn response(size: usize) -> ResponseHead {
    let text = format!("HTTP/1.1 200 OK\r\n{}\r\n", lines(&RESPONSE_FIELDS, size));
    let mut head = ResponseHead::default();
    head.parse(text.as_bytes(), &Limits::default(), b"GET").expect("a valid head");
    assert_eq!(head.fields().len(), size);
    head
}

fn forwarded() -> Forwarded {
    Forwarded {
        trusted_proxies: Vec::new(),
        client_address: AddressSource::XForwardedFor,
        recursive: true,
        x_forwarded: XForwarded::all(ForwardPolicy::Auto),
        forwarded: ForwardPolicy::Remove,
        x_real_ip: true,
        request_id: Some(RequestIdField::Usual),
    }
}

/// Runs `bench` with the variables of a request from an untrusted client.
fn with_vars(head: &RequestHead, forwarded: &Forwarded, bench: impl FnOnce(&Vars<'_>)) {
    let downstream = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 17));
    let client = ClientIdentity::new(downstream, "http", head, forwarded);
    let mut made = [0; 32];
    bench(&Vars {
        request_id: request_id(head, forwarded.request_id.as_ref(), [1, 2], &mut made),
        route: "shop",
        upstream: "shop",
        backend: "127.0.0.1:9000",
        ..Vars::new(head, &client)
    });
}

fn requests(c: &mut Criterion) {
    let mut group = c.benchmark_group("headers/request");
    group.throughput(Throughput::Elements(1));
    for size in SIZES {
        let (head, forwarded) = (request(size), forwarded());
        with_vars(&head, &forwarded, |vars| {
            let ctx = RequestContext {
                grpc_timeout: None,
                otherwise: None,
                vars,
                forwarded: &forwarded,
                rewrite: &PathRewrite::Keep,
                prefix: "",
                path: head.path(),
                host: &HostPolicy::Preserve,
                authority: "127.0.0.1:9000",
                trace: None,
                framing: Framing::None,
                trailers: true,
                upgrade: None,
                close: false,
                edits: &[],
            };
            let mut out = Vec::with_capacity(8 << 10);
            group.bench_function(BenchmarkId::from_parameter(size), |b| {
                b.iter(|| {
                    out.clear();
                    write_request_head(&mut out, black_box(&ctx));
                    black_box(out.len())
                });
            });
        });
    }
    group.finish();
}

fn responses(c: &mut Criterion) {
    let mut group = c.benchmark_group("headers/response");
    group.throughput(Throughput::Elements(1));
    for size in SIZES {
        let (asked, head, forwarded) = (request(6), response(size), forwarded());
        with_vars(&asked, &forwarded, |vars| {
            let ctx = ResponseContext {
                vars,
                framing: Framing::Length(1024),
                persistence: Persistence::Implied,
                date: b"Sun, 06 Nov 1994 08:49:37 GMT",
                edits: &[],
                rules: None,
            };
            let mut out = Vec::with_capacity(8 << 10);
            group.bench_function(BenchmarkId::from_parameter(size), |b| {
                b.iter(|| {
                    out.clear();
                    write_response_head(&mut out, black_box(&head), black_box(&ctx));
                    black_box(out.len())
                });
            });
        });
    }
    group.finish();
}

criterion_group!(benches, requests, responses);
criterion_main!(benches);

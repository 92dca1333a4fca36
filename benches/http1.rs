//! The HTTP/1 codec: what one head, one body and one path cost. `cargo bench --bench http1`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use plimsoll::http1::{
    Decoder, Framing, Limits, RequestHead, ResponseHead, encode, target::normalise,
};

const REQUEST: &[u8] = b"GET /static/app/main.js?v=20240601 HTTP/1.1\r\n\
    Host: www.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br\r\n\
    Connection: keep-alive\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Server: nginx/1.22.1\r\n\
    Date: Sat, 01 Jun 2024 12:00:00 GMT\r\n\
    Content-Type: application/javascript; charset=utf-8\r\n\
    Content-Length: 128\r\n\
    Last-Modified: Fri, 31 May 2024 12:00:00 GMT\r\n\
    Connection: keep-alive\r\n\
    ETag: \"6659bb40-80\"\r\n\
    Accept-Ranges: bytes\r\n\r\n";

fn request_of_30_fields() -> Vec<u8> {
    let mut head = REQUEST[..REQUEST.len() - 2].to_vec();
    for number in 0..24 {
        let name = format!("X-Application-Field-{number}");
        encode::push_field(&mut head, name.as_bytes(), b"some value of a usual length");
    }
    encode::push_end(&mut head);
    head
}

fn heads(c: &mut Criterion) {
    let limits = Limits::default();
    let mut request = RequestHead::default();
    let mut response = ResponseHead::default();
    let long = request_of_30_fields();
    let mut group = c.benchmark_group("parse");
    for (name, input) in [("request_6_fields", REQUEST), ("request_30_fields", &long)] {
        group.throughput(Throughput::Bytes(input.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| request.parse(black_box(input), &limits));
        });
    }
    group.throughput(Throughput::Bytes(RESPONSE.len() as u64));
    group.bench_function("response_8_fields", |b| {
        b.iter(|| response.parse(black_box(RESPONSE), &limits, b"GET"));
    });
    group.finish();

    request.parse(REQUEST, &limits).expect("a valid request");
    let mut out = Vec::new();
    c.bench_function("encode/request_6_fields", |b| {
        b.iter(|| {
            out.clear();
            encode::push_request_line(&mut out, request.method(), request.target());
            request.push_fields(&mut out, |_| true);
            encode::push_end(&mut out);
            black_box(&out);
        });
    });
}

fn bodies(c: &mut Criterion) {
    let mut group = c.benchmark_group("chunked");
    for (name, chunk, count) in [("64_chunks_of_100_B", 100, 64), ("4_chunks_of_16_KiB", 16384, 4)]
    {
        let mut body = Vec::new();
        for _ in 0..count {
            encode::push_chunk_head(&mut body, chunk);
            body.resize(body.len() + chunk, b'x');
            body.extend_from_slice(encode::CRLF);
        }
        encode::push_last_chunk(&mut body, b"");
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(format!("decode/{name}"), |b| {
            b.iter(|| {
                let mut decoder = Decoder::new(Framing::Chunked);
                let mut at = 0;
                while !decoder.is_done() {
                    at += decoder.decode(black_box(&body[at..])).expect("a valid body").consumed;
                }
                at
            });
        });
        let mut scratch = body.clone();
        group.bench_function(format!("decode_in_place/{name}"), |b| {
            b.iter(|| {
                scratch.copy_from_slice(&body);
                Decoder::new(Framing::Chunked).decode_in_place(black_box(&mut scratch))
            });
        });
    }
    group.finish();
}

fn paths(c: &mut Criterion) {
    let mut scratch = Vec::new();
    let mut group = c.benchmark_group("normalise");
    for (name, path) in [
        ("normal", &b"/static/app/assets/main.js"[..]),
        ("escaped", b"/static/./app//x/%2e%2e/main%20file.js"),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| normalise(black_box(path), &mut scratch).is_ok());
        });
    }
    group.finish();
}

criterion_group!(benches, heads, bodies, paths);
criterion_main!(benches);

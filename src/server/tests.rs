//! A balancer inside the test, for what no signal and no request can bring about.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use super::*;
use crate::config;

fn start() -> Server {
    let toml = "workers = 1
        [access_log]
        format = \"off\"
        [[listener]]
        name = \"main\"
        address = \"127.0.0.1:0\"
        [[route]]
        respond = { body = \"served\" }";
    let loaded = config::parse("test.toml", toml, &|_| None).unwrap();
    Server::start(loaded, None).unwrap()
}

fn ask(mut socket: TcpStream) -> String {
    let request = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    socket.write_all(request).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).unwrap()
}

#[test]
fn a_worker_that_panics_starts_anew_and_serves_what_waits_in_its_sockets() {
    let server = start();
    let address = server.addresses()["main"];
    assert!(ask(connect(address)).ends_with("served"));
    for _ in 0..3 {
        server.orders[0].send(Order::Panic).unwrap();
    }
    // Before or after the panics, this connection waits until somebody accepts it.
    assert!(ask(connect(address)).ends_with("served"));
    server.drain();
    server.wait();
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_worker_that_panics_in_a_drain_ends_with_it() {
    let server = start();
    let mut unfinished = connect(server.addresses()["main"]);
    unfinished.write_all(b"GET / HT").unwrap();
    server.drain();
    server.orders[0].send(Order::Panic).unwrap();
    let stop = server.stopper();
    let (ended, end) = std::sync::mpsc::channel();
    let waiting = std::thread::spawn(move || {
        server.wait();
        ended.send(()).unwrap();
    });
    let in_time = end.recv_timeout(Duration::from_secs(10));
    stop();
    waiting.join().unwrap();
    in_time.expect("the drain ends");
}

#[test]
fn workers_outlive_the_control_loop_and_drain_without_it() {
    let mut server = start();
    let mut kept = connect(server.addresses()["main"]);
    kept.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut ask_again = || {
        kept.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"served") {
            let mut bytes = [0; 1024];
            let n = kept.read(&mut bytes).unwrap();
            assert!(n > 0, "the connection was lost");
            answer.extend_from_slice(&bytes[..n]);
        }
    };
    ask_again();
    let (stop, thread) = server.control.take().unwrap();
    drop(stop);
    thread.join().unwrap();
    (0..100).for_each(|_| ask_again());
    server.drain();
    // Idle connections may begin one more request within a second.
    ask_again();
    drop(kept);
    server.wait();
}

#[test]
fn a_dropped_server_frees_its_addresses() {
    let server = start();
    let address = server.addresses()["main"];
    drop(server);
    TcpListener::bind(address).unwrap();
}

#[test]
fn a_server_without_a_file_cannot_reload_and_goes_on() {
    let server = start();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let outcome = runtime.block_on(server.reload());
    assert!(matches!(outcome, Err(ReloadError::NoFile)), "{outcome:?}");
    assert!(ask(connect(server.addresses()["main"])).ends_with("served"));
}

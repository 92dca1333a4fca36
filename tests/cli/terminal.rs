//! A terminal with a program in it: keys go in, and what is on the screen can be looked at.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::process::{Child, Command};

use crate::support::until;

const ROWS: u16 = 24;
const COLUMNS: u16 = 110;

/// The terminal; the program is killed with it.
pub(super) struct Terminal {
    pub(super) program: Child,
    keys: File,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Has the program with these arguments in a terminal of its own, asking the process at `admin`.
    pub(super) fn start(admin: &str, arguments: &[&str]) -> Self {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let size = Winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&slave, size).unwrap();
        let end = || Stdio::from(slave.try_clone().unwrap());
        let program = Command::new("setsid")
            .arg("--ctty")
            .arg(env!("CARGO_BIN_EXE_plimsoll"))
            .args(arguments)
            .env("PLIMSOLL_ADMIN", admin)
            .env("TERM", "xterm")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .kill_on_drop(true)
            .spawn()
            .expect("setsid is there; scripts/test installs it");
        let keys = File::from(master);
        let written = Arc::new(Mutex::new(Vec::new()));
        let (mut from, into) = (keys.try_clone().unwrap(), Arc::clone(&written));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // It ends with an error when nobody has the other end open any more.
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                into.lock().unwrap().extend_from_slice(&buffer[..read]);
            }
        });
        Self { program, keys, written }
    }

    pub(super) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// All that was written to the terminal.
    pub(super) fn written(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap()).into_owned()
    }

    /// Waits until the screen is so, and gives it.
    pub(super) async fn until(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let mut screen = String::new();
        until(&format!("{what}:\n{}", self.written()), async || {
            screen = on_screen(&self.written());
            is_so(&screen)
        })
        .await;
        screen
    }
}

/// What is to be seen after all that was written: texts, cursor positions, and the clearing of the screen
/// are understood; colours and modes are left out.
fn on_screen(written: &str) -> String {
    let blank = vec![' '; usize::from(COLUMNS)];
    let mut rows = vec![blank.clone(); usize::from(ROWS)];
    let (mut row, mut column) = (0, 0);
    let mut rest = written.chars();
    while let Some(c) = rest.next() {
        if c != '\x1b' {
            if let Some(cell) = rows.get_mut(row).and_then(|row: &mut Vec<_>| row.get_mut(column)) {
                *cell = c;
            }
            column += 1;
            continue;
        }
        if rest.next() != Some('[') {
            continue;
        }
        let (mut numbers, mut end) = (String::new(), None);
        for c in rest.by_ref() {
            if c.is_ascii_alphabetic() {
                end = Some(c);
                break;
            }
            numbers.push(c);
        }
        match end {
            Some('H') => {
                let mut numbers = numbers.split(';').map(|number| number.parse().unwrap_or(1));
                row = numbers.next().unwrap_or(1) - 1;
                column = numbers.next().unwrap_or(1) - 1;
            }
            Some('J') => rows.fill(blank.clone()),
            _ => {}
        }
    }
    let lines = rows.iter().map(|row| row.iter().collect::<String>().trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

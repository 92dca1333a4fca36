//! Any text is a configuration of nginx, of which one of ours is made that can be read, or it is said
//! what is wrong with it.
#![no_main]

use std::io;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use plimsoll::import::{Files, import};

/// The file, and one that it may include.
struct Texts<'a>(&'a [u8], &'a [u8]);

impl Files for Texts<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match path.to_str() {
            Some("/nginx.conf") => Ok(self.0.to_vec()),
            Some("/a") => Ok(self.1.to_vec()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn names(&self, _directory: &Path) -> io::Result<Vec<String>> {
        Ok(vec!["a".to_owned()])
    }
}

fuzz_target!(|bytes: &[u8]| {
    let at = bytes.iter().position(|&byte| byte == 0);
    let (main, other) = at.map_or((bytes, &b""[..]), |at| (&bytes[..at], &bytes[at + 1..]));
    match import(Path::new("/nginx.conf"), &Texts(main, other)) {
        Ok(imported) => {
            // What it means is judged as that of any file; that it is one is ours to see to.
            let read = plimsoll::config::parse("imported.toml", &imported.toml, &|_| None);
            if let Err(report) = read {
                let told = report.to_string();
                assert!(!told.contains("TOML"), "{told}\n{}", imported.toml);
            }
        }
        Err(faults) => assert!(!faults.is_empty()),
    }
});

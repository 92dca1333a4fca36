//! Any text is a configuration, or everything that is wrong with it is said.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match plimsoll::config::parse("fuzz.toml", text, &|_| None) {
        Ok(_) => {}
        Err(report) => {
            // Told with its line, whatever stands in it.
            assert!(!report.to_string().is_empty());
        }
    }
});

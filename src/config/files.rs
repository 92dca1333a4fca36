//! Files: reading with a limit, the patterns of `include`, and a hash that is the same everywhere.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Reads a file of at most `limit` bytes.
pub(super) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("longer than {}", super::units::show_size(limit)),
        ));
    }
    Ok(bytes)
}

/// The same, and refuses what is no regular file: to open a FIFO would wait for its writer.
pub(super) fn read_regular(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    read(path, limit)
}

/// Whether a pattern has to be compared with a directory's names.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// The regular files of `directory` whose name fits the pattern, by name. Names that begin with a
/// dot are left out: editors and mounted volumes keep their own files there.
pub(super) fn matching(directory: &Path, pattern: &str) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with('.') && fits(pattern, &name) && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Whether a name fits a pattern; `*` is any run of characters, `?` any one.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<_>, Vec<_>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // The last star, and where its run ends at present: the only place worth going back to.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, n));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == '?' || pattern[p] == name[n]) {
            (p, n) = (p + 1, n + 1);
        } else if let Some((at, end)) = star {
            star = Some((at, end + 1));
            (p, n) = (at + 1, end + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// FNV-1a, 64 bits, over texts one after another: the same on every machine and in every version.
#[derive(Clone, Copy)]
pub(super) struct Hash(u64);

impl Hash {
    pub(super) const EMPTY: Self = Self(0xcbf2_9ce4_8422_2325);

    /// Takes in a text and its length, so that no two lists of texts run together.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().chain(&(bytes.len() as u64).to_le_bytes()) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(super) fn value(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_names() {
        for (pattern, name) in
            [("*", ""), ("*.toml", "a.toml"), ("a*b*c", "a-b-b-c"), ("?.toml", "é.toml")]
        {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("*.toml", "a.toml~"), ("?", ""), ("a*b", "ac"), ("", "a"), ("*a*a*a*b", "aaaaaaaaaa")]
        {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn hash_tells_lists_of_texts_apart() {
        let hash = |texts: &[&str]| {
            let mut hash = Hash::EMPTY;
            for text in texts {
                hash.add(text.as_bytes());
            }
            hash.value()
        };
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
        assert_ne!(hash(&["ab"]), hash(&["ab", ""]));
        assert_eq!(hash(&["ab"]), hash(&["ab"]));
    }
}

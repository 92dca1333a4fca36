//! What a log says last.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// The last lines of a file, of so many bytes at most.
///
/// # Errors
/// It cannot be read.
pub fn tail(path: &Path, most: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let skipped = length.saturating_sub(most);
    file.seek(SeekFrom::Start(skipped))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    // The first line may have lost its beginning.
    let whole =
        if skipped == 0 { Some(&*text) } else { text.split_once('\n').map(|parts| parts.1) };
    Ok(whole.unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_end_of_a_file_is_whole_lines() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "first\nsecond\nthird\n").unwrap();
        assert_eq!(tail(file.path(), 100).unwrap(), "first\nsecond\nthird\n");
        assert_eq!(tail(file.path(), 9).unwrap(), "third\n");
    }
}

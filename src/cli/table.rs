//! Rows for people.

use std::io::{self, Write};

/// Writes rows below their heads, each column as wide as its widest cell; the last one as it is.
pub(super) fn table(
    out: &mut impl Write,
    heads: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
) -> io::Result<()> {
    let heads = heads.iter().map(|head| (*head).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(heads).chain(rows).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..rows[0].len()).map(width).collect();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let pad = width - cell.chars().count();
            line.extend([cell, &*" ".repeat(pad), "  "]);
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_need_to_be() {
        let rows = [["a", "é"], ["longer", "x y"]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec()).into_iter();
        let mut out = Vec::new();
        table(&mut out, &["ONE", "TWO"], rows).unwrap();
        let expected = "ONE     TWO\na       é\nlonger  x y\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

//! `plimsoll man`: pages that are whole, and that who reads such pages takes without complaint.

use std::fs;
use std::process::Command;

use super::{err, out, plimsoll};

#[test]
fn the_programs_page_is_printed() {
    let page = plimsoll(&["man"]);
    assert_eq!(page.status.code(), Some(0), "{}", err(&page));
    let text = out(&page);
    for said in [".TH plimsoll 1", "plimsoll\\-import\\-nginx(1)", "PLIMSOLL_TOKEN", "EXIT STATUS"]
    {
        assert!(text.contains(said), "{said}: {text}");
    }
}

#[test]
fn every_command_has_a_page_with_all_its_options() {
    let folder = tempfile::tempdir().unwrap();
    let made = plimsoll(&["man", "--to", folder.path().join("man1").to_str().unwrap()]);
    assert_eq!((made.status.code(), err(&made)), (Some(0), String::new()));
    let mut pages: Vec<_> = fs::read_dir(folder.path().join("man1"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    pages.sort();
    let mut below = 0;
    for page in &pages {
        let name = page.file_stem().unwrap().to_str().unwrap();
        let text = fs::read_to_string(page).unwrap().replace('\\', "");
        // The commands are those that there are: each says so itself.
        let words: Vec<_> = if name == "plimsoll-import-nginx" {
            vec!["import-nginx"]
        } else {
            name.split('-').skip(1).collect()
        };
        let help = plimsoll(&[&words[..], &["--help"]].concat());
        assert_eq!(help.status.code(), Some(0), "{name}");
        let help = out(&help);
        let options = help.split_whitespace().filter(|word| word.starts_with("--"));
        let options = options.map(|word| word.trim_end_matches(['.', ',', ';', ':', '`', '>']));
        // `--guard[=<TIME>]`: what may follow stands in other letters.
        for option in options.filter_map(|option| option.split('[').next()) {
            assert!(text.contains(option), "{name}: {option}");
        }
        if let Some((_, commands)) = help.split_once("Commands:\n") {
            let lines = commands.lines().take_while(|line| !line.is_empty());
            let named = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
            for command in named.filter(|word| !word.is_empty() && *word != "help") {
                let page = folder.path().join(format!("man1/{name}-{command}.1"));
                assert!(page.is_file(), "{}", page.display());
                below += 1;
            }
        }
    }
    assert!(below > 20, "{below}");
    assert_eq!(pages.len(), below + 1, "a page for each command, and that of the program");

    let judged = Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).args(&pages).output();
    let judged = judged.expect("mandoc is there; scripts/test installs it");
    // A date would make each build another one; and a list of values has a space too many.
    let known = ["missing date", "skipping paragraph macro: br"];
    let judged: Vec<_> = out(&judged)
        .lines()
        .filter(|line| !known.iter().any(|known| line.contains(known)))
        .map(str::to_owned)
        .collect();
    assert!(judged.is_empty(), "{judged:#?}");
}

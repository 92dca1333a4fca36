//! `plimsoll man`: the manual pages, made of what the command line knows of itself.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

/// What is told behind the options of the program's own page: a heading, and terms with their meaning.
const MORE: [(&str, &[(&str, &str)]); 3] = [
    (
        "EXIT STATUS",
        &[
            ("0", "It is done, or the answer is a good one."),
            ("1", "It failed at run time, or the answer is not the one that was hoped for."),
            ("2", "The configuration or the command line is bad."),
        ],
    ),
    (
        "ENVIRONMENT",
        &[
            ("PLIMSOLL_ADMIN", "Where the admin listener is, where --admin does not say so."),
            ("PLIMSOLL_TOKEN", "The token that is shown to it."),
            (
                "PLIMSOLL_CACERT",
                "The authorities that vouch for it, where --cacert does not say so.",
            ),
            ("PLIMSOLL_CERT", "The certificate that is shown to it, where --cert does not say so."),
            ("PLIMSOLL_KEY", "The key of that certificate."),
        ],
    ),
    (
        "FILES",
        &[
            ("plimsoll.toml", "The configuration, in the working directory; or else:"),
            ("/etc/plimsoll/plimsoll.toml", "The configuration."),
        ],
    ),
];

/// Writes the program's page to `out`; or into a folder, with a page for each command.
///
/// # Errors
/// When nothing can be written.
pub(super) fn man(program: Command, to: Option<&Path>, out: &mut impl Write) -> io::Result<()> {
    // There is a page for each, and `--help`.
    let mut program = program.disable_help_subcommand(true);
    program.build();
    let Some(folder) = to else {
        return out.write_all(&page(&program)?);
    };
    fs::create_dir_all(folder)?;
    pages(&program, folder)
}

/// Writes the pages of a command and of those below it.
fn pages(command: &Command, folder: &Path) -> io::Result<()> {
    fs::write(folder.join(Man::new(command.clone()).get_filename()), page(command)?)?;
    let mut below = command.get_subcommands().filter(|one| !one.is_hide_set());
    below.try_for_each(|one| pages(one, folder))
}

/// The page of a command.
fn page(command: &Command) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone());
    let title = man.get_filename();
    let title = title.trim_end_matches(".1");
    // No date, so that the same source always gives the same page; what is empty has to be quoted.
    let version = env!("CARGO_PKG_VERSION");
    let mut page = format!(".TH {title} 1 \"\" \"plimsoll {version}\" \"plimsoll\"\n").into_bytes();
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let mut more = Roff::default();
    if command.get_name() == "plimsoll" {
        for (heading, terms) in MORE {
            more.control("SH", [heading]);
            for (term, meaning) in terms {
                more.control("TP", []).text([bold(*term)]).text([roman(*meaning)]);
            }
        }
    } else {
        more.control("SH", ["SEE ALSO"]).text([bold("plimsoll"), roman("(1)")]);
    }
    more.to_writer(&mut page)?;
    Ok(page)
}

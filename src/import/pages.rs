//! `error_page`: where the pages are, and those of them that are files.

use std::path::Path;

use super::Files;
use super::draft::{Page, PageStatus, PathRule};
use super::findings::Findings;
use super::location::{Spot, Walk};
use super::onward::target;
use super::routes::Server;
use super::scope::effective;
use super::tree::Directive;
use super::variables::Scope;
use crate::config::Stage;

/// Bytes of a page at most: those of `error_pages`.
const LARGEST: usize = 1 << 20;

/// A page at which nginx serves a file.
#[derive(Debug, Clone)]
pub(super) struct File {
    /// As `error_page` has it.
    page: String,
    /// The file, if it can be read.
    path: Option<String>,
    content_type: String,
}

/// The pages of a server's errors at which nginx serves files.
pub(super) fn files(levels: &[&[Directive]], walk: &Walk<'_>, files: &dyn Files) -> Vec<File> {
    fn collect<'d>(level: &'d [Directive], found: &mut Vec<&'d str>) {
        for d in level.iter().filter(|d| d.name.text != "server") {
            if d.name.text == "error_page" {
                found.extend(d.args.last().map(|arg| &*arg.text));
            }
            collect(d.inner(), found);
        }
    }
    let mut pages = Vec::new();
    for level in levels {
        collect(level, &mut pages);
    }
    let answers = ["proxy_pass", "grpc_pass", "return", "try_files", "rewrite"];
    let mut found = Vec::new();
    for page in pages.into_iter().filter(|page| page.starts_with('/')) {
        let fits = |spot: &&Spot<'_>| match &spot.path {
            PathRule::Exact(path) => path == page,
            PathRule::Prefix(path) => page.starts_with(&**path),
            _ => false,
        };
        let exact = |spot: &Spot<'_>| matches!(spot.path, PathRule::Exact(_));
        let best = walk.spots.iter().filter(fits);
        let best = best.max_by_key(|spot| (exact(spot), spot.prefix.len()));
        let answers = |spot: &Spot<'_>| {
            spot.location.inner().iter().any(|d| answers.contains(&&*d.name.text))
        };
        if best.is_some_and(answers) {
            continue;
        }
        let levels = best.map_or(levels, |spot| &*spot.levels);
        let path = path(levels, page)
            .filter(|path| files.read(Path::new(path)).is_ok_and(|bytes| bytes.len() <= LARGEST));
        found.push(File { page: page.to_owned(), path, content_type: content_type(levels, page) });
    }
    found
}

/// Where the file of a page is, if it is plain to see.
fn path(levels: &[&[Directive]], page: &str) -> Option<String> {
    let all = effective(levels);
    let of = |name: &str| all.iter().map(|(d, _)| *d).find(|d| d.name.text == name);
    let root = of("root").filter(|_| of("alias").is_none())?.arg(0);
    let plain = root.starts_with('/') && !root.contains('$');
    let path = format!("{}{page}", root.trim_end_matches('/'));
    (plain && !page.contains(['$', '?', '%']) && !path.contains("/..")).then_some(path)
}

/// The type of a page, by what its name ends with.
fn content_type(levels: &[&[Directive]], page: &str) -> String {
    let all = effective(levels);
    let default = all.iter().map(|(d, _)| *d).find(|d| d.name.text == "default_type");
    let known = match page.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html" | "htm" | "shtml") => "text/html",
        Some("json") => "application/json",
        Some("txt") => "text/plain",
        Some("xml") => "text/xml",
        _ => default.map_or("text/plain", |d| d.arg(0)),
    };
    known.to_owned()
}

/// `error_page CODE… [=[CODE]] URI`
pub(super) fn page(
    d: &Directive,
    scope: &Scope,
    server: &Server<'_>,
    f: &mut Findings<'_>,
) -> Option<Page> {
    let words: Vec<&str> = d.args.iter().map(|arg| &*arg.text).collect();
    let (uri, rest) = words.split_last()?;
    let (status, codes) = match rest.split_last() {
        Some((last, codes)) if last.starts_with('=') => (Some(&last[1..]), codes),
        _ => (None, rest),
    };
    let codes: Option<Vec<u16>> = codes.iter().map(|code| code.parse().ok()).collect();
    let codes = codes.filter(|codes| !codes.is_empty())?;
    let sent = |code: &u16| (300..600).contains(code) && *code != 499;
    let statuses: Vec<u16> = codes.into_iter().filter(sent).collect();
    if statuses.is_empty() {
        f.missing(d, "Plimsoll has no errors with these statuses", "");
        return None;
    }
    let status = match status {
        None => PageStatus::OfError,
        Some(code) => match code.parse() {
            Ok(code @ 200..600) => PageStatus::Fixed(code),
            _ => PageStatus::OfPage,
        },
    };
    let bare = uri.split('?').next().unwrap_or_default();
    if uri.starts_with('@') && !uri.contains('$') && !server.has_named(uri) {
        f.missing(d, "there is no such location: the error is sent as it is", "correct it");
        return None;
    }
    if let Some(file) = server.files.iter().find(|file| file.page == bare) {
        let Some(path) = &file.path else {
            let help = "import where the file is, below a `root` with a whole path, or write \
                        `error_pages = [{ statuses = […], file = \"…\" }]`";
            f.missing(
                d,
                "the page is a file that is not there: a line of text stands in its place",
                help,
            );
            return None;
        };
        f.carried(d);
        let status = match status {
            // That of a file.
            PageStatus::OfPage => PageStatus::Fixed(200),
            status => status,
        };
        let file = Some(file.content_type.clone());
        return Some(Page { statuses, to: path.clone(), file, status });
    }
    let to = target(d, (uri, Stage::Response), scope, f)?;
    f.carried(d);
    Some(Page { statuses, to, file: None, status })
}

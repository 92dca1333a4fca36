//! Equality of what holds regular expressions: they are equal with the same text.

use super::{CookieName, Fits, HeaderValueMatch, PathChange, PathMatch};

impl PartialEq for PathMatch {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(one), Self::Exact(two))
            | (Self::Prefix(one), Self::Prefix(two))
            | (Self::BytePrefix(one), Self::BytePrefix(two)) => one == two,
            (Self::Regex(one), Self::Regex(two)) => one.as_str() == two.as_str(),
            (Self::RegexWithin(one, regex), Self::RegexWithin(two, other)) => {
                one == two && regex.as_str() == other.as_str()
            }
            _ => false,
        }
    }
}

impl PartialEq for HeaderValueMatch {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Present, Self::Present) | (Self::Absent, Self::Absent) => true,
            (Self::Exact(one), Self::Exact(two)) => one == two,
            (Self::Regex(one), Self::Regex(two)) => one.as_str() == two.as_str(),
            _ => false,
        }
    }
}

impl PartialEq for Fits {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(one), Self::Text(two)) => one == two,
            (Self::Regex(one), Self::Regex(two)) => one.as_str() == two.as_str(),
            _ => false,
        }
    }
}

impl PartialEq for CookieName {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(one), Self::Exact(two)) => one == two,
            (Self::Regex(one), Self::Regex(two)) => one.as_str() == two.as_str(),
            _ => false,
        }
    }
}

impl PartialEq for PathChange {
    fn eq(&self, other: &Self) -> bool {
        let Self { when, same_when, regex, path, query, keeps_query, then } = self;
        *when == other.when
            && *same_when == other.same_when
            && regex.as_str() == other.regex.as_str()
            && *path == other.path
            && *query == other.query
            && *keeps_query == other.keeps_query
            && *then == other.then
    }
}

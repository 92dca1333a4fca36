//! Text → words, by the rules of nginx's own reader (`ngx_conf_read_token`).
//!
//! - Words end at white space, `;` or `{`. A `#` or a quote within a word is a plain character; at
//!   its beginning they start a comment or a quoted word.
//! - In quotes everything is plain but the closing quote. After it there must be white space, `;`,
//!   `{` or `)`.
//! - `\"`, `\'` and `\\` stand for the character, `\t`, `\r` and `\n` for the control; any other
//!   backslash stays where it is, so that regular expressions need no doubling.
//! - `{` right behind `$` belongs to the word: `${name}`.
//!
//! Asked word by word by `tree`. Every answer moves forward, so no input holds it up.

use crate::config::Place;

/// Bytes of a word at most, as in nginx (`NGX_CONF_BUFFER`).
pub(super) const LONGEST_WORD: usize = 4096;

/// A word with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// What it says, without quotes and escapes.
    pub text: String,
    /// Where it stands, with its quotes.
    pub place: Place,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A word of a directive.
    Word(Word),
    /// `;`
    End(Place),
    /// `{`
    Open(Place),
    /// `}`
    Close(Place),
    /// The end of the text.
    Finish(Place),
}

/// What cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LexError {
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: &'static str,
}

/// A place in a text.
pub(super) struct Lexer<'t> {
    text: &'t str,
    file: usize,
    at: usize,
}

impl<'t> Lexer<'t> {
    /// The beginning of source `file`. A byte order mark is no word.
    pub(super) fn new(file: usize, text: &'t str) -> Self {
        let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self { text, file, at }
    }

    fn place(&self, start: usize) -> Place {
        Place { file: self.file, start, end: self.at }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_blank(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                b'#' => {
                    let rest = &self.text.as_bytes()[self.at..];
                    self.at += memchr::memchr(b'\n', rest).unwrap_or(rest.len());
                }
                _ => return,
            }
        }
    }

    /// The next token. After an error, the one behind what could not be read.
    pub(super) fn next(&mut self) -> Result<Token, LexError> {
        self.skip_blank();
        let start = self.at;
        let Some(byte) = self.peek() else {
            return Ok(Token::Finish(self.place(start)));
        };
        if let b';' | b'{' | b'}' = byte {
            self.at += 1;
            let place = self.place(start);
            return Ok(match byte {
                b';' => Token::End(place),
                b'{' => Token::Open(place),
                _ => Token::Close(place),
            });
        }
        let inner = match byte {
            b'"' | b'\'' => self.quoted(byte)?,
            _ => self.bare(),
        };
        let place = self.place(start);
        if inner.len() > LONGEST_WORD {
            return Err(LexError {
                place: Place { end: start + 1, ..place },
                message: format!("a word of {} bytes", inner.len()),
                help: "nginx takes at most 4096; is a closing quote missing?",
            });
        }
        Ok(Token::Word(Word { text: unescape(inner), place }))
    }

    /// The inside of a quoted word.
    fn quoted(&mut self, quote: u8) -> Result<&'t str, LexError> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                None => {
                    return Err(LexError {
                        place: Place { end: start + 1, ..self.place(start) },
                        message: "this quote is never closed".to_owned(),
                        help: "close it before the `;`",
                    });
                }
                Some(b'\\') => self.at += 2,
                Some(byte) if byte == quote => break,
                Some(_) => self.at += 1,
            }
            // An escape may be the last character, or begin a longer one.
            self.at = self.text.ceil_char_boundary(self.at.min(self.text.len()));
        }
        let inner = &self.text[start + 1..self.at];
        self.at += 1;
        match self.peek() {
            None | Some(b' ' | b'\t' | b'\r' | b'\n' | b';' | b'{' | b')') => Ok(inner),
            Some(_) => {
                let at = self.at;
                let rest = &self.text[at..];
                self.at += rest.chars().next().map_or(0, char::len_utf8);
                Err(LexError {
                    place: self.place(at),
                    message: format!(
                        "unexpected `{}` behind a closing quote",
                        &self.text[at..self.at]
                    ),
                    help: "put a space between, or a backslash before a quote that is meant",
                })
            }
        }
    }

    /// A word without quotes.
    fn bare(&mut self) -> &'t str {
        let start = self.at;
        let mut variable = false;
        while let Some(byte) = self.peek() {
            match byte {
                b'{' if variable => {
                    self.at += 1;
                    continue;
                }
                b' ' | b'\t' | b'\r' | b'\n' | b';' | b'{' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
            variable = byte == b'$';
            self.at = self.text.ceil_char_boundary(self.at.min(self.text.len()));
        }
        &self.text[start..self.at]
    }

    /// Passes over a block of Lua, whose `{` was read: braces in its comments and strings do not
    /// count. Gives whether its `}` was found.
    pub(super) fn skip_lua(&mut self) -> bool {
        let bytes = self.text.as_bytes();
        let mut depth = 1_usize;
        while let Some(byte) = self.peek() {
            let rest = &bytes[self.at..];
            match byte {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                b'-' if rest.starts_with(b"--") => {
                    self.at += 2;
                    if !self.skip_lua_bracket() {
                        let rest = &bytes[self.at..];
                        self.at += memchr::memchr(b'\n', rest).unwrap_or(rest.len());
                    }
                    continue;
                }
                b'[' if self.skip_lua_bracket() => continue,
                b'"' | b'\'' => {
                    self.at += 1;
                    while self.peek().is_some_and(|next| next != byte && next != b'\n') {
                        self.at += if self.peek() == Some(b'\\') { 2 } else { 1 };
                    }
                    self.at = self.at.min(bytes.len());
                }
                _ => {}
            }
            self.at = (self.at + 1).min(bytes.len());
            if depth == 0 {
                return true;
            }
        }
        false
    }

    /// Passes over `[[…]]` or `[==[…]==]`, if it stands here.
    fn skip_lua_bracket(&mut self) -> bool {
        let bytes = self.text.as_bytes();
        let Some(rest) = bytes[self.at..].strip_prefix(b"[") else {
            return false;
        };
        let level = rest.iter().take_while(|byte| **byte == b'=').count();
        if rest.get(level) != Some(&b'[') {
            return false;
        }
        let close = format!("]{}]", "=".repeat(level));
        let from = self.at + level + 2;
        let end = memchr::memmem::find(&bytes[from..], close.as_bytes());
        self.at = end.map_or(bytes.len(), |end| from + end + close.len());
        true
    }
}

fn unescape(inner: &str) -> String {
    let mut text = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        match chars.next() {
            Some(c @ ('"' | '\'' | '\\')) => text.push(c),
            Some('t') => text.push('\t'),
            Some('r') => text.push('\r'),
            Some('n') => text.push('\n'),
            Some(other) => text.extend(['\\', other]),
            None => text.push('\\'),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let mut lexer = Lexer::new(0, text);
        let mut all = Vec::new();
        loop {
            match lexer.next() {
                Ok(Token::Word(word)) => all.push(word.text),
                Ok(Token::End(_)) => all.push("<;>".to_owned()),
                Ok(Token::Open(_)) => all.push("<{>".to_owned()),
                Ok(Token::Close(_)) => all.push("<}>".to_owned()),
                Ok(Token::Finish(_)) => return all,
                Err(error) => all.push(format!("<{}>", error.message)),
            }
        }
    }

    #[test]
    fn words_are_those_of_nginx() {
        for (text, expected) in [
            ("a b;", &["a", "b", "<;>"][..]),
            ("a\tb\r\n;", &["a", "b", "<;>"]),
            ("a{b}", &["a", "<{>", "b}"]),
            ("a { b; }", &["a", "<{>", "b", "<;>", "<}>"]),
            ("a#b # c\nd", &["a#b", "d"]),
            ("a'b\"c d", &["a'b\"c", "d"]),
            ("'a;{}#b' c", &["a;{}#b", "c"]),
            (r#""a\"b" 'c\'d' "e\\f""#, &["a\"b", "c'd", "e\\f"]),
            (r"\.php$ \d+ a\;b a\ b", &[r"\.php$", r"\d+", r"a\;b", r"a\ b"]),
            (r#""a\tb\nc" d\n"#, &["a\tb\nc", "d\n"]),
            ("${a}b $c{ d;", &["${a}b", "$c", "<{>", "d", "<;>"]),
            ("${a} {", &["${a}", "<{>"]),
            ("if ($a = \"b\") {", &["if", "($a", "=", "b", ")", "<{>"]),
            ("'' \"\";", &["", "", "<;>"]),
            ("\u{feff}a;", &["a", "<;>"]),
            ("'a'b;", &["<unexpected `b` behind a closing quote>", "<;>"]),
            ("\\", &["\\"]),
            ("é\\é;", &["é\\é", "<;>"]),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn quote_that_is_never_closed_is_told_at_its_beginning() {
        let mut lexer = Lexer::new(0, "a 'bc;\nd");
        assert!(lexer.next().is_ok());
        let error = lexer.next().unwrap_err();
        assert_eq!((error.place.start, error.place.end), (2, 3));
        assert!(matches!(lexer.next(), Ok(Token::Finish(_))));
    }

    #[test]
    fn word_beyond_the_buffer_of_nginx_is_refused() {
        assert_eq!(shown(&"x".repeat(LONGEST_WORD)).len(), 1);
        assert_eq!(shown(&"x".repeat(LONGEST_WORD + 1)), ["<a word of 4097 bytes>"]);
    }

    #[test]
    fn lua_is_passed_over_with_its_strings_and_comments() {
        for lua in [
            "return {1, {2}} }",
            "local s = \"}\\\"}\" }",
            "-- }\n }",
            "--[[ } ]] }",
            "x = [==[ ]] } ]==] }",
        ] {
            let text = format!("{lua} after");
            let mut lexer = Lexer::new(0, &text);
            assert!(lexer.skip_lua(), "{lua}");
            assert_eq!(&text[lexer.at..], " after", "{lua}");
        }
        assert!(!Lexer::new(0, "{ \"").skip_lua());
        assert!(!Lexer::new(0, "'\\").skip_lua());
    }
}

//! What requests and responses have in common: reading a head line by line from a growing buffer, and
//! its fields as spans of a copy of the text. `request` and `response` add the start line, `framing`
//! the rules about length and persistence.

use crate::http1::{
    HeadError,
    encode::push_field,
    grammar::{find_control, split_field},
    known::{Known, classify},
    limits::{Limits, Names},
};

/// Spans are 32 bits wide; no limit may be above this.
const MAX_HEAD_BYTES: usize = 16 << 20;

/// A place in the text of the head that it came from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    len: u32,
}

impl Span {
    /// A head is bounded far below 4 GiB, so offsets fit.
    pub(super) fn new(start: usize, len: usize) -> Self {
        Self { start: start as u32, len: len as u32 }
    }

    pub(super) fn start(self) -> usize {
        self.start as usize
    }

    pub(super) fn len(self) -> usize {
        self.len as usize
    }

    /// The bytes of this place; empty when `text` has no such place, as before a head is complete.
    pub(super) fn of(self, text: &[u8]) -> &[u8] {
        text.get(self.start()..self.start() + self.len()).unwrap_or_default()
    }
}

/// One field line of a head.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The name as received.
    pub name: Span,
    /// The value without the white space around it.
    pub value: Span,
    /// The name, if a rule of ours asks for it.
    pub known: Known,
    /// Whether `Connection` lists the name.
    pub(super) nominated: bool,
    /// The line is in the text as it would be written.
    pub(super) as_written: bool,
}

impl Field {
    /// Where its line, CRLF included, is if it is as it would be written.
    fn line(self) -> std::ops::Range<usize> {
        self.name.start()..self.value.start() + self.value.len() + 2
    }
}

/// The protocol version of a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// `HTTP/1.0`
    Http10,
    /// `HTTP/1.1`
    #[default]
    Http11,
    /// HTTP/2, which came here in the form of HTTP/1.1.
    Http2,
}

impl Version {
    /// Exactly `HTTP/1.0` or `HTTP/1.1`. Another `HTTP/x.y` is an unsupported version, and what does
    /// not look like a version is `malformed`.
    pub(super) fn parse(text: [u8; 8], malformed: HeadError) -> Result<Self, HeadError> {
        match &text {
            b"HTTP/1.1" => Ok(Self::Http11),
            b"HTTP/1.0" => Ok(Self::Http10),
            [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
                Err(HeadError::UnsupportedVersion)
            }
            _ => Err(malformed),
        }
    }
}

/// How far parsing came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parse {
    /// The head has no end yet. Call again with the same bytes and more behind them.
    Partial,
    /// The head is complete.
    Complete {
        /// Bytes of the input that belong to the head; the body follows.
        len: usize,
    },
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    StartLine,
    Fields,
    /// Complete or refused: the next call begins another head.
    Over,
}

/// A head being read, and after that its text and fields.
#[derive(Debug, Default, Clone)]
pub(super) struct Section {
    /// The text from the start line to the empty line, then what `request` and `framing` rewrote.
    pub(super) bytes: Vec<u8>,
    pub(super) fields: Vec<Field>,
    /// [`Known::bit`] of each name that occurs.
    pub(super) present: u64,
    stage: Stage,
    /// Offsets into the input: of the start line, of the line that is not complete yet, and up to
    /// where its end was looked for. With these, bytes that trickle in are looked at once.
    start: usize,
    line: usize,
    searched: usize,
}

impl Section {
    /// Whether the next call begins another head instead of going on with a partial one. If so,
    /// everything is reset but the memory is kept.
    pub(super) fn begins(&mut self, input: &[u8]) -> bool {
        let begins = self.stage == Stage::Over || input.len() < self.searched;
        if begins {
            let mut bytes = std::mem::take(&mut self.bytes);
            let mut fields = std::mem::take(&mut self.fields);
            bytes.clear();
            fields.clear();
            *self = Self { bytes, fields, ..Self::default() };
        }
        begins
    }

    /// Marks the head as complete or refused.
    pub(super) fn finish(&mut self) {
        self.stage = Stage::Over;
    }

    /// Whether the start line is still to be read.
    pub(super) fn awaits_start_line(&self) -> bool {
        self.stage == Stage::StartLine
    }

    /// What is there of the line that is not complete yet.
    pub(super) fn pending<'i>(&self, input: &'i [u8]) -> &'i [u8] {
        input.get(self.line..).unwrap_or_default()
    }

    /// Counts what was read so far as no part of the head. Returns how much that is.
    pub(super) fn skip_line(&mut self) -> usize {
        self.start = self.line;
        self.start
    }

    /// The start line was read and is good.
    pub(super) fn start_fields(&mut self) {
        self.stage = Stage::Fields;
    }

    /// The next complete line without its CRLF. It has no other control than HTAB.
    ///
    /// # Errors
    /// [`HeadError::BadHeader`] for any other control, a bare CR or LF included, and
    /// [`HeadError::TooLarge`].
    #[inline]
    pub(super) fn next_line<'i>(
        &mut self,
        input: &'i [u8],
        limits: &Limits,
    ) -> Result<Option<&'i [u8]>, HeadError> {
        let end_of_limit = self.start + limits.max_head_bytes.min(MAX_HEAD_BYTES);
        let control = find_control(&input[self.searched..]);
        let end = control.map_or(input.len(), |distance| self.searched + distance);
        match input[end..] {
            // The LF, there or still to come, would be beyond the limit.
            _ if end + 1 >= end_of_limit => return Err(HeadError::TooLarge),
            [b'\r', b'\n', ..] => {}
            [] | [b'\r'] => {
                self.searched = end;
                return Ok(None);
            }
            _ => return Err(HeadError::BadHeader),
        }
        let line = &input[self.line..end];
        self.line = end + 2;
        self.searched = self.line;
        Ok(Some(line))
    }

    /// Reads field lines to the end of the head and takes a copy of its text.
    pub(super) fn read_fields(
        &mut self,
        input: &[u8],
        limits: &Limits,
    ) -> Result<Parse, HeadError> {
        loop {
            let offset = self.line - self.start;
            match self.next_line(input, limits)? {
                None => return Ok(Parse::Partial),
                Some([]) => break,
                Some(_) if self.fields.len() >= limits.max_fields => {
                    return Err(HeadError::TooManyFields);
                }
                Some(line) if line.len() > limits.max_field_bytes => {
                    return Err(HeadError::TooLarge);
                }
                Some(line) if limits.names != Names::Tokens && limits.names.leave_out(line) => {}
                Some(line) => self.add_field(line, offset)?,
            }
        }
        self.bytes.extend_from_slice(&input[self.start..self.line]);
        Ok(Parse::Complete { len: self.line })
    }

    #[inline]
    fn add_field(&mut self, line: &[u8], offset: usize) -> Result<(), HeadError> {
        let (name, value) = split_field(line).ok_or(HeadError::BadHeader)?;
        let known = classify(name);
        self.present |= known.bit();
        // `value` is a part of `line`, so the distance of their addresses is its offset.
        let before = value.as_ptr() as usize - line.as_ptr() as usize;
        self.fields.push(Field {
            name: Span::new(offset, name.len()),
            value: Span::new(offset + before, value.len()),
            known,
            nominated: false,
            as_written: before == name.len() + 2
                && line[before - 1] == b' '
                && before + value.len() == line.len(),
        });
        Ok(())
    }

    pub(super) fn text_len(&self) -> u64 {
        self.line.saturating_sub(self.start) as u64
    }

    pub(super) fn has(&self, known: Known) -> bool {
        self.present & known.bit() != 0
    }

    pub(super) fn all(&self, known: Known) -> impl Iterator<Item = &[u8]> {
        // Most lookups are for names that are not there.
        let fields = if self.has(known) { &self.fields[..] } else { &[] };
        let of_name = fields.iter().filter(move |field| field.known == known);
        of_name.map(|field| field.value.of(&self.bytes))
    }

    pub(super) fn find(&self, name: &str) -> Option<&[u8]> {
        let same =
            |field: &&Field| field.name.of(&self.bytes).eq_ignore_ascii_case(name.as_bytes());
        self.fields.iter().find(same).map(|field| field.value.of(&self.bytes))
    }

    /// Appends the lines of those fields to what is sent on. Neighbours that came just as they would
    /// be written are one copy.
    pub(super) fn push_fields(&self, out: &mut Vec<u8>, passes: impl Fn(&Field) -> bool) {
        let mut run = 0..0;
        let push = |out: &mut Vec<u8>, run| {
            out.extend_from_slice(self.bytes.get::<std::ops::Range<_>>(run).unwrap_or_default());
        };
        for field in self.fields.iter().filter(|field| passes(field)) {
            let line = field.line();
            if field.as_written && line.start == run.end {
                run.end = line.end;
                continue;
            }
            push(out, run);
            run = if field.as_written { line } else { 0..0 };
            if !field.as_written {
                push_field(out, field.name.of(&self.bytes), field.value.of(&self.bytes));
            }
        }
        push(out, run);
    }

    /// Adds a field behind the others.
    pub(super) fn push(&mut self, name: &[u8], value: &[u8]) {
        let start = self.bytes.len();
        push_field(&mut self.bytes, name, value);
        let known = classify(name);
        self.present |= known.bit();
        self.fields.push(Field {
            name: Span::new(start, name.len()),
            value: Span::new(start + name.len() + 2, value.len()),
            known,
            nominated: false,
            as_written: true,
        });
    }

    /// The value of the only field with this name; `None` when there are more, or none.
    pub(super) fn only(&self, known: Known) -> Option<&[u8]> {
        let mut values = self.all(known);
        values.next().filter(|_| values.next().is_none())
    }

    /// Removes all fields with this name.
    pub(super) fn remove(&mut self, known: Known) {
        if self.has(known) {
            self.fields.retain(|field| field.known != known);
            self.present &= !known.bit();
        }
    }

    /// Lets the first field with this name have this value, and removes the others.
    pub(super) fn replace(&mut self, known: Known, value: Span) {
        let mut replaced = false;
        self.fields.retain_mut(|field| {
            if field.known != known {
                return true;
            }
            (field.value, field.as_written) = (value, false);
            !std::mem::replace(&mut replaced, true)
        });
    }
}

/// The access to fields that both kinds of head offer.
macro_rules! field_access {
    ($head:ty) => {
        impl $head {
            /// Bytes of the head as it came, from the start line to the empty line.
            pub fn text_len(&self) -> u64 {
                self.section.text_len()
            }

            /// Bytes of text that it holds memory for.
            pub fn room(&self) -> usize {
                self.section.bytes.capacity()
            }

            /// The fields in the order they came. `Content-Length` is among them at most once.
            pub fn fields(&self) -> &[Field] {
                &self.section.fields
            }

            /// The name of a field of this head, as received.
            pub fn name(&self, field: Field) -> &[u8] {
                field.name.of(&self.section.bytes)
            }

            /// The value of a field of this head, without white space around it.
            pub fn value(&self, field: Field) -> &[u8] {
                field.value.of(&self.section.bytes)
            }

            /// The value of the first field with this name.
            pub fn first(&self, known: Known) -> Option<&[u8]> {
                self.section.all(known).next()
            }

            /// The values of all fields with this name, in order.
            pub fn all(&self, known: Known) -> impl Iterator<Item = &[u8]> {
                self.section.all(known)
            }

            /// The value of the first field with this name, in any case. Looks at every field.
            pub fn find(&self, name: &str) -> Option<&[u8]> {
                self.section.find(name)
            }

            /// The values of all fields with this name, in any case, in order.
            pub fn find_all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
                let of_name =
                    move |field: &&Field| self.name(**field).eq_ignore_ascii_case(name.as_bytes());
                self.fields().iter().filter(of_name).map(|field| self.value(*field))
            }

            /// Appends fields of this head to what is sent on: `name: value`, each as received.
            pub fn push_fields(&self, out: &mut Vec<u8>, passes: impl Fn(&Field) -> bool) {
                self.section.push_fields(out, passes);
            }

            /// Whether `Connection` lists this field, so that it must not be forwarded (RFC 9110
            /// §7.6.1). Never for names that decide about framing, identity or origin: `Host`,
            /// `Content-Length`, `Transfer-Encoding`, `Authorization`, `Cookie`, `Forwarded`,
            /// `X-Real-IP` and `X-Forwarded-*`.
            pub fn is_nominated(&self, field: Field) -> bool {
                field.nominated
            }
        }
    };
}
pub(super) use field_access;

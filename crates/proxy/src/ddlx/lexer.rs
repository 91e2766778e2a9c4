//! Postgres' SQL in tokens, as far as telling statements apart needs it: what is text, what is a name, what is a comment.
//!
//! Follows Postgres' own scanner to the byte where it matters: which kinds of quotes there are, what a backslash means in them,
//! how strings go on after a line break, how comments nest. Numbers and operators are cut more simply; no boundary of a
//! statement depends on them. Runs in linear time, takes any bytes, and holds nothing but its place.

use std::ops::Range;

use super::encoding::Encoding;

/// What the meaning of a text depends on beside the text: settings of the session, which Postgres reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// `standard_conforming_strings`: a backslash in `'…'` is itself.
    pub standard_strings: bool,
    /// `client_encoding`.
    pub encoding: Encoding,
}

impl Default for Dialect {
    fn default() -> Dialect {
        Dialect { standard_strings: true, encoding: Encoding::Utf8 }
    }
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A keyword or a bare name.
    Word,
    /// `"…"`
    Quoted,
    /// `U&"…"`
    UnicodeQuoted,
    /// `'…'`
    Text,
    /// `E'…'`, `B'…'`, `X'…'`, `U&'…'`
    OtherText,
    /// `$tag$…$tag$`
    Dollar,
    /// `12`, `1.5`
    Number,
    /// `$1`
    Parameter,
    /// A single character of another kind: punctuation, or part of an operator.
    Mark(u8),
    /// A quote that has no end. Postgres takes no such text.
    Broken,
}

/// A token and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Its bytes in the text.
    pub span: Range<usize>,
}

/// Goes through a text token by token.
#[derive(Clone, Debug)]
pub struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    dialect: Dialect,
}

impl<'a> Lexer<'a> {
    /// From the beginning of a text.
    #[must_use]
    pub fn new(text: &'a [u8], dialect: Dialect) -> Lexer<'a> {
        Lexer { text, at: 0, dialect }
    }

    /// The bytes of a token of this text.
    #[must_use]
    pub fn slice(&self, token: &Token) -> &'a [u8] {
        self.text.get(token.span.clone()).unwrap_or_default()
    }

    /// Whether the token is this keyword, given in lower case.
    #[must_use]
    pub fn is(&self, token: &Token, word: &str) -> bool {
        token.kind == Kind::Word && self.slice(token).eq_ignore_ascii_case(word.as_bytes())
    }

    fn byte(&self, at: usize) -> u8 {
        // Texts hold no zero byte, so it stands for the end.
        self.text.get(at).copied().unwrap_or_default()
    }

    fn rest(&self, at: usize) -> &'a [u8] {
        self.text.get(at..).unwrap_or_default()
    }

    /// The first byte from `at` on that isn't of this sort; characters of several bytes are all of one sort.
    fn past(&self, mut at: usize, sort: impl Fn(u8) -> bool) -> usize {
        while at < self.text.len() && sort(self.byte(at)) {
            at += self.dialect.encoding.width(self.rest(at));
        }
        at
    }

    fn line_end(&self, at: usize) -> usize {
        self.rest(at).iter().position(|byte| is_newline(*byte)).map_or(self.text.len(), |length| at + length)
    }

    /// Past spaces and comments. A comment that has no end takes the rest.
    fn skip_blank(&mut self) {
        loop {
            self.at = self.past(self.at, is_space);
            match (self.byte(self.at), self.byte(self.at + 1)) {
                (b'-', b'-') => self.at = self.line_end(self.at),
                (b'/', b'*') => self.at = self.comment_end(self.at + 2),
                _ => return,
            }
        }
    }

    fn comment_end(&self, mut at: usize) -> usize {
        let mut depth = 1usize;
        while depth > 0 && at < self.text.len() {
            match (self.byte(at), self.byte(at + 1)) {
                (b'/', b'*') => (depth, at) = (depth + 1, at + 2),
                (b'*', b'/') => (depth, at) = (depth - 1, at + 2),
                _ => at += 1,
            }
        }
        at.min(self.text.len())
    }

    /// Past a quoted text of which `at` is the first byte after the opening quote.
    fn quoted(&self, mut at: usize, escapes: bool) -> Option<usize> {
        loop {
            match self.byte(at) {
                _ if at >= self.text.len() => return None,
                b'\'' if self.byte(at + 1) == b'\'' => at += 2,
                b'\'' => match self.continued(at + 1) {
                    Some(next) => at = next,
                    None => return Some(at + 1),
                },
                b'\\' if escapes => at += 1 + self.dialect.encoding.width(self.rest(at + 1)),
                _ if escapes => at += self.dialect.encoding.width(self.rest(at)),
                // No character ends in a byte that could be a quote.
                _ => at += 1,
            }
        }
    }

    /// A string goes on where nothing but a line break, spaces and line comments are between two quotes: the first byte after
    /// the second of them.
    fn continued(&self, at: usize) -> Option<usize> {
        let mut at = at;
        let mut broken = false;
        loop {
            match (self.byte(at), self.byte(at + 1)) {
                (b'\'', _) if broken => return Some(at + 1),
                (b'-', b'-') => at = self.line_end(at),
                (byte, _) if is_space(byte) => {
                    broken |= is_newline(byte);
                    at += 1;
                }
                _ => return None,
            }
        }
    }

    fn delimited(&self, at: usize) -> Option<usize> {
        let mut at = at;
        loop {
            at += self.rest(at).iter().position(|byte| *byte == b'"')?;
            if self.byte(at + 1) != b'"' {
                return Some(at + 1);
            }
            at += 2;
        }
    }

    /// Past a dollar quote that begins here, if one does; the inner `None` if it has no end.
    fn dollar(&self, at: usize) -> Option<Option<usize>> {
        let first = self.byte(at + 1);
        let tag_end = if is_word_start(first) {
            self.past(at + 1, |byte| is_word(byte) && byte != b'$')
        } else {
            at + 1
        };
        if self.byte(tag_end) != b'$' {
            return None;
        }
        let tag = self.text.get(at..=tag_end)?;
        let mut from = tag_end + 1;
        // A tag has dollars at its ends only, so what has been compared is never looked at twice.
        while let Some(length) = self.rest(from).iter().position(|byte| *byte == b'$') {
            from += length;
            if self.rest(from).starts_with(tag) {
                return Some(Some(from + tag.len()));
            }
            from += 1;
        }
        Some(None)
    }

    fn token(&self) -> (Kind, Option<usize>) {
        let at = self.at;
        let next = self.byte(at + 1);
        match self.byte(at) {
            b'\'' => (Kind::Text, self.quoted(at + 1, !self.dialect.standard_strings)),
            b'"' => (Kind::Quoted, self.delimited(at + 1)),
            b'e' | b'E' if next == b'\'' => (Kind::OtherText, self.quoted(at + 2, true)),
            b'b' | b'B' | b'x' | b'X' if next == b'\'' => (Kind::OtherText, self.quoted(at + 2, false)),
            b'u' | b'U' if next == b'&' && self.byte(at + 2) == b'\'' => {
                (Kind::OtherText, self.quoted(at + 3, false))
            }
            b'u' | b'U' if next == b'&' && self.byte(at + 2) == b'"' => {
                (Kind::UnicodeQuoted, self.delimited(at + 3))
            }
            b'$' if next.is_ascii_digit() => {
                (Kind::Parameter, Some(self.past(at + 1, |byte| byte.is_ascii_digit())))
            }
            b'$' => match self.dollar(at) {
                Some(end) => (Kind::Dollar, end),
                None => (Kind::Mark(b'$'), Some(at + 1)),
            },
            b'.' if next.is_ascii_digit() => (Kind::Number, Some(self.number_end(at + 1))),
            b'0'..=b'9' => (Kind::Number, Some(self.number_end(at))),
            byte if is_word_start(byte) => (Kind::Word, Some(self.past(at, is_word))),
            byte => (Kind::Mark(byte), Some(at + 1)),
        }
    }

    fn number_end(&self, at: usize) -> usize {
        let whole = self.past(at, |byte| byte.is_ascii_digit());
        // `1..2` is two numbers and two dots in a loop of PL/pgSQL, and nothing in SQL.
        if self.byte(whole) == b'.' && self.byte(whole + 1) != b'.' {
            self.past(whole + 1, |byte| byte.is_ascii_digit())
        } else {
            whole
        }
    }
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        self.skip_blank();
        if self.at >= self.text.len() {
            return None;
        }
        let start = self.at;
        let (kind, end) = self.token();
        self.at = end.unwrap_or(self.text.len()).clamp(start + 1, self.text.len());
        Some(Token { kind: if end.is_some() { kind } else { Kind::Broken }, span: start..self.at })
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn is_newline(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn is_word(byte: u8) -> bool {
    is_word_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

//! Clause text to tokens, cut exactly as Postgres' scanner cuts them.
//!
//! `sqlparser`'s tokenizer does the reading: strings of all kinds, identifiers, numbers, nested comments. Three things are put
//! right on top of it. Operators are cut by Postgres' rule for runs of operator characters; the tokenizer is told of no
//! custom operators, so that it sees comments inside such runs. String constants that only a line break separates are one.
//! And tokens know the byte they begin at, which the error messages name.

use std::any::TypeId;

use sqlparser::{
    dialect::{Dialect, PostgreSqlDialect},
    tokenizer::{Location, Token as Lexeme, TokenWithSpan, Tokenizer, Whitespace},
};

use super::{ClauseError, error::excerpt};

/// A token and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Token<'a> {
    /// Its first byte in the clause.
    pub(super) at: usize,
    /// As it is written; empty at the end.
    pub(super) source: &'a str,
    /// What it is.
    pub(super) kind: Kind,
}

/// The kinds of token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword or identifier without quotes, in lower case.
    Word(Box<str>),
    /// An identifier in quotes, without them.
    Quoted(Box<str>),
    /// An unsigned number.
    Number(Box<str>),
    /// A string constant's value.
    Text(Box<str>),
    /// A bit string, `b'…'` or `x'…'`.
    Bits,
    /// A string of the type `nchar`.
    National,
    /// `$1`
    Parameter,
    /// An operator; `!=` is `<>`.
    Operator(Box<str>),
    /// Punctuation: one of `( ) [ ] , . : ; ::` and whatever has no meaning. It is what it is written like.
    Symbol,
    /// Nothing follows.
    End,
}

impl Token<'_> {
    /// Whether this is punctuation written so.
    pub(super) fn is_symbol(&self, symbol: &str) -> bool {
        self.kind == Kind::Symbol && self.source == symbol
    }

    /// The keyword that it may be, in lower case.
    pub(super) fn word(&self) -> Option<&str> {
        if let Kind::Word(word) = &self.kind { Some(word) } else { None }
    }

    /// Whether it is this word, given in lower case.
    pub(super) fn is_word(&self, word: &str) -> bool {
        self.word() == Some(word)
    }
}

/// Cuts a clause into tokens, the last of which is [`Kind::End`].
///
/// # Errors
/// What is not closed, and what Postgres' scanner refuses.
pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, ClauseError> {
    if let Some(at) = text.find('\0') {
        return Err(ClauseError::at(at, "a clause can't contain the character with code zero"));
    }
    let mut lexemes = Vec::new();
    let ended = Tokenizer::new(&Scanner, text).tokenize_with_location_into_buf(&mut lexemes);
    let mut cutter = Cutter { text, out: Vec::new(), place: Place::default(), run: None, broken: false };
    for lexeme in lexemes {
        cutter.take(lexeme)?;
    }
    let at = cutter.place.byte;
    cutter.end_run(at)?;
    if ended.is_err() {
        return Err(unreadable(at, text.get(at..).unwrap_or_default()));
    }
    cutter.out.push(Token { at: text.len(), source: "", kind: Kind::End });
    Ok(cutter.out)
}

/// What the tokenizer gave up on.
fn unreadable(at: usize, rest: &str) -> ClauseError {
    let what = match rest.as_bytes() {
        [b'/', ..] => "unterminated /* comment",
        [b'"', ..] => "unterminated quoted identifier",
        [b'$', ..] => "unterminated dollar-quoted string",
        [b'\'', ..] => "unterminated quoted string",
        [b'e' | b'E' | b'u' | b'U', ..] => "unterminated quoted string or invalid escape",
        _ => "syntax error",
    };
    ClauseError::at(at, format!("{what} at or near \"{}\"", excerpt(rest)))
}

/// Postgres' lexical rules, without custom operators: those are put together afterwards.
#[derive(Debug)]
struct Scanner;

impl Dialect for Scanner {
    fn dialect(&self) -> TypeId {
        PostgreSqlDialect {}.dialect()
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '"'
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        PostgreSqlDialect {}.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        PostgreSqlDialect {}.is_identifier_part(ch)
    }

    fn supports_nested_comments(&self) -> bool {
        true
    }

    fn supports_string_escape_constant(&self) -> bool {
        true
    }

    fn supports_unicode_string_literal(&self) -> bool {
        true
    }

    fn supports_numeric_literal_underscores(&self) -> bool {
        true
    }
}

/// A place in the text, counted in both ways.
#[derive(Clone, Copy)]
struct Place {
    byte: usize,
    line: u64,
    column: u64,
}

impl Default for Place {
    fn default() -> Place {
        Place { byte: 0, line: 1, column: 1 }
    }
}

impl Place {
    /// Goes on to a location at or after this one.
    fn advance(&mut self, text: &str, to: Location) {
        let rest = text.get(self.byte..).unwrap_or_default();
        for ch in rest.chars() {
            if (self.line, self.column) >= (to.line, to.column) {
                break;
            }
            self.byte += ch.len_utf8();
            (self.line, self.column) =
                if ch == '\n' { (self.line + 1, 1) } else { (self.line, self.column + 1) };
        }
    }
}

struct Cutter<'a> {
    text: &'a str,
    out: Vec<Token<'a>>,
    /// The end of what was taken.
    place: Place,
    /// Where the operator characters begin that reach up to `place`.
    run: Option<usize>,
    /// Whether a line break stands between the last token and `place`.
    broken: bool,
}

impl<'a> Cutter<'a> {
    fn take(&mut self, lexeme: TokenWithSpan) -> Result<(), ClauseError> {
        let at = self.place.byte;
        self.place.advance(self.text, lexeme.span.end);
        let source = self.slice(at, self.place.byte);
        if let Lexeme::Whitespace(space) = &lexeme.token {
            self.end_run(at)?;
            self.broken |= !matches!(space, Whitespace::MultiLineComment(_)) && source.contains(['\n', '\r']);
            return Ok(());
        }
        if source.bytes().all(is_operator_byte) {
            self.run.get_or_insert(at);
            return Ok(());
        }
        self.end_run(at)?;
        let broken = std::mem::take(&mut self.broken);
        let kind = match lexeme.token {
            Lexeme::Word(word) if word.quote_style.is_none() => {
                Kind::Word(word.value.to_ascii_lowercase().into())
            }
            Lexeme::Word(word) if word.value.is_empty() => return Err(ClauseError::syntax(at, source)),
            Lexeme::Word(word) => Kind::Quoted(word.value.into()),
            Lexeme::Number(_, false) => Kind::Number(source.replace('_', "").into()),
            Lexeme::SingleQuotedString(value) if broken => {
                self.take_further_line(at, source, &value);
                return Ok(());
            }
            Lexeme::SingleQuotedString(value)
            | Lexeme::EscapedStringLiteral(value)
            | Lexeme::UnicodeStringLiteral(value) => Kind::Text(value.into()),
            Lexeme::DollarQuotedString(_) => Kind::Text(between_dollars(source).into()),
            Lexeme::NationalStringLiteral(_) => Kind::National,
            Lexeme::SingleQuotedByteStringLiteral(_) => Kind::Bits,
            Lexeme::HexStringLiteral(_) if source.ends_with('\'') => Kind::Bits,
            Lexeme::Placeholder(_) => Kind::Parameter,
            _ => Kind::Symbol,
        };
        self.out.push(Token { at, source, kind });
        Ok(())
    }

    /// A string constant that a line break divides from one before continues it.
    fn take_further_line(&mut self, at: usize, source: &'a str, value: &str) {
        let end = at + source.len();
        match self.out.last_mut() {
            Some(Token { at: start, source: whole, kind: Kind::Text(text) }) if whole.starts_with('\'') => {
                *text = [&**text, value].concat().into();
                *whole = self.text.get(*start..end).unwrap_or_default();
            }
            _ => self.out.push(Token { at, source, kind: Kind::Text(value.into()) }),
        }
    }

    /// Cuts a run of operator characters that ends here into operators.
    fn end_run(&mut self, end: usize) -> Result<(), ClauseError> {
        let Some(mut at) = self.run.take() else { return Ok(()) };
        let mut run = self.slice(at, end);
        if run.contains("--") || run.contains("/*") {
            return Err(ClauseError::syntax(at, run));
        }
        while !run.is_empty() {
            let (source, rest) = run.split_at(operator_length(run));
            let kind = match source {
                "!=" => Kind::Operator("<>".into()),
                "=>" => Kind::Symbol,
                _ => Kind::Operator(source.into()),
            };
            self.out.push(Token { at, source, kind });
            at += source.len();
            run = rest;
        }
        self.broken = false;
        Ok(())
    }

    fn slice(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or_default()
    }
}

fn is_operator_byte(byte: u8) -> bool {
    matches!(byte, b'+' | b'-' | b'*' | b'/' | b'<' | b'>' | b'=') || lets_end_in_sign(byte)
}

/// Characters after which an operator may end in `+` or `-`.
fn lets_end_in_sign(byte: u8) -> bool {
    matches!(byte, b'~' | b'!' | b'@' | b'#' | b'%' | b'^' | b'&' | b'|' | b'`' | b'?')
}

/// The bytes of the first operator in a run: all, without trailing signs if nothing lets them be part of it. So `=-1` is
/// `=` and `-`, but `@-1` begins with an operator `@-`.
fn operator_length(run: &str) -> usize {
    if run.bytes().any(lets_end_in_sign) {
        return run.len();
    }
    run.trim_end_matches(['+', '-']).len().max(1)
}

/// What is in `$tag$…$tag$`.
fn between_dollars(source: &str) -> &str {
    let tag = source.get(1..).and_then(|rest| rest.find('$')).map_or(0, |at| at + 2);
    source.get(tag..source.len().saturating_sub(tag)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<(usize, String)> {
        let tokens = tokens(text).expect("the text has no fault");
        let end = tokens.len() - 1;
        tokens[..end].iter().map(|t| (t.at, t.source.to_owned())).collect()
    }

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let sources: Vec<_> = cut(text).into_iter().map(|(_, source)| source).collect();
        assert_eq!(sources, expected, "{text}");
    }

    #[test]
    fn operators_are_cut_as_postgres_cuts_them() {
        check("a<-1", &["a", "<", "-", "1"]);
        check("a=-+1", &["a", "=", "-", "+", "1"]);
        check("a*-1", &["a", "*", "-", "1"]);
        check("@-1", &["@-", "1"]);
        check("a||-1", &["a", "||-", "1"]);
        check("a !~~* b", &["a", "!~~*", "b"]);
        check("a<>-1", &["a", "<>", "-", "1"]);
        check("|/a", &["|/", "a"]);
        check("+-a", &["+", "-", "a"]);
        check("a#b", &["a", "#", "b"]);
    }

    #[test]
    fn comments_are_blanks() {
        check("a /* x /* y */ 'z */ + -- b\n c", &["a", "+", "c"]);
        check("a||--x\n'b'", &["a", "||", "'b'"]);
        check("a +/* c */- b", &["a", "+", "-", "b"]);
        check("a +/**/- b/**/", &["a", "+", "-", "b"]);
    }

    #[test]
    fn places_are_bytes() {
        assert_eq!(cut("'é' =\n\tü"), [(0, "'é'".into()), (5, "=".into()), (8, "ü".into())]);
    }

    #[test]
    fn strings_have_their_values() {
        let values = |text| {
            let texts = tokens(text).unwrap_or_default().into_iter();
            texts.filter_map(|t| if let Kind::Text(v) = t.kind { Some(v) } else { None }).collect::<Vec<_>>()
        };
        assert_eq!(values("'it''s' 'a\\'"), ["it's".into(), "a\\".into()]);
        assert_eq!(values("'a'\n 'b' -- c\n 'd'"), ["abd".into()]);
        assert_eq!(values("'a' /* \n */ 'b'"), ["a".into(), "b".into()]);
        assert_eq!(
            values("e'a\\nb' U&'\\0041' $$a'$b$$ $t$$$x$t$"),
            ["a\nb", "A", "a'$b", "$$x"].map(Box::from)
        );
    }

    #[test]
    fn what_is_not_closed_is_refused() {
        for text in ["a /* b", "a /* /* b */", "'a", "\"a", "$$a", "e'a", "\"\"", "a\0"] {
            assert!(tokens(text).is_err(), "{text}");
        }
        let error = tokens("a = /* b").map(|_| ()).map_err(|e| e.to_string());
        assert_eq!(error, Err("At location 4: unterminated /* comment at or near \"/* b\"".into()));
    }
}

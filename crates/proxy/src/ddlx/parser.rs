//! Walks through the tokens of a DDLX statement (spec 04 §3.1).

use std::ops::Range;

use super::{
    lexer::{Kind, Lexer, Token},
    name::Name,
    statements::Statement,
};

/// Words that are no names without quotes: those that Postgres reserves among DDLX' own.
const RESERVED: [&str; 14] = [
    "all", "and", "check", "from", "grant", "if", "not", "null", "on", "or", "select", "table", "to", "using",
];

/// Characters of a token that are shown when it is in the wrong place.
const SHOWN: usize = 64;

/// Why a statement is none of DDLX's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// For the error's detail.
    pub detail: String,
    /// The first byte of what is wrong, within the statement.
    pub at: usize,
}

/// The tokens of one statement, with one of them in view.
#[derive(Clone, Debug)]
pub struct Parser<'a> {
    statement: &'a Statement<'a>,
    lexer: Lexer<'a>,
    current: Option<Token>,
}

impl<'a> Parser<'a> {
    /// At the beginning of a statement.
    #[must_use]
    pub fn new(statement: &'a Statement<'a>) -> Parser<'a> {
        let mut lexer = statement.tokens();
        let current = lexer.next();
        Parser { statement, lexer, current }
    }

    fn advance(&mut self) -> Option<Token> {
        std::mem::replace(&mut self.current, self.lexer.next())
    }

    fn take(&mut self, fits: impl FnOnce(&Token) -> bool) -> Option<Token> {
        if self.current.as_ref().is_some_and(fits) { self.advance() } else { None }
    }

    /// Takes this keyword, given in lower case, if it is next.
    pub fn word(&mut self, word: &str) -> bool {
        let lexer = self.lexer.clone();
        self.take(|token| lexer.is(token, word)).is_some()
    }

    /// Takes this keyword or fails.
    pub fn expect(&mut self, word: &str) -> Result<(), Misfit> {
        if self.word(word) { Ok(()) } else { Err(self.misfit()) }
    }

    /// Takes this character if it is next.
    pub fn mark(&mut self, mark: u8) -> bool {
        self.take(|token| token.kind == Kind::Mark(mark)).is_some()
    }

    /// Takes whatever is next, if anything is.
    pub fn any(&mut self) -> bool {
        self.take(|_| true).is_some()
    }

    /// Takes this character or fails.
    pub fn expect_mark(&mut self, mark: u8) -> Result<(), Misfit> {
        if self.mark(mark) { Ok(()) } else { Err(self.misfit()) }
    }

    /// Takes these characters if they are next with nothing between them.
    pub fn marks(&mut self, marks: &[u8]) -> bool {
        let mut ahead = self.clone();
        let mut end = None;
        for mark in marks {
            match ahead.take(|token| token.kind == Kind::Mark(*mark)) {
                Some(token) if end.is_none_or(|end| end == token.span.start) => end = Some(token.span.end),
                _ => return false,
            }
        }
        *self = ahead;
        true
    }

    /// Takes a number, with a minus or without, if one is next.
    pub fn number(&mut self) -> bool {
        let mut ahead = self.clone();
        ahead.mark(b'-');
        let found = ahead.take(|token| token.kind == Kind::Number).is_some();
        if found {
            *self = ahead;
        }
        found
    }

    /// Takes a string, `'…'` or `$…$…$…$`, if one is next. The answer is where it stands and what it says.
    pub fn string(&mut self) -> Option<(Range<usize>, Vec<u8>)> {
        let token = self.take(|token| matches!(token.kind, Kind::Text | Kind::Dollar))?;
        let text = self.slice(&token);
        let quote = match token.kind {
            Kind::Dollar => text.iter().skip(1).position(|byte| *byte == b'$').map_or(0, |tag| tag + 2),
            _ => 1,
        };
        let inside = text.get(quote..text.len().saturating_sub(quote)).unwrap_or_default();
        let said = match token.kind {
            Kind::Dollar => inside.to_vec(),
            _ => undoubled(inside, b'\''),
        };
        Some((token.span, said))
    }

    /// Takes a name.
    pub fn name(&mut self) -> Result<Name, Misfit> {
        let before = self.clone();
        let encoding = self.statement.dialect().encoding;
        let name = match self.advance() {
            Some(token) => match (token.kind, self.slice(&token)) {
                (Kind::Word, word)
                    if RESERVED.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes())) =>
                {
                    None
                }
                (Kind::Word, word) => Some(Name::bare(word, encoding)),
                (Kind::Quoted, text) => Name::quoted(text.get(1..text.len() - 1).unwrap_or_default()),
                (Kind::UnicodeQuoted, text) => self.escape().and_then(|escape| {
                    Name::unicode(text.get(3..text.len() - 1).unwrap_or_default(), escape)
                }),
                _ => None,
            },
            None => None,
        };
        name.ok_or_else(|| before.misfit())
    }

    /// Takes `UESCAPE '!'`, if it is next.
    fn escape(&mut self) -> Option<char> {
        if !self.word("uescape") {
            return Some('\\');
        }
        match self.string()?.1.as_slice() {
            [b'+' | b'"' | b'\'' | b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' | b' '] => None,
            [one] if one.is_ascii() => Some(char::from(*one)),
            _ => None,
        }
    }

    /// Whether everything has been taken.
    pub fn end(&self) -> Result<(), Misfit> {
        if self.current.is_none() { Ok(()) } else { Err(self.misfit()) }
    }

    /// The token in view is not what may stand there.
    #[must_use]
    pub fn misfit(&self) -> Misfit {
        match &self.current {
            Some(token) => self.misfit_at(token.span.clone()),
            None => Misfit {
                detail: "syntax error before: end of statement".to_owned(),
                at: self.statement.text().len(),
            },
        }
    }

    /// What stands at this place is not right.
    #[must_use]
    pub fn misfit_at(&self, span: Range<usize>) -> Misfit {
        let text = String::from_utf8_lossy(self.statement.text().get(span.clone()).unwrap_or_default());
        let mut shown: String = text.chars().take(SHOWN).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        Misfit { detail: format!("syntax error before: \"{shown}\""), at: span.start }
    }

    fn slice(&self, token: &Token) -> &'a [u8] {
        self.lexer.slice(token)
    }
}

/// Makes one of every two.
fn undoubled(text: &[u8], quote: u8) -> Vec<u8> {
    let mut single = Vec::with_capacity(text.len());
    let mut doubled = false;
    for byte in text {
        doubled = *byte == quote && !doubled;
        if *byte != quote || doubled {
            single.push(*byte);
        }
    }
    single
}

//! A query string, cut into statements where Postgres cuts it.
//!
//! A semicolon ends a statement unless it stands in parentheses (`CREATE RULE … DO (…; …)`) or in the body of an SQL function
//! (`BEGIN ATOMIC …; … END`). Where the text is none that Postgres would take, the cut doesn't matter: Postgres parses the
//! whole string before it runs any of it.

use std::ops::Range;

use super::lexer::{Dialect, Kind, Lexer, Token};

/// How many tokens at the beginning of a statement are remembered: enough to tell what it is.
const LEAD: usize = 4;

/// One statement of a query string; never empty.
#[derive(Clone, Debug)]
pub struct Statement<'a> {
    /// All of the string.
    text: &'a [u8],
    dialect: Dialect,
    /// From its first to its last token: without the semicolon, and without comments around it.
    pub span: Range<usize>,
    lead: [Option<Token>; LEAD],
    /// Whether a parameter (`$1`) is in it.
    pub has_parameters: bool,
}

impl<'a> Statement<'a> {
    /// Its text.
    #[must_use]
    pub fn text(&self) -> &'a [u8] {
        self.text.get(self.span.clone()).unwrap_or_default()
    }

    /// Its tokens. Their places are those in [`Statement::text`].
    #[must_use]
    pub fn tokens(&self) -> Lexer<'a> {
        Lexer::new(self.text(), self.dialect)
    }

    /// How its text is to be read.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The keyword or bare name that is its token of this number, from 0; empty if there is none, or if it comes late.
    #[must_use]
    pub fn word(&self, number: usize) -> &'a [u8] {
        match self.lead.get(number) {
            Some(Some(token)) if token.kind == Kind::Word => {
                self.text.get(token.span.clone()).unwrap_or_default()
            }
            _ => b"",
        }
    }

    /// Whether it begins with these keywords, given in lower case.
    #[must_use]
    pub fn begins(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(n, word)| self.word(n).eq_ignore_ascii_case(word.as_bytes()))
    }
}

/// The statements of a string, in order.
#[derive(Clone, Debug)]
pub struct Statements<'a> {
    text: &'a [u8],
    dialect: Dialect,
    lexer: Lexer<'a>,
}

impl<'a> Statements<'a> {
    /// Cuts this string.
    #[must_use]
    pub fn new(text: &'a [u8], dialect: Dialect) -> Statements<'a> {
        Statements { text, dialect, lexer: Lexer::new(text, dialect) }
    }
}

impl<'a> Iterator for Statements<'a> {
    type Item = Statement<'a>;

    fn next(&mut self) -> Option<Statement<'a>> {
        let first = self.lexer.by_ref().find(|token| token.kind != Kind::Mark(b';'))?;
        let mut statement = Statement {
            text: self.text,
            dialect: self.dialect,
            span: first.span.clone(),
            lead: [Some(first.clone()), None, None, None],
            has_parameters: false,
        };
        let mut nesting = Nesting::default();
        let mut count = 1;
        nesting.see(&self.lexer, &first, &statement);
        while let Some(token) = self.lexer.next() {
            if token.kind == Kind::Mark(b';') && nesting.is_outermost() {
                break;
            }
            nesting.see(&self.lexer, &token, &statement);
            statement.span.end = token.span.end;
            statement.has_parameters |= token.kind == Kind::Parameter;
            if let Some(place) = statement.lead.get_mut(count) {
                *place = Some(token);
                count += 1;
            }
        }
        Some(statement)
    }
}

/// What a semicolon may stand in.
#[derive(Clone, Copy, Debug, Default)]
struct Nesting {
    parentheses: usize,
    bodies: usize,
    /// The last token was the word `BEGIN`.
    begun: bool,
    /// The next token begins a statement of a body.
    fresh: bool,
}

impl Nesting {
    fn is_outermost(self) -> bool {
        self.parentheses == 0 && self.bodies == 0
    }

    fn see(&mut self, lexer: &Lexer<'_>, token: &Token, statement: &Statement<'_>) {
        let (begun, fresh) = (self.begun, self.fresh);
        (self.begun, self.fresh) = (false, false);
        match token.kind {
            Kind::Mark(b'(') => self.parentheses += 1,
            Kind::Mark(b')') => self.parentheses = self.parentheses.saturating_sub(1),
            Kind::Mark(b';') => self.fresh = self.bodies > 0 && self.parentheses == 0,
            Kind::Word if self.parentheses > 0 => {}
            // No statement of a body begins with END, and elsewhere it closes a CASE or is a name.
            Kind::Word if fresh && lexer.is(token, "end") => self.bodies -= 1,
            Kind::Word if begun && lexer.is(token, "atomic") && is_routine(statement) => {
                self.bodies += 1;
                self.fresh = true;
            }
            Kind::Word => self.begun = lexer.is(token, "begin"),
            _ => {}
        }
    }
}

fn is_routine(statement: &Statement<'_>) -> bool {
    ["function", "procedure"].iter().any(|kind| {
        statement.begins(&["create", kind]) || statement.begins(&["create", "or", "replace", kind])
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::encoding::Encoding, *};

    fn cut_as(text: &str, dialect: Dialect) -> Vec<String> {
        Statements::new(text.as_bytes(), dialect)
            .map(|s| String::from_utf8_lossy(s.text()).into_owned())
            .collect()
    }

    fn cut(text: &str) -> Vec<String> {
        cut_as(text, Dialect::default())
    }

    #[test]
    fn semicolons_end_statements() {
        assert_eq!(cut(" ; a b ;; -- c ; \n d /* ; /* ; */ ; */ ;"), ["a b", "d"]);
        assert_eq!(cut("-- only\n /* comments */ ;;"), [""; 0]);
        assert_eq!(cut("a -- to the end"), ["a"]);
    }

    #[test]
    fn quotes_hold_semicolons() {
        for whole in [
            "'it''s ; here'",
            "E'a\\';'",
            "e'\\\\'",
            "E'a' -- and so on\n  ';\\';'",
            "U&'\\0061;'",
            "U&\"d\\0061;\" UESCAPE '!'",
            "x'1;'",
            "n';'",
            "\"a\"\";\"",
            "$$ ; $ $x$ ; $$",
            "$a$ $$ ; $b$a$",
            "$\u{e9}1$ ; $\u{e9}2$ ; $\u{e9}1$",
            "name$a$b",
            "'\\' || ';'",
            "CREATE RULE r AS ON INSERT TO t DO (DELETE FROM u; DELETE FROM v)",
        ] {
            assert_eq!(cut(&format!("{whole};next")), [whole, "next"]);
        }
    }

    #[test]
    fn a_name_with_dollars_opens_no_quote() {
        assert_eq!(cut("a$b$;c$b$"), ["a$b$", "c$b$"]);
        assert_eq!(cut("SELECT $1;$1"), ["SELECT $1", "$1"]);
    }

    #[test]
    fn backslashes_mean_what_the_session_says() {
        let old = Dialect { standard_strings: false, ..Dialect::default() };
        assert_eq!(cut_as("'\\';';b", old), ["'\\';'", "b"]);
        assert_eq!(cut("'\\';b"), ["'\\'", "b"]);
        let japanese = Dialect { encoding: Encoding::ShiftJis, ..Dialect::default() };
        let texts: Vec<_> =
            Statements::new(b"E'\x95\x5C';b", japanese).map(|statement| statement.text().to_vec()).collect();
        assert_eq!(texts, [&b"E'\x95\x5C'"[..], b"b"]);
    }

    #[test]
    fn bodies_of_sql_functions_hold_semicolons() {
        let function = "CREATE OR REPLACE FUNCTION f(a int DEFAULT (1)) RETURNS int LANGUAGE sql BEGIN ATOMIC \
            INSERT INTO t VALUES (CASE WHEN true THEN 1 END); SELECT 1 AS end; SELECT t.end FROM t; END";
        assert_eq!(cut(&format!("{function}; next")), [function, "next"]);
        let empty = "create procedure p() begin atomic end";
        assert_eq!(cut(&format!("{empty}; next")), [empty, "next"]);
        // Elsewhere these are words like others.
        assert_eq!(cut("BEGIN; SELECT 1 atomic; END"), ["BEGIN", "SELECT 1 atomic", "END"]);
        assert_eq!(cut("BEGIN ATOMIC; b"), ["BEGIN ATOMIC", "b"]);
    }

    #[test]
    fn what_has_no_end_takes_the_rest() {
        for whole in ["'a;b", "\"a;b", "$$a;b", "E'a;b\\'", "(a;b", "U&\"a;b", "'a\\"] {
            assert_eq!(cut(whole), [whole]);
        }
        assert_eq!(cut("a /* b ; c"), ["a"]);
    }

    #[test]
    fn remembers_how_a_statement_begins() {
        let text = b"/* so */ Alter TABLE \"x\" drop column $1";
        let statement = Statements::new(text, Dialect::default()).next().unwrap();
        assert!(statement.begins(&["alter", "table"]) && !statement.begins(&["alter", "table", "x"]));
        assert_eq!(statement.word(3), b"drop");
        assert_eq!((statement.word(2), statement.word(4)), (&b""[..], &b""[..]));
        assert!(statement.has_parameters);
    }

    proptest! {
        #[test]
        fn any_bytes_are_cut_into_pieces_in_order(text: Vec<u8>, standard_strings: bool, which in 0usize..3) {
            let encoding = [Encoding::Utf8, Encoding::ShiftJis, Encoding::Gb18030][which];
            let mut last = 0;
            for statement in Statements::new(&text, Dialect { standard_strings, encoding }) {
                prop_assert!(statement.span.start >= last && statement.span.start < statement.span.end);
                last = statement.span.end;
            }
            prop_assert!(last <= text.len());
        }

        #[test]
        fn valid_statements_come_back_as_they_were(
            parts in prop::collection::vec(prop::collection::vec(token(), 1..8), 0..6),
            blanks in prop::collection::vec(prop::sample::select(vec![" ", "\n", "/*;/*'*/*/", " --;'\n "]), 8),
        ) {
            let statements: Vec<String> = parts.iter().map(|tokens| {
                let mut text = String::new();
                for (n, token) in tokens.iter().enumerate() {
                    // Two strings with a line break between them are one.
                    let joins = text.ends_with('\'') && token.starts_with('\'');
                    match n {
                        0 => {}
                        _ if joins => text.push(' '),
                        _ => text.push_str(blanks[n % blanks.len()]),
                    }
                    text.push_str(token);
                }
                text
            }).collect();
            let text = statements.join(" ; ");
            prop_assert_eq!(cut(&text), statements);
        }
    }

    /// Whole tokens that hold what could mislead.
    fn token() -> impl Strategy<Value = String> {
        let inside = "[a;'\"$\\\\*/ \n-]{0,6}";
        prop_oneof![
            inside.prop_map(|text| format!("'{}'", text.replace('\'', "''"))),
            inside.prop_map(|text| format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))),
            inside.prop_map(|text| format!("\"{}\"", text.replace('"', "\"\""))),
            inside.prop_map(|text| format!("$q${text}$q$")),
            inside.prop_map(|text| format!("({})", format_args!("'{}';", text.replace('\'', "''")))),
            prop::sample::select(vec!["a", "b$c$", "1.5", "$1", "+", "::", "case", "end", "begin", "é"])
                .prop_map(str::to_owned),
        ]
    }
}

//! Names of tables, as DDLX statements have them.

use super::{encoding::Encoding, lexer::Dialect};

/// A name as it stands between double quotes: quotes in it are doubled.
///
/// A bare name is folded in two ways. DDLX lower-cases all of Unicode (spec 04 §2), Postgres only ASCII where characters have
/// several bytes; which of the two the table has is for Postgres to find out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    folded: Vec<u8>,
    as_postgres: Vec<u8>,
}

impl Name {
    /// A name without quotes.
    #[must_use]
    pub fn bare(text: &[u8], encoding: Encoding) -> Name {
        let mut as_postgres = text.to_vec();
        let mut at = 0;
        while let Some(rest) = as_postgres.get_mut(at..).filter(|rest| !rest.is_empty()) {
            let width = encoding.width(rest);
            if let (1, Some(byte)) = (width, rest.first_mut()) {
                byte.make_ascii_lowercase();
            }
            at += width.max(1);
        }
        let unicode = if encoding == Encoding::Utf8 { std::str::from_utf8(text).ok() } else { None };
        let folded = unicode.map_or_else(|| as_postgres.clone(), |text| text.to_lowercase().into_bytes());
        Name { folded, as_postgres }
    }

    /// What stands between two double quotes; `None` if that is nothing, which is no name.
    #[must_use]
    pub fn quoted(inside: &[u8]) -> Option<Name> {
        (!inside.is_empty()).then(|| Name { folded: inside.to_vec(), as_postgres: inside.to_vec() })
    }

    /// What stands between the quotes of `U&"…"`, with the character that escapes in it. `None` if Postgres would not take it.
    #[must_use]
    pub fn unicode(inside: &[u8], escape: char) -> Option<Name> {
        let mut name = String::with_capacity(inside.len());
        let mut rest = std::str::from_utf8(inside).ok()?.chars();
        let mut high = None;
        while let Some(next) = rest.next() {
            let unit = if next == '"' {
                // Its twin.
                rest.next();
                Err(next)
            } else if next != escape {
                Err(next)
            } else if rest.as_str().starts_with(escape) {
                rest.next();
                Err(escape)
            } else {
                let digits = if rest.as_str().starts_with('+') {
                    rest.next();
                    6
                } else {
                    4
                };
                let (code, tail) = rest.as_str().split_at_checked(digits)?;
                rest = tail.chars();
                // A sign would be taken for a number's.
                code.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(())?;
                Ok(u32::from_str_radix(code, 16).ok()?)
            };
            match (high.take(), unit) {
                (None, Ok(unit @ 0xD800..=0xDBFF)) => high = Some(unit),
                (None, Ok(unit)) => name.push(char::from_u32(unit).filter(|character| *character != '\0')?),
                (Some(high), Ok(low @ 0xDC00..=0xDFFF)) => {
                    name.push(char::from_u32(0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00))?);
                }
                (None, Err(character)) => name.push(character),
                (Some(_), _) => return None,
            }
        }
        if high.is_some() { None } else { Name::quoted(name.replace('"', "\"\"").as_bytes()) }
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, name: &str) -> bool {
        self.as_postgres == name.as_bytes()
    }
}

/// A table, and its schema if that was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableName {
    /// `public` if there is none.
    pub schema: Option<Name>,
    /// The table's own name.
    pub table: Name,
}

impl TableName {
    /// Whether both are the same table.
    #[must_use]
    pub fn is(&self, other: &TableName) -> bool {
        let dialect = Dialect::default();
        self.expression(dialect) == other.expression(dialect)
    }

    /// An expression of SQL whose value is the quoted, qualified name: `'"public"."items"'`.
    ///
    /// Where the two foldings of a bare name differ, Postgres is asked which of them there is.
    #[must_use]
    pub fn expression(&self, dialect: Dialect) -> Vec<u8> {
        let public = Name { folded: b"public".to_vec(), as_postgres: b"public".to_vec() };
        let schema = self.schema.as_ref().unwrap_or(&public);
        let folded = qualified(&schema.folded, &self.table.folded);
        let as_postgres = qualified(&schema.as_postgres, &self.table.as_postgres);
        if folded == as_postgres {
            return literal(&folded, dialect.encoding);
        }
        [
            &b"electric.known_name("[..],
            &literal(&folded, dialect.encoding),
            b", ",
            &literal(&as_postgres, dialect.encoding),
            b")",
        ]
        .concat()
    }
}

fn qualified(schema: &[u8], table: &[u8]) -> Vec<u8> {
    [b"\"", schema, b"\".\"", table, b"\""].concat()
}

/// A string constant that means this text whatever `standard_conforming_strings` says.
fn literal(text: &[u8], encoding: Encoding) -> Vec<u8> {
    let mut quoted = Vec::with_capacity(text.len() + 3);
    quoted.push(b'\'');
    let mut rest = text;
    while let Some((character, tail)) =
        rest.split_at_checked(encoding.width(rest)).filter(|split| !split.0.is_empty())
    {
        match character {
            b"'" => quoted.extend_from_slice(b"''"),
            b"\\" => {
                quoted.extend_from_slice(b"\\\\");
                if quoted.first() == Some(&b'\'') {
                    quoted.insert(0, b'E');
                }
            }
            _ => quoted.extend_from_slice(character),
        }
        rest = tail;
    }
    quoted.push(b'\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(schema: Option<Name>, table: Name) -> String {
        let name = TableName { schema, table };
        String::from_utf8(name.expression(Dialect::default())).unwrap()
    }

    #[test]
    fn names_are_qualified_and_quoted() {
        let bare = |text: &str| Name::bare(text.as_bytes(), Encoding::Utf8);
        let quoted = |text: &str| Name::quoted(text.as_bytes()).unwrap();
        assert_eq!(shown(None, bare("Items")), r#"'"public"."items"'"#);
        assert_eq!(shown(Some(bare("My_App")), bare("t$1")), r#"'"my_app"."t$1"'"#);
        assert_eq!(shown(Some(quoted("S")), quoted("My Table")), r#"'"S"."My Table"'"#);
        assert_eq!(shown(None, quoted("it's \"\"so\"\"")), r#"'"public"."it''s ""so"""'"#);
        assert_eq!(shown(None, quoted("a\\'b\\")), r#"E'"public"."a\\''b\\"'"#);
        assert_eq!(shown(None, bare("größe")), "'\"public\".\"größe\"'");
        assert_eq!(
            shown(None, bare("Größe_Über")),
            "'\"public\".\"größe_über\"', ".replace("', ", "', '\"public\".\"größe_Über\"'").replacen(
                '\'',
                "electric.known_name('",
                1
            ) + ")",
        );
    }

    #[test]
    fn bytes_of_other_encodings_stay() {
        let japanese = Name::bare(b"A\x95\x5C\x83A", Encoding::ShiftJis);
        assert_eq!(japanese.folded, b"a\x95\x5C\x83A");
        let dialect = Dialect { encoding: Encoding::ShiftJis, ..Dialect::default() };
        let name = TableName { schema: None, table: japanese };
        assert_eq!(name.expression(dialect), b"'\"public\".\"a\x95\x5C\x83A\"'");
    }

    #[test]
    fn unicode_names_are_decoded() {
        let decode =
            |text: &str, escape| Name::unicode(text.as_bytes(), escape).map(|name| shown(None, name));
        let table = |text: &str| Some(format!("'\"public\".\"{text}\"'"));
        assert_eq!(decode(r"d\0061t\+000061", '\\'), table("data"));
        assert_eq!(decode("d!0061!!", '!'), table("da!"));
        assert_eq!(decode(r"\D83D\DE00", '\\'), table("😀"));
        assert_eq!(decode(r#"a""b\0022"#, '\\'), table(r#"a""b"""#));
        assert_eq!(decode(r"\0022\0022", '\\'), table(r#""""""#));
        for wrong in
            [r"\006", r"\+00061", r"\00g1", r"\+-00061", r"\D83D", r"\D83Dx", r"\DE00", r"\0000", "\\", ""]
        {
            assert_eq!(decode(wrong, '\\'), None, "{wrong}");
        }
    }
}

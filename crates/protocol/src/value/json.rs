//! `json` and `jsonb`: RFC 8259, less what `jsonb` can't hold (spec 03 §3.9).
//!
//! One loop, no recursion: nesting costs one byte of a stack of bounded height per level.

/// Deepest nesting accepted.
const MAX_DEPTH: usize = 512;
/// Digits that Postgres' `numeric` can have before and after the decimal point.
const MAX_WHOLE_DIGITS: i64 = 131_072;
const MAX_FRACTION_DIGITS: i64 = 16_383;
/// Exponents of this size are refused even on zero.
const MAX_EXPONENT: i64 = (i32::MAX / 2) as i64;

/// Says what is wrong and where, quoting at most one character.
pub(super) fn check(text: &str) -> Result<(), String> {
    let mut parser = Parser { text, at: 0 };
    let mut open = Vec::new();
    loop {
        if let Some(container) = parser.value()? {
            if open.len() == MAX_DEPTH {
                return Err(format!("nested deeper than {MAX_DEPTH} levels at position {}", parser.at));
            }
            parser.space();
            if !parser.take(container.closing()) {
                if let Container::Object = container {
                    parser.name()?;
                }
                open.push(container);
                continue;
            }
        }
        // A value is complete, and so may be those around it.
        loop {
            parser.space();
            let Some(container) = open.last() else { return parser.end() };
            if parser.take(container.closing()) {
                open.pop();
                continue;
            }
            parser.expect(b',')?;
            if let Container::Object = container {
                parser.space();
                parser.name()?;
            }
            break;
        }
    }
}

#[derive(Clone, Copy)]
enum Container {
    Array,
    Object,
}

impl Container {
    fn closing(self) -> u8 {
        match self {
            Container::Array => b']',
            Container::Object => b'}',
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), String> {
        if self.take(byte) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn end(&self) -> Result<(), String> {
        if self.at == self.text.len() { Ok(()) } else { Err(self.unexpected()) }
    }

    fn unexpected(&self) -> String {
        match self.peek() {
            None => format!("unexpected end of input at position {}", self.at),
            Some(byte @ b' '..=b'~') => {
                format!(
                    "unexpected byte at position {}: 0x{byte:02X} ({})",
                    self.at,
                    super::inspect(&char::from(byte).to_string())
                )
            }
            Some(byte) => format!("unexpected byte at position {}: 0x{byte:02X}", self.at),
        }
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// A scalar, or the opening of a container.
    fn value(&mut self) -> Result<Option<Container>, String> {
        self.space();
        match self.peek() {
            Some(b'{') => {
                self.at += 1;
                return Ok(Some(Container::Object));
            }
            Some(b'[') => {
                self.at += 1;
                return Ok(Some(Container::Array));
            }
            Some(b'"') => self.string()?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word("true")?,
            Some(b'f') => self.word("false")?,
            Some(b'n') => self.word("null")?,
            _ => return Err(self.unexpected()),
        }
        Ok(None)
    }

    fn word(&mut self, word: &str) -> Result<(), String> {
        word.bytes().try_for_each(|byte| self.expect(byte))
    }

    /// A member's name and the colon after it.
    fn name(&mut self) -> Result<(), String> {
        self.string()?;
        self.space();
        self.expect(b':')
    }

    fn string(&mut self) -> Result<(), String> {
        self.expect(b'"')?;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(b' '..) => self.at += 1,
                _ => return Err(self.unexpected()),
            }
        }
    }

    fn escape(&mut self) -> Result<(), String> {
        let start = self.at;
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                return Ok(());
            }
            Some(b'u') => {}
            _ => return Err(self.unexpected()),
        }
        match self.unit()? {
            0 => Err(format!("U+0000 at position {start}, which Postgres can't store")),
            0xD800..=0xDBFF => {
                let paired =
                    self.take(b'\\') && self.peek() == Some(b'u') && matches!(self.unit()?, 0xDC00..=0xDFFF);
                if paired { Ok(()) } else { Err(format!("unpaired surrogate at position {start}")) }
            }
            0xDC00..=0xDFFF => Err(format!("unpaired surrogate at position {start}")),
            _ => Ok(()),
        }
    }

    /// `u` and four hex digits.
    fn unit(&mut self) -> Result<u32, String> {
        self.expect(b'u')?;
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self
                .peek()
                .and_then(|byte| char::from(byte).to_digit(16))
                .ok_or_else(|| self.unexpected())?;
            unit = unit << 4 | digit;
            self.at += 1;
        }
        Ok(unit)
    }

    /// One or more digits, or none for an error; returns how many there are and the position of the first that is not 0.
    fn digits(&mut self) -> Result<(i64, Option<i64>), String> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let len = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let significant = rest.iter().take(len).position(|digit| *digit != b'0');
        self.at += len;
        if len == 0 { Err(self.unexpected()) } else { Ok((len as i64, significant.map(|at| at as i64))) }
    }

    fn number(&mut self) -> Result<(), String> {
        let start = self.at;
        self.take(b'-');
        let leading_zero = self.peek() == Some(b'0');
        let (whole, significant) = self.digits()?;
        if leading_zero && whole > 1 {
            self.at = self.at + 1 - whole as usize;
            return Err(self.unexpected());
        }
        // How far the first significant digit stands left of the decimal point: 1 for the digit right before it.
        let mut magnitude = significant.map(|at| whole - at);
        let mut fraction = 0;
        if self.take(b'.') {
            let (len, significant) = self.digits()?;
            fraction = len;
            magnitude = magnitude.or(significant.map(|at| -at));
        }
        let mut exponent = 0;
        if self.take(b'e') || self.take(b'E') {
            let negative = self.take(b'-');
            if !negative {
                self.take(b'+');
            }
            let first = self.at;
            self.digits()?;
            // Too long for a number is too large for an exponent.
            let size = self
                .text
                .get(first..self.at)
                .and_then(|digits| digits.parse::<i64>().ok())
                .unwrap_or(i64::MAX);
            exponent = if negative { -size } else { size };
        }
        let representable = exponent.abs() < MAX_EXPONENT
            && magnitude.is_none_or(|digits| digits + exponent <= MAX_WHOLE_DIGITS)
            && fraction - exponent <= MAX_FRACTION_DIGITS;
        if representable { Ok(()) } else { Err(format!("number out of range at position {start}")) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;

    /// Pieces of JSON, put together at random: mostly wrong, in all ways.
    fn nearly_json() -> impl Strategy<Value = String> {
        let pieces = [
            "{", "}", "[", "]", ",", ":", "\"", "\"a\"", "\"\\", "\\", "n", "u0041", "true", "false", "null",
            " ", "\n", "0", "1", "-", ".", "e", "E+", "12.5", "1e5", "é", "\u{1}",
        ];
        vec(select(pieces.to_vec()), 0..12).prop_map(|pieces| pieces.concat())
    }

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<f64>().prop_filter_map("finite", |n| serde_json::to_string(&n).ok()),
            any::<String>().prop_filter_map("no NUL", |s| (!s.contains('\0'))
                .then(|| serde_json::to_string(&s).unwrap())),
        ];
        leaf.prop_recursive(6, 40, 5, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..5).prop_map(|items| format!("[{}]", items.join(" , "))),
                vec(inner, 0..5).prop_map(|items| {
                    let members: Vec<String> = items.iter().map(|item| format!("\"k\" :{item}")).collect();
                    format!("{{{}}}", members.join(","))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn agrees_with_another_parser(text in prop_oneof![nearly_json(), json()]) {
            let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text);
            prop_assert_eq!(check(&text).is_ok(), theirs.is_ok(), "{:?} {:?}", check(&text), theirs);
        }
    }

    #[test]
    fn depth_is_bounded_and_costs_no_stack() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(check(&nested(MAX_DEPTH)), Ok(()));
        assert!(check(&nested(MAX_DEPTH + 1)).unwrap_err().starts_with("nested deeper than 512"));
        assert!(check(&"[{\"a\":".repeat(1_000_000)).is_err());
    }

    #[test]
    fn numbers_keep_to_the_range_of_numeric() {
        let zeros = |n| "0".repeat(n);
        for good in [
            "1e131071".to_owned(),
            "-0.0001e131075".to_owned(),
            format!("1{}", zeros(131_071)),
            "1e-16383".to_owned(),
            format!("0.{}", zeros(16_383)),
            "0e1000000".to_owned(),
            "0".to_owned(),
            "-0.0".to_owned(),
        ] {
            assert_eq!(check(&good), Ok(()), "{}", &good[..good.len().min(20)]);
        }
        for bad in [
            "1e131072".to_owned(),
            "[1e99999999999999999999]".to_owned(),
            format!("1{}", zeros(131_072)),
            "1e-16384".to_owned(),
            format!("0.{}", zeros(16_384)),
            "0e1073741824".to_owned(),
        ] {
            assert!(
                check(&bad).unwrap_err().starts_with("number out of range"),
                "{}",
                &bad[..bad.len().min(20)]
            );
        }
    }

    #[test]
    fn strings_hold_no_half_characters() {
        for good in [r#""\ud83d\ude00""#, r#""\\u0000""#, r#"{"\u00e9":1}"#] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            r#""\ud83d""#,
            r#""\ude00""#,
            r#""\ud83d\ud83d""#,
            r#""\ud83dx""#,
            r#""\ud83d\n""#,
            r#"{"\u0000":1}"#,
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn says_where_and_what() {
        for (text, detail) in [
            ("", "unexpected end of input at position 0"),
            ("[1", "unexpected end of input at position 2"),
            ("01", "unexpected byte at position 1: 0x31 (\"1\")"),
            ("é", "unexpected byte at position 0: 0xC3"),
            ("1 2", "unexpected byte at position 2: 0x32 (\"2\")"),
            (r#""\q""#, "unexpected byte at position 2: 0x71 (\"q\")"),
        ] {
            assert_eq!(check(text), Err(detail.to_owned()), "{text}");
        }
    }
}

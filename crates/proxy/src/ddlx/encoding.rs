//! How the characters of a client's text are made of bytes.

/// An encoding that a client may speak, as far as finding characters in it goes.
///
/// In all of them a byte below 0x80 at the beginning of a character is ASCII. In some, such a byte may also be the end of a
/// longer character, among them the backslash: there text has to be walked through character by character.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// Also what is assumed of encodings that aren't known.
    #[default]
    Utf8,
    /// Every byte is a character.
    Bytes,
    /// Extended Unix code, and Johab which is laid out in the same way.
    Euc,
    /// Shift JIS: pairs, and half-width katakana of one byte.
    ShiftJis,
    /// Big5, GBK, UHC: pairs.
    Pairs,
    /// Pairs, and fours made of two of them.
    Gb18030,
}

impl Encoding {
    /// The encoding of a session by what Postgres reports of it: `client_encoding`, and `server_encoding`, which counts where
    /// the client has left its own open (`SQL_ASCII`).
    #[must_use]
    pub fn of(client: &str, server: &str) -> Encoding {
        match if client == "SQL_ASCII" { server } else { client } {
            "EUC_JP" | "EUC_CN" | "EUC_KR" | "EUC_TW" | "EUC_JIS_2004" | "JOHAB" => Encoding::Euc,
            "SJIS" | "SHIFT_JIS_2004" => Encoding::ShiftJis,
            "BIG5" | "GBK" | "UHC" => Encoding::Pairs,
            "GB18030" => Encoding::Gb18030,
            name if ["SQL_ASCII", "LATIN", "ISO_8859", "WIN", "KOI8"]
                .iter()
                .any(|start| name.starts_with(start)) =>
            {
                Encoding::Bytes
            }
            _ => Encoding::Utf8,
        }
    }

    /// Bytes of the first character: from 1 to what there is, and 0 only where there is nothing.
    #[must_use]
    pub fn width(self, text: &[u8]) -> usize {
        let Some(&first) = text.first() else { return 0 };
        let width = match (self, first) {
            (_, ..0x80) | (Encoding::Bytes, _) => 1,
            (Encoding::Utf8, 0xF0..) => 4,
            (Encoding::Utf8, 0xE0..) => 3,
            (Encoding::Utf8, 0xC0..) => 2,
            (Encoding::Utf8, _) => 1,
            (Encoding::Euc, 0x8F) => 3,
            (Encoding::ShiftJis, 0xA1..=0xDF) => 1,
            (Encoding::Gb18030, _) if matches!(text.get(1), Some(b'0'..=b'9')) => 4,
            (Encoding::Euc | Encoding::ShiftJis | Encoding::Pairs | Encoding::Gb18030, _) => 2,
        };
        width.min(text.len())
    }

    /// How many characters there are.
    #[must_use]
    pub fn count(self, text: &[u8]) -> usize {
        match self {
            Encoding::Bytes => text.len(),
            // Bytes that continue a character aren't one.
            Encoding::Utf8 => text.iter().filter(|byte| **byte & 0xC0 != 0x80).count(),
            _ => {
                let (mut rest, mut count) = (text, 0);
                while !rest.is_empty() {
                    rest = rest.get(self.width(rest)..).unwrap_or_default();
                    count += 1;
                }
                count
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_characters() {
        for (encoding, text, count) in [
            (Encoding::Utf8, &b"a\xC3\xA9\xE8\xA1\xA8\xF0\x9F\x98\x80"[..], 4),
            (Encoding::Bytes, b"a\xE9", 2),
            (Encoding::ShiftJis, b"\x95\x5C\xB1'", 3),
            (Encoding::Gb18030, b"\x81\x30\x81\x30\x95\x5C", 2),
            (Encoding::Euc, b"\x8F\xA1\xA1\xA1\xA1a", 3),
            (Encoding::Pairs, b"\xA4", 1),
            (Encoding::Utf8, b"", 0),
        ] {
            assert_eq!(encoding.count(text), count, "{encoding:?} {text:x?}");
        }
    }

    #[test]
    fn takes_the_name_that_postgres_reports() {
        assert_eq!(Encoding::of("UTF8", "LATIN1"), Encoding::Utf8);
        assert_eq!(Encoding::of("SQL_ASCII", "EUC_JP"), Encoding::Euc);
        assert_eq!(Encoding::of("SQL_ASCII", "SQL_ASCII"), Encoding::Bytes);
        assert_eq!(Encoding::of("WIN1252", "UTF8"), Encoding::Bytes);
        assert_eq!(Encoding::of("SJIS", "UTF8"), Encoding::ShiftJis);
        assert_eq!(Encoding::of("", ""), Encoding::Utf8);
    }
}

//! `uuid` as text.

/// Reads any form that Postgres takes: hexadecimal digits in either case, a hyphen after any group of four, braces around.
pub(super) fn parse(text: &str) -> Option<[u8; 16]> {
    let bytes = text.as_bytes();
    let mut rest = match bytes {
        [b'{', inner @ .., b'}'] => inner,
        [b'{', ..] => return None,
        _ => bytes,
    };
    let mut uuid = [0; 16];
    for (i, byte) in uuid.iter_mut().enumerate() {
        let [high, low, tail @ ..] = rest else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
        rest = match tail {
            [b'-', tail @ ..] if i % 2 == 1 && i < 15 => tail,
            _ => tail,
        };
    }
    rest.is_empty().then_some(uuid)
}

/// Reads what Postgres prints.
pub(super) fn read(bytes: &[u8]) -> Option<[u8; 16]> {
    let text: &[u8; 36] = bytes.try_into().ok()?;
    let mut uuid = [0; 16];
    let mut at = 0;
    for (i, byte) in uuid.iter_mut().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            if text[at] != b'-' {
                return None;
            }
            at += 1;
        }
        *byte = digit(text[at])? << 4 | digit(text[at + 1])?;
        at += 2;
    }
    Some(uuid)
}

/// The canonical form: lower case, five groups.
pub(super) fn print(uuid: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (i, byte) in uuid.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
        }
    }
    text
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

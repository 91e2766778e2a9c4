//! Text: its functions, and the input and output functions of all types.

use super::{
    Type, Value,
    catalogue::Body,
    function::Raised,
    like::{self, Match},
    value::View,
};

/// Reads a `bool` as `boolin` does: a word for yes or no, or the beginning of one, in any case, blanks around.
pub(super) fn parse_bool(text: &str) -> Option<bool> {
    let word = text.trim_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']).to_ascii_lowercase();
    // `o` could begin both `on` and `off`.
    let begins = |of: &str, at_least: usize| word.len() >= at_least && of.starts_with(&word);
    let yes = begins("true", 1) || begins("yes", 1) || begins("on", 2) || word == "1";
    let no = begins("false", 1) || begins("no", 1) || begins("off", 2) || word == "0";
    (yes || no).then_some(yes)
}

fn two<'a>(arguments: &[View<'a>]) -> Result<(&'a str, &'a str), Raised> {
    let [View::Text(a), View::Text(b)] = *arguments else { return Err(Raised) };
    Ok((a, b))
}

fn one<'a>(arguments: &[View<'a>]) -> Result<&'a str, Raised> {
    let [View::Text(a)] = *arguments else { return Err(Raised) };
    Ok(a)
}

/// `||` raises where the text became longer, so that no clause multiplies a row. Postgres' own limit is a gigabyte.
const LONGEST: usize = 16 << 20;

/// `||`
pub(super) fn concatenate(arguments: &[View<'_>]) -> Result<Value, Raised> {
    let (a, b) = two(arguments)?;
    if a.len() + b.len() > LONGEST { Err(Raised) } else { Ok(Value::Text([a, b].concat().into())) }
}

/// `lower`
pub(super) fn lower(arguments: &[View<'_>]) -> Result<Value, Raised> {
    Ok(Value::Text(to_lower(one(arguments)?).into()))
}

/// `upper`
pub(super) fn upper(arguments: &[View<'_>]) -> Result<Value, Raised> {
    Ok(Value::Text(one(arguments)?.chars().map(upper_char).collect::<String>().into()))
}

/// `~~`
pub(super) fn like(arguments: &[View<'_>]) -> Result<Value, Raised> {
    let (text, pattern) = two(arguments)?;
    matched(text, pattern).map(Value::Bool)
}

/// `!~~`
pub(super) fn not_like(arguments: &[View<'_>]) -> Result<Value, Raised> {
    let (text, pattern) = two(arguments)?;
    matched(text, pattern).map(|matched| Value::Bool(!matched))
}

/// `~~*`
pub(super) fn ilike(arguments: &[View<'_>]) -> Result<Value, Raised> {
    let (text, pattern) = two(arguments)?;
    matched(&to_lower(text), &to_lower(pattern)).map(Value::Bool)
}

/// `!~~*`
pub(super) fn not_ilike(arguments: &[View<'_>]) -> Result<Value, Raised> {
    let (text, pattern) = two(arguments)?;
    matched(&to_lower(text), &to_lower(pattern)).map(|matched| Value::Bool(!matched))
}

fn matched(text: &str, pattern: &str) -> Result<bool, Raised> {
    match like::matches(text, pattern) {
        Match::Yes => Ok(true),
        Match::No => Ok(false),
        Match::Raises => Err(Raised),
    }
}

fn to_lower(text: &str) -> String {
    text.chars().map(lower_char).collect()
}

/// Unicode's simple mapping: always one character for one.
fn lower_char(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    let mut mapped = c.to_lowercase();
    // The only one of several characters is that of `İ`, and it begins with the simple mapping.
    mapped.next().unwrap_or(c)
}

fn upper_char(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_uppercase();
    }
    let mut mapped = c.to_uppercase();
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        _ => upper_with_iota(c),
    }
}

/// Greek letters with an iota underneath, whose full mapping is of two characters, have a simple one as well.
fn upper_with_iota(c: char) -> char {
    let mapped = match u32::from(c) {
        code @ (0x1f80..=0x1f87 | 0x1f90..=0x1f97 | 0x1fa0..=0x1fa7) => code + 8,
        code @ (0x1fb3 | 0x1fc3 | 0x1ff3) => code + 9,
        code => code,
    };
    char::from_u32(mapped).unwrap_or(c)
}

/// `bool::text`
pub(super) fn bool_to_text(arguments: &[View<'_>]) -> Result<Value, Raised> {
    let [View::Bool(value)] = *arguments else { return Err(Raised) };
    Ok(Value::Text(if value { "true" } else { "false" }.into()))
}

fn input(arguments: &[View<'_>], ty: &Type) -> Result<Value, Raised> {
    Value::parse(one(arguments)?, ty).map_err(|_| Raised)
}

fn output(arguments: &[View<'_>], ty: &Type) -> Result<Value, Raised> {
    let [view] = arguments else { return Err(Raised) };
    Ok(Value::Text(view.print(ty).into()))
}

/// The types that can be read from text and printed, each with its input and its output function.
pub(super) fn conversions() -> [(Type, Body, Body); 13] {
    macro_rules! conversion {
        ($($ty:ident)*) => { [$((Type::$ty, |a| input(a, &Type::$ty), |a| output(a, &Type::$ty))),*] };
    }
    conversion!(Bool Int2 Int4 Int8 Numeric Float4 Float8 Date Time Timestamp Timestamptz Interval Uuid)
}

/// What the output function of a type is called: by clients of old, and by Postgres.
pub(super) fn output_names(ty: &Type) -> &'static [&'static str] {
    match ty {
        Type::Bool => &["boolout"],
        Type::Int2 => &["int2out"],
        Type::Int4 => &["int4out"],
        Type::Int8 => &["int8out"],
        Type::Float4 => &["float4out"],
        Type::Float8 => &["float8out"],
        Type::Numeric => &["numericout", "numeric_out"],
        Type::Date => &["dateout", "date_out"],
        Type::Time => &["timeout", "time_out"],
        Type::Timestamp => &["timestampout", "timestamp_out"],
        Type::Timestamptz => &["timestamptzout", "timestamptz_out"],
        Type::Interval => &["intervalout", "interval_out"],
        Type::Uuid => &["uuidout", "uuid_out"],
        Type::Text
        | Type::Varchar
        | Type::Bpchar
        | Type::Bytea
        | Type::Jsonb
        | Type::Enum(_)
        | Type::Other(_) => &[],
    }
}

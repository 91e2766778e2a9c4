//! Random conditions without AND, OR and NOT.

use super::{
    Random,
    operands::{column, operand, untyped_literal},
    pools::{COLUMNS, pool, quoted},
};

const COMPARABLE: [&str; 17] = [
    "int2",
    "int4",
    "int8",
    "numeric",
    "float4",
    "float8",
    "text",
    "varchar",
    "bpchar",
    "uuid",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "bool",
    "interval",
    "mood",
];

const PATTERNS: [&str; 24] = [
    "%", "a%", "%b", "%a%", "_", "a_b", "A\\_c", "100\\%", "%\\%", "a\\\\b", "é%", "É%", "__", "%_b%", "_%_",
    "", "a%b%", "\\", "a\\", "%\\", "%_\\", "pending%", "%日_語", "%a_%",
];

/// A condition.
pub fn atom(random: &mut Random) -> String {
    let depth = random.below(3);
    match random.below(10) {
        0..=4 => comparison(random, depth),
        5 => list(random, depth),
        6 => like(random),
        7 => null_test(random),
        8 => distinct(random, depth),
        _ => match random.below(3) {
            0 => column(random, "bool"),
            1 => between(random),
            _ => operand(random, "bool", 2),
        },
    }
}

fn operators(ty: &str) -> &'static [&'static str] {
    if matches!(ty, "bool" | "interval" | "mood") {
        &["=", "<>", "!="]
    } else {
        &["=", "<>", "!=", "<", "<=", ">", ">="]
    }
}

/// A type that may stand beside another.
fn partner(random: &mut Random, ty: &'static str) -> &'static str {
    match ty {
        "int2" | "int4" | "int8" | "numeric" | "float4" | "float8" if random.one_in(3) => {
            random.pick(&["int2", "int4", "int8", "numeric", "float4", "float8"])
        }
        "text" | "varchar" => random.pick(&["text", "varchar"]),
        "date" | "timestamp" if random.one_in(3) => random.pick(&["date", "timestamp"]),
        same => same,
    }
}

fn comparison(random: &mut Random, depth: usize) -> String {
    let ty = random.pick(&COMPARABLE);
    let operator = random.pick(operators(ty));
    let left =
        if random.one_in(2) && ty != "interval" { column(random, ty) } else { operand(random, ty, depth) };
    let right = if random.one_in(2) {
        untyped_literal(random, ty)
    } else {
        let other = partner(random, ty);
        operand(random, other, depth)
    };
    if random.one_in(4) { format!("{right} {operator} {left}") } else { format!("{left} {operator} {right}") }
}

fn list(random: &mut Random, depth: usize) -> String {
    let ty = random.pick(&COMPARABLE);
    let needle = if random.one_in(2) { operand(random, ty, depth) } else { simple(random, ty) };
    let mut items: Vec<_> = (0..=random.below(4)).map(|_| untyped_literal(random, ty)).collect();
    if random.one_in(4) {
        items.push("NULL".to_owned());
    }
    let not = if random.one_in(3) { "NOT " } else { "" };
    format!("{needle} {not}IN ({})", items.join(", "))
}

fn simple(random: &mut Random, ty: &str) -> String {
    operand(random, ty, 0)
}

fn like(random: &mut Random) -> String {
    let text = random.pick(&["text", "varchar"]);
    let text = operand(random, text, 1);
    let operator = random.pick(&["LIKE", "NOT LIKE", "ILIKE", "NOT ILIKE", "~~", "!~~", "~~*", "!~~*"]);
    let pattern = match random.below(6) {
        0 => column(random, "text"),
        1 => quoted(random.pick(pool("text"))),
        _ => quoted(random.pick(&PATTERNS)),
    };
    format!("{text} {operator} {pattern}")
}

fn null_test(random: &mut Random) -> String {
    let test = random.pick(&["IS NULL", "IS NOT NULL", "ISNULL", "NOTNULL"]);
    if random.one_in(2) {
        let (name, _) = COLUMNS[random.below(COLUMNS.len())];
        return format!("this.{name} {test}");
    }
    let ty = random.pick(&COMPARABLE);
    format!("({}) {test}", operand(random, ty, 2))
}

fn distinct(random: &mut Random, depth: usize) -> String {
    let ty = random.pick(&COMPARABLE);
    let other = partner(random, ty);
    let right = if random.one_in(2) { untyped_literal(random, ty) } else { operand(random, other, depth) };
    let not = if random.one_in(2) { "NOT " } else { "" };
    format!("{} IS {not}DISTINCT FROM {right}", operand(random, ty, depth))
}

fn between(random: &mut Random) -> String {
    let ty = random.pick(&COMPARABLE[..14]);
    let not = if random.one_in(3) { "NOT " } else { "" };
    format!(
        "{} {not}BETWEEN {} AND {}",
        simple(random, ty),
        untyped_literal(random, ty),
        untyped_literal(random, ty)
    )
}

//! Random expressions of each type, as clients write them.

use super::{
    Random,
    pools::{COLUMNS, pool, quoted},
};

/// A column of the type.
pub fn column(random: &mut Random, ty: &str) -> String {
    let of_type: Vec<_> = COLUMNS.iter().filter(|(name, of)| *of == ty && *name != "id").collect();
    format!("this.{}", of_type[random.below(of_type.len())].0)
}

/// A literal whose type is stated.
pub fn typed_literal(random: &mut Random, ty: &str) -> String {
    let value = random.pick(pool(ty));
    match ty {
        "int4" if !value.starts_with('-') => value.to_owned(),
        "numeric" if value.contains('.') && !value.starts_with('-') => value.to_owned(),
        "bool" => random.pick(&["true", "false", "'t'::bool"]).to_owned(),
        _ if random.one_in(2) => format!("{ty} {}", quoted(value)),
        _ => format!("{}::{ty}", quoted(value)),
    }
}

/// A literal whose type Postgres has to find.
pub fn untyped_literal(random: &mut Random, ty: &str) -> String {
    let value = random.pick(pool(ty));
    let number = matches!(ty, "int2" | "int4" | "int8") || (ty == "numeric" && value != "NaN");
    if number && !value.starts_with('-') && random.one_in(2) { value.to_owned() } else { quoted(value) }
}

/// An expression of the type, of so many levels at most.
pub fn operand(random: &mut Random, ty: &str, depth: usize) -> String {
    // Nothing else is known of them than how they compare.
    if ty == "bpchar" {
        return column(random, ty);
    }
    let has_columns = ty != "interval" && (ty != "numeric" || random.one_in(2));
    if depth == 0 || random.one_in(3) {
        return match random.below(4) {
            0 => typed_literal(random, ty),
            _ if has_columns => column(random, ty),
            _ => leaf_without_column(random, ty),
        };
    }
    compound(random, ty, depth - 1)
}

fn leaf_without_column(random: &mut Random, ty: &str) -> String {
    match ty {
        "numeric" => {
            let from = random.pick(&["int2", "int4", "int8"]);
            format!("{}::numeric", column(random, from))
        }
        _ => {
            let of = random.pick(&["timestamp", "timestamptz", "time"]);
            format!("({} - {})", column(random, of), column(random, of))
        }
    }
}

fn binary(random: &mut Random, left: &str, operators: &[&str], right: &str, depth: usize) -> String {
    let operator = random.pick(operators);
    format!("({} {operator} {})", operand(random, left, depth), operand(random, right, depth))
}

fn either_way(random: &mut Random, left: &str, operator: &str, right: &str, depth: usize) -> String {
    let (left, right) = if random.one_in(2) { (left, right) } else { (right, left) };
    binary(random, left, &[operator], right, depth)
}

fn compound(random: &mut Random, ty: &str, depth: usize) -> String {
    match ty {
        "bool" => match random.below(3) {
            0 => format!("{}::bool", operand(random, "int4", depth)),
            1 => format!("{}::bool", operand(random, "text", depth)),
            _ => format!("({} = {})", operand(random, "bool", depth), operand(random, "bool", depth)),
        },
        "int2" | "int4" | "int8" => integer(random, ty, depth),
        "numeric" => match random.below(8) {
            0 => format!("(- {})", operand(random, ty, depth)),
            1 => format!("(@ {})", operand(random, ty, depth)),
            2 => {
                let exponent = random.pick(&["2", "0.5", "-1", "3.0", "0", "10", "-2.5"]);
                format!("({} ^ {exponent}::numeric)", operand(random, ty, depth))
            }
            3 => binary(random, "int4", &["+", "-", "*", "/", "%"], ty, depth),
            _ => binary(random, ty, &["+", "-", "*", "/", "%"], ty, depth),
        },
        "float4" => match random.below(4) {
            0 => format!("(- {})", operand(random, ty, depth)),
            _ => binary(random, ty, &["+", "-", "*", "/"], ty, depth),
        },
        "float8" => match random.below(8) {
            0 => format!("(@ {})", operand(random, ty, depth)),
            1 => format!("(|/ {})", operand(random, ty, depth)),
            2 => binary(random, ty, &["^"], ty, depth),
            3 => {
                let other = random.pick(&["int2", "int4", "int8", "numeric", "float4"]);
                binary(random, ty, &["+", "-", "*", "/"], other, depth)
            }
            4 => {
                let (a, b) = (random.pick(&["int8", "numeric", "float4"]), "float4");
                let (a, b) = if random.one_in(2) { (a, b) } else { (b, a) };
                binary(random, a, &["+", "-", "*", "/"], b, depth)
            }
            _ => binary(random, ty, &["+", "-", "*", "/"], ty, depth),
        },
        "text" | "varchar" => text(random, depth),
        "uuid" => format!("{}::uuid", operand(random, "text", depth)),
        "mood" => column(random, ty),
        _ => temporal(random, ty, depth),
    }
}

fn integer(random: &mut Random, ty: &str, depth: usize) -> String {
    match random.below(8) {
        0 => format!("(- {})", operand(random, ty, depth)),
        1 => format!("(@ {})", operand(random, ty, depth)),
        2 => binary(random, ty, &["&", "|", "#", "%"], ty, depth),
        3 if ty == "int4" => format!("{}::int4", operand(random, "bool", depth)),
        4 if ty == "int4" => binary(random, "date", &["-"], "date", depth),
        5 if ty != "int2" => either_way(random, ty, random_arithmetic(depth), "int2", depth),
        6 => format!("{}::{ty}", operand(random, "text", depth)),
        _ => binary(random, ty, &["+", "-", "*", "/"], ty, depth),
    }
}

fn random_arithmetic(depth: usize) -> &'static str {
    ["+", "-", "*", "/"][depth % 4]
}

fn text(random: &mut Random, depth: usize) -> String {
    match random.below(6) {
        0 => format!("lower({})", operand(random, "text", depth)),
        1 => format!("upper({})", operand(random, "text", depth)),
        2 | 3 => {
            let ty = random.pick(&[
                "bool",
                "int2",
                "int4",
                "int8",
                "numeric",
                "float4",
                "float8",
                "date",
                "time",
                "timestamp",
                "timestamptz",
                "interval",
                "uuid",
            ]);
            format!("{}::text", operand(random, ty, depth))
        }
        _ => binary(random, "text", &["||"], random_string_type(depth), depth),
    }
}

fn random_string_type(depth: usize) -> &'static str {
    ["text", "varchar"][depth % 2]
}

fn zone(random: &mut Random) -> String {
    quoted(random.pick(pool("zone")))
}

fn temporal(random: &mut Random, ty: &str, depth: usize) -> String {
    match ty {
        "date" => match random.below(3) {
            0 => format!("{}::date", column(random, "text")),
            1 => either_way(random, "date", "+", "int4", depth),
            _ => binary(random, "date", &["-"], "int4", depth),
        },
        "time" => binary(random, "time", &["+", "-"], "interval", depth),
        "timestamp" => match random.below(6) {
            0 => format!("{}::timestamp", operand(random, "date", depth)),
            1 => either_way(random, "date", "+", "time", depth),
            2 => either_way(random, "date", "+", "interval", depth),
            3 => format!("({} AT TIME ZONE {})", operand(random, "timestamptz", depth), zone(random)),
            4 => binary(random, "date", &["-"], "interval", depth),
            _ => binary(random, "timestamp", &["+", "-"], "interval", depth),
        },
        "timestamptz" => match random.below(3) {
            0 => format!("({} AT TIME ZONE {})", operand(random, "timestamp", depth), zone(random)),
            1 => either_way(random, "timestamptz", "+", "interval", depth),
            _ => binary(random, "timestamptz", &["-"], "interval", depth),
        },
        _ => match random.below(6) {
            0 => {
                let function = random.pick(&["justify_days", "justify_hours", "justify_interval"]);
                format!("{function}({})", operand(random, "interval", depth))
            }
            1 => either_way(random, "interval", "*", "float8", depth),
            2 | 3 => {
                let of = random.pick(&["timestamp", "timestamptz", "time"]);
                binary(random, of, &["-"], of, depth)
            }
            _ => binary(random, "interval", &["+", "-"], "interval", depth),
        },
    }
}

//! Expressions of indexes, from Postgres to SQLite (the table of spec 03 §8.3).
//!
//! Only what every SQLite that clients use can run is translated. Along the way it is noted whether the result means
//! exactly the same: SQLite has fewer types, so that a cast or a comparison may differ in rare values.

use sqlparser::ast::{
    BinaryOperator as Op, CaseWhen, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, Ident, TrimWhereField, UnaryOperator, Value,
};

use super::kind::Kind;
use crate::{
    Table,
    identifier::{quote_literal, quote_sqlite},
};

/// Deepest nesting that is translated.
const MAX_DEPTH: usize = 64;

/// Where in an index an expression stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    /// What is indexed.
    Key,
    /// Which rows are.
    Predicate,
}

pub(super) struct Translator<'a> {
    table: &'a Table,
    exact: bool,
    depth: usize,
}

/// SQLite text, and the kind of value that it gives.
struct Term {
    sql: String,
    kind: Kind,
}

impl Term {
    fn new(sql: impl Into<String>, kind: Kind) -> Term {
        Term { sql: sql.into(), kind }
    }
}

impl<'a> Translator<'a> {
    pub(super) fn new(table: &'a Table) -> Translator<'a> {
        Translator { table, exact: true, depth: 0 }
    }

    /// Whether all that was translated means the same in SQLite.
    pub(super) fn is_exact(&self) -> bool {
        self.exact
    }

    /// The text for SQLite; `None` if there is none.
    pub(super) fn translate(&mut self, expr: &Expr, position: Position) -> Option<String> {
        // A collation only makes Postgres take more values for equal, so that SQLite is never the stricter one.
        let expr = match (strip(expr), position) {
            (Expr::Collate { expr, .. }, Position::Key) => expr,
            (expr, _) => expr,
        };
        self.term(expr).map(|term| term.sql)
    }

    fn term(&mut self, expr: &Expr) -> Option<Term> {
        if self.depth == MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        let term = self.any(strip(expr));
        self.depth -= 1;
        term
    }

    /// A term within an operator that binds tighter than `IS NULL`.
    fn operand(&mut self, expr: &Expr) -> Option<Term> {
        let loose = matches!(
            strip(expr),
            Expr::IsNull(_) | Expr::IsNotNull(_) | Expr::IsUnknown(_) | Expr::IsNotUnknown(_)
        );
        let term = self.term(expr)?;
        Some(if loose { Term { sql: format!("({})", term.sql), ..term } } else { term })
    }

    fn any(&mut self, expr: &Expr) -> Option<Term> {
        match expr {
            Expr::Identifier(name) => self.column(name),
            Expr::Value(value) => literal(&value.value),
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right),
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => {
                let sql = self.operand(expr)?.sql;
                Some(Term::new(format!("(NOT {sql})"), Kind::Bool))
            }
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
                let Term { sql, kind } = self.operand(expr)?;
                kind.is_number().then(|| Term::new(format!("(- {sql})"), kind))
            }
            Expr::IsNull(expr) | Expr::IsUnknown(expr) => self.postfix(expr, "IS NULL"),
            Expr::IsNotNull(expr) | Expr::IsNotUnknown(expr) => self.postfix(expr, "IS NOT NULL"),
            Expr::IsTrue(expr) => self.truth(expr, "IS 1"),
            Expr::IsNotTrue(expr) => self.truth(expr, "IS NOT 1"),
            Expr::IsFalse(expr) => self.truth(expr, "IS 0"),
            Expr::IsNotFalse(expr) => self.truth(expr, "IS NOT 0"),
            Expr::IsDistinctFrom(left, right) => self.comparison(left, "IS NOT", right, false),
            Expr::IsNotDistinctFrom(left, right) => self.comparison(left, "IS", right, false),
            Expr::AnyOp { left, compare_op: Op::Eq, right, .. } => match strip(right) {
                Expr::Array(array) => self.membership(left, &array.elem),
                _ => None,
            },
            Expr::InList { expr, list, negated: false } => self.membership(expr, list),
            Expr::Cast { expr, data_type, .. } => self.cast(expr, data_type),
            Expr::Function(function) => self.function(function),
            Expr::Trim { trim_where, trim_what, expr, trim_characters: None } => {
                let name = match trim_where {
                    None | Some(TrimWhereField::Both) => "trim",
                    Some(TrimWhereField::Leading) => "ltrim",
                    Some(TrimWhereField::Trailing) => "rtrim",
                };
                let arguments: Vec<&Expr> =
                    [Some(&**expr), trim_what.as_deref()].into_iter().flatten().collect();
                self.call(name, &arguments)
            }
            Expr::Substring { expr, substring_from: Some(from), substring_for, .. } => {
                let arguments: Vec<&Expr> =
                    [Some(&**expr), Some(&**from), substring_for.as_deref()].into_iter().flatten().collect();
                self.call("substr", &arguments)
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())
            }
            Expr::Array(array) if array.elem.is_empty() => Some(Term::new("'[]'", Kind::Json)),
            _ => None,
        }
    }

    fn column(&self, name: &Ident) -> Option<Term> {
        let column = self.table.columns.iter().find(|c| c.name == name.value)?;
        Some(Term::new(quote_sqlite(&column.name), Kind::of_column(&column.ty)))
    }

    fn binary(&mut self, left: &Expr, op: &Op, right: &Expr) -> Option<Term> {
        match op {
            Op::And | Op::Or => {
                let (left, right) = (self.term(left)?, self.term(right)?);
                Some(Term::new(format!("({} {op} {})", left.sql, right.sql), Kind::Bool))
            }
            Op::Eq => self.comparison(left, "=", right, false),
            Op::NotEq => self.comparison(left, "<>", right, false),
            Op::Lt => self.comparison(left, "<", right, true),
            Op::LtEq => self.comparison(left, "<=", right, true),
            Op::Gt => self.comparison(left, ">", right, true),
            Op::GtEq => self.comparison(left, ">=", right, true),
            Op::Plus | Op::Minus | Op::Multiply | Op::Divide | Op::Modulo => {
                let (left, right) = (self.operand(left)?, self.operand(right)?);
                if !left.kind.is_number() || !right.kind.is_number() {
                    return None;
                }
                let integer = left.kind == Kind::Int && right.kind == Kind::Int;
                let kind = if integer { Kind::Int } else { Kind::Real };
                Some(Term::new(format!("({} {op} {})", left.sql, right.sql), kind))
            }
            Op::StringConcat => {
                let (left, right) = (self.operand(left)?, self.operand(right)?);
                self.exact &= left.kind.has_same_text() && right.kind.has_same_text();
                Some(Term::new(format!("({} || {})", left.sql, right.sql), Kind::Text))
            }
            _ => None,
        }
    }

    fn comparison(&mut self, left: &Expr, op: &str, right: &Expr, ordered: bool) -> Option<Term> {
        let (left, right) = (self.operand(left)?, self.operand(right)?);
        self.exact &= left.kind.compares_alike(right.kind, ordered);
        Some(Term::new(format!("({} {op} {})", left.sql, right.sql), Kind::Bool))
    }

    fn membership(&mut self, expr: &Expr, list: &[Expr]) -> Option<Term> {
        let subject = self.operand(expr)?;
        let mut items = Vec::with_capacity(list.len());
        for item in list {
            let item = self.term(item)?;
            self.exact &= subject.kind.compares_alike(item.kind, false);
            items.push(item.sql);
        }
        Some(Term::new(format!("({} IN ({}))", subject.sql, items.join(", ")), Kind::Bool))
    }

    fn postfix(&mut self, expr: &Expr, test: &str) -> Option<Term> {
        let sql = self.operand(expr)?.sql;
        Some(Term::new(format!("{sql} {test}"), Kind::Bool))
    }

    /// Booleans are 1 and 0 in SQLite, and older ones know no `IS TRUE`.
    fn truth(&mut self, expr: &Expr, test: &str) -> Option<Term> {
        let sql = self.operand(expr)?.sql;
        Some(Term::new(format!("({sql} {test})"), Kind::Bool))
    }

    fn cast(&mut self, expr: &Expr, data_type: &DataType) -> Option<Term> {
        let target = Kind::of_type_name(&data_type.to_string());
        if let Some(term) = cast_literal(strip(expr), target) {
            return term;
        }
        let Term { sql, kind } = self.operand(expr)?;
        if kind == target {
            return Some(Term { sql, kind });
        }
        self.exact &= kind.casts_alike(target);
        Some(Term::new(format!("(CAST({sql} AS {}))", target.sqlite_type()), target))
    }

    fn function(&mut self, function: &Function) -> Option<Term> {
        let plain = function.over.is_none() && function.filter.is_none() && function.within_group.is_empty();
        let FunctionArguments::List(list) = &function.args else { return None };
        if !plain || !list.clauses.is_empty() || list.duplicate_treatment.is_some() {
            return None;
        }
        let arguments = list
            .args
            .iter()
            .map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
                _ => None,
            })
            .collect::<Option<Vec<&Expr>>>()?;
        let name = function.name.to_string().to_ascii_lowercase();
        self.call(name.strip_prefix("pg_catalog.").unwrap_or(&name), &arguments)
    }

    /// The functions that both have and that give the same for the same arguments, but for those marked.
    fn call(&mut self, name: &str, arguments: &[&Expr]) -> Option<Term> {
        let terms = arguments.iter().map(|a| self.term(a)).collect::<Option<Vec<Term>>>()?;
        let first = terms.first().map_or(Kind::Other, |t| t.kind);
        let (name, kind, exact) = match (name, terms.len()) {
            ("concat", 1..) => {
                self.exact &= terms.iter().all(|t| t.kind.has_same_text());
                let parts: Vec<String> = terms.iter().map(|t| format!("coalesce({}, '')", t.sql)).collect();
                return Some(Term::new(format!("({})", parts.join(" || ")), Kind::Text));
            }
            ("lower", 1) => ("lower", Kind::Text, true),
            ("upper", 1) => ("upper", Kind::Text, true),
            ("length", 1) => ("length", Kind::Int, true),
            ("abs", 1) if first.is_number() => ("abs", first, true),
            ("coalesce", 2..) => ("coalesce", first, true),
            ("nullif", 2) => ("nullif", first, first.compares_alike(first, false)),
            ("replace", 3) => ("replace", Kind::Text, true),
            ("trim" | "btrim", 1 | 2) => ("trim", Kind::Text, true),
            ("ltrim", 1 | 2) => ("ltrim", Kind::Text, true),
            ("rtrim", 1 | 2) => ("rtrim", Kind::Text, true),
            // Differ where a position lies before the text, and in rounding halves.
            ("substr" | "substring", 2 | 3) => ("substr", Kind::Text, false),
            ("round", 1) if first.is_number() => ("round", Kind::Real, false),
            _ => return None,
        };
        self.exact &= exact && terms.iter().all(|t| !matches!(t.kind, Kind::Decimal | Kind::Other));
        let arguments: Vec<String> = terms.into_iter().map(|t| t.sql).collect();
        Some(Term::new(format!("{name}({})", arguments.join(", ")), kind))
    }

    fn case(
        &mut self,
        operand: Option<&Expr>,
        conditions: &[CaseWhen],
        otherwise: Option<&Expr>,
    ) -> Option<Term> {
        let mut sql = String::from("(CASE");
        if let Some(operand) = operand {
            self.exact = false;
            sql.push_str(&format!(" {}", self.operand(operand)?.sql));
        }
        let mut kind = None;
        for CaseWhen { condition, result } in conditions {
            let (condition, result) = (self.term(condition)?, self.term(result)?);
            kind.get_or_insert(result.kind);
            sql.push_str(&format!(" WHEN {} THEN {}", condition.sql, result.sql));
        }
        if let Some(otherwise) = otherwise {
            sql.push_str(&format!(" ELSE {}", self.term(otherwise)?.sql));
        }
        sql.push_str(" END)");
        Some(Term::new(sql, kind.unwrap_or(Kind::Other)))
    }
}

/// Without the parentheses around it.
fn strip(mut expr: &Expr) -> &Expr {
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}

fn text_of(value: &Value) -> Option<&str> {
    match value {
        Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Some(text),
        _ => None,
    }
}

fn literal(value: &Value) -> Option<Term> {
    match value {
        Value::Boolean(true) => Some(Term::new("1", Kind::Bool)),
        Value::Boolean(false) => Some(Term::new("0", Kind::Bool)),
        Value::Null => Some(Term::new("NULL", Kind::Literal)),
        Value::Number(digits, _) => {
            let kind = if digits.bytes().all(|b| b.is_ascii_digit()) { Kind::Int } else { Kind::Real };
            Some(Term::new(digits.as_str(), kind))
        }
        value => text_of(value).map(|text| Term::new(quote_literal(text), Kind::Literal)),
    }
}

/// A constant takes the type it is cast to without a cast where SQLite can write it so; `None` if this is no such case.
fn cast_literal(expr: &Expr, target: Kind) -> Option<Option<Term>> {
    let Expr::Value(value) = expr else { return None };
    if value.value == Value::Null {
        return Some(Some(Term::new("NULL", target)));
    }
    let text = text_of(&value.value)?;
    let sql = match target {
        Kind::Blob => return Some(hex_digits(text).map(|hex| Term::new(format!("x'{hex}'"), target))),
        Kind::Int if is_number(text, false) => text.to_owned(),
        Kind::Real if is_number(text, true) => text.to_owned(),
        Kind::Int | Kind::Real | Kind::Bool | Kind::Other => return None,
        _ => quote_literal(text),
    };
    Some(Some(Term::new(sql, target)))
}

fn hex_digits(text: &str) -> Option<&str> {
    text.strip_prefix("\\x").filter(|hex| hex.len() % 2 == 0 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// An optional minus and digits, with a fraction if that is allowed.
fn is_number(text: &str, fraction: bool) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    match text.split_once('.') {
        Some((whole, rest)) => fraction && digits(whole) && digits(rest),
        None => digits(text),
    }
}

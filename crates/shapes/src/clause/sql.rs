//! A clause as a condition for Postgres: only what Postgres decides in exactly the same way, and without ever raising.
//!
//! Everything is written anew from the tree, each part in parentheses, each constant a quoted literal of its type.

use schema::Table;

use super::{
    Expr, Type, Value,
    catalogue::{Comparison, Form},
    function::Function,
    like,
};

/// The conjuncts of the expression that can be written so, joined.
pub(super) fn condition(expr: &Expr, table: &Table, alias: &str) -> Option<String> {
    let writer = Writer { table, alias };
    let conjuncts = match expr {
        Expr::And(conjuncts) => conjuncts,
        single => std::slice::from_ref(single),
    };
    let written: Vec<_> = conjuncts.iter().filter_map(|conjunct| writer.conjunct(conjunct)).collect();
    (!written.is_empty()).then(|| written.join(" AND "))
}

struct Writer<'a> {
    table: &'a Table,
    alias: &'a str,
}

impl Writer<'_> {
    /// A conjunct of the whole. Of these it is enough to be true whenever the original is: equality by a collation that takes
    /// more texts for equal than there are equal bytes will do, and can use the column's index.
    fn conjunct(&self, expr: &Expr) -> Option<String> {
        match expr {
            Expr::Call(function, arguments) if is_equality(*function) => {
                let [column @ Expr::Column(..), constant @ Expr::Const(Some(_), _)] = &arguments[..] else {
                    return self.boolean(expr);
                };
                Some(format!("({} = {})", self.operand(column)?, self.constant(constant, column)?))
            }
            Expr::In { needle, list, or_null: _ } if matches!(**needle, Expr::Column(..)) => {
                self.contained(&self.operand(needle)?, needle, list, false)
            }
            _ => self.boolean(expr),
        }
    }

    /// A boolean expression, exactly.
    fn boolean(&self, expr: &Expr) -> Option<String> {
        match expr {
            Expr::And(operands) => self.joined(operands, " AND "),
            Expr::Or(operands) => self.joined(operands, " OR "),
            Expr::Not(operand) => Some(format!("(NOT {})", self.boolean(operand)?)),
            Expr::IsNull(operand) => {
                let operand = match &**operand {
                    Expr::Column(column, _) => self.column(*column)?,
                    other => self.operand(other)?,
                };
                Some(format!("({operand} IS NULL)"))
            }
            Expr::Is(truth, operand) => Some(format!("({} IS {})", self.boolean(operand)?, truth.name())),
            Expr::Distinct(equal, left, right) => {
                self.comparable(*equal)?;
                let (left, right) = (self.collated(left)?, self.operand(right)?);
                Some(format!("({left} IS DISTINCT FROM {right})"))
            }
            Expr::In { needle, list, or_null } => {
                self.contained(&self.collated(needle)?, needle, list, *or_null)
            }
            Expr::Const(..) | Expr::Column(_, Type::Bool) => self.operand(expr),
            Expr::Call(function, arguments) if function.signature().result == Type::Bool => {
                self.call(*function, arguments)
            }
            Expr::Call(..) | Expr::Column(..) => None,
        }
    }

    fn joined(&self, operands: &[Expr], with: &str) -> Option<String> {
        let written: Option<Vec<_>> = operands.iter().map(|operand| self.boolean(operand)).collect();
        Some(format!("({})", written?.join(with)))
    }

    fn contained(&self, needle_sql: &str, needle: &Expr, list: &[Value], or_null: bool) -> Option<String> {
        let ty = needle.ty();
        let values: Option<Vec<_>> = list.iter().map(|value| literal(value, &ty)).collect();
        let mut values = values?;
        if or_null {
            values.push("NULL".to_owned());
        }
        (!values.is_empty()).then(|| format!("({needle_sql} IN ({}))", values.join(", ")))
    }

    /// Any expression, exactly.
    fn operand(&self, expr: &Expr) -> Option<String> {
        match expr {
            Expr::Const(Some(value), ty) => literal(value, ty),
            Expr::Const(None, ty) => Some(format!("NULL::{}", type_name(ty)?)),
            Expr::Column(column, ty) => match ty {
                // As text it can be compared with labels that are no more, or not yet.
                Type::Enum(_) => Some(format!("({})::text", self.column(*column)?)),
                Type::Bytea | Type::Jsonb | Type::Other(_) => None,
                _ => self.column(*column),
            },
            Expr::Call(function, arguments) => self.call(*function, arguments),
            _ => self.boolean(expr),
        }
    }

    /// A constant that is compared with a column, of the column's own type, for an index to be of use.
    fn constant(&self, constant: &Expr, column: &Expr) -> Option<String> {
        match (constant, column) {
            (Expr::Const(Some(value), Type::Text), Expr::Column(_, Type::Varchar)) => {
                literal(value, &Type::Varchar)
            }
            _ => self.operand(constant),
        }
    }

    fn call(&self, function: Function, arguments: &[Expr]) -> Option<String> {
        let form = function.entry().sql?;
        let signature = function.signature();
        match (form, arguments) {
            (Form::Cast, [argument]) => {
                Some(format!("({})::{}", self.operand(argument)?, type_name(&signature.result)?))
            }
            (Form::Operator, [left, right]) => {
                self.comparable(function)?;
                Some(format!("({} {} {})", self.collated(left)?, signature.name, self.operand(right)?))
            }
            (Form::Ordered, [left, right]) => {
                let (left, right) = (self.operand(left)?, self.operand(right)?);
                Some(format!("({left} COLLATE \"C\" {} {right})", signature.name))
            }
            (Form::Pattern, [text, Expr::Const(Some(Value::Text(pattern)), _)])
                if !like::is_dangling(pattern) =>
            {
                let pattern = literal(&Value::Text(pattern.clone()), &Type::Text)?;
                Some(format!("({} {} {pattern})", self.collated(text)?, signature.name))
            }
            _ => None,
        }
    }

    /// Intervals are read by a setting of the session.
    fn comparable(&self, function: Function) -> Option<()> {
        (!function.signature().arguments.contains(&Type::Interval)).then_some(())
    }

    /// An operand that is compared bytewise, whatever its column's collation. A right side may have one of its own: that of
    /// the left is stated, and so prevails.
    fn collated(&self, expr: &Expr) -> Option<String> {
        let sql = self.operand(expr)?;
        let text = matches!(expr.ty(), Type::Text | Type::Varchar | Type::Bpchar);
        Some(if text && self.any_collation() { format!("{sql} COLLATE \"C\"") } else { sql })
    }

    fn any_collation(&self) -> bool {
        self.table.columns.iter().any(|column| column.collation.is_some())
    }

    fn column(&self, column: usize) -> Option<String> {
        let name = &self.table.columns.get(column)?.name;
        Some(format!("{}.\"{}\"", self.alias, name.replace('"', "\"\"")))
    }
}

fn is_equality(function: Function) -> bool {
    let entry = function.entry();
    entry.comparison == Some(Comparison::Equal) && entry.sql == Some(Form::Operator)
}

/// The type's name, where Postgres can look it up.
fn type_name(ty: &Type) -> Option<&str> {
    match ty {
        Type::Enum(_) => Some("text"),
        // Its literals are read by a setting of the session.
        Type::Interval | Type::Bytea | Type::Jsonb | Type::Other(_) => None,
        other => Some(other.name()),
    }
}

/// A constant as a typed literal. Backslashes are written so that no setting changes their meaning.
fn literal(value: &Value, ty: &Type) -> Option<String> {
    let text = value.print(ty);
    if text.contains('\0') {
        return None;
    }
    let quoted = text.replace('\'', "''");
    let name = type_name(ty)?;
    Some(if quoted.contains('\\') {
        format!("E'{}'::{name}", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'::{name}")
    })
}

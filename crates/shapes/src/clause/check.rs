//! The written tree to the typed one: what references mean, which operators are meant, what literals are (spec 06 §3.2–3.8).

use schema::Table;

use super::{
    ClauseError, Expr, Truth, Type, Value,
    error::excerpt,
    fold, literal, reference,
    syntax::{Form, Node},
    typed::{Term, Typed, call, cast, failed, implicit, no_operator, operation, select_operator},
};

/// Most nodes of a clause, those of the left operand of IN and BETWEEN counted as often as it is compared.
const MAX_NODES: usize = 1 << 17;

/// The type that a clause has to have is `bool`.
///
/// # Errors
/// It has another, or does not type-check.
pub(super) fn check(node: &Node, table: &Table) -> Result<Expr, ClauseError> {
    let mut checker = Checker { table, nodes: MAX_NODES };
    let typed = checker.typed(node)?;
    match typed.term {
        Term::Known(expr, Type::Bool) => Ok(expr),
        _ => {
            let ty = typed.type_name();
            Err(ClauseError(format!("Where expression should evaluate to a boolean, but it's :{ty}")))
        }
    }
}

struct Checker<'a> {
    table: &'a Table,
    /// How many more nodes there may be.
    nodes: usize,
}

impl Checker<'_> {
    fn typed(&mut self, node: &Node) -> Result<Typed, ClauseError> {
        let at = node.at;
        self.count(at, 1)?;
        let expr = match &node.form {
            Form::Null => return Ok(Typed { at, term: Term::Unknown(None) }),
            Form::Text(text) => return Ok(Typed { at, term: Term::Unknown(Some(text.clone())) }),
            Form::Number(number) => {
                let (value, ty) = literal::number(at, number)?;
                return Ok(Typed::known(at, Expr::Const(Some(value), ty.clone()), ty));
            }
            Form::Reference(names) => {
                let (column, ty) = reference::resolve(at, names, self.table)?;
                return Ok(Typed::known(at, Expr::Column(column, ty.clone()), ty));
            }
            Form::Operation(operator, operands) => {
                let operands = self.all(operands)?;
                return operation(at, operator, operands);
            }
            Form::Call(name, arguments) => {
                let arguments = self.all(arguments)?;
                return call(at, name, arguments);
            }
            Form::Cast(operand, target) => {
                let operand = self.typed(operand)?;
                return cast(at, operand, target);
            }
            Form::Bool(value) => Expr::Const(Some(Value::Bool(*value)), Type::Bool),
            Form::And(operands) => fold::and(self.truths(operands)?),
            Form::Or(operands) => fold::or(self.truths(operands)?),
            Form::Not(operand) => fold::not(self.truth(operand)?),
            Form::IsNull(operand) => fold::is_null(self.typed(operand)?.into_any()),
            Form::Is(truth, negated, operand) => self.test(at, *truth, *negated, operand)?,
            Form::Distinct(operands) => self.distinct(at, operands)?,
            Form::In(needle, list) => self.contained(at, needle, list)?,
            Form::Between(operands) => self.between(at, operands)?,
        };
        Ok(Typed::known(at, expr, Type::Bool))
    }

    fn all(&mut self, nodes: &[Node]) -> Result<Vec<Typed>, ClauseError> {
        nodes.iter().map(|node| self.typed(node)).collect()
    }

    fn count(&mut self, at: usize, nodes: usize) -> Result<(), ClauseError> {
        match self.nodes.checked_sub(nodes) {
            Some(left) => {
                self.nodes = left;
                Ok(())
            }
            None => Err(ClauseError::at(at, "the clause has too many parts")),
        }
    }

    fn truths(&mut self, nodes: &[Node]) -> Result<Vec<Expr>, ClauseError> {
        nodes.iter().map(|node| self.truth(node)).collect()
    }

    /// An operand of AND, OR or NOT.
    fn truth(&mut self, node: &Node) -> Result<Expr, ClauseError> {
        let typed = self.typed(node)?;
        match typed.term {
            Term::Unknown(_) | Term::Known(_, Type::Bool) => implicit(typed, &Type::Bool),
            Term::Known(_, ty) => {
                let what = match &node.form {
                    Form::Reference(names) => {
                        format!("reference {} of type {}", reference::display(names), ty.name())
                    }
                    Form::Call(name, _) => format!("function {} returning {}", excerpt(name), ty.name()),
                    Form::Operation(name, _) => format!("operator {name} returning {}", ty.name()),
                    _ => format!("value of type {}", ty.name()),
                };
                Err(ClauseError::at(typed.at, format!("{what} is not castable to bool")))
            }
        }
    }

    fn test(&mut self, at: usize, truth: Truth, negated: bool, operand: &Node) -> Result<Expr, ClauseError> {
        let operand = self.typed(operand)?;
        if operand.ty().is_some_and(|ty| *ty != Type::Bool) {
            let not = if negated { "NOT " } else { "" };
            let (word, ty) = (truth.name(), operand.type_name());
            return Err(ClauseError::at(at, format!("argument of IS {not}{word} must be bool, not {ty}")));
        }
        let test = fold::is(truth, implicit(operand, &Type::Bool)?);
        Ok(if negated { fold::not(test) } else { test })
    }

    fn distinct(&mut self, at: usize, [left, right]: &[Node; 2]) -> Result<Expr, ClauseError> {
        let (left, right) = (self.typed(left)?, self.typed(right)?);
        if right.is_null() {
            return Ok(fold::not(fold::is_null(left.into_any())));
        }
        if left.is_null() {
            return Ok(fold::not(fold::is_null(right.into_any())));
        }
        let (equal, operands) = select_operator(at, "=", vec![left, right])?;
        match <[Expr; 2]>::try_from(operands) {
            Ok([left, right]) => fold::distinct(equal, left, right).map_err(|_| failed(at)),
            Err(_) => Err(no_operator(at)),
        }
    }

    /// IN is an OR of equalities.
    fn contained(&mut self, at: usize, needle: &Node, list: &[Node]) -> Result<Expr, ClauseError> {
        let needle = self.typed(needle)?;
        let size = needle.size();
        let mut equalities = Vec::with_capacity(list.len());
        for item in list {
            self.count(at, size)?;
            let item = self.typed(item)?;
            equalities.push(operation(at, "=", vec![needle.clone(), item])?.into_any());
        }
        Ok(fold::or(equalities))
    }

    fn between(&mut self, at: usize, [operand, low, high]: &[Node; 3]) -> Result<Expr, ClauseError> {
        let operand = self.typed(operand)?;
        self.count(at, operand.size())?;
        let (low, high) = (self.typed(low)?, self.typed(high)?);
        let above = operation(at, ">=", vec![operand.clone(), low])?;
        let below = operation(at, "<=", vec![operand, high])?;
        Ok(fold::and(vec![above.into_any(), below.into_any()]))
    }
}

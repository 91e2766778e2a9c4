//! The tree of a clause as it is written, before its types are known.

use super::{ClauseError, Truth};

/// Most levels of an expression.
pub(super) const MAX_HEIGHT: usize = 128;

/// An expression.
#[derive(Debug)]
pub(super) struct Node {
    /// The byte that messages about it name: Postgres' own choice, so the operator of an operation.
    pub(super) at: usize,
    /// The levels below and including this one.
    height: usize,
    pub(super) form: Form,
}

/// The forms of expression.
#[derive(Debug)]
pub(super) enum Form {
    /// `NULL`
    Null,
    /// `TRUE`, `FALSE`
    Bool(bool),
    /// Digits with whatever belongs to a number; perhaps after a minus sign.
    Number(Box<str>),
    /// A string constant.
    Text(Box<str>),
    /// A name and what it is qualified by, the latter first.
    Reference(Vec<Box<str>>),
    /// A prefix or infix operator, with one or two operands.
    Operation(Box<str>, Vec<Node>),
    /// `a AND b AND …`
    And(Vec<Node>),
    /// `a OR b OR …`
    Or(Vec<Node>),
    /// `NOT a`; also what the `NOT` of `a NOT IN …` and the like does.
    Not(Box<Node>),
    /// `a IS NULL`
    IsNull(Box<Node>),
    /// `a IS TRUE` and its kin; with `NOT` if the flag is set.
    Is(Truth, bool, Box<Node>),
    /// `a IS DISTINCT FROM b`
    Distinct(Box<[Node; 2]>),
    /// `a IN (b, …)`
    In(Box<Node>, Vec<Node>),
    /// `a BETWEEN b AND c`
    Between(Box<[Node; 3]>),
    /// `a::type`, `CAST(a AS type)`, `type 'a'`
    Cast(Box<Node>, Box<TypeName>),
    /// `f(a, …)`
    Call(Box<str>, Vec<Node>),
}

/// A type as it is written.
#[derive(Debug)]
pub(super) struct TypeName {
    pub(super) at: usize,
    /// The name that the catalogue knows it by.
    pub(super) name: Box<str>,
    /// What stands in parentheses behind the name.
    pub(super) modifiers: Vec<Box<str>>,
    /// Whether it is an array of them.
    pub(super) array: bool,
}

impl Node {
    /// A node over others.
    ///
    /// # Errors
    /// It would be more than [`MAX_HEIGHT`] levels high.
    pub(super) fn new(at: usize, form: Form) -> Result<Node, ClauseError> {
        let height = 1 + form.children().map(|child| child.height).max().unwrap_or(0);
        if height > MAX_HEIGHT {
            return Err(too_high(at));
        }
        Ok(Node { at, height, form })
    }

    /// `NOT` of this node, if asked for.
    pub(super) fn negated_if(self, negated: bool) -> Result<Node, ClauseError> {
        if negated { Node::new(self.at, Form::Not(Box::new(self))) } else { Ok(self) }
    }
}

impl Form {
    fn children(&self) -> impl Iterator<Item = &Node> {
        let (first, rest): (Option<&Node>, &[Node]) = match self {
            Form::Null | Form::Bool(_) | Form::Number(_) | Form::Text(_) | Form::Reference(_) => (None, &[]),
            Form::Not(a) | Form::IsNull(a) | Form::Is(_, _, a) | Form::Cast(a, _) => (Some(a), &[]),
            Form::Operation(_, all) | Form::And(all) | Form::Or(all) | Form::Call(_, all) => (None, all),
            Form::Distinct(both) => (None, both.as_slice()),
            Form::Between(all) => (None, all.as_slice()),
            Form::In(needle, list) => (Some(needle), list),
        };
        first.into_iter().chain(rest)
    }
}

/// The refusal of an expression with too many levels.
pub(super) fn too_high(at: usize) -> ClauseError {
    ClauseError::at(
        at,
        format!("expressions of more than {MAX_HEIGHT} levels are not supported, use fewer parentheses"),
    )
}

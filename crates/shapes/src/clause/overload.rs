//! Which of several operators or functions of one name is meant (spec 06 §3.7): Postgres' rules for resolving operators and
//! functions, without its arrays, domains and pseudo-types.

use super::{
    Type,
    function::{Function, implicit_cast},
};

/// What is known of an argument: its type, or nothing if it is a literal or NULL that takes whatever type is wanted.
pub(super) type Known<'a> = Option<&'a Type>;

/// Groups of types between which Postgres chooses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Category {
    Boolean,
    Number,
    String,
    Time,
    Span,
    Enumeration,
    User,
}

/// The operator among `candidates` that is meant.
pub(super) fn operator(candidates: &[Function], arguments: &[Known<'_>]) -> Option<Function> {
    // A literal next to an operand of some type is first taken for one of that type.
    let alike = match arguments {
        [Some(known), None] | [None, Some(known)] => exact(candidates, &[Some(known), Some(known)]),
        _ => None,
    };
    alike.or_else(|| function(candidates, arguments))
}

/// The function among `candidates`, all of as many arguments, that is meant.
pub(super) fn function(candidates: &[Function], arguments: &[Known<'_>]) -> Option<Function> {
    if let Some(found) = exact(candidates, arguments) {
        return Some(found);
    }
    let mut left: Vec<Function> = candidates.iter().copied().filter(|&f| reaches(f, arguments)).collect();
    keep_best(&mut left, |f| {
        positions(f, arguments).filter(|&(wanted, known)| known == Some(wanted)).count()
    });
    keep_best(&mut left, |f| {
        positions(f, arguments).filter(|&(wanted, known)| is_good(wanted, known)).count()
    });
    if let [only] = left[..] {
        return Some(only);
    }
    narrow_by_category(&mut left, arguments);
    if let [only] = left[..] {
        return Some(only);
    }
    assume_one_type(&left, arguments)
}

/// The candidate that takes exactly these types.
fn exact(candidates: &[Function], arguments: &[Known<'_>]) -> Option<Function> {
    candidates.iter().copied().find(|&f| positions(f, arguments).all(|(wanted, known)| known == Some(wanted)))
}

/// What the candidate wants in each position, and what is known there.
fn positions<'a>(
    function: Function,
    arguments: &'a [Known<'a>],
) -> impl Iterator<Item = (&'a Type, Known<'a>)> {
    function.signature().arguments.iter().zip(arguments.iter().copied())
}

/// Whether all arguments become what the candidate wants.
fn reaches(function: Function, arguments: &[Known<'_>]) -> bool {
    positions(function, arguments)
        .all(|(wanted, known)| known.is_none_or(|ty| implicit_cast(ty, wanted).is_some()))
}

/// Whether no cast is needed, or one to the preferred type of the same category.
fn is_good(wanted: &Type, known: Known<'_>) -> bool {
    known.is_some_and(|ty| ty == wanted || is_preferred(wanted) && category(ty) == category(wanted))
}

fn keep_best(candidates: &mut Vec<Function>, score: impl Fn(Function) -> usize) {
    let best = candidates.iter().map(|&f| score(f)).max().unwrap_or(0);
    candidates.retain(|&f| score(f) == best);
}

/// Decides on a category for each literal: strings if any candidate takes one there, else the one that all candidates
/// take; and on the preferred type of the category, if any candidate takes it. Nothing is decided if that fails for one of them.
fn narrow_by_category(candidates: &mut Vec<Function>, arguments: &[Known<'_>]) {
    let mut narrowed = candidates.clone();
    for (place, _) in arguments.iter().enumerate().filter(|(_, known)| known.is_none()) {
        let wanted = |f: Function| f.signature().arguments.get(place);
        let types = || candidates.iter().filter_map(|&f| wanted(f));
        let Some(first) = types().next().map(category) else { return };
        let chosen = if types().any(|ty| category(ty) == Category::String) {
            Category::String
        } else if types().all(|ty| category(ty) == first) {
            first
        } else {
            return;
        };
        let preferred = types().any(|ty| category(ty) == chosen && is_preferred(ty));
        let fits = |ty: &Type| category(ty) == chosen && (is_preferred(ty) || !preferred);
        narrowed.retain(|&f| wanted(f).is_some_and(fits));
    }
    if !narrowed.is_empty() {
        *candidates = narrowed;
    }
}

/// If everything known is of one type, takes the literals for that type.
fn assume_one_type(candidates: &[Function], arguments: &[Known<'_>]) -> Option<Function> {
    let mut known = arguments.iter().copied().flatten();
    let first = known.next()?;
    if known.any(|ty| ty != first) {
        return None;
    }
    let assumed = vec![Some(first); arguments.len()];
    let mut fitting = candidates.iter().copied().filter(|&f| reaches(f, &assumed));
    let found = fitting.next();
    if fitting.next().is_some() { None } else { found }
}

fn category(ty: &Type) -> Category {
    match ty {
        Type::Bool => Category::Boolean,
        Type::Int2 | Type::Int4 | Type::Int8 | Type::Numeric | Type::Float4 | Type::Float8 => {
            Category::Number
        }
        Type::Text | Type::Varchar | Type::Bpchar => Category::String,
        Type::Date | Type::Time | Type::Timestamp | Type::Timestamptz => Category::Time,
        Type::Interval => Category::Span,
        Type::Enum(_) => Category::Enumeration,
        Type::Uuid | Type::Bytea | Type::Jsonb | Type::Other(_) => Category::User,
    }
}

fn is_preferred(ty: &Type) -> bool {
    matches!(ty, Type::Bool | Type::Float8 | Type::Text | Type::Timestamptz | Type::Interval)
}

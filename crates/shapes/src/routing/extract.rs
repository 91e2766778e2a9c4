//! What must be true of single columns for a filter to pass, read off its tree (spec 06 §14.4).

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Route,
    bounds::{self, High, Low},
    prefix::prefix_range,
};
use crate::clause::{
    Expr, Truth, Type, Value,
    function::{Cast, Function, implicit_cast},
};

/// The route of a filter: the most selective of what a single column must be. `owner` is the column that names a row's owner, and
/// the texts it may have if it is not NULL; it goes first, for other conditions may well be the same for many users.
pub(crate) fn route(clause: Option<&Expr>, owner: Option<(usize, [&str; 2])>) -> Route {
    let Some(mut points) = clause.map_or_else(|| Some(Points::new()), points) else { return Route::Never };
    if let Some((column, [user, nobody])) = owner {
        let values = [Some(user.as_bytes().into()), Some(nobody.as_bytes().into()), None];
        let owned = Points::from([(column, Tied { values: values.into(), is_coarse: false })]);
        let Some(both) = all_of(points, owned) else { return Route::Never };
        points = both;
    }
    let Some(ranges) = clause.map_or_else(|| Some(Ranges::new()), ranges) else { return Route::Never };

    let mut found = Vec::with_capacity(points.len() + ranges.len());
    for ((column, ty), (low, high)) in ranges {
        if !points.contains_key(&column) {
            let rank =
                if low == Low::Infinite || high == High::Infinite { Rank::HalfLine } else { Rank::Range };
            found.push((rank, Route::Range(column, ty, low.into(), high.into())));
        }
    }
    for (column, tied) in points {
        let values: Vec<_> = tied.values.into_iter().collect();
        let rank = match owner {
            Some((owner, _)) if owner == column => Rank::Owner,
            _ if tied.is_coarse || values == [None] => Rank::CoarseValues(values.len()),
            _ => Rank::Values(values.len()),
        };
        found.push((rank, Route::Equal(column, values)));
    }
    found.into_iter().min_by_key(|(rank, _)| *rank).map_or(Route::Any, |(_, route)| route)
}

/// The most selective first, as far as can be told without looking at the data.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Owner,
    Values(usize),
    Range,
    /// Of a type with a few values, which many rows have.
    CoarseValues(usize),
    HalfLine,
}

/// For columns that an expression ties to certain values: those with which it can be true.
type Points = BTreeMap<usize, Tied>;

struct Tied {
    /// As Postgres prints them; `None` is NULL.
    values: BTreeSet<Option<Box<[u8]>>>,
    /// Whether the column's type has few values.
    is_coarse: bool,
}

/// `None` if it is never true.
fn points(expr: &Expr) -> Option<Points> {
    match expr {
        Expr::Const(Some(Value::Bool(true)), _) => Some(Points::new()),
        Expr::Const(..) => None,
        Expr::And(all) => all.iter().map(points).try_fold(Points::new(), |one, other| all_of(one, other?)),
        Expr::Or(any) => any.iter().filter_map(points).reduce(any_of),
        Expr::Is(Truth::True, inner) => points(inner),
        Expr::Column(column, ty @ Type::Bool) => {
            Some(tied(Operand::own(*column, ty), &[Some(&Value::Bool(true))]))
        }
        Expr::Not(inner) => Some(match &**inner {
            Expr::Column(column, ty @ Type::Bool) => {
                tied(Operand::own(*column, ty), &[Some(&Value::Bool(false))])
            }
            Expr::Distinct(_, left, right) => same(left, right).unwrap_or_default(),
            _ => Points::new(),
        }),
        Expr::Is(truth, inner) => Some(match (truth, &**inner) {
            (Truth::False, Expr::Column(column, ty)) => {
                tied(Operand::own(*column, ty), &[Some(&Value::Bool(false))])
            }
            (Truth::Unknown, Expr::Column(column, ty)) => tied(Operand::own(*column, ty), &[None]),
            _ => Points::new(),
        }),
        Expr::IsNull(inner) => {
            Some(operand(inner).map_or_else(Points::new, |operand| tied(operand, &[None])))
        }
        Expr::In { needle, list, .. } => {
            let values = || list.iter().map(Some).collect::<Vec<_>>();
            Some(operand(needle).map_or_else(Points::new, |operand| tied(operand, &values())))
        }
        Expr::Call(..) => Some(match comparison(expr) {
            Some((operand, Comparison::Equal, value)) => tied(operand, &[Some(value)]),
            _ => Points::new(),
        }),
        Expr::Column(..) | Expr::Distinct(..) => Some(Points::new()),
    }
}

/// `IS NOT DISTINCT FROM`.
fn same(left: &Expr, right: &Expr) -> Option<Points> {
    let (operand, value) = match (left, right) {
        (Expr::Const(value, _), other) | (other, Expr::Const(value, _)) => (operand(other)?, value.as_ref()),
        _ => return None,
    };
    Some(tied(operand, &[value]))
}

/// Nothing is said about columns of types of which a value has several texts.
fn tied(Operand { column, ty, is_cast }: Operand<'_>, values: &[Option<&Value>]) -> Points {
    let is_coarse = matches!(ty, Type::Bool | Type::Enum(_));
    // A whole number has one text as a numeric, too.
    let has_one_text = is_coarse || has_one_text(ty) || is_cast && *ty == Type::Numeric;
    if !has_one_text && values.iter().any(Option::is_some) {
        return Points::new();
    }
    let text = |value: &Value| Box::from(normal(value, ty).print(ty).into_bytes());
    let values = values.iter().map(|value| value.map(text)).collect();
    Points::from([(column, Tied { values, is_coarse })])
}

/// Whether equal values of a column are printed alike.
fn has_one_text(ty: &Type) -> bool {
    use Type::{Int2, Int4, Int8, Text, Uuid, Varchar};
    matches!(ty, Int2 | Int4 | Int8 | Text | Varchar | Uuid)
}

/// As [`read`] has it.
fn normal(value: &Value, ty: &Type) -> Value {
    let normal = (*ty == Type::Numeric).then(|| read(value.print(ty).as_bytes(), ty)).flatten();
    normal.unwrap_or_else(|| value.clone())
}

/// Reads what Postgres printed: a number without zeros behind its decimal point, for those tell equal ones apart.
pub(super) fn read(bytes: &[u8], ty: &Type) -> Option<Value> {
    let short = match bytes {
        number if *ty == Type::Numeric && number.contains(&b'.') => {
            let number = number.trim_ascii();
            let end = number.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
            let short = number.get(..end).unwrap_or_default();
            short.strip_suffix(b".").unwrap_or(short)
        }
        other => other,
    };
    Value::read(short, ty)
}

/// `None` if that is impossible.
fn all_of(mut one: Points, other: Points) -> Option<Points> {
    for (column, tied) in other {
        match one.get_mut(&column) {
            None => _ = one.insert(column, tied),
            Some(known) => {
                known.values.retain(|value| tied.values.contains(value));
                if known.values.is_empty() {
                    return None;
                }
            }
        }
    }
    Some(one)
}

fn any_of(mut one: Points, mut other: Points) -> Points {
    one.retain(|column, tied| {
        let Some(more) = other.remove(column) else { return false };
        tied.values.extend(more.values);
        true
    });
    one
}

/// For columns that an expression compares with constants: the bounds between which it can be true.
type Ranges = BTreeMap<(usize, Type), (Low, High)>;

/// `None` if it is never true.
fn ranges(expr: &Expr) -> Option<Ranges> {
    let conjuncts = match expr {
        Expr::And(all) => all.as_slice(),
        other => std::slice::from_ref(other),
    };
    let mut ranges = Ranges::new();
    for (column, ty, low, high) in conjuncts.iter().filter_map(range) {
        let known = ranges.entry((column, ty.clone())).or_insert((Low::Infinite, High::Infinite));
        known.0 = low.max(known.0.clone());
        known.1 = high.min(known.1.clone());
        if bounds::is_empty(&known.0, &known.1) {
            return None;
        }
    }
    Some(ranges)
}

fn range(expr: &Expr) -> Option<(usize, &Type, Low, High)> {
    match expr {
        Expr::In { needle, list, .. } => {
            let Operand { column, ty, .. } = operand(needle)?;
            let (least, greatest) = (normal(list.first()?, ty), normal(list.last()?, ty));
            Some((column, ty, Low::At(least, false), High::At(greatest, true)))
        }
        Expr::Call(..) => {
            let (Operand { column, ty, .. }, comparison, value) = comparison(expr)?;
            let value = normal(value, ty);
            let (low, high) = match comparison {
                Comparison::Equal => (Low::At(value.clone(), false), High::At(value, true)),
                Comparison::Less => (Low::Infinite, High::At(value, false)),
                Comparison::LessOrEqual => (Low::Infinite, High::At(value, true)),
                Comparison::Greater => (Low::At(value, true), High::Infinite),
                Comparison::GreaterOrEqual => (Low::At(value, false), High::Infinite),
                Comparison::Like => prefix_range(&value)?,
            };
            Some((column, ty, low, high))
        }
        _ => None,
    }
}

/// How a column, on the left, is compared with a constant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Like,
}

impl Comparison {
    fn by(function: Function) -> Option<Comparison> {
        Some(match function.signature().name {
            "=" => Comparison::Equal,
            "<" => Comparison::Less,
            "<=" => Comparison::LessOrEqual,
            ">" => Comparison::Greater,
            ">=" => Comparison::GreaterOrEqual,
            "~~" => Comparison::Like,
            _ => return None,
        })
    }

    /// With the column on the right.
    fn turned(self) -> Option<Comparison> {
        Some(match self {
            Comparison::Equal => Comparison::Equal,
            Comparison::Less => Comparison::Greater,
            Comparison::LessOrEqual => Comparison::GreaterOrEqual,
            Comparison::Greater => Comparison::Less,
            Comparison::GreaterOrEqual => Comparison::LessOrEqual,
            Comparison::Like => return None,
        })
    }
}

fn comparison(expr: &Expr) -> Option<(Operand<'_>, Comparison, &Value)> {
    let Expr::Call(function, arguments) = expr else { return None };
    let comparison = Comparison::by(*function)?;
    let (comparison, column, value) = match arguments.as_slice() {
        [column, Expr::Const(Some(value), _)] => (comparison, column, value),
        [Expr::Const(Some(value), _), column] => (comparison.turned()?, column, value),
        _ => return None,
    };
    Some((operand(column)?, comparison, value))
}

/// A column that is compared.
#[derive(Clone, Copy)]
struct Operand<'a> {
    column: usize,
    /// The type as which its text can be read to have what is compared: its own, or a wider one to which an integer is cast.
    ty: &'a Type,
    /// Whether the type is not the column's own.
    is_cast: bool,
}

impl Operand<'_> {
    fn own(column: usize, ty: &Type) -> Operand<'_> {
        Operand { column, ty, is_cast: false }
    }
}

fn operand(expr: &Expr) -> Option<Operand<'_>> {
    match expr {
        Expr::Column(column, ty) => Some(Operand::own(*column, ty)),
        Expr::Call(function, arguments) => {
            let [Expr::Column(column, from @ (Type::Int2 | Type::Int4 | Type::Int8))] = arguments.as_slice()
            else {
                return None;
            };
            let to = &function.signature().result;
            let is_wider =
                matches!(to, Type::Int4 | Type::Int8 | Type::Numeric | Type::Float4 | Type::Float8);
            (is_wider && implicit_cast(from, to) == Some(Cast::By(*function))).then_some(Operand {
                column: *column,
                ty: to,
                is_cast: true,
            })
        }
        _ => None,
    }
}

//! How tightly what binds: Postgres' table of operator precedences.

/// How tightly operators bind, loosest first: the table of Postgres' documentation, section "Operator Precedence".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Or,
    And,
    Not,
    Is,
    Comparison,
    Match,
    Other,
    Sum,
    Product,
    Power,
    TimeZone,
    Collation,
    Sign,
    Subscript,
    Cast,
    Operand,
}

impl Level {
    /// The least level that an operand to the right of an operator of this level may have.
    pub(super) fn tighter(self) -> Level {
        match self {
            Level::Or => Level::And,
            Level::And => Level::Not,
            Level::Not => Level::Is,
            Level::Is => Level::Comparison,
            Level::Comparison => Level::Match,
            Level::Match => Level::Other,
            Level::Other => Level::Sum,
            Level::Sum => Level::Product,
            Level::Product => Level::Power,
            Level::Power => Level::TimeZone,
            Level::TimeZone => Level::Collation,
            Level::Collation => Level::Sign,
            Level::Sign => Level::Subscript,
            Level::Subscript => Level::Cast,
            Level::Cast | Level::Operand => Level::Operand,
        }
    }

    /// Whether `a op b op c` is an error for operators of this level.
    pub(super) fn is_single(self) -> bool {
        matches!(self, Level::Is | Level::Comparison | Level::Match)
    }
}

/// Which expressions are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grammar {
    /// All.
    Full,
    /// Those between BETWEEN and its AND: no AND, OR, NOT, IN, LIKE and so on outside parentheses.
    Bound,
}

/// What goes on after an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Infix {
    Or,
    And,
    /// `IS …`, `ISNULL`, `NOTNULL`
    Is,
    /// An operator, which it names.
    Operator(Box<str>),
    /// `[NOT] IN`, `LIKE`, `ILIKE`, `BETWEEN`, `SIMILAR TO`
    Match,
    TimeZone,
    Collation,
    Subscript,
    Cast,
}

impl Infix {
    /// How tightly it binds.
    pub(super) fn level(&self) -> Level {
        match self {
            Infix::Or => Level::Or,
            Infix::And => Level::And,
            Infix::Is => Level::Is,
            Infix::Operator(operator) => operator_level(operator),
            Infix::Match => Level::Match,
            Infix::TimeZone => Level::TimeZone,
            Infix::Collation => Level::Collation,
            Infix::Subscript => Level::Subscript,
            Infix::Cast => Level::Cast,
        }
    }
}

fn operator_level(operator: &str) -> Level {
    match operator {
        "=" | "<" | ">" | "<=" | ">=" | "<>" => Level::Comparison,
        "+" | "-" => Level::Sum,
        "*" | "/" | "%" => Level::Product,
        "^" => Level::Power,
        _ => Level::Other,
    }
}

/// Whether the word, perhaps after NOT, goes on at [`Level::Match`].
pub(super) fn is_match(word: &str) -> bool {
    matches!(word, "in" | "like" | "ilike" | "between" | "similar")
}

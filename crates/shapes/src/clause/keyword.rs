//! Words that mean something in expressions.

/// What a word at the beginning of an expression stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    /// It may be a name.
    None,
    /// It may be the name of a function only.
    FunctionName,
    /// It begins no expression.
    Reserved,
    /// A value that changes with time or session, by Postgres' name of the node.
    Unsupported(&'static str),
    /// If it is called: grammar that looks like a function, by Postgres' name of the node.
    UnsupportedCall(&'static str),
}

/// Words that Postgres keeps for itself: neither a column nor a function has such a name without quotes.
const RESERVED: &str = "\
    all analyse analyze and any array as asc asymmetric both case cast check collate column constraint \
    create default deferrable desc distinct do else end except false fetch for foreign from grant \
    group having in initially intersect into lateral leading limit not null offset on only or order \
    placing primary references returning select some symmetric table then to trailing true union \
    unique using variadic when where window with";

/// Words that may name a function but no column.
const FUNCTION_NAMES: &str = "\
    authorization binary collation concurrently cross freeze full ilike inner is isnull join left like \
    natural notnull outer overlaps right similar tablesample verbose";

/// Words that begin a clause of SELECT and so end the expression before them.
const CLAUSES: &str = "\
    from group having window order limit offset fetch for union intersect except";

/// What the word, in lower case, stands for.
pub(super) fn keyword(word: &str) -> Keyword {
    match word {
        "current_catalog" | "current_date" | "current_role" | "current_schema" | "current_time"
        | "current_timestamp" | "current_user" | "localtime" | "localtimestamp" | "session_user" | "user" => {
            Keyword::Unsupported("SQLValueFunction")
        }
        "coalesce" => Keyword::UnsupportedCall("CoalesceExpr"),
        "nullif" => Keyword::UnsupportedCall("NullIfExpr"),
        "greatest" | "least" => Keyword::UnsupportedCall("MinMaxExpr"),
        "row" => Keyword::UnsupportedCall("RowExpr"),
        "grouping" => Keyword::UnsupportedCall("GroupingFunc"),
        "xmlconcat" | "xmlelement" | "xmlexists" | "xmlforest" | "xmlparse" | "xmlpi" | "xmlroot" => {
            Keyword::UnsupportedCall("XmlExpr")
        }
        "xmlserialize" => Keyword::UnsupportedCall("XmlSerialize"),
        _ if is_among(RESERVED, word) => Keyword::Reserved,
        _ if is_among(FUNCTION_NAMES, word) => Keyword::FunctionName,
        _ => Keyword::None,
    }
}

fn is_among(words: &str, word: &str) -> bool {
    words.split_ascii_whitespace().any(|w| w == word)
}

/// Whether the word begins another clause of SELECT.
pub(super) fn begins_clause(word: &str) -> bool {
    is_among(CLAUSES, word)
}

/// Whether the word, after a parenthesis, begins a query.
pub(super) fn begins_query(word: &str) -> bool {
    matches!(word, "select" | "with" | "values" | "table")
}

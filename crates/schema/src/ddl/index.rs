//! Indexes: the Postgres text as it is, the SQLite text by translation (spec 03 §8.3).
//!
//! An index is an aid, so one that a client can't have is left out rather than made an error. A unique index is more:
//! if it were stricter on the client than in Postgres, rows from Postgres would be refused there and sync would stop.
//! So a unique index goes to SQLite only if every part of it means the same there.

use sqlparser::{
    ast::{CreateIndex, IndexColumn, IndexType, ObjectName, Statement as Sql},
    dialect::PostgreSqlDialect,
    keywords::Keyword,
    parser::Parser,
    tokenizer::{Token, Tokenizer},
};

use super::expression::{Position, Translator};
use crate::{Index, Statement, StatementKind, Table, identifier::quote_sqlite};

/// Longest definition that is parsed, in bytes; longer ones go to Postgres clients only.
const MAX_DEFINITION: usize = 16 * 1024;

/// `CREATE INDEX`; `None` if neither dialect can have it. `sqlite_name_free` says whether the name is not yet taken in
/// SQLite, which does not tell upper from lower case.
pub(crate) fn create_index(table: &Table, index: &Index, sqlite_name_free: bool) -> Option<Statement> {
    let parsed = parse(&index.definition);
    if parsed.as_ref().is_some_and(needs_extension) {
        return None;
    }
    let name_fits = sqlite_name_free && !index.name.to_ascii_lowercase().starts_with("sqlite_");
    let sqlite = parsed.filter(|_| name_fits).and_then(|parsed| translate(table, index, &parsed));
    Some(Statement { kind: StatementKind::CreateIndex, sqlite, postgres: postgres(&index.definition) })
}

/// Clients run migrations in a transaction, where `CONCURRENTLY` fails.
fn postgres(definition: &str) -> String {
    let definition = definition.trim().trim_end_matches(';').trim_end();
    for prefix in ["CREATE INDEX ", "CREATE UNIQUE INDEX "] {
        if let Some(rest) = definition.strip_prefix(prefix) {
            return format!("{prefix}{}", rest.strip_prefix("CONCURRENTLY ").unwrap_or(rest));
        }
    }
    definition.to_owned()
}

fn parse(definition: &str) -> Option<CreateIndex> {
    if definition.len() > MAX_DEFINITION {
        return None;
    }
    let dialect = PostgreSqlDialect {};
    let tokens = Tokenizer::new(&dialect, definition).tokenize().ok()?;
    let mut parser = Parser::new(&dialect).with_tokens(without_both_from(tokens));
    match parser.parse_statement().ok()? {
        Sql::CreateIndex(index) => Some(index),
        _ => None,
    }
}

/// Postgres prints `trim(x)` as `TRIM(BOTH FROM x)`, which the parser does not know.
fn without_both_from(tokens: Vec<Token>) -> Vec<Token> {
    let is = |token: &Token, keyword| matches!(token, Token::Word(word) if word.keyword == keyword);
    let mut kept: Vec<Token> = Vec::with_capacity(tokens.len());
    for token in tokens.into_iter().filter(|t| !matches!(t, Token::Whitespace(_))) {
        if is(&token, Keyword::FROM) && kept.last().is_some_and(|last| is(last, Keyword::BOTH)) {
            kept.pop();
        } else {
            kept.push(token);
        }
    }
    kept
}

/// Access methods and operator classes of extensions, which Postgres clients don't have.
fn needs_extension(index: &CreateIndex) -> bool {
    let foreign_method = index.using.as_ref().is_some_and(|method| match method {
        IndexType::BTree
        | IndexType::Hash
        | IndexType::GIN
        | IndexType::GiST
        | IndexType::SPGiST
        | IndexType::BRIN => false,
        IndexType::Bloom => true,
        IndexType::Custom(name) => {
            !["btree", "hash", "gin", "gist", "spgist", "brin"].contains(&name.value.as_str())
        }
    });
    let classes = index.columns.iter().filter_map(|c| c.operator_class.as_ref());
    foreign_method || classes.into_iter().any(|class| !is_core_class(class))
}

/// Classes that are the default of their type are never printed.
fn is_core_class(class: &ObjectName) -> bool {
    let name = class.to_string();
    ["text_pattern_ops", "varchar_pattern_ops", "jsonb_path_ops"].contains(&name.as_str())
        || (["_bloom_ops", "_minmax_ops", "_minmax_multi_ops"].iter().any(|s| name.ends_with(s))
            && !name.contains('.'))
}

/// Method, operator class, collation, order of NULLs, included columns and storage are dropped; direction always shows.
fn translate(table: &Table, index: &Index, parsed: &CreateIndex) -> Option<String> {
    let mut translator = Translator::new(table);
    let key = |column: &IndexColumn, translator: &mut Translator<'_>| {
        let expression = translator.translate(&column.column.expr, Position::Key)?;
        let direction = if column.column.options.asc == Some(false) { "DESC" } else { "ASC" };
        Some(format!("{expression} {direction}"))
    };
    let keys = parsed.columns.iter().map(|c| key(c, &mut translator)).collect::<Option<Vec<_>>>()?;
    let predicate = match &parsed.predicate {
        Some(predicate) => format!(" WHERE {}", translator.translate(predicate, Position::Predicate)?),
        None => String::new(),
    };
    if keys.is_empty() || (parsed.unique && !translator.is_exact()) {
        return None;
    }
    Some(format!(
        "CREATE {}INDEX {}{} ON {} ({}){predicate};\n",
        if parsed.unique { "UNIQUE " } else { "" },
        if parsed.if_not_exists { "IF NOT EXISTS " } else { "" },
        quote_sqlite(&index.name),
        quote_sqlite(&table.name),
        keys.join(", "),
    ))
}

//! DDLX: the statements that plain Postgres can't parse (spec 04 §3).

use super::{
    expression,
    name::TableName,
    parser::{Misfit, Parser},
    statements::Statement,
};

/// A DDLX statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Puts a table into the sync.
    Enable(TableName),
    /// Takes it out again.
    Disable(TableName),
    /// One that is understood but not carried out.
    Unsupported(Unsupported),
}

/// What the service does not do (spec 04 §3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsupported {
    /// `ELECTRIC GRANT`
    Grant,
    /// `ELECTRIC REVOKE`
    Revoke,
    /// `ELECTRIC ASSIGN`
    Assign,
    /// `ELECTRIC UNASSIGN`
    Unassign,
    /// `ELECTRIC SQLITE`
    Sqlite,
}

impl Unsupported {
    /// The word after `ELECTRIC`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Unsupported::Grant => "GRANT",
            Unsupported::Revoke => "REVOKE",
            Unsupported::Assign => "ASSIGN",
            Unsupported::Unassign => "UNASSIGN",
            Unsupported::Sqlite => "SQLITE",
        }
    }
}

/// Whether the statement is one that Postgres would stumble over at the word `ELECTRIC`, and which then is DDLX or nothing.
#[must_use]
pub fn is_ddlx(statement: &Statement<'_>) -> bool {
    statement.begins(&["electric"])
        || (statement.begins(&["alter", "table"]) && has_electric_clause(statement))
}

/// Whether a clause of this `ALTER TABLE` begins with `ENABLE ELECTRIC` or `DISABLE ELECTRIC`. A column of the name `enable`
/// and the type `electric` is none: its clause begins with another word.
fn has_electric_clause(statement: &Statement<'_>) -> bool {
    let mut parser = Parser::new(statement);
    let _ = parser.word("alter") && parser.word("table");
    if parser.word("if") {
        parser.word("exists");
    }
    let _ = parser.word("only");
    while parser.name().is_ok() && parser.mark(b'.') {}
    parser.mark(b'*');
    let mut depth = 0usize;
    loop {
        if depth == 0 && (parser.word("enable") || parser.word("disable")) && parser.word("electric") {
            return true;
        }
        // On to the next clause.
        loop {
            if parser.mark(b',') {
                break;
            } else if parser.mark(b'(') {
                depth += 1;
            } else if parser.mark(b')') {
                depth = depth.saturating_sub(1);
            } else if !parser.any() {
                return false;
            }
        }
    }
}

/// What a statement for which [`is_ddlx`] holds says.
///
/// # Errors
/// [`Misfit`] if it follows no rule of the grammar.
pub fn parse(statement: &Statement<'_>) -> Result<Command, Misfit> {
    let mut parser = Parser::new(statement);
    let command = if parser.word("alter") { alter(&mut parser)? } else { electric(&mut parser)? };
    parser.end()?;
    Ok(command)
}

fn alter(parser: &mut Parser<'_>) -> Result<Command, Misfit> {
    parser.expect("table")?;
    let table = table(parser)?;
    let enable = parser.word("enable");
    if !enable {
        parser.expect("disable")?;
    }
    parser.expect("electric")?;
    Ok(if enable { Command::Enable(table) } else { Command::Disable(table) })
}

fn electric(parser: &mut Parser<'_>) -> Result<Command, Misfit> {
    parser.expect("electric")?;
    let unsupported = if parser.word("enable") {
        return Ok(Command::Enable(table(parser)?));
    } else if parser.word("disable") {
        return Ok(Command::Disable(table(parser)?));
    } else if parser.word("grant") {
        privilege(parser)?;
        parser.expect("to")?;
        scoped_role(parser)?;
        if parser.word("using") {
            path(parser)?;
        }
        if parser.word("check") {
            expression::parenthesised(parser)?;
        }
        Unsupported::Grant
    } else if parser.word("revoke") {
        privilege(parser)?;
        parser.expect("from")?;
        scoped_role(parser)?;
        Unsupported::Revoke
    } else if parser.word("assign") {
        assign(parser)?;
        Unsupported::Assign
    } else if parser.word("unassign") {
        assignable(parser)?;
        parser.expect("from")?;
        column(parser)?;
        Unsupported::Unassign
    } else {
        parser.expect("sqlite")?;
        if parser.string().is_none() {
            return Err(parser.misfit());
        }
        Unsupported::Sqlite
    };
    Ok(Command::Unsupported(unsupported))
}

/// `table := ident | ident "." ident`
fn table(parser: &mut Parser<'_>) -> Result<TableName, Misfit> {
    let first = parser.name()?;
    Ok(if parser.mark(b'.') {
        TableName { schema: Some(first), table: parser.name()? }
    } else {
        TableName { schema: None, table: first }
    })
}

/// `column := ident "." ident | ident "." ident "." ident`; the answer is its table.
fn column(parser: &mut Parser<'_>) -> Result<TableName, Misfit> {
    let first = parser.name()?;
    parser.expect_mark(b'.')?;
    let second = parser.name()?;
    Ok(if parser.mark(b'.') {
        parser.name()?;
        TableName { schema: Some(first), table: second }
    } else {
        TableName { schema: None, table: first }
    })
}

/// `priv [ "(" col {"," col} ")" ] ON table`
fn privilege(parser: &mut Parser<'_>) -> Result<(), Misfit> {
    if !["select", "insert", "update", "delete", "all", "read", "write"].iter().any(|word| parser.word(word))
    {
        return Err(parser.misfit());
    }
    if parser.mark(b'(') {
        parser.name()?;
        while parser.mark(b',') {
            parser.name()?;
        }
        parser.expect_mark(b')')?;
    }
    parser.expect("on")?;
    table(parser)?;
    Ok(())
}

fn path(parser: &mut Parser<'_>) -> Result<(), Misfit> {
    parser.name()?;
    while parser.mark(b'/') {
        parser.name()?;
    }
    Ok(())
}

/// What a role may be.
enum Role {
    /// A name, in a string.
    Fixed,
    /// A name without quotes, which only some statements take.
    Bare,
    /// The value of a column of this table.
    Column(TableName),
}

/// `scoped_role := role | scope ":" role | "(" scope "," role ")"`
fn scoped_role(parser: &mut Parser<'_>) -> Result<Role, Misfit> {
    if parser.mark(b'(') {
        if !parser.word("null") {
            table(parser)?;
        }
        parser.expect_mark(b',')?;
        let role = role(parser, false)?;
        parser.expect_mark(b')')?;
        return Ok(role);
    }
    if parser.word("null") {
        parser.expect_mark(b':')?;
        return role(parser, false);
    }
    let first = role(parser, true)?;
    let may_be_scope = match &first {
        Role::Fixed => false,
        Role::Bare => true,
        Role::Column(table) => table.schema.is_none(),
    };
    if may_be_scope && parser.mark(b':') { role(parser, false) } else { Ok(first) }
}

/// `role := string | ident | ident "." ident | ident "." ident "." ident`. A string may have its scope in it, unless that has
/// been said already.
fn role(parser: &mut Parser<'_>, may_have_scope: bool) -> Result<Role, Misfit> {
    if let Some((span, text)) = parser.string() {
        let mut parts = text.splitn(if may_have_scope { 2 } else { 1 }, |byte| *byte == b':');
        return if parts.any(<[u8]>::is_empty) { Err(parser.misfit_at(span)) } else { Ok(Role::Fixed) };
    }
    let first = parser.name()?;
    if !parser.mark(b'.') {
        return Ok(Role::Bare);
    }
    let second = parser.name()?;
    Ok(Role::Column(if parser.mark(b'.') {
        parser.name()?;
        TableName { schema: Some(first), table: second }
    } else {
        TableName { schema: None, table: first }
    }))
}

/// A role that can be assigned: a bare name can't.
fn assignable(parser: &mut Parser<'_>) -> Result<Role, Misfit> {
    let before = parser.clone();
    match scoped_role(parser)? {
        Role::Bare => Err(before.misfit()),
        role => Ok(role),
    }
}

/// `scoped_role TO column [ IF "(" expr ")" ]`
fn assign(parser: &mut Parser<'_>) -> Result<(), Misfit> {
    let role = assignable(parser)?;
    parser.expect("to")?;
    let before = parser.clone();
    let target = column(parser)?;
    // A role that a column holds comes from the same table as the user.
    if matches!(role, Role::Column(table) if !table.is(&target)) {
        return Err(before.misfit());
    }
    if parser.word("if") {
        expression::parenthesised(parser)?;
    }
    Ok(())
}

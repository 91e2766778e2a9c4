//! `tieline rejected`: what an operator does about transactions that Postgres refused (spec 05 §7.6).

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use server::{
    Config,
    rejected::{Desk, DeskError, Entry},
};

const HELP: &str = "\
When Postgres refuses what a client has written (a constraint, a type, a
trigger of your own, a missing permission), nothing of that transaction is
applied. The client that sent it is told and stops syncing; everybody else
goes on. The transaction is kept in electric.rejected_transactions. There are
three ways on:

  * Remove the cause in Postgres. When the app is started again, its client
    sends the transaction once more, and what it has written since.
  * Remove the cause, and `tieline rejected retry ID`: the transaction is
    applied now, as if the client had sent it.
  * `tieline rejected discard ID`: the transaction is skipped for good. The
    client goes on after it when it connects, and its rows become again what
    they are in Postgres.

The service may be running meanwhile. Settings: DATABASE_URL, and what goes
with it: DATABASE_REQUIRE_SSL, DATABASE_USE_IPV6, TIELINE_STATEMENT_TIMEOUT.
What is shown has the values that users wrote: mind where it goes.";

/// Clients' transactions that Postgres refused.
#[derive(Debug, Args)]
#[command(after_long_help = HELP, after_help = "With --help: what happens to them, and what to do.")]
pub struct RejectedArgs {
    #[command(subcommand)]
    command: RejectedCommand,
    /// Print JSON instead of text for people
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum RejectedCommand {
    /// Show those that wait for a decision, the last refused first
    List {
        /// Also those that were applied, retried, discarded, or that the client has got past
        #[arg(long)]
        all: bool,
    },
    /// Show one with its operations
    Show {
        /// Its number, as `list` shows it
        id: i64,
    },
    /// Apply one now, as if its client had sent it again; exit status 1 if Postgres still refuses it
    Retry {
        /// Its number
        id: i64,
    },
    /// Skip one for good: nothing of it is written, and its client goes on after it
    Discard {
        /// Its number
        id: i64,
    },
}

/// Does what was asked for.
pub fn run(args: &RejectedArgs) -> ExitCode {
    let (database, limits) = match Config::database_from_environment() {
        Ok(settings) => settings,
        Err(banner) => {
            banner.print();
            return ExitCode::FAILURE;
        }
    };
    let work = async {
        let mut desk = Desk::open(database, limits).await?;
        work(&mut desk, args).await
    };
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the system refuses what is needed to connect")
        .and_then(|runtime| runtime.block_on(work));
    super::finish(outcome)
}

async fn work(desk: &mut Desk, args: &RejectedArgs) -> Result<ExitCode> {
    let text = match &args.command {
        RejectedCommand::List { all } => {
            let entries = desk.list(*all).await?;
            match args.json {
                true => pretty(&entries.iter().map(to_json).collect()),
                false if entries.is_empty() => "Nothing is waiting for a decision.\n".to_owned(),
                false => table(&entries),
            }
        }
        RejectedCommand::Show { id } => {
            let entry = desk.show(*id).await?;
            if args.json { pretty(&to_json(&entry)) } else { page(&entry) }
        }
        RejectedCommand::Retry { id } => match desk.retry(*id).await {
            Ok(entry) if args.json => pretty(&to_json(&entry)),
            Ok(entry) => {
                format!("Applied transaction {} of client {}.\n", entry.lsn, harmless(&entry.client))
            }
            Err(DeskError::Refused(refused)) => anyhow::bail!("refused again, and kept: {}", refused.message),
            Err(error) => return Err(error.into()),
        },
        RejectedCommand::Discard { id } => {
            let entry = desk.discard(*id).await?;
            match args.json {
                true => pretty(&to_json(&entry)),
                false => format!(
                    "Discarded transaction {} of client {}. The client goes on after it when it connects again.\n",
                    entry.lsn,
                    harmless(&entry.client)
                ),
            }
        }
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn to_json(entry: &Entry) -> Value {
    let mut object = json!({
        "id": entry.id,
        "client": entry.client,
        "user": entry.user,
        "lsn": entry.lsn,
        "commit_timestamp": entry.timestamp_ms,
        "state": entry.state,
        "first_seen": entry.first_seen,
        "last_seen": entry.last_seen,
        "settled_at": entry.settled_at,
        "tries": entry.tries,
        "sqlstate": entry.sqlstate,
        "message": entry.message,
        "table": entry.table,
        "constraint": entry.constraint,
        "column": entry.column,
        "operation_count": entry.operation_count,
        "complete": entry.complete,
    });
    if entry.operations.is_some() {
        object["operations"] = operations(entry).into();
    }
    object
}

fn operations(entry: &Entry) -> Vec<Value> {
    entry.operations.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// One line each, in columns.
fn table(entries: &[Entry]) -> String {
    let head =
        ["ID", "STATE", "LAST REFUSED", "TRIES", "CLIENT", "USER", "LSN", "TABLE", "SQLSTATE", "REASON"];
    let cells = |entry: &Entry| {
        [
            entry.id.to_string(),
            entry.state.clone(),
            entry.last_seen.clone(),
            entry.tries.to_string(),
            entry.client.clone(),
            entry.user.clone().unwrap_or_default(),
            entry.lsn.to_string(),
            entry.table.clone().unwrap_or_default(),
            entry.sqlstate.clone(),
            reason(entry),
        ]
        .map(|cell| if cell.is_empty() { "-".to_owned() } else { harmless(&cell) })
    };
    let lines: Vec<[String; 10]> =
        std::iter::once(head.map(str::to_owned)).chain(entries.iter().map(cells)).collect();
    let mut widths = [0; 10];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for line in &lines {
        let padded: Vec<String> =
            line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let _ = writeln!(out, "{}", padded.join("  ").trim_end());
    }
    out
}

/// The constraint or column, which says it in a word; else the first words.
fn reason(entry: &Entry) -> String {
    match (&entry.constraint, &entry.column) {
        (Some(constraint), _) => format!("constraint {constraint}"),
        (None, Some(column)) => format!("column {column}"),
        (None, None) => {
            let message = entry.message.trim_start_matches("Postgres refused the transaction: ");
            message.split(['.', ':', '(']).next().unwrap_or_default().trim().chars().take(60).collect()
        }
    }
}

/// One entry with all that is known.
fn page(entry: &Entry) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(out, "{name:14}{}", harmless(value));
    };
    line("transaction", &entry.id.to_string());
    line("state", &entry.state);
    line("client", &entry.client);
    line("user", entry.user.as_deref().unwrap_or("unknown"));
    line("lsn", &entry.lsn.to_string());
    line("first refused", &entry.first_seen);
    line("last refused", &format!("{}, {} times in all", entry.last_seen, entry.tries));
    if let Some(at) = &entry.settled_at {
        line("settled", at);
    }
    line("sqlstate", &entry.sqlstate);
    for (name, value) in
        [("table", &entry.table), ("constraint", &entry.constraint), ("column", &entry.column)]
    {
        if let Some(value) = value {
            line(name, value);
        }
    }
    line("reason", &entry.message);
    let operations = operations(entry);
    match entry.complete {
        true => line("operations", &entry.operation_count.to_string()),
        false => line(
            "operations",
            &format!(
                "{}, of which the first {} are stored: it is too large",
                entry.operation_count,
                operations.len()
            ),
        ),
    }
    for operation in operations {
        let part = |name: &str| operation.get(name).and_then(Value::as_str).unwrap_or("?").to_owned();
        let _ = writeln!(out, "\n  {} {}", part("op"), harmless(&part("table")));
        let wrote = operation.get("wrote").and_then(Value::as_array);
        for (column, value) in operation.get("row").and_then(Value::as_object).into_iter().flatten() {
            let mark =
                if wrote.is_some_and(|wrote| wrote.iter().any(|name| name == column)) { "*" } else { " " };
            let _ = writeln!(out, "   {mark} {} = {}", harmless(column), harmless(&value.to_string()));
        }
    }
    out.push_str("\nColumns with * are those that the operation wrote.\n");
    out
}

/// Without characters that a terminal would act on.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

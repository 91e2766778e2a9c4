//! Postgres as the judge: a table with random rows, and what it says of clauses.

use schema::{Column, Shadow, Table};
use shapes::{Clause, Values};
use testkit::Database;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::{
    Random,
    pools::{COLUMNS, column_type, pool, quoted},
    tree::Outcome,
};

/// A row, as Postgres prints it.
pub struct Row(Vec<Option<String>>);

impl Values for Row {
    fn value(&self, column: usize) -> Option<&[u8]> {
        self.0.get(column)?.as_deref().map(str::as_bytes)
    }
}

/// The judge.
pub struct Judge {
    pub client: Client,
    /// By `id`, from 0.
    pub rows: Vec<Row>,
    pub table: Table,
}

/// Evaluates clauses for all rows, and each row by itself if one raises. Type errors are of the clause.
const FUNCTIONS: &str = r#"
    CREATE FUNCTION outcome(clause text, row_id int) RETURNS text LANGUAGE plpgsql AS $$
    DECLARE answer boolean;
    BEGIN
        EXECUTE 'SELECT (' || clause || ') FROM t AS this WHERE id = $1' INTO answer USING row_id;
        RETURN CASE WHEN answer THEN 't' WHEN NOT answer THEN 'f' ELSE 'n' END;
    EXCEPTION WHEN OTHERS THEN RETURN CASE WHEN SQLSTATE LIKE '42%' THEN SQLERRM ELSE 'e' END;
    END $$;
    CREATE FUNCTION outcomes(clause text) RETURNS text LANGUAGE plpgsql AS $$
    DECLARE answers text;
    BEGIN
        EXECUTE 'SELECT string_agg(CASE WHEN answer THEN ''t'' WHEN NOT answer THEN ''f'' ELSE ''n'' END, '','' ORDER BY id) '
             || 'FROM (SELECT id, (' || clause || ') AS answer FROM t AS this) AS answers' INTO answers;
        RETURN answers;
    EXCEPTION WHEN OTHERS THEN RETURN (SELECT string_agg(outcome(clause, id), ',' ORDER BY id) FROM t);
    END $$;
    CREATE FUNCTION kept(condition text) RETURNS text LANGUAGE plpgsql AS $$
    DECLARE ids text;
    BEGIN
        EXECUTE 'SELECT string_agg(id::text, '','') FROM t AS m WHERE ' || condition INTO ids;
        RETURN coalesce(ids, '');
    EXCEPTION WHEN OTHERS THEN RETURN 'raised ' || SQLERRM;
    END $$;
"#;

impl Judge {
    /// A judge of so many random rows.
    pub async fn new(random: &mut Random, rows: usize) -> Judge {
        let client = Database::create().await.client().await;
        let settings = "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, DMY'; SET extra_float_digits = 1; SET bytea_output = 'hex'";
        let columns = COLUMNS.map(|(name, ty)| format!("{name} {ty}")).join(", ");
        let enumeration = "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')";
        let setup = format!("{settings}; {enumeration}; CREATE TABLE t ({columns}); {FUNCTIONS}");
        client.batch_execute(&setup).await.unwrap();
        let mut judge = Judge { client, rows: Vec::new(), table: table() };
        for id in 0..rows {
            judge.insert(id, |ty| (!random.one_in(6)).then(|| any_value(random, ty))).await;
        }
        judge.read_rows().await;
        judge
    }

    /// Adds a row.
    pub async fn insert(&self, id: usize, mut value: impl FnMut(&'static str) -> Option<&'static str>) {
        let id = id.to_string();
        let values = COLUMNS.map(|(name, ty)| match name {
            "id" => id.clone(),
            _ => value(ty).map_or("NULL".to_owned(), quoted),
        });
        self.client.batch_execute(&format!("INSERT INTO t VALUES ({})", values.join(", "))).await.unwrap();
    }

    /// Adds a row of which only these columns are not NULL.
    pub async fn insert_named(&self, id: usize, values: &[(&str, &str)]) {
        let names: String = values.iter().map(|(name, _)| format!(", {name}")).collect();
        let values: String = values.iter().map(|(_, value)| format!(", {}", quoted(value))).collect();
        self.client.batch_execute(&format!("INSERT INTO t (id{names}) VALUES ({id}{values})")).await.unwrap();
    }

    /// Takes the rows from Postgres, as it prints them.
    pub async fn read_rows(&mut self) {
        let answer = self.client.simple_query("SELECT * FROM t ORDER BY id").await.unwrap();
        let rows = answer.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some(Row((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect()))
            }
            _ => None,
        });
        self.rows = rows.collect();
    }

    /// What each clause is of each row; or why Postgres does not take the clause.
    pub async fn outcomes(&self, clauses: &[String]) -> Vec<Result<Vec<Outcome>, String>> {
        let answers = self.ask("outcomes", clauses).await;
        answers.iter().map(|answer| answer.split(',').map(outcome).collect()).collect()
    }

    /// Which rows a condition keeps; or why it raised.
    pub async fn kept(&self, conditions: &[String]) -> Vec<Result<Vec<usize>, String>> {
        let answers = self.ask("kept", conditions).await;
        let ids = |answer: &String| {
            answer.split(',').filter(|id| !id.is_empty()).map(|id| id.parse().unwrap()).collect()
        };
        answers
            .iter()
            .map(|answer| if answer.starts_with("raised") { Err(answer.clone()) } else { Ok(ids(answer)) })
            .collect()
    }

    /// A row as far as a clause looks at it.
    pub fn show(&self, row: &Row, clause: &Clause) -> String {
        let of_column = |column: usize| format!("{} = {:?}", self.table.columns[column].name, row.0[column]);
        clause.columns().into_iter().map(of_column).collect::<Vec<_>>().join(", ")
    }

    async fn ask(&self, function: &str, texts: &[String]) -> Vec<String> {
        let query = format!(
            "SELECT {function}(text) FROM unnest($1::text[]) WITH ORDINALITY AS t (text, n) ORDER BY n"
        );
        let rows = self.client.query(&query, &[&texts]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

fn outcome(letter: &str) -> Result<Outcome, String> {
    match letter {
        "t" => Ok(Outcome::True),
        "f" => Ok(Outcome::False),
        "n" => Ok(Outcome::Null),
        "e" => Ok(Outcome::Raised),
        message => Err(message.to_owned()),
    }
}

/// Half of the time one of the plain values.
fn any_value(random: &mut Random, ty: &str) -> &'static str {
    let pool = pool(ty);
    if random.one_in(2) { pool[random.below(pool.len().div_ceil(2))] } else { random.pick(pool) }
}

/// The table as the service knows it.
pub fn table() -> Table {
    let column = |(name, ty): &(&str, &str)| Column {
        name: (*name).to_owned(),
        ty: column_type(ty),
        modifiers: Vec::new(),
        sql_type: (*ty).to_owned(),
        collation: None,
        not_null: false,
        default: None,
        identity: None,
    };
    Table {
        id: change::RelationId(1),
        schema: "public".to_owned(),
        name: "t".to_owned(),
        columns: COLUMNS.iter().map(column).collect(),
        primary_key_name: "t_pkey".to_owned(),
        primary_key: vec![COLUMNS.len() - 1],
        foreign_keys: Vec::new(),
        indexes: Vec::new(),
        shadow: Shadow { id: change::RelationId(2), name: "t".to_owned(), tag_columns: Vec::new() },
        held_back: None,
    }
}

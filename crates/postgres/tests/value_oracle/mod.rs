//! Values from clients, judged by the validators and by Postgres: what Postgres prints is always accepted, what is accepted does not
//! trouble the writer.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod texts;

use std::sync::Arc;

use bytes::Bytes;
use change::{ClientId, RelationId};
use protocol::{
    InboundDecoder, InboundLimits, OpLog,
    wire::{
        SatOpBegin, SatOpCommit, SatOpInsert, SatOpLog, SatOpRow, SatRelation, SatRelationColumn, SatTransOp,
        sat_trans_op::Op,
    },
};
use schema::{Column, ColumnType, Schema, Shadow, Table};
use testkit::Database;

use crate::where_oracle::Random;

/// A type, and how far Postgres and the validators agree on what they take.
struct Case {
    sql: &'static str,
    ty: ColumnType,
    modifiers: &'static [i32],
    /// Whether whatever is accepted is good for Postgres, too.
    is_exact: bool,
}

const fn case(sql: &'static str, ty: ColumnType, modifiers: &'static [i32], is_exact: bool) -> Case {
    Case { sql, ty, modifiers, is_exact }
}

const CASES: [Case; 23] = [
    case("bool", ColumnType::Bool, &[], true),
    case("int2", ColumnType::Int2, &[], true),
    case("int8", ColumnType::Int8, &[], true),
    case("float4", ColumnType::Float4, &[], true),
    case("float8", ColumnType::Float8, &[], true),
    case("numeric", ColumnType::Numeric, &[], true),
    case("numeric(5,2)", ColumnType::Numeric, &[5, 2], true),
    case("numeric(3,-2)", ColumnType::Numeric, &[3, -2], true),
    case("numeric(2,4)", ColumnType::Numeric, &[2, 4], true),
    case("varchar(3)", ColumnType::Varchar, &[3], true),
    case("char(3)", ColumnType::Bpchar, &[3], true),
    case("text", ColumnType::Text, &[], true),
    case("uuid", ColumnType::Uuid, &[], true),
    case("date", ColumnType::Date, &[], true),
    case("time", ColumnType::Time, &[], true),
    case("timetz", ColumnType::Timetz, &[], true),
    case("timestamp", ColumnType::Timestamp, &[], true),
    case("timestamptz", ColumnType::Timestamptz, &[], false),
    case("json", ColumnType::Json, &[], true),
    JSONB,
    case("interval", ColumnType::Interval, &[], false),
    case("inet", ColumnType::Inet, &[], false),
    case("cidr", ColumnType::Cidr, &[], false),
];

const JSONB: Case = case("jsonb", ColumnType::Jsonb, &[], true);

/// What becomes of a text on its way from a client: what Postgres is given, or nothing if it is refused.
fn accepted(case: &Case, text: &str) -> Option<String> {
    let column = |name: &str, ty: ColumnType, modifiers: &[i32]| Column {
        name: name.into(),
        ty,
        modifiers: modifiers.to_vec(),
        sql_type: case.sql.into(),
        collation: None,
        not_null: false,
        default: None,
        identity: None,
    };
    let table = Table {
        id: RelationId(1),
        schema: "public".into(),
        name: "t".into(),
        columns: vec![column("id", ColumnType::Int4, &[]), column("v", case.ty.clone(), case.modifiers)],
        primary_key_name: "t_pkey".into(),
        primary_key: vec![0],
        foreign_keys: Vec::new(),
        indexes: Vec::new(),
        shadow: Shadow {
            id: RelationId(2),
            name: "s".into(),
            tag_columns: vec![None, Some("_tag_v".into())],
        },
        held_back: None,
    };
    let mut schema = Schema::default();
    schema.insert(Arc::new(table));
    let mut decoder = InboundDecoder::new(ClientId::new("c").unwrap(), InboundLimits::default());
    let columns = ["id", "v"].map(|name| SatRelationColumn {
        name: name.into(),
        is_nullable: true,
        ..Default::default()
    });
    let relation = SatRelation {
        schema_name: "public".into(),
        table_name: "t".into(),
        columns: columns.into(),
        ..Default::default()
    };
    decoder.announce(&relation, &schema).unwrap();
    let values = ["1", text].map(|value| Bytes::copy_from_slice(value.as_bytes()));
    let row = SatOpRow { nulls_bitmask: Bytes::from_static(&[0]), values: values.into() };
    let ops = [
        Op::Begin(SatOpBegin { lsn: Bytes::from_static(&[0, 0, 0, 1]), ..Default::default() }),
        Op::Insert(SatOpInsert { row_data: Some(row), ..Default::default() }),
        Op::Commit(SatOpCommit::default()),
    ];
    let log = OpLog::from(&SatOpLog { ops: ops.map(|op| SatTransOp { op: Some(op) }).into() });
    let mut transactions = decoder.decode(&log, &schema).ok()?;
    let value = transactions.remove(0).ops.remove(0).values.remove(1);
    Some(String::from_utf8(value.value().unwrap().to_vec()).unwrap())
}

/// What Postgres makes of texts by assignment to a column of the type; nothing if it refuses.
const JUDGE: &str = "
    CREATE FUNCTION judged(value text) RETURNS text LANGUAGE plpgsql AS $$
    DECLARE printed text;
    BEGIN
        EXECUTE 'INSERT INTO judge SELECT ' || quote_literal(value) || '::' || (SELECT cast_to FROM cast_type) || ' RETURNING textin('
            || (SELECT output FROM cast_type) || '(v))' INTO printed;
        RETURN printed;
    EXCEPTION WHEN OTHERS THEN RETURN NULL;
    END $$";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_accepted_agrees_with_postgres() {
    let client = Database::create().await.client().await;
    let settings = "SET DateStyle = 'ISO, DMY'; SET TimeZone = 'UTC'; SET IntervalStyle = postgres; SET extra_float_digits = 1";
    client
        .batch_execute(&format!("{settings}; CREATE TABLE cast_type (cast_to text, output text); {JUDGE}"))
        .await
        .unwrap();
    let mut random = Random::new(crate::where_oracle::setting("VALUE_ORACLE_SEED", 1));
    let cases = usize::try_from(crate::where_oracle::setting("VALUE_ORACLE_CASES", 300)).unwrap();
    for case in CASES {
        let bare = case.sql.split('(').next().unwrap();
        let bare = if bare == "char" { "bpchar" } else { bare };
        client
            .batch_execute(&format!(
                "DROP TABLE IF EXISTS judge; CREATE TABLE judge (v {}); DELETE FROM cast_type;
                 INSERT INTO cast_type SELECT '{bare}', typoutput::text FROM pg_type WHERE oid = '{bare}'::regtype",
                case.sql
            ))
            .await
            .unwrap();
        let texts: Vec<String> =
            (0..cases).map(|_| texts::random(&mut random, case.ty.type_name())).collect();
        let given: Vec<Option<String>> = texts.iter().map(|text| accepted(&case, text)).collect();
        let asked: Vec<&str> =
            texts.iter().zip(&given).map(|(text, given)| given.as_deref().unwrap_or(text)).collect();
        let query = "SELECT judged(v) FROM unnest($1::text[]) WITH ORDINALITY AS t (v, n) ORDER BY n";
        let rows = client.query(query, &[&asked]).await.unwrap();
        let (mut good, mut canonical) = (0, Vec::new());
        for ((text, given), row) in texts.iter().zip(&given).zip(rows) {
            let printed: Option<String> = row.get(0);
            assert!(
                !case.is_exact || given.is_none() || printed.is_some(),
                "{}: Postgres refuses {text:?}",
                case.sql
            );
            good += usize::from(given.is_some() && printed.is_some());
            canonical.extend(printed);
        }
        // Some of what it prints it can't read: an offset of sixteen hours, made of a zone's name.
        let rows = client.query(query, &[&canonical]).await.unwrap();
        let readable = |row: &tokio_postgres::Row| row.get::<_, Option<&str>>(0).is_some();
        for text in canonical.iter().zip(&rows).filter(|(_, row)| readable(row)).map(|(text, _)| text) {
            // Clients' json is held to what jsonb can hold.
            if case.ty == ColumnType::Json && accepted(&JSONB, text).is_none() {
                continue;
            }
            let given = accepted(&case, text);
            assert_eq!(
                given.as_ref(),
                Some(text),
                "{}: what Postgres prints is not taken as it is",
                case.sql
            );
        }
        println!("{}: {good} good, {} that Postgres takes, of {cases}", case.sql, canonical.len());
        let refused = case.ty == ColumnType::Text || canonical.len() < cases;
        assert!(good * 12 > cases && refused, "{}: too little was tried", case.sql);
    }
}

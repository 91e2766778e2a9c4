//! The test vectors of spec 03, Appendix A, by their numbers.

use std::sync::Arc;

use bytes::Bytes;
use change::{Field, Row, Tags};
use protocol::{ErrorCode, InsertEncoder, OpLogWriter, RejectionReason, wire::sat_trans_op::Op};

use super::support::{
    Inbound, announcement, begin, commit, compensation, frame_ops, insert, row, schema_of, table, texts,
    update, value,
};

/// What one column's Postgres text becomes on the wire.
fn outbound(ty: &str, postgres: Option<&str>) -> (Vec<u8>, Bytes) {
    let table = table(7, "t", &[("v", ty)], &[]);
    let mut encoder = InsertEncoder::new(Arc::new(table));
    encoder.push([postgres.map(str::as_bytes)], &Tags::new()).unwrap();
    let Some(Op::Insert(insert)) = frame_ops(&encoder.finish().unwrap()).pop() else { panic!() };
    let row = insert.row_data.unwrap();
    (row.nulls_bitmask.to_vec(), row.values[0].clone())
}

/// What one column's wire value becomes on the way to Postgres, or the text of the refusal.
fn inbound(ty: &str, wire: Option<&[u8]>) -> Result<Field, String> {
    let schema = schema_of([table(7, "t", &[("id", "int4"), ("v", ty)], &["id"])]);
    let mut inbound = Inbound::new(schema).announce(0, "t", &["id", "v"]);
    let ops = [begin(1, 1), insert(0, row(&[Some(b"1".as_slice()), wire]), &[]), commit()];
    match inbound.decode(ops) {
        Ok(mut transactions) => Ok(transactions.remove(0).ops.remove(0).values.remove(1)),
        Err(rejection) => {
            let response = rejection.response();
            assert_eq!(response.error_type(), ErrorCode::InvalidRequest);
            assert_eq!(response.lsn, None);
            assert!(rejection.accepted.is_empty());
            Err(rejection.client_message)
        }
    }
}

/// Number, type, Postgres text, wire to client; `None` is NULL. Where the value is one that clients hold unchanged, it
/// comes back as the same Postgres text.
#[test]
fn a1_outbound_and_back() {
    let same = |n, ty, text: &'static str| (n, ty, Some(text), text.as_bytes());
    let vectors = [
        same(1, "bool", "t"),
        same(2, "bool", "f"),
        (3, "bool", None, b""),
        same(4, "int2", "-32768"),
        same(5, "int4", "2147483647"),
        same(6, "int8", "9223372036854775807"),
        same(7, "int8", "-9223372036854775808"),
        same(9, "float4", "1.402e+36"),
        same(10, "float4", "0.1"),
        same(11, "float4", "1e-45"),
        same(12, "float4", "1.234"),
        same(13, "float8", "Infinity"),
        same(14, "float8", "-Infinity"),
        same(15, "float8", "NaN"),
        same(16, "float8", "1e-07"),
        same(17, "float8", "1e+21"),
        same(18, "float8", "-0"),
        same(20, "float8", "1.797e+308"),
        same(21, "text", ""),
        same(22, "text", "it's ⚡"),
        same(23, "varchar", "Black_with_milk"),
        same(24, "uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        same(25, "date", "2023-08-23"),
        same(26, "date", "0001-01-01"),
        same(27, "date", "6000-02-29"),
        same(28, "time", "11:00:59"),
        same(29, "time", "23:05:17.999999"),
        same(30, "timestamp", "2023-09-21 14:39:53"),
        same(31, "timestamp", "2023-08-14 14:01:28.848242"),
        (32, "timestamptz", Some("2023-08-14 14:01:28.848242+00"), b"2023-08-14 14:01:28.848242Z"),
        (33, "timestamptz", Some("2023-08-14 10:01:28+00"), b"2023-08-14 10:01:28Z"),
        (34, "timestamptz", Some("9999-12-31 23:59:59.999999+00"), b"9999-12-31 23:59:59.999999Z"),
        same(35, "timestamptz", "infinity"),
        same(36, "timestamp", "0044-03-15 00:00:00 BC"),
        same(37, "jsonb", r#"{"a": [1, 2.50, null], "b": 1}"#),
        same(38, "jsonb", "null"),
        (39, "jsonb", None, b""),
        same(40, "jsonb", r#""null""#),
        (41, "bytea", Some("\\x0001ff"), b"\x00\x01\xff"),
        (42, "bytea", Some("\\x"), b""),
        same(44, "color", "RED"),
        same(87, "timestamptz", "-infinity"),
        // Section 3.7 in full: what does not end in +00 passes.
        same(0, "timestamptz", "0044-03-15 00:00:00+00 BC"),
        (0, "timestamptz", Some("12023-01-01 00:00:00.123+00"), b"12023-01-01 00:00:00.123Z"),
        same(0, "date", "infinity"),
        same(0, "date", "0044-03-15 BC"),
        same(0, "date", "5874897-12-31"),
        same(0, "date", "4714-11-24 BC"),
        same(0, "time", "24:00:00"),
        same(0, "timestamp", "294276-12-31 23:59:59.999999"),
        same(0, "timestamp", "-infinity"),
    ];
    for (n, ty, postgres, wire) in vectors {
        let mask = if postgres.is_none() { 0x80 } else { 0 };
        assert_eq!(outbound(ty, postgres), (vec![mask], Bytes::from_static(wire)), "vector {n}");
        let expected = postgres.map_or(Field::Null, value);
        assert_eq!(inbound(ty, postgres.map(|_| wire)), Ok(expected), "vector {n}, {ty}");
    }
}

/// Number, type, wire from client, text for Postgres.
#[test]
fn a1_inbound() {
    let vectors: &[(u32, &str, &[u8], &str)] = &[
        (8, "int4", b"+0", "+0"),
        (9, "float4", b"1.40200001379222e+36", "1.40200001379222e+36"),
        (12, "float4", b"1.23399996757507", "1.23399996757507"),
        (12, "float4", b"1.2339999675750732", "1.2339999675750732"),
        (16, "float8", b"1e-7", "1e-7"),
        (18, "float8", b"0", "0"),
        (19, "float8", b"-iNfInItY", "-iNfInItY"),
        (24, "uuid", b"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        (28, "time", b"11:00:59.000", "11:00:59.000"),
        (30, "timestamp", b"2023-08-23 09:10:11.000", "2023-08-23 09:10:11.000"),
        (31, "timestamp", b"2023-08-14T14:01:28.848242", "2023-08-14T14:01:28.848242"),
        (32, "timestamptz", b"2023-08-14 14:01:28.848Z", "2023-08-14 14:01:28.848+00"),
        (33, "timestamptz", b"2023-08-14 10:01:28+00", "2023-08-14 10:01:28+00"),
        (37, "jsonb", br#"{"b":1,"a":[1,2.5,null]}"#, r#"{"b":1,"a":[1,2.5,null]}"#),
        (43, "bytea", b"\\x0001ff", "\\x5c78303030316666"),
        (44, "color", b"GREEN", "GREEN"),
        (45, "timestamptz", b"2023-08-07T16:28:35.421+00:00", "2023-08-07T16:28:35.421+00:00"),
        (47, "bool", b"1", "t"),
        (47, "bool", b"0", "f"),
        (67, "time", b"24:00:00", "24:00:00"),
        (74, "timestamptz", b"2023-08-07 21:28:35+03:00", "2023-08-07 21:28:35+03:00"),
        (74, "timestamptz", b"2023-08-07T18:28:35.421-0530", "2023-08-07T18:28:35.421-0530"),
        (87, "timestamptz", b"-infinity", "-infinity"),
    ];
    for (n, ty, wire, postgres) in vectors {
        assert_eq!(inbound(ty, Some(wire)), Ok(value(postgres)), "vector {n}");
    }
}

#[test]
fn a1_46_an_unchanged_column_is_in_both_rows() {
    let table = table(7, "t", &[("id", "int4"), ("big", "text")], &["id"]);
    let image: Row = [Some(b"1".as_slice()), Some(b"V")].into_iter().collect();
    let mut writer = OpLogWriter::new();
    writer.update(&table, &image, &image, &Tags::new()).unwrap();
    let Some(Op::Update(update)) = frame_ops(&writer.finish()[0]).pop() else { panic!() };
    assert_eq!(update.row_data, update.old_row_data);
    assert_eq!(update.row_data, texts(&["1", "V"]));
}

/// Number, type, wire, the exact text of the refusal.
#[test]
fn a2_invalid_values() {
    let vectors: &[(u32, &str, &[u8], &str)] = &[
        (48, "bool", b"true", r#"Unexpected value for bool column: "true""#),
        (49, "int4", b"", "Non-integer value given for int4 column: "),
        (50, "int4", b"1.0", "Non-integer value given for int4 column: 1.0"),
        (51, "int4", b"0x33", "Non-integer value given for int4 column: 0x33"),
        (52, "int8", b"1_000", "Non-integer value given for int8 column: 1_000"),
        (53, "int2", b"32768", "Value out of range for int2 column: 32768"),
        (54, "int4", b"-2147483649", "Value out of range for int4 column: -2147483649"),
        (55, "int8", b"9223372036854775808", "Value out of range for int8 column: 9223372036854775808"),
        (56, "float8", b"33.", r#"Unexpected value for float8 column: "33.""#),
        (57, "float4", b"-.1", r#"Unexpected value for float4 column: "-.1""#),
        (58, "float8", b" 1", r#"Unexpected value for float8 column: " 1""#),
        (59, "float8", b"1.8e+308", r#"Unexpected value for float8 column: "1.8e+308""#),
        (60, "float4", b"1.23456789E+248", "Value for float4 column out of range: 1.23456789E+248"),
        (61, "float4", b"0.6e-45", "Value for float4 column out of range: 0.6e-45"),
        (
            62,
            "uuid",
            b"00000000000000000000000000000000",
            r#"Unexpected value for uuid column: "00000000000000000000000000000000""#,
        ),
        (
            63,
            "uuid",
            b"00000000-0000-0000-0000-00000000000g",
            r#"Unexpected value for uuid column: "00000000-0000-0000-0000-00000000000g""#,
        ),
        (64, "date", b"0000-01-01", r#"Unexpected value for :date column: "0000-01-01""#),
        (65, "date", b"5697-02-29", r#"Unexpected value for :date column: "5697-02-29""#),
        (66, "date", b"20230815", r#"Unexpected value for :date column: "20230815""#),
        (67, "time", b"25:00:00", r#"Unexpected value for :time column: "25:00:00""#),
        (68, "time", b"00:00:00.1234567", r#"Unexpected value for :time column: "00:00:00.1234567""#),
        (69, "time", b"02:02:03-08:00", r#"Unexpected value for :time column: "02:02:03-08:00""#),
        (
            70,
            "timestamp",
            b"2023-08-15 11:12:13Z",
            r#"Unexpected offset provided for timestamp column: "2023-08-15 11:12:13Z""#,
        ),
        (71, "timestamp", b"20230815", r#"Unexpected format provided for timestamp column: "20230815""#),
        (72, "timestamp", b"0000-08-15 23:00:00", "Year out of range: 0"),
        (
            73,
            "timestamptz",
            b"2023-08-15 11:12:13",
            r#"Missing offset in timestamptz column: "2023-08-15 11:12:13""#,
        ),
        (
            75,
            "timestamptz",
            b"2023-08-07 24:28:35+00",
            r#"No such date and time, in timestamptz column: "2023-08-07 24:28:35+00""#,
        ),
        (76, "timestamptz", b"+", r#"Unexpected format for timestamptz column: "+""#),
        (
            77,
            "jsonb",
            b"...",
            r#"Invalid JSON found in jsonb column: unexpected byte at position 0: 0x2E (".")"#,
        ),
        (
            78,
            "jsonb",
            b"{]",
            r#"Invalid JSON found in jsonb column: unexpected byte at position 1: 0x5D ("]")"#,
        ),
        (
            79,
            "jsonb",
            br#""\u0000""#,
            "Invalid JSON found in jsonb column: U+0000 at position 1, which Postgres can't store",
        ),
        (80, "coffee", b"ESPRESSO", r#"Unexpected value "ESPRESSO" for enum type coffee"#),
        (86, "text", b"\xff\xfe", "Value for text column is not valid UTF-8"),
        (86, "text", b"a\0b", "Value for text column holds U+0000, which Postgres can't store"),
    ];
    for (n, ty, wire, text) in vectors {
        assert_eq!(inbound(ty, Some(wire)), Err((*text).into()), "vector {n}");
    }
}

#[test]
fn a2_more_of_the_grammars() {
    for (ty, bad) in [
        ("bool", &["", "T", "2"][..]),
        ("int4", &["+", "-", " 1", "1 ", "--1", "١"]),
        (
            "float8",
            &[
                "",
                ".5",
                "0x33",
                "20_30",
                "+inf",
                "1e",
                "1e+",
                "e5",
                "1.e5",
                "infinit",
                "1e-400",
                "-0.0001e-330",
            ],
        ),
        ("float4", &["1e39", "-3.5e38", "1e-46"]),
        (
            "date",
            &[
                "now",
                "yesterday",
                "2023-8-1",
                "2023-02-30",
                "+2023-01-01",
                "02023-01-01",
                "5874898-01-01",
                "4714-11-23 BC",
                "2023-01-01 ",
                "Infinity",
                "0001-01-01 bc",
                "2023-01-01 00:00:00",
            ],
        ),
        (
            "time",
            &["24:00:01", "23:60:00", "23:59:60", "1:00:00", "10:00", "T10:00:00", "infinity", "10:00:00."],
        ),
        (
            "timestamp",
            &[
                "2023-02-30 00:00:00",
                "2023-01-01 24:00:00",
                "2023-01-01",
                "2023-01-01  00:00:00",
                "2023-01-01t00:00:00",
                "294277-01-01 00:00:00",
                "2023-01-01 00:00:00.",
                "now",
            ],
        ),
        (
            "timestamptz",
            &[
                "2023-01-01 00:00:00+16",
                "2023-01-01 00:00:00+1",
                "2023-01-01 00:00:00+00:60",
                "2023-01-01 00:00:00z",
                "2023-01-01 00:00:00 +00",
                "2023-01-01 00:00:00+000",
                "now",
            ],
        ),
        ("color", &["red", "", "RED "]),
        ("uuid", &["{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1}", "a0eebc999c0b-4ef8-bb6d-6bb9bd380a11-", ""]),
    ] {
        for text in bad {
            assert!(inbound(ty, Some(text.as_bytes())).is_err(), "{ty}: {text:?}");
        }
    }
    for (ty, good) in [
        ("int2", &["-0", "00000000000000000000000032767"][..]),
        ("float8", &["+1", "Inf", "-inf", "nan", "0e999999999", "0.000e-400", "5e-324", "1E5", "-0"]),
        ("float4", &["3.4028235e38", "0.8e-45", "0e99"]),
        ("timestamp", &["2024-02-29T23:59:59.123456789", "0005-02-28 00:00:00 BC", "0005-02-29 00:00:00 BC"]),
        (
            "timestamptz",
            &["0001-01-01T00:00:00+15:59", "2023-01-01 00:00:00-0930", "2023-01-01T00:00:00.5-07"],
        ),
    ] {
        for text in good {
            assert_eq!(inbound(ty, Some(text.as_bytes())), Ok(value(text)), "{ty}: {text:?}");
        }
    }
}

#[test]
fn a2_81_null_where_the_table_says_not_null() {
    let mut strict = table(7, "t", &[("id", "int4"), ("v", "text")], &["id"]);
    strict.columns[1].not_null = true;
    let ops = || [begin(1, 1), insert(0, row(&[Some(b"1"), None]), &[]), commit()];
    let rejection =
        Inbound::new(schema_of([strict])).announce(0, "t", &["id", "v"]).decode(ops()).unwrap_err();
    assert_eq!(rejection.client_message, r#"column "v" of table "t" can't be NULL"#);
    // Or where the client's relation does.
    let schema = schema_of([table(7, "t", &[("id", "int4"), ("v", "text")], &["id"])]);
    let mut inbound = Inbound::new(schema);
    let mut relation = announcement(0, "t", &["id", "v"]);
    relation.columns[1].is_nullable = false;
    inbound.decoder.announce(&relation, &inbound.schema).unwrap();
    assert_eq!(inbound.decode(ops()).unwrap_err().client_message, r#"column "v" of table "t" can't be NULL"#);
    // A compensation may hold NULL anywhere but in the key.
    let kept =
        inbound.decode([begin(1, 1), compensation(0, row(&[Some(b"1"), None]), &[]), commit()]).unwrap();
    assert_eq!(kept[0].ops[0].values, [value("1"), Field::Absent]);
}

#[test]
fn a2_82_and_83_rows_that_fit_no_relation() {
    let schema = schema_of([table(7, "t", &[("id", "int4"), ("a", "text"), ("b", "text")], &["id"])]);
    let mut inbound = Inbound::new(schema).announce(0, "t", &["id", "a", "b"]);
    let rejection = inbound.decode([begin(1, 1), insert(0, texts(&["1", "2"]), &[]), commit()]).unwrap_err();
    assert!(matches!(rejection.reason, RejectionReason::Row { .. }), "{rejection}");
    let rejection =
        inbound.decode([begin(1, 1), insert(9, texts(&["1", "2", "3"]), &[]), commit()]).unwrap_err();
    assert_eq!(rejection.reason, RejectionReason::UnknownRelation(9));
    let mut short_mask = texts(&["1", "2", "3"]).unwrap();
    short_mask.nulls_bitmask = Bytes::new();
    let rejection = inbound.decode([begin(1, 1), insert(0, Some(short_mask), &[])]).unwrap_err();
    assert!(matches!(rejection.reason, RejectionReason::Row { .. }), "{rejection}");
    let mut null_with_value = texts(&["1", "2", "3"]).unwrap();
    null_with_value.nulls_bitmask = Bytes::from_static(&[0x20]);
    let rejection = inbound.decode([begin(1, 1), insert(0, Some(null_with_value), &[])]).unwrap_err();
    assert!(matches!(rejection.reason, RejectionReason::Row { .. }), "{rejection}");
    // Padding bits don't matter.
    let mut padded = texts(&["1", "2", "3"]).unwrap();
    padded.nulls_bitmask = Bytes::from_static(&[0x1f]);
    assert_eq!(inbound.decode([begin(1, 1), insert(0, Some(padded), &[]), commit()]).unwrap().len(), 1);
}

#[test]
fn a2_84_a_changed_key() {
    let keys = [("id1", "text"), ("id2", "int4"), ("v", "text")];
    let schema = schema_of([table(7, "compound_pks", &keys, &["id1", "id2"])]);
    let mut inbound = Inbound::new(schema).announce(0, "compound_pks", &["id1", "id2", "v"]);
    let change = update(0, texts(&["a", "1", "x"]), texts(&["b", "1", "x"]), &[]);
    let rejection = inbound.decode([begin(1, 258), change, commit()]).unwrap_err();
    assert_eq!(
        rejection.client_message,
        "Applying transaction [LSN 258] failed write validation tests for the following reason: Attempt to update \
         table \"public\".\"compound_pks\" primary key(s) [\"id1\"] (ImmutablePrimaryKey) change: delete the row and \
         insert another instead"
    );
    let response = rejection.response();
    assert_eq!(response.error_type(), ErrorCode::InvalidRequest);
    assert_eq!(response.lsn.as_deref(), Some(&[0, 0, 1, 2][..]));
}

#[test]
fn a3_masks() {
    let vectors: &[(usize, &[usize], &[u8])] = &[
        (1, &[], &[0x00]),
        (1, &[0], &[0x80]),
        (3, &[2], &[0x20]),
        (8, &[7], &[0x01]),
        (9, &[8], &[0x00, 0x80]),
        (9, &[0, 1, 3, 8], &[0xD0, 0x80]),
        (13, &[2, 9], &[0x20, 0x40]),
        (16, &[2, 15], &[0x20, 0x01]),
        // Spec 02 §3.
        (3, &[1], &[0x40]),
        (11, &[0, 1], &[0xC0, 0x00]),
    ];
    for (columns, nulls, mask) in vectors {
        let names: Vec<String> = (0..*columns).map(|i| format!("c{i}")).collect();
        let columns: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "text")).collect();
        let table = Arc::new(table(7, "t", &columns, &[]));
        let values = (0..names.len()).map(|i| (!nulls.contains(&i)).then_some(b"v".as_slice()));
        let mut encoder = InsertEncoder::new(table);
        encoder.push(values, &Tags::new()).unwrap();
        let Some(Op::Insert(insert)) = frame_ops(&encoder.finish().unwrap()).pop() else { panic!() };
        let row = insert.row_data.unwrap();
        assert_eq!(row.nulls_bitmask, *mask, "{nulls:?} of {}", names.len());
        assert_eq!(row.values.len(), names.len());
    }
}

#[test]
fn the_row_of_section_4_is_these_bytes() {
    let table = Arc::new(table(0, "t", &[("a", "text"), ("b", "text"), ("c", "text")], &[]));
    let mut encoder = InsertEncoder::new(table);
    encoder.push([None, Some(b"".as_slice()), Some(b"x")], &Tags::new()).unwrap();
    let frame = encoder.finish().unwrap();
    assert!(frame.ends_with(b"\x12\x0a\x0A\x01\x80\x12\x00\x12\x00\x12\x01\x78"), "{frame:x?}");
}

//! Spec 06 §13.6 and §2.3: requests that are refused. The connection goes on as if nothing had been asked.

use protocol::wire::{SatShapeDef, SatShapeReq, sat_shape_def::Relation};

use super::{Rig, Viewer, all, notation::subscription_id};

/// `SubsError.Code`.
const ID_EXISTS: i32 = 1;
const SHAPE_REQUEST_ERROR: i32 = 2;
/// `ShapeReqError.Code`.
const TABLE_NOT_FOUND: i32 = 1;
const EMPTY_SHAPE_DEFINITION: i32 = 3;
const INVALID_WHERE_CLAUSE: i32 = 5;
const INVALID_INCLUDE_TREE: i32 = 6;

/// What the subscription as a whole is told when one of its requests is wrong.
const OUTER: &str = "Could not establish a subscription due to errors on requests";

impl Viewer<'_> {
    /// Is refused, with an error for each bad request; nothing comes of it, and the connection is as before.
    async fn refused_each(&mut self, requests: Vec<SatShapeReq>, errors: &[(&str, i32, &str)]) {
        let error = self.ask(&subscription_id("Z"), requests).await.expect("to be refused");
        assert_eq!((error.code, error.message.as_str()), (SHAPE_REQUEST_ERROR, OUTER));
        let got: Vec<_> = error
            .shape_request_error
            .iter()
            .map(|e| (e.request_id.as_str(), e.code, e.message.as_str()))
            .collect();
        assert_eq!(got, errors);
        self.sees("—").await;
    }

    /// One request is refused.
    async fn refused(&mut self, request: SatShapeReq, code: i32, message: &str) {
        let id = request.request_id.clone();
        self.refused_each(vec![request], &[(&id, code, message)]).await;
    }

    /// The subscription as a whole is refused.
    async fn refused_whole(&mut self, id: &str, requests: Vec<SatShapeReq>, code: i32, message: &str) {
        let error = self.ask(id, requests).await.expect("to be refused");
        assert_eq!((error.code, error.message.as_str()), (code, message));
        assert!(error.shape_request_error.is_empty(), "{error:?}");
        self.sees("—").await;
    }
}

/// A where-clause on a table is refused.
async fn clause_refused(table: &str, clause: &str, message: &str) {
    let rig = Rig::take().await;
    let request = all(table).filter(clause).request("r1");
    rig.viewer().await.refused(request, INVALID_WHERE_CLAUSE, message).await;
}

fn no_relation(parent: &str, child: &str, key: &str) -> String {
    format!(
        "Relation between {{\"public\", \"{parent}\"}} and {{\"public\", \"{child}\"}} over FK [{key}] does not exist"
    )
}

#[tokio::test]
async fn e01_no_select() {
    let rig = Rig::take().await;
    let request = SatShapeReq { request_id: "r1".into(), shape_definition: Some(SatShapeDef::default()) };
    let message = "Empty shape requests are not allowed";
    rig.viewer().await.refused(request, EMPTY_SHAPE_DEFINITION, message).await;
}

#[tokio::test]
async fn e02_no_definition() {
    let rig = Rig::take().await;
    let request = SatShapeReq { request_id: "r1".into(), shape_definition: None };
    let message = "Empty shape requests are not allowed";
    rig.viewer().await.refused(request, EMPTY_SHAPE_DEFINITION, message).await;
}

#[tokio::test]
async fn e03_two_selects() {
    let rig = Rig::take().await;
    let selects = vec![all("users").into_message(), all("entries").into_message()];
    let request = SatShapeReq { request_id: "r1".into(), shape_definition: Some(SatShapeDef { selects }) };
    rig.viewer()
        .await
        .refused(request, INVALID_INCLUDE_TREE, "Cannot have more than one top-level select")
        .await;
}

#[tokio::test]
async fn e04_an_unknown_table() {
    let rig = Rig::take().await;
    let mut c = rig.viewer().await;
    c.refused(all("who knows").request("r1"), TABLE_NOT_FOUND, "Unknown table who knows").await;
    rig.sql("CREATE TABLE IF NOT EXISTS plain (id uuid PRIMARY KEY)").await;
    c.refused(all("plain").request("r1"), TABLE_NOT_FOUND, "Unknown table plain").await;
}

#[tokio::test]
async fn e05_no_name_of_a_table() {
    let rig = Rig::take().await;
    let mut c = rig.viewer().await;
    for name in [&"a".repeat(100), "", "users\u{0}", "us\ners", "\u{1b}[2J"] {
        c.refused(all(name).request("r1"), TABLE_NOT_FOUND, "Invalid table name").await;
    }
}

#[tokio::test]
async fn e06_an_include_of_an_unknown_table() {
    let rig = Rig::take().await;
    let request = all("users").with("author_id", all("x")).request("r1");
    rig.viewer().await.refused(request, TABLE_NOT_FOUND, "Unknown table x").await;
}

#[tokio::test]
async fn e07_an_include_over_no_relation() {
    let rig = Rig::take().await;
    let mut c = rig.viewer().await;
    let refused = [
        (all("users").with("author_id", all("projects")), no_relation("users", "projects", "\"author_id\"")),
        (all("users").with("", all("entries")), no_relation("users", "entries", "")),
        (all("orders").with("no,tenant", all("lines")), no_relation("orders", "lines", "\"no\", \"tenant\"")),
        (all("orders").with("tenant", all("lines")), no_relation("orders", "lines", "\"tenant\"")),
    ];
    for (select, message) in refused {
        c.refused(select.request("r1"), INVALID_INCLUDE_TREE, &message).await;
    }
}

#[tokio::test]
async fn e08_an_include_without_a_select() {
    let rig = Rig::take().await;
    let relation = Relation { foreign_key: vec!["author_id".into()], select: None };
    let request = all("users").with_relation(relation).request("r1");
    rig.viewer().await.refused(request, INVALID_INCLUDE_TREE, "Relation has to have a FK and a select").await;
}

#[tokio::test]
async fn e09_the_same_relation_twice() {
    let rig = Rig::take().await;
    let select = all("users").with("author_id", all("entries"));
    let request = select.with("author_id", all("entries").filter("this.content = 'x'")).request("r1");
    rig.viewer()
        .await
        .refused(request, INVALID_INCLUDE_TREE, "Cannot traverse same relationship twice")
        .await;
}

#[tokio::test]
async fn e10_an_unknown_reference() {
    clause_refused("users", "huh::boolean", "At location 0: unknown reference huh").await;
}

#[tokio::test]
async fn e11_a_column_without_this() {
    let message = "At location 0: unknown reference name - did you mean `this.name`?";
    clause_refused("users", "name = 'x'", message).await;
}

#[tokio::test]
async fn e12_not_a_condition() {
    clause_refused("users", "this.name", "Where expression should evaluate to a boolean, but it's :text")
        .await;
}

#[tokio::test]
async fn e13_a_test_of_something_else_than_a_condition() {
    let message = "At location 7: argument of IS TRUE must be bool, not int4";
    clause_refused("nums", "this.a IS TRUE", message).await;
}

#[tokio::test]
async fn e14_a_subquery() {
    clause_refused("nums", "this.a IN (SELECT 1)", "At location 7: subqueries are not supported").await;
}

#[tokio::test]
async fn e15_a_second_statement() {
    clause_refused("users", "true; DROP TABLE x", "unescaped \";\" causing statement split").await;
}

#[tokio::test]
async fn e16_more_than_a_condition() {
    clause_refused("users", "true ORDER BY 1", "malformed query ending with SQL clauses").await;
}

#[tokio::test]
async fn e17_a_value_of_the_wrong_kind() {
    clause_refused("nums", "this.a = 'abc'", "At location 9: invalid syntax for type int4: abc").await;
}

#[tokio::test]
async fn e18_an_unknown_function() {
    clause_refused("nums", "ceil(this.f) = 1", "At location 0: unknown or unsupported function ceil/1").await;
}

#[tokio::test]
async fn e19_between_is_accepted() {
    let rig = Rig::take().await;
    rig.sql("INSERT INTO nums (id, a) VALUES (@x1, 0), (@x2, 1), (@x3, 2), (@x4, 3), (@x5, NULL)").await;
    let mut c = rig.viewer().await;
    c.gets("A", all("nums").filter("this.a BETWEEN 1 AND 2"), "x2, x3").await;
    c.gets("B", all("nums").filter("this.a NOT BETWEEN 1 AND 2"), "x1, x4").await;
    c.on("UPDATE nums SET a = 2 WHERE id = @x5", "TX[I x5]; —").await;
}

#[tokio::test]
async fn e20_every_bad_request_is_named_in_order() {
    let rig = Rig::take().await;
    let requests = vec![
        all("who").request("r1"),
        all("users").request("fine"),
        all("users").filter("this.name").request("r2"),
        all("users").with("author_id", all("projects")).request("r3"),
    ];
    let errors = [
        ("r1", TABLE_NOT_FOUND, "Unknown table who"),
        ("r2", INVALID_WHERE_CLAUSE, "Where expression should evaluate to a boolean, but it's :text"),
        ("r3", INVALID_INCLUDE_TREE, &no_relation("users", "projects", "\"author_id\"")),
    ];
    rig.viewer().await.refused_each(requests, &errors).await;
}

#[tokio::test]
async fn e21_an_id_that_is_no_uuid() {
    let rig = Rig::take().await;
    let mut c = rig.viewer().await;
    for id in ["nope", "5AB5C819-0000-4000-8000-000000000041", "{5ab5c819-0000-4000-8000-000000000041}", ""] {
        let requests = vec![all("users").request("r1")];
        c.refused_whole(id, requests, SHAPE_REQUEST_ERROR, "Subscription ID should be a valid UUID").await;
    }
    let long = "a".repeat(129);
    c.refused_whole(&long, vec![all("users").request("r1")], SHAPE_REQUEST_ERROR, "ID too long").await;
}

#[tokio::test]
async fn e22_an_id_that_is_in_use() {
    let rig = Rig::take().await;
    let mut c = rig.viewer().await;
    c.gets("A", all("users"), "").await;
    let message = "Cannot establish multiple subscriptions with the same ID. If you want to change the subscription, you need to unsubscribe first.";
    c.refused_whole(&subscription_id("A"), vec![all("entries").request("r1")], ID_EXISTS, message).await;
    c.on("INSERT INTO users VALUES (@u1, '')", "TX[I u1]; —").await;
}

#[tokio::test]
async fn e23_two_requests_of_one_name() {
    let rig = Rig::take().await;
    let requests = vec![all("users").request("r1"), all("entries").request("r1")];
    let id = subscription_id("A");
    let mut c = rig.viewer().await;
    c.refused_whole(&id, requests, SHAPE_REQUEST_ERROR, "Duplicated request ids are not allowed").await;
}

#[tokio::test]
async fn e24_no_requests() {
    let rig = Rig::take().await;
    let message = "Subscription must include at least one shape request";
    rig.viewer().await.refused_whole(&subscription_id("A"), vec![], SHAPE_REQUEST_ERROR, message).await;
}

#[tokio::test]
async fn e25_a_where_clause_on_what_rows_refer_to() {
    let rig = Rig::take().await;
    let select = all("entries").with("author_id", all("users").filter("this.name = 'x'"));
    let message = "Where clauses are not allowed on many-to-one relations";
    rig.viewer().await.refused(select.request("r1"), INVALID_INCLUDE_TREE, message).await;
}

#[tokio::test]
async fn the_first_thing_that_is_wrong_is_named_depth_first() {
    let rig = Rig::take().await;
    let mut c = rig.viewer().await;
    let deep =
        all("users").with("author_id", all("entries").filter("this.content").with("nope", all("comments")));
    let message = "Where expression should evaluate to a boolean, but it's :text";
    c.refused(deep.request("r1"), INVALID_WHERE_CLAUSE, message).await;
    let twice = all("users")
        .with("author_id", all("entries"))
        .with("author_id", all("entries").with("x", all("nope")));
    c.refused(twice.request("r1"), TABLE_NOT_FOUND, "Unknown table nope").await;
}

#[tokio::test]
async fn a_huge_or_deep_request_is_refused_and_harms_nobody() {
    let rig = Rig::take().await;
    rig.sql("INSERT INTO nums (id, a) VALUES (@x1, 1)").await;
    let mut c = rig.viewer().await;
    let mut deep = all("nodes");
    for _ in 0..40 {
        deep = all("nodes").with("parent_id", deep);
    }
    assert!(
        c.ask(&subscription_id("A"), vec![deep.request("r1")]).await.is_some(),
        "forty levels were accepted"
    );
    // Answered one way or the other, and if it is taken, then for what it says.
    for (what, (clause, rows)) in [
        (format!("{}true{}", "(".repeat(100_000), ")".repeat(100_000)), 1),
        (format!("{}true", "NOT ".repeat(50_000)), 1),
        (format!("{}true", "not(".repeat(50_001)), 0),
        (format!("this.a = 2{}", " OR this.a = 2".repeat(3_000)), 0),
        (format!("this.a = 1{}", " AND this.a < 2".repeat(3_000)), 1),
        (format!("this.a = {}1", "- ".repeat(100_000)), 1),
        (format!("this.a IN (2{})", ",2".repeat(20_000)), 0),
        ("x".repeat(600_000), 0),
    ]
    .into_iter()
    .enumerate()
    {
        let requests = vec![all("nums").filter(clause).request("r1")];
        match c.ask(&subscription_id("A"), requests).await {
            Some(error) => {
                let code = error.shape_request_error.first().map(|error| error.code);
                assert_eq!(code, Some(INVALID_WHERE_CLAUSE), "clause {what}: {error:?}");
            }
            None => {
                c.sees(if rows == 1 { "DATA A[I x1]" } else { "DATA A[]" }).await;
                c.unsub("A").await;
                c.sees_something().await;
                c.has("");
            }
        }
    }
    c.gets("A", all("nums"), "x1").await;
    c.sees("—").await;
}

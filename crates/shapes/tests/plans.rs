//! Plans of the requests of spec 06 §13, and of more awkward schemas.

use change::RelationId;
use schema::Schema;
use shapes::{Direction, Plan, SelectDef};

use crate::support::{example, over, refer, refer_to_itself, schema, select, select_where, shape, table};

/// One line per layer: its table, and how rows get there; `+` marks the closure, `*` that there are many per parent.
fn drawn(plan: &Plan) -> Vec<String> {
    let line = |layer: &shapes::Layer| {
        let name = |table: &schema::Table, columns: &[usize]| {
            columns.iter().map(|c| table.columns[*c].name.clone()).collect::<Vec<_>>().join(",")
        };
        let links = layer.links.iter().map(|link| {
            let own = name(&layer.table, &link.own_columns);
            let parents = name(&plan.layers[link.parent].table, &link.parent_columns);
            let many = if link.direction == Direction::OneToMany { "*" } else { "" };
            format!(" {own}{many}={}.{parents}", link.parent)
        });
        let closure = if layer.is_closure { "+" } else { "" };
        format!("{closure}{}{}", layer.table.name, links.collect::<String>())
    };
    plan.layers.iter().map(line).collect()
}

#[track_caller]
fn check(schema: &Schema, select: &SelectDef, expected: &[&str]) {
    assert_eq!(drawn(&shape(select, schema, "1").unwrap().plan), expected);
}

#[test]
fn v20_children_without_their_children() {
    let nested = select("users", vec![over(&["author_id"], select("entries", vec![]))]);
    check(&example(), &nested, &["users", "entries author_id*=0.id"]);
}

#[test]
fn v22_what_a_row_refers_to_comes_along() {
    check(&example(), &select("entries", vec![]), &["entries", "+users id=0.author_id"]);
    let comments = ["comments", "+users id=0.author_id id=2.author_id", "+entries id=0.entry_id"];
    check(&example(), &select("comments", vec![]), &comments);
}

#[test]
fn v27_includes_in_both_directions() {
    let comments = select("comments", vec![over(&["author_id"], select("users", vec![]))]);
    let nested = |includes| select("entries", includes);
    let author = || over(&["author_id"], select("users", vec![]));
    let expected = ["entries", "comments entry_id*=0.id", "+users id=0.author_id id=1.author_id"];
    check(&example(), &nested(vec![author(), over(&["entry_id"], comments.clone())]), &expected);
    check(&example(), &nested(vec![over(&["entry_id"], comments), author()]), &expected);
    // The closure brings the authors, asked for or not.
    check(&example(), &nested(vec![over(&["entry_id"], select("comments", vec![]))]), &expected);
}

#[test]
fn v34_up_and_down_again() {
    let author = select("users", vec![over(&["author_id"], select("entries", vec![]))]);
    check(
        &example(),
        &select("entries", vec![over(&["author_id"], author)]),
        &["entries", "users id=0.author_id", "entries author_id*=1.id"],
    );
}

#[test]
fn v35_grandchildren_bring_what_they_refer_to() {
    let entries = select("entries", vec![over(&["entry_id"], select("comments", vec![]))]);
    let nested = |user: &str| select_where("users", user, vec![over(&["author_id"], entries.clone())]);
    let all = ["users", "entries author_id*=0.id", "comments entry_id*=1.id"];
    check(&example(), &nested(""), &all);
    // With all users in the root there is nothing to add; with some there is.
    let some = [all[0], all[1], all[2], "+users id=2.author_id"];
    check(&example(), &nested("this.name = 'John'"), &some);
}

#[test]
fn v45_a_chain_of_references() {
    let expected = ["issues", "+users id=0.assignee_id id=2.owner_id", "+projects id=0.project_id"];
    check(&example(), &select("issues", vec![]), &expected);
}

#[test]
fn v47_v48_composite_keys() {
    let nested = select("orders", vec![over(&["tenant", "no"], select("lines", vec![]))]);
    check(&example(), &nested, &["orders", "lines tenant,no*=0.tenant,no"]);
    check(&example(), &select("lines", vec![]), &["lines", "+orders tenant,no=0.tenant,no"]);
}

#[test]
fn keys_are_paired_as_declared_and_follow_the_referenced_primary_key() {
    let mut orders = table(1, "orders", &["tenant", "no", "code"]);
    orders.primary_key = vec![1, 0];
    let lines = table(2, "lines", &["id", "a", "b", "code"]);
    let lines = refer(lines, &["a", "b"], &orders, &["tenant", "no"]);
    let lines = refer(lines, &["code"], &orders, &["code"]);
    let schema = schema([orders, lines]);
    check(&schema, &select("lines", vec![]), &["lines", "+orders no,tenant=0.b,a code=0.code"]);
    let nested = |key: &[&str]| select("orders", vec![over(key, select("lines", vec![]))]);
    check(&schema, &nested(&["a", "b"]), &["orders", "lines b,a*=0.no,tenant"]);
    check(&schema, &nested(&["code"]), &["orders", "lines code*=0.code"]);
    assert!(shape(&nested(&["b", "a"]), &schema, "1").is_err());
}

#[test]
fn a_table_that_refers_to_itself() {
    let people = refer_to_itself(table(1, "people", &["id", "boss_id", "name"]), &["boss_id"], &["id"]);
    let schema = schema([people]);
    // All are in the root.
    check(&schema, &select("people", vec![]), &["people"]);
    // The bosses of some, and theirs.
    let some = |include| select_where("people", "this.name = 'x'", include);
    check(&schema, &some(vec![]), &["people", "+people id=0.boss_id id=1.boss_id"]);
    // Asked for, it is those whose boss is among the rows; their boss is there.
    let staff = over(&["boss_id"], select("people", vec![]));
    let expected = ["people", "people boss_id*=0.id", "+people id=0.boss_id id=2.boss_id"];
    check(&schema, &some(vec![staff]), &expected);
}

#[test]
fn tables_that_refer_to_each_other() {
    let mut teams = table(1, "teams", &["id", "other_id", "lead_id"]);
    let people = refer(table(2, "people", &["id", "other_id"]), &["other_id"], &teams, &["id"]);
    teams = refer(teams, &["other_id"], &people, &["id"]);
    teams = refer(teams, &["lead_id"], &people, &["id"]);
    let schema = schema([teams, people]);
    let expected = ["teams", "+people id=0.other_id id=0.lead_id"];
    check(&schema, &select("teams", vec![]), &expected);
    // The child's key comes first.
    let nested = select("teams", vec![over(&["other_id"], select("people", vec![]))]);
    let expected = ["teams", "people other_id*=0.id", "+people id=0.other_id id=0.lead_id"];
    check(&schema, &nested, &expected);
}

#[test]
fn what_clients_can_not_have_adds_nothing() {
    let mut hidden = table(1, "hidden", &["id"]);
    hidden.held_back = Some("odd".into());
    let gone = table(2, "gone", &["id"]);
    let rows = table(3, "rows", &["id", "hidden_id", "gone_id"]);
    let rows = refer(rows, &["hidden_id"], &hidden, &["id"]);
    let rows = refer(rows, &["gone_id"], &gone, &["id"]);
    check(&schema([hidden, rows]), &select("rows", vec![]), &["rows"]);
}

#[test]
fn a_second_key_between_the_same_tables_is_another_relation() {
    let users = table(1, "users", &["id"]);
    let issues = table(2, "issues", &["id", "author_id", "reviewer_id"]);
    let issues = refer(issues, &["author_id"], &users, &["id"]);
    let issues = refer(issues, &["reviewer_id"], &users, &["id"]);
    let schema = schema([users, issues]);
    let both = select(
        "users",
        vec![
            over(&["reviewer_id"], select("issues", vec![])),
            over(&["author_id"], select("issues", vec![])),
        ],
    );
    check(&schema, &both, &["users", "issues author_id*=0.id", "issues reviewer_id*=0.id"]);
    // One of the users is the parent; the other comes along.
    let some = select_where("users", "this.id = 'x'", vec![over(&["author_id"], select("issues", vec![]))]);
    check(&schema, &some, &["users", "issues author_id*=0.id", "+users id=1.reviewer_id"]);
}

#[test]
fn the_owner_is_part_of_every_layer() {
    let notes = table(1, "notes", &["id", "electric_user_id"]);
    let notes = refer_to_itself(table_with_parent(notes), &["parent_id"], &["id"]);
    let tags = refer(table(2, "tags", &["id", "note_id"]), &["note_id"], &notes, &["id"]);
    let schema = schema([notes, tags]);
    let plan = |user| shape(&select("tags", vec![]), &schema, user).unwrap().plan;
    assert_eq!(drawn(&plan("1")), ["tags", "+notes id=0.note_id id=1.parent_id"]);
    assert!(plan("1").layers[0].filter.is_all() && !plan("1").layers[1].filter.is_all());
    assert_eq!(plan("1"), plan("1"));
    assert_ne!(plan("1"), plan("2"));
    // All that the user may see are in the root.
    check(&schema, &select("notes", vec![]), &["notes"]);
    // Whoever the user is, it matters to nobody else's tables.
    let orders = |user| shape(&select("orders", vec![]), &example(), user).unwrap().plan;
    assert_eq!(orders("1"), orders("2"));
}

fn table_with_parent(mut table: schema::Table) -> schema::Table {
    let mut parent = table.columns[0].clone();
    parent.name = "parent_id".into();
    parent.not_null = false;
    table.columns.push(parent);
    table
}

#[test]
fn what_a_plan_tells_of_itself() {
    let plan = |select: SelectDef| shape(&select, &example(), "1").unwrap().plan;
    let entries = plan(select("entries", vec![]));
    assert!(!entries.is_simple() && !entries.has_one_to_many());
    assert_eq!(entries.relations(), [RelationId(1), RelationId(2)]);
    assert!(plan(select("users", vec![over(&["author_id"], select("entries", vec![]))])).has_one_to_many());
}

//! The test vectors of spec 06 §13.1 and §13.2, as far as they are about one shape.

use shapes::SelectDef;

use super::script::{Script, uuid};
use crate::support::{over, select, select_where};

/// V03 and V04.
fn doe() -> Script {
    let mut script = Script::new(
        &["u1 name=Jo_Doe", "u2 name=Jo_No"],
        &select_where("users", "this.name LIKE '% Doe'", vec![]),
    );
    assert_eq!(script.data, "I u1");
    assert_eq!(script.tx(&["+u3 name=Ja_Doe", "+u4 name=Ja_No"]), "I u3");
    script
}

#[test]
fn v01_a_table() {
    let mut script = Script::new(&["u1"], &select("users", vec![]));
    assert_eq!(script.data, "I u1");
    assert_eq!(script.tx(&["+u2"]), "I u2");
    assert_eq!(script.tx(&["~u1 name=x"]), "U u1");
    assert_eq!(script.tx(&["-u1"]), "D u1");
    assert_eq!(script.tx(&["+e1"]), "", "V02");
}

#[test]
fn v05_to_v07_in_and_out_by_the_clause() {
    let mut script = doe();
    assert_eq!(script.tx(&["~u4 name=Ja_New_Doe"]), "I u4");
    assert_eq!(script.tx(&["~u4 name=Ja"]), "G u4");
    assert_eq!(script.tx(&["~u4 name=x"]), "");
    assert_eq!(script.tx(&["-u4"]), "");
}

#[test]
fn v08_in_and_out_in_one_transaction() {
    assert_eq!(doe().tx(&["+u5 name=A_Doe", "~u5 name=A"]), "");
}

#[test]
fn v09_a_delete_supersedes_a_gone() {
    assert_eq!(doe().tx(&["~u1 name=q", "-u1"]), "D u1");
}

#[test]
fn v10_out_and_in_in_one_transaction() {
    assert_eq!(doe().tx(&["~u1 name=q", "~u1 name=Z_Doe"]), "U u1");
}

#[test]
fn v15_out_of_one_shape_and_still_in_another() {
    let shown = |clause: &str| {
        Script::new(&["u1 name=Jo"], &select_where("users", clause, vec![])).tx(&["~u1 name=Jx"])
    };
    assert_eq!(shown("this.name LIKE 'J%'"), "U u1");
    assert_eq!(shown("this.name LIKE '%o'"), "G u1");
}

#[test]
fn v16_v17_out_of_one_shape_into_another_and_out_of_that() {
    let shown = |clause: &str| {
        let mut script = Script::new(&["p1 status=a"], &select_where("projects", clause, vec![]));
        (script.tx(&["~p1 status=b"]), script.tx(&["~p1 status=c"]))
    };
    assert_eq!(shown("this.status = 'a'"), ("G p1".into(), String::new()));
    assert_eq!(shown("this.status = 'b'"), ("I p1".into(), "G p1".into()));
}

#[test]
fn v20_v21_children_of_some() {
    let entries = over(&["author_id"], select("entries", vec![]));
    let shape = select_where("users", "this.name = 'one'", vec![entries]);
    let rows = ["u1 name=one", "u2 name=two", "e1 author_id=u1", "c1 entry_id=e1 author_id=u1"];
    let mut script = Script::new(&rows, &shape);
    assert_eq!(script.data, "I e1, I u1");
    assert_eq!(script.tx(&["+e2 author_id=u1"]), "I e2");
    assert_eq!(script.tx(&["+e3 author_id=u2"]), "");
}

fn all_entries() -> Script {
    let script = Script::new(&["u1", "u2", "e1 author_id=u1"], &select("entries", vec![]));
    assert_eq!(script.data, "I e1, I u1", "V22");
    script
}

#[test]
fn v22_to_v25_a_new_entry_brings_its_author_and_takes_it_along() {
    let mut script = all_entries();
    assert_eq!(script.tx(&["+e2 author_id=u2"]), "I e2, I u2");
    assert_eq!(script.tx(&["~u2 name=x"]), "U u2");
    assert_eq!(script.tx(&["-e2"]), "D e2, G u2");
}

#[test]
fn v26_an_author_stays_as_long_as_an_entry_does() {
    let mut script = all_entries();
    assert_eq!(script.tx(&["+e3 author_id=u1"]), "I e3");
    assert_eq!(script.tx(&["-e1"]), "D e1");
    assert_eq!(script.tx(&["-e3"]), "D e3, G u1");
}

/// After V28.
fn of_john() -> Script {
    let author = || over(&["author_id"], select("users", vec![]));
    let comments = over(&["entry_id"], select("comments", vec![author()]));
    let of_u1 = format!("this.author_id = '{}'", uuid("u1"));
    let rows = [
        "u1 name=John",
        "u2 name=Jane",
        "e1 author_id=u1",
        "c1 entry_id=e1 author_id=u1",
        "c2 entry_id=e1 author_id=u2",
    ];
    let mut script = Script::new(&rows, &select_where("entries", &of_u1, vec![author(), comments]));
    assert_eq!(script.data, "I c1, I c2, I e1, I u1, I u2", "V27");
    assert_eq!(script.tx(&["+e2 author_id=u1", "+e3 author_id=u2"]), "I e2", "V28");
    script
}

#[test]
fn v29_a_comment_moves_to_an_entry_that_is_not_visible() {
    assert_eq!(of_john().tx(&["~c1 entry_id=e3"]), "G c1");
}

#[test]
fn v30_v31_an_entry_goes_with_all_that_hangs_on_it_alone() {
    let mut script = of_john();
    assert_eq!(script.tx(&["~c1 entry_id=e3"]), "G c1");
    assert_eq!(script.tx(&["~e1 author_id=u2"]), "G c2, G e1, G u2");
    assert_eq!(script.tx(&["~c2 content=x"]), "");
}

#[test]
fn v32_an_entry_moves_in_with_its_author() {
    let author = over(&["author_id"], select("users", vec![]));
    let shape = select_where("entries", "this.content ILIKE 'nice%'", vec![author]);
    let mut script = Script::new(&["u1", "u2", "e1 author_id=u1 content=hello"], &shape);
    assert_eq!(script.data, "");
    assert_eq!(script.tx(&["~e1 content=nice_job"]), "I e1, I u1");
    assert_eq!(script.tx(&["~u1 name=x"]), "U u1");
}

#[test]
fn v33_an_author_changes_and_goes() {
    let of_u1 = format!("this.author_id = '{}'", uuid("u1"));
    for shape in [
        select_where("entries", &of_u1, vec![]),
        select_where("entries", &of_u1, vec![over(&["author_id"], select("users", vec![]))]),
    ] {
        let mut script = Script::new(&["u1", "u2", "e1 author_id=u1"], &shape);
        assert_eq!(script.tx(&["~u1 name=x", "~e1 author_id=u2"]), "G e1, G u1");
    }
}

#[test]
fn v34_other_entries_of_an_author_who_moved_in_are_additional() {
    let entries = over(&["author_id"], select("entries", vec![]));
    let author = over(&["author_id"], select("users", vec![entries]));
    let shape = select_where("entries", "this.content ILIKE 'nice%'", vec![author]);
    let moved_in = |rows: &[&str]| {
        let mut script = Script::new(rows, &shape);
        assert_eq!(script.data, "");
        script.tx(&["+e2 author_id=u1 content=other", "~e1 content=nice"])
    };
    assert_eq!(moved_in(&["u1", "e1 author_id=u1 content=hello"]), "I e1, I e2, I u1 + ADD[]");
    let more = ["u1", "e1 author_id=u1 content=hello", "e3 author_id=u1"];
    assert_eq!(moved_in(&more), "I e1, I e2, I u1 + ADD[I e3]");
}

#[test]
fn v35_v36_what_hangs_on_an_entry_that_moved_in_is_additional() {
    let comments = over(&["entry_id"], select("comments", vec![]));
    let entries = over(&["author_id"], select("entries", vec![comments]));
    let shape = select_where("users", &format!("this.id = '{}'", uuid("u2")), vec![entries]);
    let rows = ["u1 name=John", "u2 name=Jane", "e1 author_id=u1", "c1 entry_id=e1 author_id=u1"];
    let mut script = Script::new(&rows, &shape);
    assert_eq!(script.data, "I u2");
    assert_eq!(script.tx(&["~e1 author_id=u2"]), "I e1 + ADD[I c1, I u1]");
    assert_eq!(script.tx(&["~u1 name=x"]), "U u1");
}

/// The shape of V37.
fn open_projects() -> SelectDef {
    let issues = over(&["project_id"], select_where("issues", "this.open = true", vec![]));
    select_where("projects", "this.status = 'open'", vec![issues])
}

fn open_issues() -> Script {
    let rows = [
        "p1 status=open",
        "p2 status=done",
        "p3 status=open",
        "i1 project_id=p1 open=t",
        "i2 project_id=p2 open=t",
    ];
    let script = Script::new(&rows, &open_projects());
    assert_eq!(script.data, "I i1, I p1, I p3");
    script
}

#[test]
fn v37_v38_a_clause_on_children() {
    let mut script = open_issues();
    assert_eq!(script.tx(&["~i1 open=f"]), "G i1");
    assert_eq!(script.tx(&["~i1 open=t"]), "I i1");
    assert_eq!(script.tx(&["~i2 open=f"]), "", "V38");
}

#[test]
fn v39_a_child_moves_to_another_parent() {
    let mut script = open_issues();
    assert_eq!(script.tx(&["~i1 project_id=p3"]), "U i1");
    assert_eq!(script.tx(&["~p1 status=x"]), "G p1");
}

#[test]
fn v40_a_child_moves_to_another_parent_while_its_own_goes() {
    assert_eq!(open_issues().tx(&["~i1 project_id=p3", "~p1 status=x"]), "G p1, U i1");
    assert_eq!(open_issues().tx(&["~p1 status=x", "~i1 project_id=p3"]), "G p1, U i1");
}

#[test]
fn v41_a_child_moves_to_a_parent_that_is_new() {
    assert_eq!(open_issues().tx(&["~i2 project_id=p9", "+p9 status=open"]), "I i2, I p9");
}

#[test]
fn v42_a_child_changes_while_its_parent_goes() {
    assert_eq!(open_issues().tx(&["~p1 status=x", "~i1 title=x"]), "G i1, G p1");
    assert_eq!(open_issues().tx(&["~i1 title=x", "~p1 status=x"]), "G i1, G p1");
}

#[test]
fn v43_a_child_comes_while_its_parent_goes() {
    let mut script = Script::new(&["p1 status=open"], &open_projects());
    assert_eq!(script.tx(&["~p1 status=x", "+i7 project_id=p1 open=t"]), "G p1");
    let mut script = Script::new(&["p1 status=open"], &open_projects());
    assert_eq!(script.tx(&["+i7 project_id=p1 open=t", "~p1 status=x"]), "G p1");
}

#[test]
fn v44_parent_and_child_are_deleted() {
    assert_eq!(open_issues().tx(&["-i1", "-p1"]), "D i1, D p1");
    assert_eq!(open_issues().tx(&["-p1", "-i1"]), "D i1, D p1");
}

#[test]
fn v45_another_assignee() {
    let rows = ["u1", "u2", "p1", "i1 project_id=p1 assignee_id=u1"];
    let mut script = Script::new(&rows, &select("issues", vec![]));
    assert_eq!(script.data, "I i1, I p1, I u1");
    assert_eq!(script.tx(&["~i1 assignee_id=u2"]), "G u1, I u2, U i1");
}

#[test]
fn v46_an_assignee_who_is_there_for_another_reason() {
    let rows = ["u1", "p1 owner_id=u1", "i1 project_id=p1 assignee_id=u1"];
    let mut script = Script::new(&rows, &select("issues", vec![]));
    assert_eq!(script.tx(&["~i1 assignee_id=NULL"]), "U i1");
    assert_eq!(script.tx(&["~p1 owner_id=NULL"]), "G u1, U p1");
}

#[test]
fn v47_a_composite_key() {
    let lines = over(&["tenant", "no"], select("lines", vec![]));
    let rows = ["o(1,5)", "o(1,7)", "l1 tenant=1 no=5"];
    let mut script = Script::new(&rows, &select("orders", vec![lines]));
    assert_eq!(script.data, "I l1, I o(1,5), I o(1,7)");
    assert_eq!(script.tx(&["~l1 no=7"]), "U l1");
    assert_eq!(script.tx(&["~l1 no=NULL"]), "G l1");
}

#[test]
fn v48_a_composite_key_that_is_partly_null() {
    let rows = ["o(1,5)", "l1 tenant=1 no=5", "l2 tenant=1"];
    let mut script = Script::new(&rows, &select("lines", vec![]));
    assert_eq!(script.data, "I l1, I l2, I o(1,5)");
    assert_eq!(script.tx(&["~l2 no=5", "-l1"]), "D l1, U l2");
    assert_eq!(script.tx(&["~l2 tenant=NULL"]), "G o(1,5), U l2");
}

#[test]
fn v60_to_v64_owners() {
    let rows = ["n1 electric_user_id=1", "n2 electric_user_id=2"];
    let mut script = Script::new(&rows, &select("notes", vec![]));
    assert_eq!(script.data, "I n1");
    assert_eq!(script.tx(&["+n3 electric_user_id=2"]), "");
    assert_eq!(script.tx(&["+n4 electric_user_id=1"]), "I n4");
    assert_eq!(script.tx(&["+n5", "+n6 electric_user_id="]), "I n5, I n6");
    assert_eq!(script.tx(&["~n1 electric_user_id=2"]), "G n1");
    assert_eq!(script.tx(&["~n2 electric_user_id=1"]), "I n2");
    assert_eq!(script.tx(&["-n2"]), "D n2");
}

//! TRUNCATE: every row becomes a tombstone (spec 05 §7.2).

use super::{installed, rows, run};

const DEAD: &str = "SELECT 'p', id, _tags = '{}', _image ->> 'v' FROM electric.shadow__public__p
    UNION ALL SELECT 'c', id, _tags = '{}', _image ->> 'v' FROM electric.shadow__public__c ORDER BY 1, 2";

const MAKE: &str = "CREATE TABLE p (id int PRIMARY KEY, v text); CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p, v text);
    INSERT INTO p VALUES (1, 'old');
    BEGIN; CALL electric.electrify('c'); CALL electric.electrify('p'); COMMIT;
    INSERT INTO p VALUES (2, 'new'); INSERT INTO c VALUES (1, 1, 'x')";

#[tokio::test]
async fn of_one_table() {
    let (_database, client) = installed().await;
    run(&client, MAKE).await;
    run(&client, "TRUNCATE c").await;
    assert_eq!(rows(&client, DEAD).await, ["c|1|t|x", "p|2|f|"]);
}

#[tokio::test]
async fn of_a_parent_with_cascade_and_of_a_list() {
    for truncate in ["TRUNCATE p CASCADE", "TRUNCATE p, c", "TRUNCATE c, p RESTART IDENTITY"] {
        let (_database, client) = installed().await;
        run(&client, MAKE).await;
        run(&client, truncate).await;
        assert_eq!(rows(&client, DEAD).await, ["c|1|t|x", "p|1|t|old", "p|2|t|new"], "{truncate}");
        run(&client, "INSERT INTO p VALUES (1, 'again')").await;
        assert_eq!(rows(&client, DEAD).await, ["c|1|t|x", "p|1|f|", "p|2|t|new"]);
    }
}

#[tokio::test]
async fn rolled_back() {
    let (_database, client) = installed().await;
    run(&client, MAKE).await;
    run(&client, "BEGIN; TRUNCATE p CASCADE; ROLLBACK").await;
    assert_eq!(rows(&client, DEAD).await, ["c|1|f|", "p|2|f|"]);
}

#[tokio::test]
async fn a_truncate_that_empties_nothing_and_one_after_changes_in_the_transaction() {
    let (_database, client) = installed().await;
    run(&client, MAKE).await;
    run(&client, "TRUNCATE c; TRUNCATE c; BEGIN; INSERT INTO c VALUES (7, 2, 'y'); UPDATE c SET v = 'z'; TRUNCATE c; INSERT INTO c VALUES (8, 2, 'w'); COMMIT").await;
    assert_eq!(rows(&client, DEAD).await, ["c|1|t|x", "c|7|t|z", "c|8|f|", "p|2|f|"]);
}

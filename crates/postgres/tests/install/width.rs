//! Tables of many columns, each of which has a tag of its own.

use super::{installed, rows, run, value};

#[tokio::test]
async fn sixty_columns() {
    let (_database, client) = installed().await;
    let columns: Vec<String> = (1..=60).map(|n| format!("c{n} text")).collect();
    run(
        &client,
        &format!(
            "CREATE TABLE wide (id int PRIMARY KEY, {}); CALL electric.electrify('wide')",
            columns.join(", ")
        ),
    )
    .await;
    run(&client, "INSERT INTO wide (id, c1) VALUES (1, 'x'), (2, 'y'); UPDATE wide SET c60 = 'z'; DELETE FROM wide WHERE id = 1; TRUNCATE wide").await;
    let images = "SELECT _image ->> 'c60', (SELECT count(*) FROM jsonb_object_keys(_image)) FROM electric.shadow__public__wide";
    assert_eq!(rows(&client, images).await, ["z|61", "z|61"]);
}

#[tokio::test]
async fn all_columns_of_a_very_wide_table_changed_at_once() {
    let (_database, client) = installed().await;
    let list = |item: fn(usize) -> String| (1..400).map(item).collect::<Vec<_>>().join(", ");
    let columns = list(|n| format!("c{n} int"));
    run(
        &client,
        &format!("CREATE TABLE wide (id int PRIMARY KEY, {columns}); CALL electric.electrify('wide')"),
    )
    .await;
    run(&client, "INSERT INTO wide VALUES (1); INSERT INTO wide SELECT generate_series(2, 2000)").await;
    for change in [|n: usize| format!("c{n} = {n}"), |n: usize| format!("c{n} = -{n}")] {
        run(&client, &format!("UPDATE wide SET {} WHERE id < 3", list(change))).await;
    }
    let tagged = "SELECT count(*) FROM electric.shadow__public__wide s, jsonb_each(to_jsonb(s)) t
        WHERE id < 3 AND t.key LIKE '\\_tag\\_%' AND t.value <> 'null'";
    assert_eq!(value(&client, tagged).await, "798");
}

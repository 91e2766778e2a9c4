//! Memory of what is live: shapes with includes, each of which is followed on its own, and subscriptions.

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use testkit::{Satellite, satellite::Select};

use super::{
    clients::{self, Tally},
    report::Report,
    rig::Rig,
};

/// Clients, and the shapes of each.
const CLIENTS: u32 = 10;
const SHAPES: u32 = 100;
/// Issues of a project.
const ISSUES: u32 = 10;
/// Subscriptions of each client.
const SUBSCRIPTIONS: u32 = 200;

pub(super) async fn measure(rig: &Rig, report: &mut Report) -> Result<()> {
    followed_shapes(rig, report).await?;
    subscriptions(rig, report).await
}

async fn followed_shapes(rig: &Rig, report: &mut Report) -> Result<()> {
    let projects = CLIENTS * SHAPES;
    let admin = rig.connect().await?;
    admin
        .batch_execute(
            "DROP TABLE IF EXISTS issues, projects;
             CREATE TABLE projects (id int8 PRIMARY KEY, name text NOT NULL);
             CREATE TABLE issues (id int8 PRIMARY KEY, project_id int8 NOT NULL REFERENCES projects, title text NOT NULL);
             CALL electric.electrify('projects');
             CALL electric.electrify('issues')",
        )
        .await?;
    let fill = format!(
        "INSERT INTO projects SELECT i, 'project ' || i FROM generate_series(0, {projects} - 1) i;
         INSERT INTO issues SELECT i, i % {projects}, 'issue ' || i FROM generate_series(0, {projects} * {ISSUES} - 1) i"
    );
    admin.batch_execute(&fill).await?;
    admin.batch_execute("CREATE INDEX ON issues (project_id)").await?;
    admin.batch_execute("VACUUM ANALYZE projects, issues").await?;

    let mut all = clients::crowd(rig, CLIENTS, 70_000, None).await?;
    clients::catch_up(rig, &mut all[0]).await?;
    let before = rig.memory()?.resident;
    for (number, client) in (0..).zip(&mut all) {
        let shapes = (0..SHAPES).map(|shape| {
            let project = format!("this.id = {}", number * SHAPES + shape);
            Select::from("projects").filter(project).with("project_id", Select::from("issues"))
        });
        clients::request(client, clients::SUBSCRIPTION, shapes.collect()).await?;
        let rows = client.data_of(clients::SUBSCRIPTION).await?.len();
        ensure!(rows == (SHAPES * (1 + ISSUES)) as usize, "{rows} rows came");
    }
    // A shape is followed from the first change on that may be of it.
    let change = format!("INSERT INTO issues SELECT -i, i - 1, 'new' FROM generate_series(1, {projects}) i");
    admin.batch_execute(&change).await?;
    try_join_all(all.iter_mut().map(|client| received(client, SHAPES as usize))).await?;
    let followed = rig.memory()?.resident;
    report.row(
        "memory per distinct shape of one project with its 11 issues",
        format!("{:.1} KiB", each(before, followed, projects)),
        "",
        None,
    );

    for client in all {
        client.close().await;
    }
    Ok(())
}

async fn subscriptions(rig: &Rig, report: &mut Report) -> Result<()> {
    clients::make_table(rig, "subscribed").await?;
    let mut all = clients::crowd(rig, CLIENTS, 80_000, Some("subscribed")).await?;
    let before = rig.memory()?.resident;
    // All at the same time: a client that reads nothing for long is taken for dead.
    let many = (0..).zip(&mut all).map(|(number, client)| async move {
        for subscription in 0..SUBSCRIPTIONS {
            let id = format!("22222222-2222-4222-8222-{subscription:012}");
            let nothing = format!("this.id = {}", number * SUBSCRIPTIONS + subscription);
            clients::request(client, &id, vec![Select::from("subscribed").filter(nothing)]).await?;
            client.data_of(&id).await?;
        }
        anyhow::Ok(())
    });
    try_join_all(many).await?;
    let after = rig.memory()?.resident;
    report.row(
        "memory per subscription to a shape of its own",
        format!("{:.1} KiB", each(before, after, CLIENTS * SUBSCRIPTIONS)),
        "",
        None,
    );
    for client in all {
        client.close().await;
    }
    Ok(())
}

async fn received(client: &mut Satellite, rows: usize) -> Result<()> {
    let mut tally = Tally::default();
    while tally.rows < rows {
        tally.receive(client).await?;
    }
    Ok(())
}

fn each(before: u64, after: u64, count: u32) -> f64 {
    after.saturating_sub(before) as f64 / f64::from(count)
}

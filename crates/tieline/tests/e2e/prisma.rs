//! Prisma Migrate, its own engine, through the proxy: the shadow database in which it tries everything first, and the deployment.

use std::path::Path;

use tokio::process::Command;

use super::{
    app::PASSWORD,
    http::get,
    service::{Service, free_port},
};

/// Every way to electrify that a migration may be written in, among statements of all kinds.
const FIRST: &str = r#"
-- CreateTable
CREATE TABLE "lists" ("id" UUID NOT NULL, "title" TEXT NOT NULL, CONSTRAINT "lists_pkey" PRIMARY KEY ("id"));
CREATE TABLE "Items" (
    "id" UUID NOT NULL, "list_id" UUID NOT NULL, "content" TEXT NOT NULL, CONSTRAINT "Items_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Items_list_id_fkey" FOREIGN KEY ("list_id") REFERENCES "lists" ("id") ON DELETE CASCADE
);
CREATE TABLE notes (id UUID PRIMARY KEY);
-- Synced from now on; the text 'ALTER TABLE x ENABLE ELECTRIC' is not a statement.
ALTER TABLE "lists" ENABLE ELECTRIC;
ALTER TABLE public."Items" ENABLE ELECTRIC;
DO $$ BEGIN RAISE NOTICE 'ENABLE ELECTRIC'; END $$;
CALL electric.electrify('notes');
INSERT INTO "lists" VALUES ('00000000-0000-4000-8000-000000000001', 'a list; ALTER TABLE x ENABLE ELECTRIC;');
"#;

const SECOND: &str = r#"
ALTER TABLE "Items" ADD COLUMN "done" BOOLEAN;
"#;

async fn migrate(url: &str, folder: &Path) -> Vec<String> {
    let done = Command::new("node")
        .arg(super::scripts().join("prisma-migrate.mjs"))
        .args([url.as_ref(), folder.as_os_str()])
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_are_tried_and_deployed() {
    let proxy = free_port();
    let port = proxy.to_string();
    let settings = [("AUTH_MODE", "insecure"), ("PG_PROXY_PORT", &port), ("PG_PROXY_PASSWORD", PASSWORD)];
    let service = Service::with(&settings).await;
    let url = format!("postgresql://postgres:{PASSWORD}@127.0.0.1:{proxy}/app");

    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, script: &str| {
        let migration = folder.path().join(name);
        std::fs::create_dir(&migration).unwrap();
        std::fs::write(migration.join("migration.sql"), script).unwrap();
    };
    write("20240101000000_init", FIRST);
    assert_eq!(migrate(&url, folder.path()).await, ["20240101000000_init"]);
    service.wait("SELECT count(*) = 3 FROM electric.electrified").await;
    write("20240202000000_done", SECOND);
    assert_eq!(migrate(&url, folder.path()).await, ["20240202000000_done"]);
    assert!(migrate(&url, folder.path()).await.is_empty());

    // Clients know the migrations by the names that Prisma gave them.
    let versions = service
        .postgres
        .query("SELECT DISTINCT version FROM electric.ddl_commands ORDER BY 1", &[])
        .await
        .unwrap();
    let versions: Vec<String> = versions.iter().map(|row| row.get(0)).collect();
    assert_eq!(versions, ["20240101000000", "20240202000000"]);
    let newer = get(service.port, "/api/migrations?dialect=sqlite&version=20240101000000").await;
    assert_eq!(newer.status, 200);
    // Nothing of the trials is left.
    service.wait("SELECT count(*) = 0 FROM pg_database WHERE datname LIKE 'prisma_migrate_shadow%'").await;
}

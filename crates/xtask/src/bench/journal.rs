//! A start over a large journal.

use std::{fs, path::Path};

use anyhow::Result;

use super::{clients, report::Report, rig::Rig};

/// Bytes of row values that are streamed: transactions, rows in each, and bytes of a row.
const FILL: (u32, u32, u32) = (256, 1024, 4096);

pub(super) async fn measure(log: &Path, report: &mut Report) -> Result<()> {
    let mut rig = Rig::new(log).await?;
    rig.start_service().await?;
    clients::make_table(&rig, "large").await?;
    let admin = rig.connect().await?;
    let (transactions, rows, bytes) = FILL;
    for n in 0..transactions {
        let first = n * rows;
        let insert = format!(
            "INSERT INTO large SELECT {first} + i, repeat('0123456789abcdef', {bytes} / 16) FROM generate_series(1, {rows}) AS i"
        );
        admin.batch_execute(&insert).await?;
    }
    rig.settle(&admin).await?;
    rig.stop_service()?;
    let size = size_of(&rig.data_directory())?;
    let took = rig.start_service().await?;
    let memory = rig.memory()?.resident / 1024;
    report.row(
        &format!("start to ready with a journal of {} MiB", size >> 20),
        format!("{took:.0?}, {memory} MiB resident"),
        "2 s at most",
        None,
    );
    rig.stop_service()
}

/// Bytes of all files in a folder.
fn size_of(folder: &Path) -> Result<u64> {
    let mut size = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        size += if entry.file_type()?.is_dir() { size_of(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(size)
}

//! The real test: the real binary, a real Postgres, real clients and native writers, under faults, for a bounded time; and the
//! program that checks the history of it (spec 05 §6, §8). `docs/torture.md` tells how to run it and how to read a failure.

mod anew;
mod app;
pub mod check;
mod faults;
pub mod history;
mod migrations;
mod native;
mod notes;
mod plan;
mod rig;
mod settle;
mod tables;
mod verdict;

use std::{
    collections::VecDeque,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use fastrand::Rng;
use node_client::LocalDatabase;
use testkit::FaultProxy;
pub use verdict::Verdict;

use crate::{
    app::{App, Settings},
    history::{Author, History, Outcome, Process, Transaction},
    notes::Notes,
    plan::{Era, Plan, Planner},
    rig::Rig,
    tables::{BALANCE, ROWS},
};

/// How many connections write and read in Postgres itself.
const NATIVES: u16 = 3;

/// How far clients' clocks are wrong, in milliseconds, one after the other.
const SKEWS: [i64; 5] = [0, 0, 3_000, -3_000, 90_000];

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Torture {
    /// The service's binary.
    pub binary: PathBuf,
    /// The folder of `client.mjs` and its npm packages.
    pub scripts: PathBuf,
    /// Where everything goes; made if it is not there.
    pub folder: PathBuf,
    /// The seed of all choices; not of what happens when.
    pub seed: u64,
    /// How many clients; the last of them is over PGlite.
    pub clients: u16,
    /// How long there are faults; starting and settling come on top.
    pub length: Duration,
    /// How often Postgres fails over to a standby; as it fits the length if `None`.
    pub failovers: Option<u32>,
    /// Whether the folder is kept though nothing has failed.
    pub keep: bool,
    /// How long a client waits between transactions on average, in seconds.
    pub pause: f64,
    /// Takes a line of progress every few seconds.
    pub progress: fn(&str),
}

impl Torture {
    /// Runs it.
    ///
    /// # Errors
    /// If it can't be run at all; whatever the service does wrong is in the verdict.
    pub async fn run(self) -> Result<Verdict> {
        fs::create_dir_all(&self.folder).with_context(|| format!("making {}", self.folder.display()))?;
        let notes = Notes::new(&self.folder)?;
        let checks = self.torture(&notes).await;
        let (transactions, mut failures) = notes.finish();
        let checks = match checks {
            Ok(end) => {
                let mut history =
                    History { transactions, accounts: (i64::from(ROWS), i64::from(ROWS) * BALANCE) };
                history.transactions.push(end.reading);
                let mut findings = check::check(&history);
                findings.merge(end.comparison);
                failures.extend(findings.violations.iter().map(ToString::to_string));
                findings.checks
            }
            Err(error) => {
                failures.push(format!("{error:#}"));
                let history =
                    History { transactions, accounts: (i64::from(ROWS), i64::from(ROWS) * BALANCE) };
                let findings = check::check(&history);
                failures.extend(findings.violations.iter().map(ToString::to_string));
                findings.checks
            }
        };
        let kept = (self.keep || !failures.is_empty()).then(|| self.folder.clone());
        let verdict = Verdict {
            failures,
            transactions: notes.transactions(),
            events: notes.counts(),
            checks,
            seed: self.seed,
            kept,
        };
        match &verdict.kept {
            Some(folder) => fs::write(folder.join("verdict.txt"), format!("{verdict}\n"))?,
            None => fs::remove_dir_all(&self.folder)?,
        }
        Ok(verdict)
    }

    async fn torture(&self, notes: &Notes) -> Result<End> {
        let processes = self.clients + NATIVES;
        let tables = tables::tables(processes);
        let mut rng = Rng::with_seed(self.seed);
        let rig = Arc::new(Rig::start(&self.binary, &self.folder).await?);
        rig.connect().await?.batch_execute(&tables::schema(&tables)).await.context("making the tables")?;
        let apps = self.apps(&rig, &tables, notes).await?;
        for app in &apps {
            app.begin().await.with_context(|| format!("{} begins", app.name()))?;
        }
        (self.progress)(&format!(
            "{} clients have everything; the faults begin (seed {})",
            apps.len(),
            self.seed
        ));

        let (stop_work, stop_faults) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let era = Era::default();
        let mut work = Vec::new();
        for app in &apps {
            let planner = Planner::new(app.process(), era.clone(), rng.fork());
            let (app, stop, pauses) = (app.clone(), stop_work.clone(), (self.pause, rng.fork()));
            work.push(tokio::spawn(async move { app.work(planner, pauses, &stop).await }));
        }
        for native in 0..NATIVES {
            let planner = Planner::new(Process(self.clients + native), era.clone(), rng.fork());
            let pauses = (self.pause, rng.fork());
            let native = native::work(rig.clone(), planner, notes.clone(), pauses, stop_work.clone());
            work.push(tokio::spawn(async move {
                native.await;
                Ok(())
            }));
        }
        let faults = [
            tokio::spawn(migrations::work(
                rig.clone(),
                notes.clone(),
                processes,
                self.length,
                rng.fork(),
                stop_faults.clone(),
            )),
            tokio::spawn(faults::upon_service(
                rig.clone(),
                notes.clone(),
                rng.fork(),
                self.failovers(),
                stop_faults.clone(),
            )),
            tokio::spawn(faults::upon_clients(apps.clone(), notes.clone(), rng.fork(), stop_faults.clone())),
        ];
        let until = Instant::now() + self.length;
        while Instant::now() < until {
            let left = until.saturating_duration_since(Instant::now());
            tokio::time::sleep(left.min(Duration::from_secs(3))).await;
            self.tell(notes, left);
        }
        stop_faults.store(true, Ordering::Relaxed);
        for fault in faults {
            fault.await?;
        }
        stop_work.store(true, Ordering::Relaxed);
        for work in work {
            work.await??;
        }
        (self.progress)("the faults are over; everything settles");
        self.end(&rig, &apps, &tables, &era, notes).await
    }

    /// When Postgres fails over: with time before and after it. Making a standby takes seconds, and so does loading everything again,
    /// so that it is left out of short runs.
    fn failovers(&self) -> VecDeque<Instant> {
        let count = self.failovers.unwrap_or(match self.length.as_secs() {
            0..45 => 0,
            45..240 => 1,
            _ => 2,
        });
        let now = Instant::now();
        (1..=count).map(|n| now + self.length * n / (count + 1)).collect()
    }

    async fn apps(&self, rig: &Arc<Rig>, tables: &[tables::Table], notes: &Notes) -> Result<Vec<Arc<App>>> {
        let mut apps = Vec::new();
        for process in 0..self.clients {
            let kind = match process + 1 == self.clients {
                true => LocalDatabase::Pglite,
                false => LocalDatabase::Sqlite,
            };
            let settings = Settings {
                process: Process(process),
                kind,
                skew: SKEWS[usize::from(process) % SKEWS.len()],
                scripts: self.scripts.clone(),
                folder: self.folder.clone(),
                tables: tables::description(tables),
                whole: tables.iter().filter(|table| table.whole).map(|table| table.name).collect(),
            };
            let proxy = FaultProxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, rig.port))).await?;
            apps.push(Arc::new(App::new(settings, proxy, notes.clone(), rig.clone())));
        }
        Ok(apps)
    }

    /// Lets everything settle, reads everything and compares it.
    async fn end(
        &self,
        rig: &Rig,
        apps: &[Arc<App>],
        tables: &[tables::Table],
        era: &Era,
        notes: &Notes,
    ) -> Result<End> {
        rig.ready(Duration::from_secs(60)).await?;
        let postgres = rig.connect().await?;
        let settling = settle::settle(apps, &postgres, notes);
        tokio::pin!(settling);
        let began = Instant::now();
        loop {
            match tokio::time::timeout(Duration::from_secs(3), &mut settling).await {
                Ok(settled) => break settled?,
                Err(_) => (self.progress)(&format!("settling for {} s", began.elapsed().as_secs())),
            }
        }
        let (tables, late) = migrations::in_the_end(&postgres, tables).await?;
        for app in apps {
            app.ask_for(&late).await?;
        }
        let plan = Planner::everything(era);
        let rows = native::transact(&postgres, "REPEATABLE READ", &plan).await?;
        let reading = Transaction {
            author: Author { process: Process::END, number: 1 },
            asked: notes.now(),
            ended: notes.now(),
            outcome: Outcome::Committed,
            steps: Plan::steps(plan, &rows),
            sql: Vec::new(),
        };
        let mut comparison = check::Findings::default();
        for app in apps {
            let expected = settle::expected(&postgres, &tables, Some(app)).await?;
            comparison.merge(check::compare(&expected, &settle::actual(app, &tables).await?));
        }
        for app in apps {
            app.close().await;
        }
        rig.stop_service(Duration::from_secs(30)).await?;
        Ok(End { reading, comparison })
    }

    fn tell(&self, notes: &Notes, left: Duration) {
        let (committed, unknown, failed) = notes.transactions();
        let events: u64 = notes.counts().values().sum();
        let failures = notes.failures();
        (self.progress)(&format!(
            "{:>4} s left: {committed} transactions ({unknown} unknown, {failed} refused), {events} events, {failures} failures",
            left.as_secs()
        ));
    }
}

/// What everything looks like in the end.
struct End {
    reading: Transaction,
    comparison: check::Findings,
}

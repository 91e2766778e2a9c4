//! A small app's database, the stream of its transactions, and those who follow shapes along it.

use std::{
    future::poll_fn,
    path::Path,
    sync::{Arc, Weak},
    task::Poll,
    time::Duration,
};

use change::{Lsn, RelationId, RequestId, Row, UserId};
use journal::{FileLimits, Files, Identity, Miss};
use postgres::{
    assemble::History,
    catalogue,
    connection::{ConnectConfig, Purpose, connect},
    install::install,
    replication::{self, Control, Event, Publication},
};
use session::{Delivery, Lost, Tracker};
use shapes::{Key, Plan, RelationDef, SelectDef, Shape, ShapeDef, ShapeLimits};
use testkit::{Cluster, Database};
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use crate::{
    instances::{Instances, Settings},
    stream::Stream,
};

/// Longer than anything here may take; reached only when something is wrong.
const FOREVER: Duration = Duration::from_secs(60);

/// Projects of a user, with their issues and the comments on those; members are referred to from everywhere.
const TABLES: &str = "
    CREATE TABLE members (id int PRIMARY KEY, name text);
    CREATE TABLE projects (id int PRIMARY KEY, lead int REFERENCES members, electric_user_id text);
    CREATE TABLE issues (id int PRIMARY KEY, project int REFERENCES projects ON DELETE CASCADE,
        author int REFERENCES members, title text);
    CREATE TABLE comments (id int PRIMARY KEY, issue int REFERENCES issues ON DELETE CASCADE,
        author int REFERENCES members, body text);
    CREATE TABLE noise (id int PRIMARY KEY, v text);
    CALL electric.electrify('public.members');
    CALL electric.electrify('public.projects');
    CALL electric.electrify('public.issues');
    CALL electric.electrify('public.comments');
    CALL electric.electrify('public.noise');";

/// Everything that following takes.
pub struct Setting {
    pub config: ConnectConfig,
    /// A session like an app's.
    pub app: Client,
    pub stream: Arc<Stream>,
    pub instances: Arc<Instances>,
    pub control: Control,
    follower: JoinHandle<()>,
}

impl Drop for Setting {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

/// No bounds that a test could come to.
pub const WIDE: journal::Limits = journal::Limits { memory: usize::MAX, span: u64::MAX };

impl Setting {
    pub async fn create() -> Setting {
        Setting::with(WIDE, Settings::default()).await
    }

    pub async fn with(window: journal::Limits, settings: Settings) -> Setting {
        Setting::over(settings, |start, history| Stream::in_memory(start, window, history)).await
    }

    /// With a journal in a folder, and so much of it in memory.
    pub async fn on_disk(folder: &Path, memory: usize) -> Setting {
        let window = journal::Limits { memory, ..WIDE };
        let folder = folder.join("journal");
        let make = |start, history: &History| {
            let identity = Identity { system: "1".to_owned(), database: 1 };
            let (mut files, _) = Files::open(&folder, identity, FileLimits::new(1 << 30)).unwrap();
            let recovered = files.restart(start, 1, history.schema().version.as_deref()).unwrap();
            Stream::on_disk(files, &recovered, window, history).unwrap()
        };
        Setting::over(Settings::default(), make).await
    }

    /// In a cluster of its own, whose settings a test may change.
    pub async fn alone(cluster: &Cluster) -> Setting {
        let in_memory = |start, history: &History| Stream::in_memory(start, WIDE, history);
        Setting::of(&Database::create_in(cluster).await, Settings::default(), in_memory).await
    }

    async fn over(settings: Settings, stream: impl FnOnce(Lsn, &History) -> Stream) -> Setting {
        Setting::of(&Database::create().await, settings, stream).await
    }

    async fn of(
        database: &Database,
        settings: Settings,
        stream: impl FnOnce(Lsn, &History) -> Stream,
    ) -> Setting {
        let (config, _) = ConnectConfig::parse(&database.url, Some(false), None).unwrap();
        let mut app = connect(&config, Purpose::Tool).await.unwrap();
        install(&mut app).await.unwrap();
        app.batch_execute(TABLES).await.unwrap();
        let catalogue = catalogue::load(&app).await.unwrap();
        let loaded_at = wal_end(&app).await;
        let history = History::of(&catalogue, loaded_at);
        let publication = Publication { config: config.clone(), name: "electric_publication".to_owned() };
        let mut replication = replication::Stream::new(publication, history.clone());
        let started = replication.connect().await.unwrap();
        let stream = Arc::new(stream(started.position, &history));
        let control = replication.control();
        let instances = Instances::new(&config, stream.clone(), control.clone(), settings);
        let follower = tokio::spawn(follow(replication, Arc::downgrade(&stream)));
        let setting = Setting { config, app, stream, instances, control, follower };
        setting.caught_up().await;
        setting
    }

    /// Runs statements that have to succeed.
    pub async fn run(&self, sql: &str) {
        if let Err(error) = self.app.batch_execute(sql).await {
            panic!("{sql}\n{error:?}");
        }
    }

    /// Runs statements about synced tables that nobody refuses.
    pub async fn unguarded(&self, sql: &str) {
        testkit::unguarded(&self.app, sql).await;
    }

    /// Waits until the stream has everything that is committed now, and tells how far that is.
    pub async fn caught_up(&self) -> Lsn {
        let end = wal_end(&self.app).await;
        self.control.reach(end);
        within(self.stream.reached(end)).await;
        self.stream.position()
    }

    /// All transactions, from memory or from disk.
    pub async fn all(&self) -> Vec<Arc<Delivery>> {
        let (mut all, mut cursor, mut brought) = (Vec::new(), self.stream.start(), None);
        while cursor < self.stream.position() {
            match self.stream.read_after(cursor, 100) {
                Ok((more, reached)) => {
                    all.extend(more);
                    cursor = reached;
                }
                Err(Miss::Cold(from)) => brought = Some(self.stream.load(from).await.unwrap()),
                Err(Miss::Trimmed) => panic!("the window begins after {cursor}"),
            }
        }
        drop(brought);
        all
    }

    /// Runs statements and waits until the stream has them.
    pub async fn run_through(&self, sql: &str) -> Lsn {
        self.run(sql).await;
        self.caught_up().await
    }

    pub fn relation(&self, table: &str) -> RelationId {
        self.stream.schema().table_named(table).unwrap().id
    }

    /// The shape of the projects that a user may see, with issues and comments.
    pub fn plan(&self, user: &str) -> Arc<Plan> {
        let select =
            |table: &str, include| SelectDef { table: table.to_owned(), include, ..SelectDef::default() };
        let relation =
            |column: &str, select| RelationDef { foreign_key: vec![column.to_owned()], select: Some(select) };
        let comments = relation("issue", select("comments", Vec::new()));
        let issues = relation("project", select("issues", vec![comments]));
        let definition = ShapeDef { selects: vec![select("projects", vec![issues])] };
        let request = RequestId::new("1");
        let user = UserId::new(user);
        let limits = ShapeLimits::default();
        Shape::new(request, Some(&definition), &self.stream.schema(), &user, &limits).unwrap().plan
    }

    /// Follows the shape of a user from a position on.
    pub fn track(&self, user: &str, from: Lsn) -> Arc<dyn Tracker> {
        self.instances.track(&self.plan(user), from)
    }
}

async fn follow(mut replication: replication::Stream, stream: Weak<Stream>) {
    loop {
        let events = replication.next_batch().await.expect("the stream goes on while a test follows it");
        let Some(stream) = stream.upgrade() else { return };
        for event in events {
            match event {
                Event::Commit(committed) => {
                    stream.append(*committed);
                }
                Event::Reached(position) => stream.advance(position),
            }
        }
    }
}

/// The end of the log.
pub async fn wal_end(client: &Client) -> Lsn {
    let row = client.query_one("SELECT pg_current_wal_insert_lsn()::text", &[]).await.unwrap();
    row.get::<_, &str>(0).parse().unwrap()
}

/// Fails the test if something takes too long.
pub async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(FOREVER, future).await.expect("it happens in time")
}

/// Waits until everything up to a position is known.
pub async fn try_reach(tracker: &dyn Tracker, at: Lsn) -> Result<(), Lost> {
    within(poll_fn(|cx| tracker.poll_reach(at, cx))).await
}

pub async fn reach(tracker: &dyn Tracker, at: Lsn) {
    try_reach(tracker, at).await.expect("it is not lost");
}

/// Whether a position is reached without waiting.
pub async fn is_reached(tracker: &dyn Tracker, at: Lsn) -> bool {
    poll_fn(|cx| Poll::Ready(tracker.poll_reach(at, cx).is_ready())).await
}

/// Asks again and again until the answer is yes.
pub async fn until<F: Future<Output = bool>>(mut ask: impl FnMut() -> F) {
    within(async {
        while !ask().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// A key of one column.
pub fn key(value: impl ToString + Copy) -> Key {
    Key::of(&Row::from_iter([Some(value.to_string().as_bytes())]), &[0]).unwrap()
}

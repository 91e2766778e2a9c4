//! What is stored about clients.

use bytes::Bytes;
use change::{ClientId, Lsn, SubscriptionId, UserId};
use postgres::clients::{Admitted, ClientStore, PendingMigrations, StoredClient, StoredSubscription, Update};

use super::Synced;

fn client(id: &str) -> ClientId {
    ClientId::new(id).expect("an id")
}

fn subscription(id: &str) -> StoredSubscription {
    StoredSubscription {
        id: SubscriptionId::new(id),
        request: Bytes::from_static(b"\x00request"),
        gone_at: None,
    }
}

#[tokio::test]
async fn a_client_belongs_to_its_first_user() {
    let synced = Synced::create().await;
    let store = ClientStore::new(synced.config.clone());
    let (ann, bob) = (UserId::new("ann"), UserId::new("bob"));
    let unknown = Admitted { user: ann.clone(), acknowledged: None };
    assert_eq!(store.admit(&client("c"), &ann).await.expect("an answer"), unknown);
    assert_eq!(store.admit(&client("c"), &bob).await.expect("an answer"), unknown);
    synced.run("INSERT INTO electric.acknowledged_client_lsns VALUES ('c', '\\x00000007', 1)").await;
    let known = store.admit(&client("c"), &ann).await.expect("an answer");
    assert_eq!(known.acknowledged.map(|lsn| lsn.position()), Some(7));
}

/// Two users at once: one of them has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_ask_at_once() {
    let synced = Synced::create().await;
    let store = ClientStore::new(synced.config.clone());
    let asked = (0..200).map(|i| {
        let store = store.clone();
        tokio::spawn(async move {
            let (id, user) = (client(&format!("c{}", i / 2)), UserId::new(&format!("u{i}")));
            (i / 2, store.admit(&id, &user).await.expect("an answer").user)
        })
    });
    let mut owners = std::collections::HashMap::new();
    for answer in futures_util::future::join_all(asked).await {
        let (client, user) = answer.expect("no panic");
        assert_eq!(owners.entry(client).or_insert(user.clone()), &user);
    }
}

#[tokio::test]
async fn changes_are_kept_in_order() {
    let synced = Synced::create().await;
    let store = ClientStore::new(synced.config.clone());
    let c = client("c");
    assert_eq!(store.load(&c).await.expect("an answer"), StoredClient::default());
    store.admit(&c, &UserId::new("ann")).await.expect("an answer");
    let pending = PendingMigrations { last: Lsn(u64::MAX - 1), versions: vec!["1".into(), "2".into()] };
    let ids = |names: &[&str]| names.iter().map(|name| SubscriptionId::new(name)).collect::<Vec<_>>();
    let updates = [
        Update::Subscribed(subscription("b")),
        Update::Subscribed(subscription("a")),
        Update::Subscribed(subscription("z")),
        Update::MigrationsSent(pending.clone()),
        Update::Gone(ids(&["b"]), Lsn(9)),
        Update::Forget(ids(&["z", "unknown"])),
        Update::Observed(vec![1, 2]),
        Update::Observed(vec![7, u64::MAX]),
    ];
    for _ in 0..2 {
        store.apply(&c, &updates).await.expect("an answer");
        let stored = store.load(&c).await.expect("an answer");
        let gone = StoredSubscription { gone_at: Some(Lsn(9)), ..subscription("b") };
        assert_eq!(stored.subscriptions, [gone, subscription("a")]);
        assert_eq!(stored.pending_migrations, Some(pending.clone()));
        assert_eq!(stored.observed, [7, u64::MAX]);
    }
    store.apply(&c, &[Update::MigrationsSeen]).await.expect("an answer");
    let stored = store.load(&c).await.expect("an answer");
    assert_eq!((stored.pending_migrations, stored.observed), (None, vec![7, u64::MAX]));
    store.apply(&c, &[Update::Clear]).await.expect("an answer");
    assert_eq!(store.load(&c).await.expect("an answer"), StoredClient::default());
    let bound = store.admit(&c, &UserId::new("bob")).await.expect("an answer");
    assert_eq!(bound.user, UserId::new("ann"));
}

#[tokio::test]
async fn a_broken_connection_is_made_anew() {
    let synced = Synced::create().await;
    let store = ClientStore::new(synced.config.clone());
    let ann = UserId::new("ann");
    for _ in 0..3 {
        store.admit(&client("c"), &ann).await.expect("an answer");
        synced.run("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'tieline clients' AND datname = current_database()").await;
    }
    store.load(&client("c")).await.expect("an answer");
}

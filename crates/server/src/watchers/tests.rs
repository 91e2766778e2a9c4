use change::{Change, Origin, RelationId, Row, RowChange, Tags, Transaction, Xid};
use shapes::Route;

use super::*;

fn row(owner: &str) -> Row {
    Row::from_iter([Some(b"1".as_slice()), Some(owner.as_bytes())])
}

/// Inserts into these tables, of these owners.
fn delivery(lsn: u64, rows: &[(u32, &str)], origin: Origin) -> Delivery {
    let changes = rows.iter().map(|(table, owner)| Change {
        relation: RelationId(*table),
        row: RowChange::Insert { new: row(owner), tags: Tags::default() },
        blind: false,
    });
    let changes = changes.collect();
    let transaction = Transaction { lsn: Lsn(lsn), xid: Xid(lsn), commit_ms: 0, origin, changes };
    Delivery::new(transaction, Arc::default(), None)
}

fn all_of(table: u32) -> Interest {
    Interest { relation: RelationId(table), route: Route::Any }
}

fn owned_by(table: u32, owner: &str) -> Interest {
    let route = Route::Equal(1, vec![Some(owner.as_bytes().into())]);
    Interest { relation: RelationId(table), route }
}

const NOBODY: [usize; 0] = [];

async fn is_rung(mailbox: &Mailbox) -> bool {
    tokio::select! {
        biased;
        () = mailbox.rung() => true,
        () = std::future::ready(()) => false,
    }
}

struct Fixture {
    watchers: Watchers,
    bells: Vec<Arc<Mailbox>>,
    seats: Vec<Arc<Seat>>,
}

impl Fixture {
    /// Connections of the clients `0`, `1` and so on.
    fn new(connections: u64) -> Fixture {
        let watchers = Watchers::default();
        let bells: Vec<_> = (0..connections).map(|_| Mailbox::new()).collect();
        let seats = bells.iter().zip(0..).map(|(bell, number)| {
            watchers.add(ConnectionId(number), &ClientId::new(&number.to_string()).unwrap(), bell)
        });
        Fixture { seats: seats.collect(), bells, watchers }
    }

    /// Whether that woke the connection.
    async fn watch(&self, connection: usize, interests: &[Interest]) -> bool {
        self.watchers.watch(&self.seats[connection], &Arc::from(interests));
        is_rung(&self.bells[connection]).await
    }

    /// Who is woken.
    async fn rung(&self) -> Vec<usize> {
        let mut rung = Vec::new();
        for (number, bell) in self.bells.iter().enumerate() {
            if is_rung(bell).await {
                rung.push(number);
            }
        }
        rung
    }

    async fn woken(&self, delivery: &Delivery) -> Vec<usize> {
        self.watchers.note(delivery).wake();
        self.rung().await
    }
}

#[tokio::test]
async fn only_those_concerned_are_woken() {
    let all = Fixture::new(3);
    all.watch(0, &[all_of(7)]).await;
    all.watch(1, &[owned_by(7, "ann"), owned_by(8, "ann")]).await;
    assert_eq!(all.woken(&delivery(1, &[(7, "bob")], Origin::Postgres)).await, [0]);
    assert_eq!(all.woken(&delivery(2, &[(7, "ann")], Origin::Postgres)).await, [0, 1]);
    assert_eq!(all.woken(&delivery(3, &[(8, "bob"), (9, "ann")], Origin::Postgres)).await, NOBODY);
    let own = Origin::Client(ClientId::new("2").unwrap());
    assert_eq!(all.woken(&delivery(4, &[(8, "ann"), (8, "ann")], own)).await, [1, 2]);
    assert_eq!(all.seats[1].concerning(Lsn(0), Lsn(9)), Some(vec![Lsn(2), Lsn(4)]));
}

#[tokio::test]
async fn interests_are_replaced() {
    let all = Fixture::new(2);
    all.watch(0, &[all_of(7), all_of(8)]).await;
    all.watch(1, &[all_of(8)]).await;
    assert_eq!(all.watchers.0.lock().groups.count(), 2, "the same interest is filed once");
    assert_eq!(all.woken(&delivery(1, &[(7, "")], Origin::Postgres)).await, [0]);
    assert!(!all.watch(0, &[all_of(8)]).await);
    assert_eq!(all.woken(&delivery(2, &[(7, "")], Origin::Postgres)).await, NOBODY);
    assert_eq!(all.seats[0].concerning(Lsn(0), Lsn(9)), Some(vec![Lsn(1)]), "less to watch leaves the notes");
    assert!(all.watch(0, &[all_of(8), all_of(9)]).await, "what came meanwhile rang for nobody");
    assert_eq!(all.seats[0].concerning(Lsn(1), Lsn(9)), None, "nobody looked for 9 until now");
    assert_eq!(all.seats[0].concerning(Lsn(2), Lsn(9)), Some(vec![]));
    assert_eq!(all.woken(&delivery(3, &[(9, ""), (8, "")], Origin::Postgres)).await, [0, 1]);
}

#[tokio::test]
async fn a_migration_is_for_everyone() {
    let all = Fixture::new(2);
    let migration = schema::Migration { version: "1".into(), xid: Xid(5), recorded_ms: 0, ops: Vec::new() };
    let transaction = delivery(5, &[], Origin::Postgres).transaction.clone();
    let delivery = Delivery::new(transaction, Arc::default(), Some(Arc::new(migration)));
    assert_eq!(all.woken(&delivery).await, [0, 1]);
    assert_eq!(all.seats[1].concerning(Lsn(0), Lsn(9)), Some(vec![Lsn(5)]));
}

#[tokio::test]
async fn positions_are_waited_for() {
    let all = Fixture::new(1);
    all.watchers.at(Lsn(9), ConnectionId(0), &all.bells[0]);
    all.watchers.reached(Lsn(8));
    assert_eq!(all.rung().await, NOBODY);
    all.watchers.reached(Lsn(9));
    assert_eq!(all.rung().await, [0]);
}

#[tokio::test]
async fn nothing_is_left_of_a_connection_that_has_ended() {
    let all = Fixture::new(2);
    all.watch(0, &[all_of(7), owned_by(8, "ann")]).await;
    all.watchers.at(Lsn(9), ConnectionId(0), &all.bells[0]);
    all.watchers.remove(&all.seats[0]);
    all.watch(0, &[all_of(7)]).await;
    let own = Origin::Client(ClientId::new("0").unwrap());
    assert_eq!(all.woken(&delivery(1, &[(7, ""), (8, "ann")], own)).await, NOBODY);
    let index = all.watchers.0.lock();
    assert!(index.groups.count() == 0 && index.positions.is_empty() && index.authors.len() == 1);
}

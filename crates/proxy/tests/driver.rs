//! The Rust driver through the proxy.

use std::{pin::pin, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _, TryStreamExt as _, future::try_join_all, stream};
use tokio_postgres::{AsyncMessage, Client, IsolationLevel, NoTls, error::SqlState};

use crate::support::{Front, within};

/// As somebody whose statements are read, and as somebody whose are not.
const USERS: [&str; 2] = ["app", "transparent"];

#[tokio::test]
async fn statements_with_parameters_and_their_errors() {
    let (_database, front) = Front::start().await;
    for user in USERS {
        let client = front.client(user).await;
        client
            .batch_execute("DROP TABLE IF EXISTS t; CREATE TABLE t (a int PRIMARY KEY, b text)")
            .await
            .unwrap();
        let insert = client.prepare("INSERT INTO t VALUES ($1, $2) RETURNING a").await.unwrap();
        for a in 0..50 {
            let row = client.query_one(&insert, &[&a, &format!("row {a}")]).await.unwrap();
            assert_eq!(row.get::<_, i32>(0), a);
        }
        let error = client.execute(&insert, &[&7, &"again"]).await.unwrap_err();
        let refusal = error.as_db_error().unwrap();
        assert_eq!(refusal.code(), &SqlState::UNIQUE_VIOLATION);
        assert_eq!(
            (refusal.constraint(), refusal.detail()),
            (Some("t_pkey"), Some("Key (a)=(7) already exists."))
        );
        let error = client.query("SELECT nothing", &[]).await.unwrap_err();
        let position = error.as_db_error().unwrap().position();
        assert_eq!(position, Some(&tokio_postgres::error::ErrorPosition::Original(8)));
        assert_eq!(client.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get::<_, i64>(0), 50);
    }
}

#[tokio::test]
async fn statements_that_do_not_wait_for_each_other() {
    let (_database, front) = Front::start().await;
    for user in USERS {
        let client = front.client(user).await;
        let questions = (0..500_i32).map(|i| {
            let client = &client;
            async move {
                let row = client.query_one("SELECT $1::int, repeat('x', $1 * 10)", &[&i]).await?;
                assert_eq!((row.get::<_, i32>(0), row.get::<_, &str>(1).len()), (i, i as usize * 10));
                Ok::<_, tokio_postgres::Error>(())
            }
        });
        within(try_join_all(questions)).await.unwrap();
    }
}

#[tokio::test]
async fn portals_that_are_read_bit_by_bit() {
    let (_database, front) = Front::start().await;
    for user in USERS {
        let mut client = front.client(user).await;
        let transaction = client
            .build_transaction()
            .isolation_level(IsolationLevel::Serializable)
            .read_only(true)
            .start()
            .await;
        let transaction = transaction.unwrap();
        let level = transaction.query_one("SHOW transaction_isolation", &[]).await.unwrap();
        assert_eq!(level.get::<_, &str>(0), "serializable");
        let portal = transaction.bind("SELECT generate_series(1, 25)", &[]).await.unwrap();
        let mut sizes = Vec::new();
        loop {
            let rows = transaction.query_portal(&portal, 10).await.unwrap();
            sizes.push(rows.len());
            if rows.len() < 10 {
                break;
            }
        }
        assert_eq!(sizes, [10, 10, 5]);
        let refused = transaction.execute("CREATE TABLE never (i int)", &[]).await.unwrap_err();
        assert_eq!(refused.code(), Some(&SqlState::READ_ONLY_SQL_TRANSACTION));
        transaction.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn copies_in_and_out() {
    let (_database, front) = Front::start().await;
    for user in USERS {
        let client = front.client(user).await;
        client.batch_execute("DROP TABLE IF EXISTS t; CREATE TABLE t (a int, b text)").await.unwrap();
        let lines = (0..20_000).map(|i| Ok(Bytes::from(format!("{i}\t{}\n", "b".repeat(i % 300)))));
        let sink = client.copy_in("COPY t FROM STDIN").await.unwrap();
        let mut sink = pin!(sink);
        within(sink.send_all(&mut stream::iter(lines))).await.unwrap();
        assert_eq!(sink.finish().await.unwrap(), 20_000);
        let out = client.copy_out("COPY t TO STDOUT").await.unwrap();
        let size: usize =
            within(out.try_fold(0, |size, part| async move { Ok(size + part.len()) })).await.unwrap();
        let expected: usize = (0..20_000_usize).map(|i| i.to_string().len() + 2 + i % 300).sum();
        assert_eq!(size, expected);
        let sink = client.copy_in::<_, Bytes>("COPY t FROM STDIN").await.unwrap();
        drop(sink);
        assert_eq!(client.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get::<_, i64>(0), 20_000);
        let sink = client.copy_in("COPY t FROM STDIN").await.unwrap();
        let mut sink = pin!(sink);
        sink.send(Bytes::from_static(b"not a number\n")).await.unwrap();
        let error = sink.finish().await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::INVALID_TEXT_REPRESENTATION));
    }
}

#[tokio::test]
async fn notices_and_notifications_arrive_by_themselves() {
    let (_database, front) = Front::start().await;
    for user in USERS {
        let (client, mut connection) = front.config(user).connect(NoTls).await.unwrap();
        let (sender, mut received) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut messages = stream::poll_fn(move |cx| connection.poll_message(cx));
            while let Some(Ok(message)) = messages.next().await {
                let text = match message {
                    AsyncMessage::Notice(notice) => format!("{}: {}", notice.severity(), notice.message()),
                    AsyncMessage::Notification(news) => format!("{}: {}", news.channel(), news.payload()),
                    _ => continue,
                };
                let _ = sender.send(text);
            }
        });
        client.batch_execute("LISTEN news").await.unwrap();
        client
            .batch_execute("DO $$ BEGIN RAISE NOTICE 'heed'; RAISE WARNING 'beware'; END $$")
            .await
            .unwrap();
        front.client("other").await.batch_execute("NOTIFY news, 'extra'").await.unwrap();
        for expected in ["NOTICE: heed", "WARNING: beware", "news: extra"] {
            assert_eq!(within(received.recv()).await.as_deref(), Some(expected));
        }
    }
}

#[tokio::test]
async fn the_clients_own_settings_reach_postgres() {
    let (database, front) = Front::start().await;
    database.client().await.batch_execute("CREATE SCHEMA elsewhere").await.unwrap();
    let mut config = front.config("app");
    config
        .application_name("my tool")
        .options("-c search_path=elsewhere -c statement_timeout=12345 -c DateStyle=German");
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    for (setting, value) in [
        ("application_name", "my tool"),
        ("search_path", "elsewhere"),
        ("statement_timeout", "12345ms"),
        ("DateStyle", "German, DMY"),
    ] {
        let row = client.query_one(&format!("SHOW {setting}"), &[]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), value, "{setting}");
    }
    config.options("-c no_such_setting=1");
    let error = config.connect(NoTls).await.err().unwrap();
    assert_eq!(error.code(), Some(&SqlState::UNDEFINED_OBJECT));
    // Who has no name is given one.
    let client = front.client("app").await;
    let row = client.query_one("SHOW application_name", &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "tieline proxy");
}

#[tokio::test]
async fn statements_are_cancelled_by_those_who_may() {
    let (database, front) = Front::start().await;
    let observer = database.client().await;
    for user in USERS {
        let client = front.client(user).await;
        let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
        let cancel = client.cancel_token();
        let asleep = async {
            let sql =
                "SELECT state = 'active' AND query LIKE '%pg_sleep%' FROM pg_stat_activity WHERE pid = $1";
            while !observer.query_one(sql, &[&pid]).await.unwrap().get::<_, bool>(0) {}
            // Somebody who guesses.
            for (process, secret) in [(pid, 1), (pid + 1, 0), (0, 0)] {
                guess(&front, process, secret).await;
            }
            tokio::time::timeout(Duration::from_millis(50), std::future::pending::<()>()).await.unwrap_err();
            assert!(observer.query_one(sql, &[&pid]).await.unwrap().get::<_, bool>(0));
            cancel.cancel_query(NoTls).await.unwrap();
        };
        let (slept, ()) =
            within(async { tokio::join!(client.batch_execute("SELECT pg_sleep(300)"), asleep) }).await;
        assert_eq!(slept.unwrap_err().code(), Some(&SqlState::QUERY_CANCELED));
        assert_eq!(still_works(&client).await, 1);
        drop(client);
        // The session is over: its key leads nowhere, and nobody complains.
        cancel.cancel_query(NoTls).await.unwrap();
    }
}

async fn still_works(client: &Client) -> i32 {
    client.query_one("SELECT 1", &[]).await.expect("an answer").get(0)
}

/// Asks for the cancellation of a session that is not ours, and waits until the request has been dropped.
async fn guess(front: &Front, process: i32, secret: i32) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut socket = tokio::net::TcpStream::connect(front.address()).await.expect("a connection");
    for number in [16, 80_877_102, process, secret] {
        socket.write_i32(number).await.expect("to be heard");
    }
    assert_eq!(within(socket.read(&mut [0])).await.unwrap_or(0), 0);
}

//! Statements sent one after the other without waiting for the answers between.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
};

/// A statement on its way.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, tokio_postgres::Error>> + Send + 'a>>;

/// Waits for all, and returns all answers or the first error in their order. After an error Postgres refuses the rest of the
/// transaction, so the first error is the one that matters.
pub async fn all<T>(pending: Vec<Pending<'_, T>>) -> Result<Vec<T>, tokio_postgres::Error> {
    each(pending).await.into_iter().collect()
}

/// Waits for all, and returns all answers.
///
/// The driver sends a statement when its future is polled for the first time, and the futures are polled in order: so all are
/// sent at once, in order, or none is. The answers come in the same order, so after that only one need be waited for at a time.
pub async fn each<T>(mut pending: Vec<Pending<'_, T>>) -> Vec<Result<T, tokio_postgres::Error>> {
    let mut answers: Vec<Option<Result<T, tokio_postgres::Error>>> = pending.iter().map(|_| None).collect();
    let mut sent = false;
    poll_fn(|context| {
        for (future, answer) in pending.iter_mut().zip(&mut answers).filter(|(_, answer)| answer.is_none()) {
            match future.as_mut().poll(context) {
                Poll::Ready(result) => *answer = Some(result),
                Poll::Pending if sent => return Poll::Pending,
                Poll::Pending => {}
            }
        }
        sent = true;
        if answers.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    answers.into_iter().flatten().collect()
}

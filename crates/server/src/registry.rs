//! Which connection a client has: one at most, and the newest wins (spec 02 §12).

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use change::ClientId;
use parking_lot::Mutex;
use session::Input;
use tokio::sync::watch;

use crate::{connection::Mailbox, watchers::ConnectionId};

/// The connection of each client.
#[derive(Debug, Default)]
pub struct Registry(Mutex<HashMap<ClientId, Holder>>);

#[derive(Debug)]
struct Holder {
    connection: ConnectionId,
    mailbox: Arc<Mailbox>,
    /// Closed when the connection lets go of the client.
    ended: watch::Receiver<()>,
    takeovers: Takeovers,
}

/// A token bucket: two tabs that share an id would take it from each other for ever.
#[derive(Clone, Copy, Debug)]
struct Takeovers {
    tokens: f64,
    at: Instant,
}

impl Takeovers {
    const BURST: f64 = 10.0;
    const REFILL: Duration = Duration::from_secs(10);

    fn allow(&mut self, now: Instant) -> bool {
        let earned = now.saturating_duration_since(self.at).as_secs_f64() / Self::REFILL.as_secs_f64();
        self.tokens = (self.tokens + earned).min(Self::BURST);
        self.at = now;
        let allowed = self.tokens >= 1.0;
        if allowed {
            self.tokens -= 1.0;
        }
        allowed
    }
}

/// The hold of a connection on its client id. Let go when dropped.
#[derive(Debug)]
pub struct Hold {
    registry: Arc<Registry>,
    client: ClientId,
    connection: ConnectionId,
    _ended: watch::Sender<()>,
}

/// Connections of this client follow each other too quickly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyTakeovers;

/// How long a newcomer waits for its predecessor to be gone. What the predecessor still had in hand is safe in any case: a
/// transaction that is applied twice is skipped the second time.
const PATIENCE: Duration = Duration::from_secs(1);

impl Registry {
    /// Takes a client id for a connection of the same user; an older connection is told to close, and waited for.
    /// The answer says, too, whether there was one.
    ///
    /// # Errors
    /// [`TooManyTakeovers`]; the older connection is left alone.
    pub async fn take(
        self: &Arc<Registry>,
        client: &ClientId,
        connection: ConnectionId,
        mailbox: &Arc<Mailbox>,
    ) -> Result<(Hold, bool), TooManyTakeovers> {
        let (sender, ended) = watch::channel(());
        let now = Instant::now();
        let before = {
            let mut holders = self.0.lock();
            let mut takeovers = Takeovers { tokens: Takeovers::BURST, at: now };
            if let Some(holder) = holders.get_mut(client) {
                if !holder.takeovers.allow(now) {
                    return Err(TooManyTakeovers);
                }
                takeovers = holder.takeovers;
            }
            holders.insert(client.clone(), Holder { connection, mailbox: mailbox.clone(), ended, takeovers })
        };
        let hold = Hold { registry: self.clone(), client: client.clone(), connection, _ended: sender };
        let Some(mut before) = before else { return Ok((hold, false)) };
        before.mailbox.post(Input::Replaced);
        // An error is what is waited for: the sender is gone with the connection.
        let gone = async { while before.ended.changed().await.is_ok() {} };
        if tokio::time::timeout(PATIENCE, gone).await.is_err() {
            tracing::debug!(%client, "the older connection of this client has not ended yet");
        }
        Ok((hold, true))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut holders = self.registry.0.lock();
        if holders.get(&self.client).is_some_and(|holder| holder.connection == self.connection) {
            holders.remove(&self.client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Letter;

    #[tokio::test]
    async fn the_newcomer_wins_and_waits_for_the_old_one() {
        let registry = Arc::new(Registry::default());
        let client = ClientId::new("c").unwrap();
        let (old, new) = (Mailbox::new(), Mailbox::new());
        let (hold, replaced) = registry.take(&client, ConnectionId(1), &old).await.unwrap();
        assert!(!replaced);
        let newcomer = registry.take(&client, ConnectionId(2), &new);
        let leaving = async {
            old.rung().await;
            assert!(matches!(old.collect()[..], [Letter::Input(Input::Replaced)]));
            drop(hold);
        };
        let (taken, ()) = tokio::join!(newcomer, leaving);
        let (hold, replaced) = taken.unwrap();
        assert!(replaced && registry.0.lock().len() == 1);
        drop(hold);
        assert!(registry.0.lock().is_empty());
    }

    #[test]
    fn quick_alternation_is_damped() {
        let now = Instant::now();
        let mut takeovers = Takeovers { tokens: Takeovers::BURST, at: now };
        assert_eq!((0..20).filter(|_| takeovers.allow(now)).count(), 10);
        assert!(takeovers.allow(now + Takeovers::REFILL));
    }
}

//! What is stored about clients, between the words of the session and those of the store.

use postgres::clients::{self, Update};
use session::{ClientUpdate, PendingMigrations, StoredClient, StoredSubscription};

/// What was read.
pub fn loaded(stored: clients::StoredClient) -> StoredClient {
    let subscriptions = stored.subscriptions.into_iter().map(|subscription| StoredSubscription {
        id: subscription.id,
        request: subscription.request,
        gone_at: subscription.gone_at,
    });
    let pending = stored.pending_migrations.map(|p| PendingMigrations { last: p.last, versions: p.versions });
    StoredClient {
        subscriptions: subscriptions.collect(),
        pending_migrations: pending,
        observed: stored.observed,
    }
}

/// What is to be changed.
pub fn update(update: ClientUpdate) -> Update {
    match update {
        ClientUpdate::Clear => Update::Clear,
        ClientUpdate::MigrationsSent(PendingMigrations { last, versions }) => {
            Update::MigrationsSent(clients::PendingMigrations { last, versions })
        }
        ClientUpdate::MigrationsSeen => Update::MigrationsSeen,
        ClientUpdate::Observed(transactions) => Update::Observed(transactions),
        ClientUpdate::Subscribed(StoredSubscription { id, request, gone_at }) => {
            Update::Subscribed(clients::StoredSubscription { id, request, gone_at })
        }
        ClientUpdate::Gone(ids, position) => Update::Gone(ids, position),
        ClientUpdate::Forget(ids) => Update::Forget(ids),
    }
}

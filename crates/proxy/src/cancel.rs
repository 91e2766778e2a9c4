//! Cancel requests: which sessions there are to cancel, and where (spec 04 §9.1).

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use aws_lc_rs::constant_time;
use bytes::{BufMut as _, Bytes, BytesMut};
use parking_lot::Mutex;
use postgres::{
    connection::{ConnectConfig, ConnectError},
    socket::Dialer,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use crate::{
    Frame,
    startup::{self, CancelKey},
};

/// How long Postgres may take to hear a request.
const PATIENCE: Duration = Duration::from_secs(10);

/// The sessions of all clients, by the key that each was given: Postgres' own, so that `pg_backend_pid()` and the logs agree with
/// what clients show. A request is passed on only if its key is here, so the proxy is no way to guess keys at another's
/// expense.
#[derive(Clone, Default)]
pub struct Sessions(Arc<Mutex<HashMap<u32, Vec<Entry>>>>);

struct Entry {
    secret: Bytes,
    place: SocketAddr,
}

/// A session's entry, for as long as this value lives.
pub struct Listed {
    sessions: Sessions,
    key: CancelKey,
}

impl Sessions {
    /// Enters a session: the BackendKeyData message that Postgres sent, and the address of the server that sent it. `None`
    /// if it is not such a message.
    pub fn enter(&self, frame: &Frame, place: SocketAddr) -> Option<Listed> {
        let process = frame.body().first_chunk::<4>().map(|id| u32::from_be_bytes(*id))?;
        let secret = Bytes::copy_from_slice(frame.body().get(4..)?);
        self.0.lock().entry(process).or_default().push(Entry { secret: secret.clone(), place });
        Some(Listed { sessions: self.clone(), key: CancelKey { process, secret } })
    }

    /// Where the session of a key is, if there is one.
    #[must_use]
    pub fn place(&self, key: &CancelKey) -> Option<SocketAddr> {
        let sessions = self.0.lock();
        let fits =
            |entry: &&Entry| constant_time::verify_slices_are_equal(&entry.secret, &key.secret).is_ok();
        sessions.get(&key.process)?.iter().find(fits).map(|entry| entry.place)
    }
}

impl Listed {
    /// The session's own key.
    #[must_use]
    pub fn key(&self) -> &CancelKey {
        &self.key
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut sessions = self.sessions.0.lock();
        if let Some(entries) = sessions.get_mut(&self.key.process) {
            entries.retain(|entry| entry.secret != self.key.secret);
            if entries.is_empty() {
                sessions.remove(&self.key.process);
            }
        }
    }
}

/// Passes a request on, encrypted if connections to Postgres are, and waits until it has been heard.
///
/// # Errors
/// [`ConnectError`] if it can't be delivered.
pub async fn forward(config: &ConnectConfig, place: SocketAddr, key: &CancelKey) -> Result<(), ConnectError> {
    let deliver = async {
        let lost = |source| ConnectError::Lost { source };
        let mut server = Dialer::at(config, place).next().await?;
        server.write_all(&key.request()).await.map_err(lost)?;
        server.flush().await.map_err(lost)?;
        // Postgres answers nothing, and closes when it has sent the signal.
        let _ = server.read_u8().await;
        Ok(())
    };
    timeout(PATIENCE, deliver)
        .await
        .unwrap_or_else(|_| Err(ConnectError::TimedOut { host: config.host.clone() }))
}

impl CancelKey {
    /// The packet that asks for it.
    fn request(&self) -> BytesMut {
        let mut packet = BytesMut::new();
        packet.put_u32(12 + self.secret.len() as u32);
        packet.put_u32(startup::CANCEL);
        packet.put_u32(self.process);
        packet.put_slice(&self.secret);
        packet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_key_of_a_living_session_leads_anywhere() {
        let sessions = Sessions::default();
        let place: SocketAddr = "192.0.2.1:5432".parse().unwrap();
        let key =
            |process: u32, secret: &'static [u8]| CancelKey { process, secret: Bytes::from_static(secret) };
        let data = |secret: &[u8; 4]| Frame::new(b'K', &[&[0, 0, 0, 7], &secret[..]].concat());
        let listed = sessions.enter(&data(b"four"), place).unwrap();
        // After a failover another server may use the same process id.
        let other = sessions.enter(&data(b"more"), "192.0.2.2:5432".parse().unwrap()).unwrap();
        assert_eq!(sessions.place(&key(7, b"four")), Some(place));
        for wrong in [key(7, b"fou"), key(7, b"five"), key(7, b""), key(8, b"four")] {
            assert_eq!(sessions.place(&wrong), None);
        }
        drop(listed);
        assert_eq!(sessions.place(&key(7, b"four")), None);
        assert!(sessions.place(&key(7, b"more")).is_some());
        drop(other);
        assert!(sessions.0.lock().is_empty());
        assert!(sessions.enter(&Frame::new(b'K', b"cut"), place).is_none());
    }

    #[test]
    fn the_request_is_laid_out_as_documented() {
        let key = CancelKey { process: 7, secret: Bytes::from_static(b"four") };
        assert_eq!(&key.request()[..], b"\0\0\0\x10\x04\xD2\x16\x2E\0\0\0\x07four");
    }
}

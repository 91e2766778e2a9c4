//! Whether anything is still heard on a connection: a network on the way that keeps it open but passes nothing on is not noticed by the
//! kernel.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::AbortHandle,
    time::{Instant, sleep_until},
};

use crate::socket::Socket;

/// The pulse of one connection. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Pulse {
    heard: Heard,
    driver: AbortHandle,
}

/// How many bytes have been heard.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard(Arc<AtomicU64>);

impl Pulse {
    pub(crate) fn new(heard: Heard, driver: AbortHandle) -> Pulse {
        Pulse { heard, driver }
    }

    /// Awaits what waits for answers on this connection, for as long as anything is heard. `None`, and the connection is cut, if nothing
    /// is heard for so long.
    pub(crate) async fn while_heard<T>(
        &self,
        patience: Duration,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.silence(patience) => {
                self.driver.abort();
                None
            }
        }
    }

    /// Waits until nothing has been heard for so long, counted from now.
    async fn silence(&self, patience: Duration) {
        loop {
            let before = self.heard.count();
            sleep_until(Instant::now() + patience).await;
            if self.heard.count() == before {
                return;
            }
        }
    }
}

impl Heard {
    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A socket that counts what is heard on it.
pub(crate) struct Listening {
    pub(crate) socket: Socket,
    pub(crate) heard: Heard,
}

impl AsyncRead for Listening {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Listening { socket, heard } = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(socket).poll_read(cx, buf);
        heard.0.fetch_add((buf.filled().len() - before) as u64, Ordering::Relaxed);
        read
    }
}

impl AsyncWrite for Listening {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

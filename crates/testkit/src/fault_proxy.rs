//! A proxy that misbehaves on demand, between a client and a server that speak anything over TCP.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// The largest piece that is passed on at once, in bytes: small, so that delays and cuts fall into the midst of messages.
const PIECE: usize = 4096;

/// No limit on what may still pass.
const UNLIMITED: i64 = i64::MAX;

/// Passes connections on to a target and does to them what a bad network does. Its faults concern all of its connections, those
/// that are there and those that come. Ends with this value, and its connections with it.
#[derive(Debug)]
pub struct FaultProxy {
    port: u16,
    faults: Arc<Faults>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Faults {
    target: Mutex<SocketAddr>,
    stalled: watch::Sender<bool>,
    /// Counts up when the connections of the moment are to be forgotten.
    forgotten: watch::Sender<u64>,
    /// Counts up when the connections of the moment are to end.
    severed: watch::Sender<u64>,
    refusing: AtomicBool,
    /// Microseconds before each piece is passed on.
    delay: AtomicU64,
    /// Bytes that may still pass before everything is severed.
    left: AtomicI64,
}

impl FaultProxy {
    /// Listens on a free loopback port and passes everything on to `target`.
    ///
    /// # Errors
    /// If no port can be bound.
    pub async fn start(target: SocketAddr) -> io::Result<FaultProxy> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let faults = Arc::new(Faults {
            target: Mutex::new(target),
            stalled: watch::Sender::new(false),
            forgotten: watch::Sender::new(0),
            severed: watch::Sender::new(0),
            refusing: AtomicBool::new(false),
            delay: AtomicU64::new(0),
            left: AtomicI64::new(UNLIMITED),
        });
        let accepting = tokio::spawn(accept(listener, faults.clone()));
        Ok(FaultProxy { port, faults, accepting })
    }

    /// The loopback port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Passes connections on to another target: those that are made from now on.
    pub fn turn_to(&self, target: SocketAddr) {
        *self.faults.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }

    /// Ends every connection of the moment, at both sides; new ones pass.
    pub fn sever(&self) {
        self.faults.sever();
    }

    /// Severs every connection of the moment once `bytes` more have passed, counted over all of them: most likely amid a message.
    pub fn sever_after(&self, bytes: u32) {
        self.faults.left.store(i64::from(bytes), Ordering::Relaxed);
    }

    /// Passes nothing on any more, and tells nobody: connections stay open, new ones too. Until [`FaultProxy::heal`].
    pub fn stall(&self) {
        self.faults.stalled.send_replace(true);
    }

    /// Passes nothing on any more on the connections of the moment, ever, and tells nobody, like a firewall that has forgotten them;
    /// new ones pass.
    pub fn forget(&self) {
        self.faults.forgotten.send_modify(|count| *count += 1);
    }

    /// Passes every piece on this much later. Until [`FaultProxy::heal`].
    pub fn delay(&self, delay: Duration) {
        let micros = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        self.faults.delay.store(micros, Ordering::Relaxed);
    }

    /// Severs every connection, and ends new ones at once. Until [`FaultProxy::heal`].
    pub fn refuse(&self) {
        self.faults.refusing.store(true, Ordering::Relaxed);
        self.faults.sever();
    }

    /// Ends every fault; what was held back is passed on.
    pub fn heal(&self) {
        self.faults.refusing.store(false, Ordering::Relaxed);
        self.faults.delay.store(0, Ordering::Relaxed);
        self.faults.left.store(UNLIMITED, Ordering::Relaxed);
        self.faults.stalled.send_replace(false);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.faults.sever();
    }
}

impl Faults {
    fn target(&self) -> SocketAddr {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sever(&self) {
        self.severed.send_modify(|count| *count += 1);
    }

    /// How many of `size` bytes may pass; the rest never will.
    fn allowance(&self, size: usize) -> usize {
        if self.left.load(Ordering::Relaxed) == UNLIMITED {
            return size;
        }
        let size = i64::try_from(size).unwrap_or(UNLIMITED);
        let left = self.left.fetch_sub(size, Ordering::Relaxed);
        if left > size {
            return usize::try_from(size).unwrap_or(0);
        }
        self.left.store(UNLIMITED, Ordering::Relaxed);
        self.sever();
        usize::try_from(left).unwrap_or(0)
    }
}

async fn accept(listener: TcpListener, faults: Arc<Faults>) {
    while let Ok((inbound, _)) = listener.accept().await {
        if !faults.refusing.load(Ordering::Relaxed) {
            tokio::spawn(carry(inbound, faults.target(), faults.clone()));
        }
    }
}

/// Carries one connection until it is over or severed.
async fn carry(inbound: TcpStream, target: SocketAddr, faults: Arc<Faults>) {
    let mut severed = faults.severed.subscribe();
    severed.mark_unchanged();
    let mut forgotten = faults.forgotten.subscribe();
    forgotten.mark_unchanged();
    let Ok(outbound) = TcpStream::connect(target).await else { return };
    let _ = (inbound.set_nodelay(true), outbound.set_nodelay(true));
    let (mut inbound, mut outbound) = (inbound, outbound);
    let (from_client, to_client) = inbound.split();
    let (from_server, to_server) = outbound.split();
    let up = pass(from_client, to_server, faults.clone());
    let down = pass(from_server, to_client, faults.clone());
    tokio::select! {
        _ = severed.changed() => return,
        _ = forgotten.changed() => {}
        _ = async { tokio::join!(up, down) } => return,
    }
    // Both stay open.
    let _ = severed.changed().await;
}

/// Passes one direction on, piece by piece, until it ends.
async fn pass(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, faults: Arc<Faults>) {
    let mut stalled = faults.stalled.subscribe();
    let mut piece = vec![0; PIECE];
    while let Ok(size @ 1..) = from.read(&mut piece).await {
        let delay = Duration::from_micros(faults.delay.load(Ordering::Relaxed));
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if stalled.wait_for(|stalled| !stalled).await.is_err() {
            return;
        }
        let passing = faults.allowance(size);
        if to.write_all(piece.get(..passing).unwrap_or_default()).await.is_err() {
            return;
        }
        if passing < size {
            // Nothing may follow a gap; the connection is being severed.
            return std::future::pending().await;
        }
    }
    let _ = to.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that says back whatever it is told.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = socket.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        address
    }

    async fn connection(proxy: &FaultProxy) -> TcpStream {
        TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).await.expect("a connection")
    }

    async fn says_back(socket: &mut TcpStream, text: &[u8]) -> io::Result<()> {
        socket.write_all(text).await?;
        let mut back = vec![0; text.len()];
        socket.read_exact(&mut back).await?;
        assert_eq!(back, text);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_severed_ends_and_what_comes_after_passes() {
        let proxy = FaultProxy::start(echo().await).await.expect("a proxy");
        let mut socket = connection(&proxy).await;
        says_back(&mut socket, b"one").await.expect("it passes");
        proxy.sever();
        assert_eq!(socket.read(&mut [0; 8]).await.unwrap_or(0), 0, "the connection has ended");
        says_back(&mut connection(&proxy).await, b"two").await.expect("it passes");
    }

    #[tokio::test]
    async fn a_cut_falls_after_so_many_bytes() {
        let proxy = FaultProxy::start(echo().await).await.expect("a proxy");
        let mut socket = connection(&proxy).await;
        says_back(&mut socket, b"one").await.expect("it passes");
        proxy.sever_after(5);
        assert!(says_back(&mut socket, b"longer than that").await.is_err());
        says_back(&mut connection(&proxy).await, b"longer than that").await.expect("it passes");
    }

    #[tokio::test]
    async fn what_is_stalled_is_held_back_until_it_is_healed() {
        let proxy = FaultProxy::start(echo().await).await.expect("a proxy");
        let mut socket = connection(&proxy).await;
        says_back(&mut socket, b"one").await.expect("it passes");
        proxy.stall();
        socket.write_all(b"two").await.expect("it is taken");
        let read = tokio::time::timeout(Duration::from_millis(50), socket.read(&mut [0; 8])).await;
        assert!(read.is_err(), "nothing passes");
        proxy.heal();
        let mut back = [0; 3];
        socket.read_exact(&mut back).await.expect("it passes");
        assert_eq!(&back, b"two");
    }

    #[tokio::test]
    async fn what_is_forgotten_stays_open_and_silent_while_new_ones_pass() {
        let proxy = FaultProxy::start(echo().await).await.expect("a proxy");
        let mut socket = connection(&proxy).await;
        says_back(&mut socket, b"one").await.expect("it passes");
        proxy.forget();
        proxy.heal();
        socket.write_all(b"two").await.expect("it is taken");
        says_back(&mut connection(&proxy).await, b"three").await.expect("it passes");
        let read = tokio::time::timeout(Duration::from_millis(50), socket.read(&mut [0; 8])).await;
        assert!(read.is_err(), "nothing passes");
    }

    #[tokio::test]
    async fn what_is_turned_to_another_target_goes_there_from_the_next_connection_on() {
        let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let nowhere = nobody.local_addr().expect("an address");
        drop(nobody);
        let proxy = FaultProxy::start(nowhere).await.expect("a proxy");
        assert!(says_back(&mut connection(&proxy).await, b"one").await.is_err());
        proxy.turn_to(echo().await);
        let mut socket = connection(&proxy).await;
        says_back(&mut socket, b"two").await.expect("it passes");
        proxy.turn_to(nowhere);
        says_back(&mut socket, b"three").await.expect("it still passes");
        assert!(says_back(&mut connection(&proxy).await, b"four").await.is_err());
    }

    #[tokio::test]
    async fn what_is_refused_ends_at_once() {
        let proxy = FaultProxy::start(echo().await).await.expect("a proxy");
        proxy.refuse();
        assert!(says_back(&mut connection(&proxy).await, b"one").await.is_err());
        proxy.heal();
        says_back(&mut connection(&proxy).await, b"two").await.expect("it passes");
    }
}

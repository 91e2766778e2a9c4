//! Which addresses the service listens on (spec 01 §1, 07 §0).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::config::Listen;

/// Connections that the system may hold ready for us: a thousand clients come back at once after a restart.
const BACKLOG: i32 = 1024;

/// A port that nobody else can have, but on which connections are refused as yet.
#[derive(Debug)]
pub struct Reserved(Socket);

impl Reserved {
    /// The address.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.0.local_addr().ok()?.as_socket()
    }

    /// Lets connections come.
    ///
    /// # Errors
    /// The system's; the port is taken if another program reserved it in the same way and was faster.
    pub fn open(self) -> io::Result<TcpListener> {
        self.0.listen(BACKLOG)?;
        TcpListener::from_std(self.0.into())
    }
}

/// Opens the sockets, as [`reserve`] chooses them.
///
/// # Errors
/// As [`reserve`].
pub fn bind(listen: Listen) -> io::Result<Vec<TcpListener>> {
    reserve(listen)?.into_iter().map(Reserved::open).collect()
}

/// Reserves the sockets: one, or two on loopback with IPv6. A machine without IPv6 gets IPv4 alone, with a notice.
///
/// # Errors
/// The system's, when not even one can be had, or the port is taken on either address family.
pub fn reserve(listen: Listen) -> io::Result<Vec<Reserved>> {
    let v4 = if listen.loopback { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
    if !listen.ipv6 {
        return Ok(vec![take(v4.into(), listen.port)?]);
    }
    if listen.loopback {
        // Loopback has no dual-stack address: two sockets on the same port.
        let first = take(v4.into(), listen.port)?;
        let port = first.address().map_or(listen.port, |address| address.port());
        return match take(Ipv6Addr::LOCALHOST.into(), port) {
            Ok(second) => Ok(vec![first, second]),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
            Err(_) => Ok(vec![first]),
        };
    }
    match take(Ipv6Addr::UNSPECIFIED.into(), listen.port) {
        Ok(socket) => Ok(vec![socket]),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
        Err(error) => {
            tracing::info!(%error, "this machine has no IPv6: listening on IPv4 only (ELECTRIC_USE_IPV6=false says so)");
            Ok(vec![take(v4.into(), listen.port)?])
        }
    }
}

fn take(ip: IpAddr, port: u16) -> io::Result<Reserved> {
    let socket =
        Socket::new(Domain::for_address(SocketAddr::new(ip, port)), Type::STREAM, Some(Protocol::TCP))?;
    if ip.is_ipv6() {
        socket.set_only_v6(ip.is_loopback())?;
    }
    // Without this a restart fails while old connections time out. It does not let two servers share a port.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::new(ip, port).into())?;
    Ok(Reserved(socket))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(listen: Listen) -> Vec<SocketAddr> {
        bind(listen).unwrap().iter().map(|l| l.local_addr().unwrap()).collect()
    }

    #[tokio::test]
    async fn insecure_mode_is_for_this_machine_only() {
        for ipv6 in [false, true] {
            for address in addresses(Listen { port: 0, ipv6, loopback: true }) {
                assert!(address.ip().is_loopback(), "{address}");
            }
        }
    }

    #[tokio::test]
    async fn a_taken_port_is_told() {
        let first = bind(Listen { port: 0, ipv6: false, loopback: true }).unwrap();
        let port = first[0].local_addr().unwrap().port();
        for (ipv6, loopback) in [(false, true), (true, true), (false, false), (true, false)] {
            let error = bind(Listen { port, ipv6, loopback }).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "ipv6 {ipv6}, loopback {loopback}");
        }
    }

    #[tokio::test]
    async fn a_reserved_port_refuses_connections_until_it_is_opened() {
        let listen = Listen { port: 0, ipv6: false, loopback: true };
        let reserved = reserve(listen).unwrap().remove(0);
        let address = reserved.address().unwrap();
        let refused = tokio::net::TcpStream::connect(address).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let _listener = reserved.open().unwrap();
        tokio::net::TcpStream::connect(address).await.unwrap();
        let error = bind(Listen { port: address.port(), ..listen }).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn dual_stack_answers_on_both_families() {
        let listeners = bind(Listen { port: 0, ipv6: true, loopback: false }).unwrap();
        let port = listeners[0].local_addr().unwrap().port();
        tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    }
}

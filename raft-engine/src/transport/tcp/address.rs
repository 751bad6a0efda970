//! Where to listen and whom to dial, and which of these addresses may be used in plain text.

use crate::error::{Error, ErrorKind};
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use tokio::net::{TcpListener, TcpStream};

/// Listens there.
pub(super) fn listen(listen: &str, insecure: bool) -> Result<TcpListener, Error> {
    check(listen)?;
    let addresses = listen.to_socket_addrs().map_err(|e| unusable(listen, &e))?;
    let mut failed = None;
    for address in addresses {
        if !insecure && !is_local(address.ip()) {
            return Err(Error::new(ErrorKind::Invalid, exposed(listen)));
        }
        match std::net::TcpListener::bind(address) {
            Ok(listener) => return adopt(listener).map_err(|e| unusable(listen, &e)),
            Err(e) if e.kind() == io::ErrorKind::AddrInUse => return Err(unusable(listen, &e)),
            Err(e) => failed = Some(e),
        }
    }
    let failed = failed.unwrap_or_else(|| io::Error::other("no such host"));
    Err(unusable(listen, &failed))
}

fn adopt(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Whether this is `host:port`.
fn check(address: &str) -> Result<(), Error> {
    let parts = address.rsplit_once(':');
    let good = parts.is_some_and(|(host, port)| {
        let bare = !host.is_empty() && !host.contains([':', '[', ']', ' ']);
        let bracketed = host.starts_with('[') && host.ends_with(']');
        (bare || bracketed)
            && port.bytes().all(|b| b.is_ascii_digit())
            && port.parse::<u16>().is_ok()
    });
    if good {
        return Ok(());
    }
    let text = format!(
        "{address:?} is not an address: write host:port, such as 127.0.0.1:7000 or [::1]:7000; port 0 \
         takes a free one"
    );
    Err(Error::new(ErrorKind::Invalid, text))
}

fn unusable(listen: &str, error: &io::Error) -> Error {
    let (kind, text) = match error.kind() {
        io::ErrorKind::AddrInUse => (
            ErrorKind::AddressInUse,
            format!(
                "{listen} is in use: stop the program that listens there, or take another port"
            ),
        ),
        io::ErrorKind::PermissionDenied => (
            ErrorKind::Io,
            format!("this process may not listen on {listen}: take a port from 1024 on"),
        ),
        _ => (
            ErrorKind::Invalid,
            format!("can't listen on {listen}: {error}; give an address of this machine"),
        ),
    };
    Error::new(kind, text)
}

fn exposed(address: &str) -> String {
    format!(
        "{address} is not a loopback address, and connections are neither encrypted nor \
         authenticated: set insecure = on if everybody in that network is trusted"
    )
}

fn is_local(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// Whether a connection from there may be accepted.
pub(super) fn may_come_from(remote: SocketAddr, insecure: bool) -> bool {
    insecure || is_local(remote.ip())
}

/// Connects to the first of the addresses that answers.
pub(super) async fn dial(address: &str, insecure: bool) -> Result<TcpStream, String> {
    check(address).map_err(|error| error.message)?;
    let found = tokio::net::lookup_host(address).await;
    let mut failed = "no such host".to_owned();
    for address in found.map_err(|error| error.to_string())? {
        if !insecure && !is_local(address.ip()) {
            return Err(exposed(&address.to_string()));
        }
        match TcpStream::connect(address).await {
            Ok(stream) if is_own_echo(&stream) => failed = "connection refused".to_owned(),
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error.to_string(),
        }
    }
    Err(failed)
}

/// A free port of this machine may be connected to itself: TCP's simultaneous open. Such a connection
/// would also keep the node that is to listen there from doing so.
fn is_own_echo(stream: &TcpStream) -> bool {
    matches!((stream.local_addr(), stream.peer_addr()), (Ok(a), Ok(b)) if a == b)
}

//! Accepting connections and speaking HTTP on them.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, body::Body};
use hyper::{Uri, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_service::Service as _;

/// How long a peer may take over its request's head, and to send another on the same connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of a request's head.
const MAX_HEAD: usize = 16 * 1024;

/// Accepts until told to stop, then lets the requests in hand finish.
pub async fn accept(listener: TcpListener, router: Router, tasks: TaskTracker, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                let connection = speak(socket, peer, router.clone(), stop.clone());
                tasks.spawn(connection);
            }
            // Out of file descriptors, most likely: others' connections will end. Busy waiting would not help them.
            Err(error) => {
                tracing::warn!(%error, "a connection can't be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn speak(socket: TcpStream, peer: SocketAddr, router: Router, stop: CancellationToken) {
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        if let Some(uri) = collapse_slashes(request.uri()) {
            *request.uri_mut() = uri;
        }
        request.extensions_mut().insert(peer);
        router.clone().call(request.map(Body::new))
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_HEAD);
    let connection = http.serve_connection(TokioIo::new(socket), service).with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let outcome = tokio::select! {
        biased;
        outcome = connection.as_mut() => outcome,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "an HTTP connection broke");
    }
}

/// The same address with each run of slashes in its path made one: clients put addresses together that end and begin with one
/// (spec 04 §9.8). `None` if there is nothing to change.
fn collapse_slashes(uri: &Uri) -> Option<Uri> {
    if !uri.path().contains("//") {
        return None;
    }
    let mut path = String::with_capacity(uri.path().len());
    for character in uri.path().chars() {
        if character != '/' || !path.ends_with('/') {
            path.push(character);
        }
    }
    if let Some(query) = uri.query() {
        path.push('?');
        path.push_str(query);
    }
    path.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_slashes_are_one() {
        let collapse = |uri: &str| collapse_slashes(&uri.parse().unwrap()).map(|uri| uri.to_string());
        assert_eq!(collapse("/api/status"), None);
        assert_eq!(collapse("/api/status?x=//"), None);
        assert_eq!(collapse("//proxy").as_deref(), Some("/proxy"));
        assert_eq!(collapse("///api////migrations?a=//b").as_deref(), Some("/api/migrations?a=//b"));
        assert_eq!(collapse("http://host//ws//").as_deref(), Some("/ws/"));
        assert_eq!(collapse("//").as_deref(), Some("/"));
    }
}

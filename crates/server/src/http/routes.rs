//! What is answered where (spec 04 §10, 02 §2).

use std::{net::SocketAddr, sync::Arc};

use arc_swap::ArcSwapOption;
use axum::{
    Router,
    body::Body,
    extract::{Extension, RawQuery, Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{any, get},
};
use bytes::BytesMut;
use hyper_util::rt::TokioIo;
use postgres::drift::GuardTier;
use tokio::net::TcpStream;

use super::{handshake, migrations, status, tunnel::Tunnel};
use crate::{
    connection::{self, Hub},
    proxy::ProxyService,
    readiness::{Phase, Readiness},
};

/// What the routes know. There is a hub from the first time the service is ready.
pub struct App {
    /// Whether the service can serve.
    pub readiness: Readiness,
    /// What connections share; replaced when the stream has to begin anew.
    pub hub: ArcSwapOption<Hub>,
    /// The migrations proxy, if there is one.
    pub proxy: Option<ProxyService>,
    /// How changes of synced tables are noticed, once that is known.
    pub guard: ArcSwapOption<GuardTier>,
    /// What the JSON status says of the configuration.
    pub about: status::About,
}

impl App {
    /// The routes.
    pub fn router(self: Arc<App>) -> Router {
        Router::new()
            .route("/api/status", get(text_status))
            .route("/api/status.json", get(json_status))
            .route("/api/migrations", get(list_migrations))
            .route("/ws", any(upgrade))
            .route("/proxy", any(tunnel_to_proxy))
            .fallback(|| async { (StatusCode::NOT_FOUND, "Not found") })
            .method_not_allowed_fallback(|| async { (StatusCode::NOT_FOUND, "Not found") })
            .with_state(self)
    }

    fn ready_hub(&self) -> Result<Arc<Hub>, Phase> {
        match (self.readiness.phase(), self.hub.load_full()) {
            (Phase::Ready, Some(hub)) => Ok(hub),
            (Phase::Ready, None) => Err(Phase::Subscribing),
            (phase, _) => Err(phase),
        }
    }
}

fn code(phase: Phase) -> StatusCode {
    if phase == Phase::Ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// The API may be read by pages of any origin: it tells nothing that is not public.
fn open_to_all(mut response: Response) -> Response {
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

async fn text_status(State(app): State<Arc<App>>) -> Response {
    let phase = app.readiness.phase();
    open_to_all((code(phase), phase.status()).into_response())
}

async fn json_status(State(app): State<Arc<App>>) -> Response {
    let now = app.readiness.condition();
    let guard = app.guard.load_full();
    let report = app.about.report(&now, app.hub.load_full().as_deref(), guard.as_deref().copied());
    open_to_all((code(now.phase), axum::Json(report)).into_response())
}

async fn list_migrations(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Response {
    open_to_all(migrations::answer(&app, query.as_deref().unwrap_or_default()).await)
}

async fn upgrade(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<SocketAddr>,
    request: Request,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let accepted = match handshake::check(&parts) {
        Ok(accepted) => accepted,
        Err(refused) => return (StatusCode::BAD_REQUEST, refused.to_string()).into_response(),
    };
    let hub = match app.ready_hub() {
        Ok(hub) => hub,
        Err(phase) => return (StatusCode::SERVICE_UNAVAILABLE, phase.upgrade_refusal()).into_response(),
    };
    let Some(place) = hub.gate.enter() else {
        let text = "Too many connections have not authenticated yet. Try again in a moment";
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    let Some(upgrade) = parts.extensions.remove::<hyper::upgrade::OnUpgrade>() else {
        return (StatusCode::BAD_REQUEST, handshake::Refused::BadRequest.to_string()).into_response();
    };
    drop(body);
    let served = hub.clone();
    hub.tasks.spawn(async move {
        let Some((socket, early)) = upgraded_socket(upgrade).await else { return };
        connection::serve(served, socket, early, peer.ip().to_canonical(), place).await;
    });
    switching_protocols(&accepted.accept, Some(&accepted.protocol))
}

/// The connection of an upgraded request, and what has been received on it.
async fn upgraded_socket(upgrade: hyper::upgrade::OnUpgrade) -> Option<(TcpStream, BytesMut)> {
    let upgraded = upgrade.await.ok()?;
    // Every connection is a plain TCP socket wrapped once: see `serve`.
    let parts = upgraded.downcast::<TokioIo<TcpStream>>().ok()?;
    Some((parts.io.into_inner(), BytesMut::from(parts.read_buf)))
}

/// The migrations proxy through a WebSocket (spec 04 §9.8).
async fn tunnel_to_proxy(State(app): State<Arc<App>>, request: Request) -> Response {
    let Some(proxy) = app.proxy.as_ref().filter(|proxy| proxy.has_tunnel()) else {
        let text = "Migrations proxy is not configured to accept WebSocket connections";
        return (StatusCode::NOT_FOUND, text).into_response();
    };
    let (mut parts, _body) = request.into_parts();
    let upgrade = parts.extensions.remove::<hyper::upgrade::OnUpgrade>();
    let (Ok(accept), Some(upgrade)) = (handshake::accept(&parts), upgrade) else {
        return (StatusCode::BAD_REQUEST, handshake::Refused::BadRequest.to_string()).into_response();
    };
    let Ok(inner) = proxy.connect().await else {
        let text = "Migrations proxy is not accepting connections";
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    proxy.tasks().spawn(async move {
        let Some((socket, early)) = upgraded_socket(upgrade).await else { return };
        if let Err(error) = Tunnel::new(socket, early, inner).run().await {
            tracing::debug!(%error, "a tunnel to the migrations proxy broke");
        }
    });
    switching_protocols(&accept, None)
}

fn switching_protocols(accept: &str, protocol: Option<&str>) -> Response {
    let mut response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(protocol) = protocol {
        response = response.header(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    let response = response.body(Body::empty());
    response.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

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
use tokio::net::TcpStream;

use super::{handshake, migrations, status};
use crate::{
    connection::{self, Hub},
    readiness::{Phase, Readiness},
};

/// What the routes know. There is a hub from the first time the service is ready.
pub struct App {
    /// Whether the service can serve.
    pub readiness: Readiness,
    /// What connections share; replaced when the stream has to begin anew.
    pub hub: ArcSwapOption<Hub>,
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
    let phase = app.readiness.phase();
    let report = app.about.report(phase, app.hub.load_full().as_deref());
    open_to_all((code(phase), axum::Json(report)).into_response())
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
        let Ok(upgraded) = upgrade.await else { return };
        // Every connection is a plain TCP socket wrapped once: see `serve`.
        let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else { return };
        connection::serve(
            served,
            parts.io.into_inner(),
            BytesMut::from(parts.read_buf),
            peer.ip().to_canonical(),
            place,
        )
        .await;
    });
    switching_protocols(&accepted)
}

fn switching_protocols(accepted: &handshake::Accepted) -> Response {
    let response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, &accepted.accept)
        .header(header::SEC_WEBSOCKET_PROTOCOL, &accepted.protocol)
        .body(Body::empty());
    response.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

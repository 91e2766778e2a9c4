//! A session: one connection to Postgres for one client that has been let in.

use std::{io, net::SocketAddr};

use bytes::{Buf as _, BytesMut};
use postgres::{
    connection::{ConnectConfig, Purpose},
    socket::Socket,
    wire::{Login, LoginError, Wire},
};
use tokio::io::AsyncWriteExt as _;
use tokio_util::sync::CancellationToken;

use crate::{
    Frame, Guarding, Mode, Reported,
    cancel::{self, Listed, Sessions},
    greeting::part,
    refusal::Refusal,
    relay::{End, Floor, Lane, Relay},
    startup::Startup,
};

/// AuthenticationOk apart, what Postgres sends at the start of a session.
const BACKEND_KEY_DATA: u8 = b'K';
const READY_FOR_QUERY: u8 = b'Z';

/// Where sessions take place.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The database.
    pub config: &'a ConnectConfig,
    /// All sessions that can be cancelled.
    pub sessions: &'a Sessions,
    /// Which of them talk.
    pub floor: &'a Floor,
    /// Who watches changes of the schema.
    pub guarding: &'a Guarding,
}

/// Connects to Postgres on behalf of a client, and relays until one of the two closes or the service stops.
///
/// # Errors
/// The client's connection's, before the relay begins.
pub async fn serve(
    mut client: Socket,
    startup: &Startup,
    Place { config, sessions, floor, guarding }: Place<'_>,
    stop: &CancellationToken,
) -> io::Result<()> {
    let mode = Mode::of(&startup.user, &startup.database);
    let chosen = match mode {
        Mode::Shadow => config.with_database(&String::from_utf8_lossy(&startup.database)),
        Mode::Introspection | Mode::Transparent | Mode::Electric => config.clone(),
    };
    let begun = tokio::select! {
        begun = begin(&mut client, startup, mode, &chosen, sessions) => begun?,
        () = stop.cancelled() => return part(&mut client, &Refusal::SHUTDOWN).await,
    };
    let Some(Begun { server, down, reported, listed, place }) = begun else { return Ok(()) };
    tracing::debug!(?mode, process = listed.as_ref().map(|listed| listed.key().process), "a session begins");
    let intercept = mode.intercept(&reported, guarding);
    let end = Relay::new(client, server, down, intercept, floor).run(stop).await;
    tracing::debug!(%end, "a session ends");
    if let (End::Stopped, Some(listed)) = (end, listed) {
        // What the client was told has ended is to end.
        if let Err(error) = cancel::forward(config, place, listed.key()).await {
            tracing::debug!(%error, "a statement could not be cancelled");
        }
    }
    Ok(())
}

/// A session that Postgres has opened.
struct Begun {
    server: Socket,
    /// With everything that Postgres has said, for the client.
    down: Lane,
    reported: Reported,
    listed: Option<Listed>,
    place: SocketAddr,
}

/// Opens a session, up to the first ReadyForQuery. `None` if there is none, which the client has been told.
async fn begin(
    client: &mut Socket,
    startup: &Startup,
    mode: Mode,
    config: &ConnectConfig,
    sessions: &Sessions,
) -> io::Result<Option<Begun>> {
    let own_name = config.application_name(Purpose::Proxy);
    let mut parameters: Vec<(&[u8], &[u8])> =
        startup.parameters.iter().map(|(name, value)| (&name[..], &value[..])).collect();
    if !parameters.iter().any(|(name, _)| *name == b"application_name") {
        parameters.push((b"application_name", own_name.as_bytes()));
    }
    parameters.extend(mode.parameters());
    let wire = match Wire::admit(config, Login { parameters: &parameters, cleartext: false }).await {
        Ok(wire) => wire,
        Err(LoginError::Refused { answer, .. }) => {
            client.write_all(Frame::new(answer.tag, &answer.body).wire()).await?;
            client.shutdown().await?;
            return Ok(None);
        }
        Err(LoginError::Connect(error)) => {
            let message = format!("the migrations proxy has no connection to Postgres: {error}").into();
            part(client, &Refusal { code: "08001", message, hint: None }).await?;
            return Ok(None);
        }
    };
    let (mut server, input) = wire.into_parts();
    let place = server.peer()?;
    let mut down = Lane::new(input);
    let (mut reported, mut listed, mut nothing) = (Reported::default(), None, BytesMut::new());
    loop {
        while let Some(frame) = down.next(&mut nothing, |_| true).map_err(io::Error::other)? {
            reported.note(&frame);
            if frame.tag() == BACKEND_KEY_DATA {
                listed = sessions.enter(&frame, place);
            }
            down.push(&frame);
            if frame.tag() == READY_FOR_QUERY {
                return Ok(Some(Begun { server, down, reported, listed, place }));
            }
        }
        if !down.fill(&mut server).await? {
            // An error, most likely.
            let mut last = down.take();
            while last.has_remaining() {
                client.write_buf(&mut last).await?;
            }
            client.shutdown().await?;
            return Ok(None);
        }
    }
}

//! Who is there? Everything before identity, and renewal (spec 01 §6, 02 §6.2).

use auth::{Identity, Verifier};
use bytes::Bytes;
use change::ClientId;
use protocol::{
    Message, Method, Request, RequestError, error_response, response,
    wire::{SatAuthReq, SatAuthResp, SatErrorResp, SatRpcRequest},
};

use crate::{
    CloseCode, Millis, Output, RefusalKind,
    context::{Context, Ending, Flow},
    session::Candidate,
    wire::{self, ErrorCode},
};

/// The first message has to be a good `authenticate`; anything else ends the connection.
pub(crate) fn first_message(
    message: &Bytes,
    verifier: &Verifier,
    deadline: Millis,
    cx: &mut Context<'_>,
) -> Flow<Candidate> {
    let request = match Message::decode(message.clone()) {
        Ok(Message::RpcRequest(request)) => request,
        Ok(_) => {
            let farewell = wire::error(ErrorCode::AuthRequired, UNAUTHENTICATED);
            return Err(Ending::refused(farewell).as_refusal(RefusalKind::NotAuthenticated, UNAUTHENTICATED));
        }
        Err(_) => {
            let reason = "The first message is not of this protocol";
            return Err(Ending::undecodable().as_refusal(RefusalKind::Malformed, reason));
        }
    };
    let body = match Request::decode(&request) {
        Ok(Request::Authenticate(body)) => body,
        Err(error @ RequestError::MalformedBody(Method::Authenticate)) => {
            let error = error.to_string();
            let refused = SatErrorResp::new(ErrorCode::InvalidRequest, error.clone());
            let farewell = error_response(&request, refused);
            return Err(Ending::refused(farewell).as_refusal(RefusalKind::Malformed, error));
        }
        Ok(_) | Err(_) => {
            let refused = SatErrorResp::new(ErrorCode::AuthRequired, UNAUTHENTICATED);
            let farewell = error_response(&request, refused);
            return Err(Ending::refused(farewell).as_refusal(RefusalKind::NotAuthenticated, UNAUTHENTICATED));
        }
    };
    match judge(&body, verifier, cx.now.wall_ms) {
        Ok((client, identity)) => {
            let user = change::UserId::new(&identity.user_id);
            cx.out.push(Output::Admit { client: client.clone(), user });
            Ok(Candidate::new(client, identity, request, deadline))
        }
        Err((kind, reason)) => {
            let code = match kind {
                RefusalKind::Malformed => ErrorCode::InvalidRequest,
                _ => ErrorCode::AuthRequired,
            };
            let logged = match kind {
                RefusalKind::Token => format!("{reason} ({})", verifier.fingerprint(&body.token)),
                _ => reason.clone(),
            };
            let farewell = error_response(&request, SatErrorResp::new(code, reason));
            Err(Ending::refused(farewell).as_refusal(kind, logged))
        }
    }
}

const UNAUTHENTICATED: &str = "Authenticate first";

fn judge(
    body: &SatAuthReq,
    verifier: &Verifier,
    wall_ms: u64,
) -> Result<(ClientId, Identity), (RefusalKind, String)> {
    let client = ClientId::new(&body.id)
        .map_err(|error| (RefusalKind::Malformed, format!("The client id is not usable: {error}")))?;
    if body.token.is_empty() {
        return Err((RefusalKind::Malformed, "The token is empty".to_owned()));
    }
    let identity =
        verifier.verify(&body.token, wall_ms).map_err(|refusal| (RefusalKind::Token, refusal.to_string()))?;
    Ok((client, identity))
}

/// The reply to an accepted `authenticate`.
pub(crate) fn welcome(request: &SatRpcRequest, cx: &mut Context<'_>) {
    let id = cx.config.instance_id.clone();
    cx.send(response(request, &SatAuthResp { id, headers: Vec::new() }));
}

/// The client id is another user's: refused like a bad token.
pub(crate) fn other_user(request: &SatRpcRequest) -> Box<Ending> {
    let reason = "The client id belongs to another user";
    let farewell = error_response(request, SatErrorResp::new(ErrorCode::AuthRequired, reason));
    Ending::refused(farewell).as_refusal(RefusalKind::OtherUser, reason)
}

/// A message too large to be taken.
pub(crate) fn oversized(authenticated: bool) -> Box<Ending> {
    let mut ending = if authenticated {
        Ending::invalid("The message is larger than this server accepts")
    } else {
        let farewell = wire::error(ErrorCode::AuthRequired, "Invalid token");
        Ending::refused(farewell).as_refusal(RefusalKind::TooLarge, "The first message is too large")
    };
    ending.code = CloseCode::MessageTooBig;
    ending
}

/// `authenticate` on a live connection: the same client and user get the new token's expiry, anybody else is refused and
/// the connection goes on as it was.
pub(crate) fn renew(
    client: &ClientId,
    identity: &mut Identity,
    request: &SatRpcRequest,
    body: &SatAuthReq,
    verifier: &Verifier,
    cx: &mut Context<'_>,
) {
    let refusal = match judge(body, verifier, cx.now.wall_ms) {
        Ok((id, _)) if id != *client => {
            (RefusalKind::OtherUser, "The connection belongs to another client id".to_owned())
        }
        Ok((_, renewed)) if renewed.user_id != identity.user_id => {
            (RefusalKind::OtherUser, "The connection belongs to another user".to_owned())
        }
        Ok((_, renewed)) => {
            *identity = renewed;
            return welcome(request, cx);
        }
        Err(refusal) => refusal,
    };
    let (kind, reason) = refusal;
    cx.out.push(Output::Refused { kind, reason: reason.clone() });
    cx.send(error_response(request, SatErrorResp::new(ErrorCode::InvalidRequest, reason)));
}

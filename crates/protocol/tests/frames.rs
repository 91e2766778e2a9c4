//! Frames and the RPC envelope (spec 02 §3, §5).

use bytes::Bytes;
use protocol::{
    DecodeError, ErrorCode, Message, Method, Request, RequestError, error_response,
    prost::{Message as _, encoding::encode_varint},
    response,
    wire::{
        SatAuthReq, SatAuthResp, SatErrorResp, SatInStartReplicationReq, SatRpcRequest, SatRpcResponse,
        SatShapeDef, SatShapeReq, SatSubsReq, SatUnsubsResp, sat_rpc_response,
        sat_shape_def::{Relation, Select},
    },
};

fn hex(text: &str) -> Bytes {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn vector_authenticate() {
    let request = Request::Authenticate(SatAuthReq { id: "c1".into(), token: "t".into(), headers: vec![] });
    let frame = request.encode(1);
    assert_eq!(frame, hex("15 0a0c 61757468656e746963617465 1001 1a07 0a026331 120174"));
    let Message::RpcRequest(envelope) = Message::decode(frame).unwrap() else { panic!() };
    assert_eq!((envelope.method.as_str(), envelope.request_id), ("authenticate", 1));
    assert_eq!(Request::decode(&envelope), Ok(request));
}

#[test]
fn vector_authenticate_reply() {
    let request = SatRpcRequest { method: "authenticate".into(), request_id: 1, message: Bytes::new() };
    let frame = response(&request, &SatAuthResp { id: "srv".into(), headers: vec![] });
    assert_eq!(frame, hex("16 0a0c 61757468656e746963617465 1001 1a05 0a03737276"));
}

#[test]
fn vector_start_replication_of_the_server() {
    let lsn = Bytes::from_static(&[0, 0, 0, 1]);
    let request = Request::StartReplication(SatInStartReplicationReq { lsn, ..Default::default() });
    let frame = request.encode(0);
    assert_eq!(frame, hex("15 0a10 73746172745265706c69636174696f6e 1a06 0a0400000001"));
}

#[test]
fn vector_an_empty_body_is_present() {
    let request = SatRpcRequest { method: "unsubscribe".into(), request_id: 5, message: Bytes::new() };
    let frame = response(&request, &SatUnsubsResp {});
    assert_eq!(frame, hex("16 0a0b 756e737562736372696265 1005 1a00"));
    let Message::RpcResponse(SatRpcResponse { result, .. }) = Message::decode(frame).unwrap() else {
        panic!()
    };
    assert_eq!(result, Some(sat_rpc_response::Result::Message(Bytes::new())));
}

#[test]
fn empty_messages_are_one_byte() {
    assert_eq!(SatErrorResp::bare().into_frame(), hex("00"));
    assert_eq!(Message::SubsDataEnd(Default::default()).encode(), hex("10"));
    assert_eq!(Message::decode(hex("10")), Ok(Message::SubsDataEnd(Default::default())));
}

#[test]
fn every_code_decodes_as_its_message_and_the_rest_is_refused() {
    let known = [0, 9, 10, 14, 15, 16, 17, 18, 21, 22, 23, 24, 25];
    for code in 0..=u8::MAX {
        match Message::decode(Bytes::copy_from_slice(&[code])) {
            Ok(message) => assert_eq!(message.encode(), &[code][..], "{}", message.name()),
            Err(error) => {
                assert_eq!(error, DecodeError::UnknownType(code));
                assert!(!known.contains(&code));
            }
        }
    }
    assert_eq!(Message::decode(Bytes::new()), Err(DecodeError::Empty));
    assert_eq!(Message::decode(hex("00ff")), Err(DecodeError::Malformed(0)));
    // An op log whose update has a row that ends too early.
    assert_eq!(Message::decode(hex("09 0a06 1a04 1202 12ff")), Err(DecodeError::Malformed(9)));
}

#[test]
fn only_op_logs_may_be_long() {
    let mut frame = vec![23];
    frame.resize(2 + Message::MAX_CONTROL_LEN, 0);
    let len = Message::MAX_CONTROL_LEN + 1;
    assert_eq!(Message::decode(frame.into()), Err(DecodeError::TooLong { code: 23, len }));
    let row = super::support::row(&[Some(&vec![b'x'; len])]);
    let log = super::support::log([super::support::insert(0, row, &[])]);
    let frame = Message::OpLog(log.clone()).encode();
    assert_eq!(Message::decode(frame), Ok(Message::OpLog(log)));
}

#[test]
fn methods_are_known_by_exact_name_only() {
    for method in [
        Method::Authenticate,
        Method::StartReplication,
        Method::StopReplication,
        Method::Subscribe,
        Method::Unsubscribe,
    ] {
        assert_eq!(Method::from_name(method.as_str()), Some(method));
    }
    let envelope = |method: &str, message| SatRpcRequest { method: method.into(), request_id: 0, message };
    for name in ["", "Subscribe", "subscribe ", "Electric.Satellite/subscribe"] {
        assert_eq!(
            Request::decode(&envelope(name, Bytes::new())),
            Err(RequestError::UnknownMethod),
            "{name}"
        );
    }
    let broken = envelope("subscribe", hex("0a05"));
    assert_eq!(Request::decode(&broken), Err(RequestError::MalformedBody(Method::Subscribe)));
}

#[test]
fn a_failed_request_names_itself() {
    let request = SatRpcRequest { method: "nope".into(), request_id: 7, message: Bytes::new() };
    let frame = error_response(&request, SatErrorResp::new(ErrorCode::InvalidRequest, "no such method"));
    let Message::RpcResponse(answer) = Message::decode(frame).unwrap() else { panic!() };
    assert_eq!((answer.method.as_str(), answer.request_id), ("nope", 7));
    let Some(sat_rpc_response::Result::Error(error)) = answer.result else { panic!() };
    assert_eq!((error.error_type(), error.message()), (ErrorCode::InvalidRequest, "no such method"));
}

#[test]
fn an_include_tree_of_any_depth_is_read_or_refused_without_harm() {
    let nested = |depth| {
        let select = (0..depth).fold(Select::default(), |inner, _| Select {
            include: vec![Relation { foreign_key: vec!["a".into()], select: Some(inner) }],
            ..Default::default()
        });
        let shape = SatShapeReq {
            request_id: "r".into(),
            shape_definition: Some(SatShapeDef { selects: vec![select] }),
        };
        SatSubsReq { subscription_id: "s".into(), shape_requests: vec![shape] }
    };
    let decode = |message: Vec<u8>| {
        Request::decode(&SatRpcRequest { method: "subscribe".into(), request_id: 1, message: message.into() })
    };
    assert_eq!(decode(nested(20).encode_to_vec()), Ok(Request::Subscribe(nested(20))));
    // Written from inside out, far deeper than is read: includes and their selects, then definition, request, message.
    let levels = [0x1a, 0x12].into_iter().cycle().take(3000).chain([0x0a, 0x12, 0x12]);
    let message = levels.fold(Vec::new(), |inner, key| {
        let mut outer = vec![key];
        encode_varint(inner.len() as u64, &mut outer);
        [outer, inner].concat()
    });
    assert_eq!(decode(message), Err(RequestError::MalformedBody(Method::Subscribe)));
}

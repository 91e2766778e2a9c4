//! `Debug` for the messages that carry tokens, row values, users' conditions or texts that quote them: none is shown.

use std::fmt;

use crate::wire::{
    SatAuthHeaderPair, SatAuthReq, SatErrorResp, SatOpRow, SatRpcRequest, SatRpcResponse, sat_error_resp,
    sat_rpc_response, sat_shape_def,
};

impl fmt::Debug for SatAuthReq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SatAuthReq").field("id", &self.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for SatAuthHeaderPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SatAuthHeaderPair").finish_non_exhaustive()
    }
}

impl fmt::Debug for SatRpcRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SatRpcRequest")
            .field("method", &self.method)
            .field("request_id", &self.request_id)
            .field("message_len", &self.message.len())
            .finish()
    }
}

impl fmt::Debug for SatRpcResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SatRpcResponse")
            .field("method", &self.method)
            .field("request_id", &self.request_id)
            .field("result", &self.result)
            .finish()
    }
}

impl fmt::Debug for sat_rpc_response::Result {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            sat_rpc_response::Result::Message(body) => write!(f, "Message({} bytes)", body.len()),
            sat_rpc_response::Result::Error(error) => f.debug_tuple("Error").field(error).finish(),
        }
    }
}

impl fmt::Debug for SatErrorResp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SatErrorResp").field("error_type", &self.error_type()).finish_non_exhaustive()
    }
}

impl fmt::Debug for sat_error_resp::ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str_name())
    }
}

impl fmt::Debug for SatOpRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SatOpRow({} values)", self.values.len())
    }
}

impl fmt::Debug for sat_shape_def::Select {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Select")
            .field("tablename", &self.tablename)
            .field("include", &self.include)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_token_value_or_condition() {
        let row = SatOpRow { nulls_bitmask: vec![0].into(), values: vec!["s3cret".into()] };
        let auth = SatAuthReq { id: "c1".into(), token: "s3cret".into(), headers: Vec::new() };
        let select =
            sat_shape_def::Select { tablename: "t".into(), r#where: "a = 's3cret'".into(), include: vec![] };
        let error = SatErrorResp { message: Some("s3cret".into()), ..SatErrorResp::default() };
        let texts = [format!("{row:?}"), format!("{auth:?}"), format!("{select:?}"), format!("{error:?}")];
        assert!(texts.iter().all(|text| !text.contains("s3cret")), "{texts:?}");
        assert_eq!(texts[0], "SatOpRow(1 values)");
    }
}

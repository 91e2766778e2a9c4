//! Published vectors: RFC 7515 appendix A, RFC 7520 §4, RFC 8037 appendix A, and the key and token of spec 01 §9.

use auth::{Algorithm, Reason, VerificationKey};
use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD as URL},
};

use crate::support::*;

/// A DER value with a content of at most 64 KiB.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = content.len();
    let head = match len {
        0..=0x7f => vec![tag, len as u8],
        0x80..=0xff => vec![tag, 0x81, len as u8],
        _ => vec![tag, 0x82, (len >> 8) as u8, len as u8],
    };
    [head, content.to_vec()].concat()
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----", BASE64_STANDARD.encode(der))
}

/// An RSA key from the modulus of a JWK, with exponent 65537.
fn rsa(modulus: &str) -> String {
    let modulus = [vec![0], URL.decode(modulus).unwrap()].concat();
    pem("RSA PUBLIC KEY", &der(0x30, &[der(2, &modulus), der(2, &[1, 0, 1])].concat()))
}

/// An EC key from the coordinates of a JWK and the object identifier of its curve.
fn ec(curve: &[u8], x: &str, y: &str) -> String {
    let algorithm = [der(6, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]), der(6, curve)].concat();
    let point = [vec![0, 4], URL.decode(x).unwrap(), URL.decode(y).unwrap()].concat();
    pem("PUBLIC KEY", &der(0x30, &[der(0x30, &algorithm), der(3, &point)].concat()))
}

/// The signature matches, and no longer does when message or signature are altered.
fn check(key: &VerificationKey, token: &str) {
    let (message, signature) = token.rsplit_once('.').unwrap();
    let mut signature = URL.decode(signature).unwrap();
    assert_eq!(key.verify(message.as_bytes(), &signature), Ok(()));
    assert!(key.verify(&message.as_bytes()[1..], &signature).is_err());
    signature[7] ^= 1;
    assert!(key.verify(message.as_bytes(), &signature).is_err());
}

/// The claims of RFC 7515 A.1 to A.3.
const JOE: &str =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

#[test]
fn rfc_7515_a1_hs256() {
    let secret = URL
        .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
        .unwrap();
    let token =
        format!("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{JOE}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    check(&VerificationKey::from_secret(Algorithm::Hs256, &secret).unwrap(), &token);
    // As a token it passes the signature and fails for want of `iat`.
    let encoded = BASE64_STANDARD.encode(&secret);
    let verifier = verifier(&[
        ("AUTH_JWT_ALG", "HS256"),
        ("AUTH_JWT_KEY", &encoded),
        ("AUTH_JWT_KEY_IS_BASE64_ENCODED", "true"),
    ]);
    assert_eq!(outcome(&verifier, &token), Err("Missing required \"iat\" claim".to_owned()));
}

#[test]
fn rfc_7515_a2_rs256() {
    let key = rsa(
        "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZ\
         S-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2\
         R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcD\
         TW9gb54h4FRWyuXpoQ",
    );
    let token = format!(
        "eyJhbGciOiJSUzI1NiJ9.{JOE}.\
         cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CU\
         Ar7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_d\
         O--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0ig\
         cN_IoypGlUPQGe77Rw"
    );
    check(&VerificationKey::from_pem(Algorithm::Rs256, key.as_bytes()).unwrap(), &token);
    let verifier = verifier(&[("AUTH_JWT_ALG", "RS256"), ("AUTH_JWT_KEY", &key)]);
    assert_eq!(outcome(&verifier, &token), Err("Missing required \"iat\" claim".to_owned()));
}

#[test]
fn rfc_7515_a3_es256() {
    let key = ec(
        &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07],
        "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    );
    let token = format!(
        "eyJhbGciOiJFUzI1NiJ9.{JOE}.\
         DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    );
    check(&VerificationKey::from_pem(Algorithm::Es256, key.as_bytes()).unwrap(), &token);
    let verifier = verifier(&[("AUTH_JWT_ALG", "ES256"), ("AUTH_JWT_KEY", &key)]);
    assert_eq!(outcome(&verifier, &token), Err("Missing required \"iat\" claim".to_owned()));
}

#[test]
fn rfc_7515_a4_es512() {
    let key = ec(
        &[0x2b, 0x81, 0x04, 0x00, 0x23],
        "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
        "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2",
    );
    let token = "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.\
                 AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgo\
                 XD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn";
    check(&VerificationKey::from_pem(Algorithm::Es512, key.as_bytes()).unwrap(), token);
    let verifier = verifier(&[("AUTH_JWT_ALG", "ES512"), ("AUTH_JWT_KEY", &key)]);
    assert_eq!(verifier.verify(token, NOW_MS).unwrap_err().reason(), Reason::Payload);
}

#[test]
fn rfc_7515_a5_unsecured() {
    let token = format!("eyJhbGciOiJub25lIn0.{JOE}.");
    assert_eq!(outcome(&hs256(&[]), &token), Err("Signing algorithm mismatch".to_owned()));
    assert_eq!(outcome(&insecure(&[]), &token), Err("Expired token".to_owned()));
}

#[test]
fn rfc_7520_4_1_rs256() {
    let key = rsa(
        "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2w\
         qVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bT\
         wJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5\
         iaiQkqgc5gHdrNP5zw",
    );
    let token = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.\
                 SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZ\
                 CwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3Z\
                 XB0IG9mZiB0by4.\
                 MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi84wnB\
                 -BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFxn\
                 t8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcI\
                 e8u9ipH84ogoree7vjbU5y18kDquDg";
    check(&VerificationKey::from_pem(Algorithm::Rs256, key.as_bytes()).unwrap(), token);
}

#[test]
fn rfc_8037_a4_eddsa() {
    let point = [vec![0], URL.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap()].concat();
    let key =
        pem("PUBLIC KEY", &der(0x30, &[der(0x30, &der(6, &[0x2b, 0x65, 0x70])), der(3, &point)].concat()));
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.\
                 hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    check(&VerificationKey::from_pem(Algorithm::EdDsa, key.as_bytes()).unwrap(), token);
}

#[test]
fn the_documented_key_and_token_of_the_original_system() {
    let key = "-----BEGIN PUBLIC KEY-----\n\
               MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEc0mb1oMUF5vyI4dnOwpsRfeVBrgH\n\
               ubpCrkKgYwPX9ZBEhAcIlXDZsEMGiIjkvOGviv8NzID/SNj0Sh7wDnfj3w==\n\
               -----END PUBLIC KEY-----";
    let token = "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJ1c2VyX2lkIjoiMSIsImlhdCI6MTY4NDc0OTIxMywiZXhwIjoxNjg0NzU5MjEzfQ.\
                 dLd_bG5_VayLzTemgATu566NP3itwafMbu1zgef_8mB6VGHojczsXyh3g7QE4GM_l8kUQm9MJN7OWg8Kf-40YQ";
    let verifier = verifier(&[("AUTH_JWT_ALG", "ES256"), ("AUTH_JWT_KEY", key)]);
    let at = |seconds: u64| {
        verifier
            .verify(token, seconds * 1000)
            .map(|identity| identity.user_id)
            .map_err(|refusal| refusal.to_string())
    };
    let accepted = Ok("1".to_owned());
    assert_eq!(at(1_684_750_000), accepted);
    // 2023-05-22T12:40:13Z is `exp`, and two seconds of leeway follow.
    assert_eq!(at(1_684_759_213), accepted);
    assert_eq!(at(1_684_759_215), accepted);
    assert_eq!(at(1_684_759_216), Err("Expired token".to_owned()));
    assert_eq!(at(4_000_000_000), Err("Expired token".to_owned()));
    assert_eq!(at(1_684_749_211), accepted);
    assert_eq!(at(1_684_749_210), Err("Invalid \"iat\" claim value: 1684749213".to_owned()));
}

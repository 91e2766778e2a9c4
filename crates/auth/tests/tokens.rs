//! The form of tokens, their header and signature (spec 01 §4).

use auth::{Algorithm, AuthConfig, Reason, SigningKey, Step, Verifier};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as URL};
use serde_json::json;

use crate::support::*;

const HEADER: &str = r#"{"alg":"HS256"}"#;

fn good() -> String {
    signed(&claims(json!({})))
}

fn refused(verifier: &Verifier, token: &str, expected: Reason, text: &str) {
    let refusal = verifier.verify(token, NOW_MS).expect_err(token);
    assert_eq!((refusal.reason(), refusal.to_string().as_str()), (expected, text), "{token}");
}

#[test]
fn every_algorithm_accepts_its_own_tokens_and_no_others() {
    let tokens: Vec<(Algorithm, String, Verifier)> = Algorithm::ALL
        .into_iter()
        .map(|algorithm| {
            let (signing, verification) = fresh(algorithm);
            let token = signing.token(claims(json!({})).as_object().unwrap(), None).unwrap();
            (algorithm, token, Verifier::new(AuthConfig::secure(verification)))
        })
        .collect();
    for (algorithm, token, _) in &tokens {
        for (other, _, verifier) in &tokens {
            let expected = if algorithm == other {
                Ok("u1".to_owned())
            } else {
                Err("Signing algorithm mismatch".to_owned())
            };
            assert_eq!(outcome(verifier, token), expected, "{algorithm} at {other}");
        }
    }
    for algorithm in Algorithm::ALL {
        let (signing, _) = fresh(algorithm);
        let token = signing.token(claims(json!({})).as_object().unwrap(), None).unwrap();
        let (.., verifier) = tokens.iter().find(|(other, ..)| *other == algorithm).unwrap();
        refused(verifier, &token, Reason::Signature, "Invalid token signature");
    }
}

#[test]
fn secure_mode_wants_three_segments() {
    let verifier = hs256(&[]);
    let token = good();
    let parts: Vec<&str> = token.split('.').collect();
    assert_eq!(outcome(&verifier, &token), Ok("u1".to_owned()));
    for token in [
        String::new(),
        ".".to_owned(),
        parts[0].to_owned(),
        parts[..2].join("."),
        format!("{token}."),
        format!("{token}.x"),
        format!("{token}.{}.{}", parts[0], parts[1]),
    ] {
        refused(&verifier, &token, Reason::Segments, "Invalid token");
    }
    refused(&verifier, "..", Reason::Header, "Invalid token");
    refused(&verifier, &format!("{}.{}.", parts[0], parts[1]), Reason::Signature, "Invalid token signature");
}

#[test]
fn insecure_mode_does_not_look_at_the_third_segment() {
    let verifier = insecure(&[]);
    let (header, payload) = (URL.encode(r#"{"alg":"none"}"#), URL.encode(r#"{"user_id":"u1"}"#));
    for signature in ["", ".", ".!!!", ".AA", ". "] {
        assert_eq!(
            outcome(&verifier, &format!("{header}.{payload}{signature}")),
            Ok("u1".to_owned()),
            "{signature:?}"
        );
    }
    for header in ["{}", r#"{"alg":7}"#, r#"{"alg":"XX","crit":["x"],"typ":"logout+jwt"}"#] {
        assert_eq!(
            outcome(&verifier, &format!("{}.{payload}", URL.encode(header))),
            Ok("u1".to_owned()),
            "{header}"
        );
    }
    assert_eq!(outcome(&verifier, &good()), Ok("u1".to_owned()));
    for token in
        [header.clone(), String::new(), format!("{header}.{payload}.."), format!("{header}.{payload}.a.b")]
    {
        refused(&verifier, &token, Reason::Segments, "Invalid token");
    }
    for header in ["", "[]", r#"{"a":1,"a":1}"#] {
        refused(&verifier, &format!("{}.{payload}.", URL.encode(header)), Reason::Header, "Invalid token");
    }
    let unsigned = SigningKey::unsigned_token(json!({"sub": "u2"}).as_object().unwrap(), None);
    assert_eq!(outcome(&verifier, &unsigned), Ok("u2".to_owned()));
}

#[test]
fn segments_are_canonical_base64url() {
    let token = good();
    for (secure, verifier) in [(true, hs256(&[])), (false, insecure(&[]))] {
        for index in 0..if secure { 3 } else { 2 } {
            let mangle = |change: &dyn Fn(&str) -> String| {
                let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
                parts[index] = change(&parts[index]);
                parts.join(".")
            };
            for token in [
                mangle(&|part| format!("{part}=")),
                mangle(&|part| format!("{part}==")),
                mangle(&|part| format!(" {part}")),
                mangle(&|part| format!("{part}\n")),
                mangle(&|part| format!("{}+{}", &part[..3], &part[4..])),
                mangle(&|part| format!("{}/{}", &part[..3], &part[4..])),
                mangle(&|part| format!("{}é{}", &part[..3], &part[4..])),
                mangle(&|part| format!("{}\0{}", &part[..3], &part[4..])),
            ] {
                refused(&verifier, &token, Reason::Encoding, "Invalid token");
            }
        }
    }
    // Trailing bits: a signature of 32 bytes has 43 characters, the last of which carries 4 bits.
    let token = good();
    let last = token.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let sibling = alphabet.chars().nth(alphabet.find(last).unwrap() ^ 1).unwrap();
    let token = format!("{}{sibling}", &token[..token.len() - 1]);
    refused(&hs256(&[]), &token, Reason::Encoding, "Invalid token");
}

#[test]
fn header_and_payload_are_json_objects() {
    let verifier = hs256(&[]);
    let payload = claims(json!({})).to_string();
    for header in [
        "",
        "null",
        "[]",
        "\"x\"",
        r#"{"alg":"HS256"} x"#,
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":"HS256","x":{"y":1,"y":2}}"#,
        "\u{feff}{}",
    ] {
        refused(&verifier, &sign(header, &payload), Reason::Header, "Invalid token");
    }
    for payload in [
        "",
        "null",
        "[]",
        "7",
        "{",
        r#"{"sub":"a","sub":"b"}"#,
        r#"{"sub":"u","x":[{"y":1,"y":1}]}"#,
        r#"{"exp":1e999}"#,
    ] {
        refused(&verifier, &sign(HEADER, payload), Reason::Payload, "Invalid token");
    }
    let spaced = format!("\r\n\t {payload} \n");
    assert_eq!(outcome(&verifier, &sign(&format!(" {HEADER}\n"), &spaced)), Ok("u1".to_owned()));
}

#[test]
fn nothing_in_the_payload_is_interpreted_before_the_signature() {
    let verifier = hs256(&[]);
    for payload in ["not JSON", r#"{"exp":1}"#, "{}"] {
        let token = sign(HEADER, payload);
        let (rest, _) = token.rsplit_once('.').unwrap();
        let forged = format!("{rest}.{}", URL.encode([0; 32]));
        refused(&verifier, &forged, Reason::Signature, "Invalid token signature");
    }
}

#[test]
fn the_algorithm_is_compared_before_the_signature_and_exactly() {
    let verifier = hs256(&[]);
    let payload = claims(json!({})).to_string();
    for header in [
        "{}",
        r#"{"alg":"none"}"#,
        r#"{"alg":"None"}"#,
        r#"{"alg":"hs256"}"#,
        r#"{"alg":"HS256 "}"#,
        r#"{"alg":"HS384"}"#,
        r#"{"alg":"RS256"}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":null}"#,
        r#"{"alg":256}"#,
        r#"{"Alg":"HS256"}"#,
    ] {
        let token = sign(header, &payload);
        refused(&verifier, &token, Reason::Algorithm(Algorithm::Hs256), "Signing algorithm mismatch");
        let (rest, _) = token.rsplit_once('.').unwrap();
        let unsigned = format!("{rest}.");
        refused(&verifier, &unsigned, Reason::Algorithm(Algorithm::Hs256), "Signing algorithm mismatch");
    }
}

#[test]
fn a_public_key_does_not_serve_as_a_secret() {
    let verifier = verifier(&[("AUTH_JWT_ALG", "RS256"), ("AUTH_JWT_KEY", pem!("rsa-2048.public"))]);
    for secret in [pem!("rsa-2048.public"), pem!("rsa-2048.public").trim_end()] {
        let key = SigningKey::from_secret(Algorithm::Hs256, secret.as_bytes()).unwrap();
        let token = key.token(claims(json!({})).as_object().unwrap(), None).unwrap();
        refused(&verifier, &token, Reason::Algorithm(Algorithm::Rs256), "Signing algorithm mismatch");
    }
}

#[test]
fn extensions_and_compression_are_refused_and_keys_in_headers_ignored() {
    let verifier = hs256(&[]);
    let payload = claims(json!({})).to_string();
    for member in [
        r#""crit":["exp"]"#,
        r#""crit":[]"#,
        r#""crit":null"#,
        r#""crit":["b64"],"b64":false"#,
        r#""zip":"DEF""#,
    ] {
        let token = sign(&format!(r#"{{"alg":"HS256",{member}}}"#), &payload);
        refused(&verifier, &token, Reason::Extension, "Invalid token");
    }
    let offered = r#"{"alg":"HS256","kid":"../../dev/null","jku":"http://127.0.0.1:1/","x5u":"x","x5c":["AA"],
                      "jwk":{"kty":"oct","k":"AAAA"}}"#;
    assert_eq!(outcome(&verifier, &sign(offered, &payload)), Ok("u1".to_owned()));
    let own = SigningKey::from_secret(Algorithm::Hs256, &[0; 32]).unwrap();
    let message = format!("{}.{}", URL.encode(offered), URL.encode(&payload));
    let token = format!("{message}.{}", URL.encode(own.sign(message.as_bytes()).unwrap()));
    refused(&verifier, &token, Reason::Signature, "Invalid token signature");
}

#[test]
fn types_that_name_another_purpose_are_refused() {
    let payload = claims(json!({})).to_string();
    let token = |typ: &str| sign(&format!(r#"{{"alg":"HS256","typ":{typ}}}"#), &payload);
    let verifier = hs256(&[]);
    for typ in [
        r#""JWT""#,
        r#""jwt""#,
        r#""at+jwt""#,
        r#""AT+JWT""#,
        r#""application/at+jwt""#,
        r#""JOSE""#,
        r#""x""#,
        r#""""#,
    ] {
        assert_eq!(outcome(&verifier, &token(typ)), Ok("u1".to_owned()), "{typ}");
    }
    for typ in [
        r#""logout+jwt""#,
        r#""dpop+jwt""#,
        r#""Application/DPoP+JWT""#,
        r#""secevent+jwt""#,
        r#""+jwt""#,
        "null",
        "1",
        r#"["JWT"]"#,
        "{}",
    ] {
        refused(&verifier, &token(typ), Reason::TokenType, "Invalid token");
    }
    let demanding = hs256(&[("AUTH_JWT_TYP", "application/AT+jwt")]);
    for typ in [r#""at+jwt""#, r#""application/at+jwt""#, r#""AT+JWT""#] {
        assert_eq!(outcome(&demanding, &token(typ)), Ok("u1".to_owned()), "{typ}");
    }
    refused(&demanding, &token(r#""JWT""#), Reason::TokenType, "Invalid token");
    refused(&demanding, &sign(HEADER, &payload), Reason::TokenType, "Invalid token");
}

#[test]
fn long_tokens_are_refused_before_anything_else() {
    let verifier = hs256(&[]);
    let token_of = |len: usize| {
        let mut pad = 0;
        loop {
            let token = signed(&claims(json!({"pad": "x".repeat(pad)})));
            if token.len() >= len {
                return token;
            }
            pad += ((len - token.len()) * 3 / 4).max(1);
        }
    };
    let longest = token_of(16 * 1024 - 1);
    assert!(longest.len() <= 16 * 1024);
    assert_eq!(outcome(&verifier, &longest), Ok("u1".to_owned()));
    let too_long = token_of(16 * 1024 + 1);
    refused(&verifier, &too_long, Reason::TooLong, "Invalid token");
    refused(&verifier, &"!".repeat(16 * 1024 + 1), Reason::TooLong, "Invalid token");
    refused(&verifier, &"!".repeat(16 * 1024), Reason::Segments, "Invalid token");
    assert_eq!(outcome(&hs256(&[("AUTH_TOKEN_MAX_BYTES", "32K")]), &too_long), Ok("u1".to_owned()));
    refused(
        &insecure(&[("AUTH_TOKEN_MAX_BYTES", "300")]),
        &"x".repeat(301),
        Reason::TooLong,
        "Invalid token",
    );
}

#[test]
fn signatures_have_one_length_and_are_never_der() {
    for algorithm in Algorithm::ALL {
        let (signing, verification) = fresh(algorithm);
        let signature = signing.sign(b"message").unwrap();
        assert_eq!(verification.verify(b"message", &signature), Ok(()), "{algorithm}");
        for wrong in [
            &signature[..signature.len() - 1],
            &signature[1..],
            &[&signature[..], &[0]].concat(),
            &[&[0], &signature[..]].concat(),
            &[],
        ] {
            assert!(verification.verify(b"message", wrong).is_err(), "{algorithm}");
        }
    }
    use aws_lc_rs::{rand::SystemRandom, signature as lc};
    let pkcs8 =
        lc::EcdsaKeyPair::generate_pkcs8(&lc::ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new()).unwrap();
    let der_key = lc::EcdsaKeyPair::from_pkcs8(&lc::ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref()).unwrap();
    let pem = {
        use aws_lc_rs::{encoding::AsDer as _, signature::KeyPair as _};
        let der: aws_lc_rs::encoding::PublicKeyX509Der<'_> = der_key.public_key().as_der().unwrap();
        let body = base64::prelude::BASE64_STANDARD.encode(der.as_ref());
        format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----")
    };
    let key = auth::VerificationKey::from_pem(Algorithm::Es256, pem.as_bytes()).unwrap();
    let signature = der_key.sign(&SystemRandom::new(), b"message").unwrap();
    assert!(key.verify(b"message", signature.as_ref()).is_err());
}

#[test]
fn ecdsa_halves_must_lie_between_zero_and_the_order() {
    for (algorithm, order) in [
        (Algorithm::Es256, "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"),
        (
            Algorithm::Es384,
            "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
        ),
        (
            Algorithm::Es512,
            "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa\
             51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409",
        ),
    ] {
        let order: Vec<u8> = (0..order.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&order[at..at + 2], 16).unwrap())
            .collect();
        let (signing, verification) = fresh(algorithm);
        let signature = signing.sign(b"message").unwrap();
        let (r, s) = signature.split_at(order.len());
        let zero = vec![0; order.len()];
        let max = vec![0xff; order.len()];
        for bad in [&zero, &order, &max] {
            assert!(verification.verify(b"message", &[bad, s].concat()).is_err(), "{algorithm}");
            assert!(verification.verify(b"message", &[r, bad].concat()).is_err(), "{algorithm}");
            assert!(verification.verify(b"message", &[&bad[..], bad].concat()).is_err(), "{algorithm}");
        }
    }
}

#[test]
fn explanations_make_the_same_decision_and_name_every_step() {
    let verifier = hs256(&[]);
    let explanation = verifier.explain(&good(), NOW_MS);
    assert_eq!(explanation.outcome.unwrap().user_id, "u1");
    assert_eq!(explanation.passed.iter().map(|(step, _)| *step).collect::<Vec<_>>(), Step::ALL);
    let explanation = insecure(&[]).explain(&good(), NOW_MS);
    assert_eq!(explanation.passed.iter().map(|(step, _)| *step).collect::<Vec<_>>(), Step::ALL);

    let payload = claims(json!({})).to_string();
    for token in [
        "x".repeat(20_000),
        "x".to_owned(),
        "!..".to_owned(),
        sign("[]", &payload),
        sign(r#"{"alg":"none"}"#, &payload),
        format!("{}AA", &good()[..good().len() - 2]),
        sign(HEADER, "x"),
        signed(&claims(json!({"iat": NOW + 3}))),
        signed(&claims(json!({"exp": null}))),
        signed(&claims(json!({"nbf": "x"}))),
        signed(&claims(json!({"sub": 1}))),
    ] {
        let explanation = verifier.explain(&token, NOW_MS);
        let refusal = explanation.outcome.unwrap_err();
        assert_eq!(Err(refusal.clone()), verifier.verify(&token, NOW_MS));
        let reached = explanation.passed.len();
        assert_eq!(refusal.reason().step(), Step::ALL[reached], "{refusal}");
        assert!(explanation.passed.iter().zip(Step::ALL).all(|((passed, _), step)| *passed == step));
        assert!(!refusal.reason().advice().is_empty() && !refusal.reason().label().is_empty());
    }
}

#[test]
fn refusals_and_identities_never_show_a_token() {
    let verifier = hs256(&[]);
    let token = signed(&claims(json!({"private": "something personal"})));
    let shown = format!("{:?}", verifier.verify(&token, NOW_MS).unwrap());
    assert!(shown.contains("u1") && !shown.contains("personal"), "{shown}");
    let forged = format!("{}A{}", &token[..token.len() - 9], &token[token.len() - 8..]);
    let refusal = verifier.verify(&forged, NOW_MS).unwrap_err();
    let shown =
        format!("{refusal} {refusal:?} {} {}", refusal.reason().advice(), verifier.fingerprint(&forged));
    for segment in forged.split('.') {
        assert!(!shown.contains(segment) && !shown.contains(&segment[..8]), "{shown}");
    }
    assert!(shown.contains("sub=\"u1\" sha256="), "{shown}");
}

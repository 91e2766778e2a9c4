//! Properties of malformed and altered input; the stable twin of `fuzz/fuzz_targets/token.rs`.

use std::sync::LazyLock;

use auth::{Algorithm, AuthConfig, VerificationKey, Verifier};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as URL};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{oracle, support::*};

/// A valid token of each algorithm with its verifier.
static TOKENS: LazyLock<Vec<(String, Verifier)>> = LazyLock::new(|| {
    Algorithm::ALL
        .into_iter()
        .map(|algorithm| {
            let (signing, verification) = fresh(algorithm);
            let token = signing
                .token(claims(json!({"data": {"a": [1, "é"]}})).as_object().unwrap(), Some("k"))
                .unwrap();
            (token, Verifier::new(AuthConfig::secure(verification)))
        })
        .collect()
});

/// JSON of any shape, with names that matter and names that don't.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (NOW - 5..NOW + 5).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!("u1")),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        let name = prop_oneof![
            prop::sample::select(vec![
                "sub", "user_id", "iat", "exp", "nbf", "iss", "aud", "jti", "alg", "typ", "crit"
            ])
            .prop_map(str::to_owned),
            any::<String>(),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn segment() -> impl Strategy<Value = String> {
    prop_oneof![
        any_json().prop_map(|value| URL.encode(value.to_string())),
        any::<Vec<u8>>().prop_map(|bytes| URL.encode(bytes)),
        Just(URL.encode(r#"{"alg":"HS256"}"#)),
        any::<String>(),
        "[A-Za-z0-9_=+/-]{0,40}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_judged_without_panic(text in any::<String>()) {
        oracle::check(text.as_bytes());
    }

    #[test]
    fn any_segments_are_judged_without_panic(segments in prop::collection::vec(segment(), 0..6)) {
        oracle::check(segments.join(".").as_bytes());
    }

    #[test]
    fn any_signed_claims_are_judged_without_panic(payload in any_json()) {
        oracle::check(sign(r#"{"alg":"HS256"}"#, &payload.to_string()).as_bytes());
    }

    #[test]
    fn altered_tokens_are_never_accepted(
        which in any::<prop::sample::Index>(),
        position in any::<prop::sample::Index>(),
        replacement in prop::sample::select("ABCabc019-_.=+/ \n".chars().collect::<Vec<_>>()),
        kind in 0..3,
    ) {
        let (token, verifier) = &TOKENS[which.index(TOKENS.len())];
        prop_assert!(verifier.verify(token, NOW_MS).is_ok());
        let at = position.index(token.len());
        let mut altered = token.clone();
        match kind {
            0 => altered.replace_range(at..=at, &replacement.to_string()),
            1 => altered.insert(at, replacement),
            _ => drop(altered.remove(at)),
        }
        prop_assert!(altered == *token || verifier.verify(&altered, NOW_MS).is_err());
    }

    #[test]
    fn any_value_of_a_key_is_judged_without_panic(
        bytes in any::<Vec<u8>>(),
        label in prop::sample::select(vec!["PUBLIC KEY", "RSA PUBLIC KEY", "CERTIFICATE", "PRIVATE KEY", "X"]),
    ) {
        let pem = format!("-----BEGIN {label}-----\n{}\n-----END {label}-----", base64::prelude::BASE64_STANDARD.encode(&bytes));
        for algorithm in Algorithm::ALL {
            let _ = VerificationKey::from_pem(algorithm, &bytes);
            let _ = VerificationKey::from_pem(algorithm, pem.as_bytes());
            let _ = VerificationKey::from_secret(algorithm, &bytes);
            let _ = auth::SigningKey::from_pem(algorithm, pem.as_bytes());
        }
    }

    #[test]
    fn any_settings_are_judged_without_panic(
        values in prop::collection::vec(prop_oneof![any::<Vec<u8>>(), "[a-zA-Z0-9 ,.]{0,12}".prop_map(String::into_bytes)], auth::SETTINGS.len()),
    ) {
        let settings: Vec<(&str, Vec<u8>)> = auth::SETTINGS.iter().map(|setting| setting.name).zip(values)
            .filter(|(name, _)| *name != "AUTH_JWT_KEY_FILE")
            .map(|(name, value)| (name, value.into_iter().filter(|byte| *byte != 0).collect()))
            .collect();
        match load(&settings) {
            Ok(_) => {}
            Err(faults) => prop_assert!(!faults.is_empty() && faults.iter().all(|fault| fault.to_string().starts_with("AUTH_"))),
        }
    }
}

#[test]
fn every_single_change_of_a_character_is_noticed() {
    for (token, verifier) in &*TOKENS {
        for at in 0..token.len() {
            for replacement in ["A", "B", "_", ".", "="] {
                let mut altered = token.clone();
                altered.replace_range(at..=at, replacement);
                assert!(altered == *token || verifier.verify(&altered, NOW_MS).is_err(), "{at}");
            }
        }
    }
}

#[test]
fn what_a_fuzzer_begins_with() {
    corpus::play(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/token"), 200, oracle::check);
}

//! Settings and their errors (spec 01 §1, §2).

use std::io::Write as _;

use auth::{Algorithm, Mode, SETTINGS};
use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::support::*;

const KEY: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn modes_are_taken_exactly() {
    let key = [("AUTH_JWT_ALG", "HS256"), ("AUTH_JWT_KEY", KEY)];
    for mode in ["secure", "", "  ", "\n"] {
        assert_eq!(verifier(&[&[("AUTH_MODE", mode)], &key[..]].concat()).mode(), Mode::Secure, "{mode:?}");
    }
    assert_eq!(verifier(&key).mode(), Mode::Secure);
    assert_eq!(insecure(&[]).mode(), Mode::Insecure);
    for mode in ["Secure", "INSECURE", " insecure", "insecure ", "none", "0"] {
        let expected =
            format!(r#"AUTH_MODE has invalid value: "{mode}". Must be one of ["secure", "insecure"]"#);
        assert_eq!(faults(&[("AUTH_MODE", mode), ("AUTH_JWT_LEEWAY", "x")]), [expected]);
    }
    assert_eq!(faults(&[("AUTH_MODE", b"\xff")]).len(), 1);
}

#[test]
fn secure_mode_needs_algorithm_and_key() {
    let faults = faults::<&str>(&[]);
    assert_eq!(faults.len(), 2);
    assert!(faults[0].starts_with("AUTH_JWT_ALG not set"), "{}", faults[0]);
    assert!(faults[1].starts_with("AUTH_JWT_KEY not set"), "{}", faults[1]);
}

#[test]
fn blank_values_count_as_unset() {
    let blanks: Vec<(&str, &str)> = SETTINGS.iter().map(|setting| (setting.name, " \t")).collect();
    assert_eq!(faults(&blanks), faults::<&str>(&[]));
    let insecure: Vec<(&str, &str)> = blanks
        .iter()
        .map(|(name, blank)| (*name, if *name == "AUTH_MODE" { "insecure" } else { blank }))
        .collect();
    assert_eq!(load(&insecure).unwrap().1, Vec::<String>::new());
}

#[test]
fn algorithms_are_taken_exactly() {
    for algorithm in ["XX", "hs256", "HS256 ", "none", "HS256,RS256"] {
        let fault = &faults(&[("AUTH_JWT_ALG", algorithm), ("AUTH_JWT_KEY", KEY)])[..];
        let expected = format!(
            "AUTH_JWT_ALG has invalid value: \"{algorithm}\". Must be one of [\"HS256\", \"HS384\", \"HS512\", \"RS256\", \
             \"RS384\", \"RS512\", \"ES256\", \"ES384\", \"ES512\", \"EdDSA\", \"PS256\", \"PS384\", \"PS512\"]"
        );
        assert_eq!(fault, [expected]);
    }
}

#[test]
fn everything_wrong_is_reported_together_and_in_order() {
    let faults = faults(&[
        ("AUTH_TOKEN_MAX_BYTES", "0"),
        ("AUTH_TOKEN_EXPIRY", "never"),
        ("AUTH_JWT_MAX_AGE", "-1"),
        ("AUTH_JWT_LEEWAY", "301s"),
        ("AUTH_JWT_AUD", ","),
        ("AUTH_JWT_KEY_IS_BASE64_ENCODED", "maybe"),
        ("AUTH_JWT_ALG", "XX"),
    ]);
    let variables: Vec<&str> = faults.iter().map(|fault| fault.split_whitespace().next().unwrap()).collect();
    assert_eq!(
        variables,
        [
            "AUTH_JWT_ALG",
            "AUTH_JWT_KEY",
            "AUTH_JWT_KEY_IS_BASE64_ENCODED",
            "AUTH_JWT_AUD",
            "AUTH_JWT_LEEWAY",
            "AUTH_JWT_MAX_AGE",
            "AUTH_TOKEN_EXPIRY",
            "AUTH_TOKEN_MAX_BYTES"
        ]
    );
    assert!(
        faults[2].starts_with(
            r#"AUTH_JWT_KEY_IS_BASE64_ENCODED has invalid value: "maybe". Must be true or false"#
        )
    );
    assert!(
        faults[4]
            .starts_with(r#"AUTH_JWT_LEEWAY has invalid value: "301s". Must be a duration from 0s to 300s"#)
    );
}

#[test]
fn secrets_have_a_least_length_after_decoding() {
    for (algorithm, needed) in [("HS256", 32), ("HS384", 48), ("HS512", 64)] {
        let enough = "k".repeat(needed);
        assert!(load(&[("AUTH_JWT_ALG", algorithm), ("AUTH_JWT_KEY", &enough)]).is_ok());
        let expected = format!("AUTH_JWT_KEY has to be at least {needed} bytes long for {algorithm}");
        let short = &enough[1..];
        assert!(faults(&[("AUTH_JWT_ALG", algorithm), ("AUTH_JWT_KEY", short)])[0].starts_with(&expected));
        let encoded = BASE64_STANDARD.encode(short);
        assert!(encoded.len() > needed);
        let flag = ("AUTH_JWT_KEY_IS_BASE64_ENCODED", "true");
        let fault = faults(&[("AUTH_JWT_ALG", algorithm), ("AUTH_JWT_KEY", &encoded), flag]);
        assert!(fault[0].starts_with(&expected));
        let encoded = BASE64_STANDARD.encode(&enough);
        assert!(load(&[("AUTH_JWT_ALG", algorithm), ("AUTH_JWT_KEY", &encoded), flag]).is_ok());
    }
}

#[test]
fn base64_is_judged_before_the_length() {
    for key in ["short!", "not base64 at all", "=", "abcde"] {
        let fault = faults(&[
            ("AUTH_JWT_ALG", "HS256"),
            ("AUTH_JWT_KEY", key),
            ("AUTH_JWT_KEY_IS_BASE64_ENCODED", "yes"),
        ]);
        assert_eq!(fault.len(), 1);
        assert!(fault[0].starts_with("AUTH_JWT_KEY has invalid base64 encoding"), "{fault:?}");
        assert!(!fault[0].contains(key) || key == "=", "{fault:?}");
    }
}

#[test]
fn base64_may_hide_any_bytes_and_pem() {
    let secret: Vec<u8> = (0..64).map(|n| 255 - n).collect();
    let flag = ("AUTH_JWT_KEY_IS_BASE64_ENCODED", "TRUE");
    let message = b"message";
    let signature = auth::SigningKey::from_secret(Algorithm::Hs512, &secret).unwrap().sign(message).unwrap();
    let standard = BASE64_STANDARD.encode(&secret);
    let url = standard.replace('+', "-").replace('/', "_");
    for text in
        [standard.clone(), url.clone(), url.replace('=', ""), format!(" {}\n{}\r\n", &url[..40], &url[40..])]
    {
        let config = load(&[("AUTH_JWT_ALG", "HS512"), ("AUTH_JWT_KEY", &text), flag]).unwrap().0;
        assert_eq!(config.algorithm(), Some(Algorithm::Hs512));
        let decoded = auth::configured_secret(&|name| match name {
            "AUTH_JWT_KEY" => Some(text.clone().into()),
            "AUTH_JWT_KEY_IS_BASE64_ENCODED" => Some("t".into()),
            _ => None,
        });
        let key = auth::VerificationKey::from_secret(Algorithm::Hs512, &decoded.unwrap()).unwrap();
        assert_eq!(key.verify(message, &signature), Ok(()));
    }
    let pem = BASE64_STANDARD.encode(pem!("p256.public"));
    assert!(load(&[("AUTH_JWT_ALG", "ES256"), ("AUTH_JWT_KEY", &pem), flag]).unwrap().1.is_empty());
    let (_, warnings) =
        load(&[("AUTH_JWT_ALG", "ES256"), ("AUTH_JWT_KEY", pem!("p256.public")), flag]).unwrap();
    assert!(warnings.len() == 1 && warnings[0].contains("AUTH_JWT_KEY_IS_BASE64_ENCODED"), "{warnings:?}");
    // For a shared secret the flag holds, whatever the value looks like.
    let fault = faults(&[("AUTH_JWT_ALG", "HS256"), ("AUTH_JWT_KEY", pem!("p256.public")), flag]);
    assert!(fault[0].starts_with("AUTH_JWT_KEY has invalid base64 encoding"));
    assert!(
        load(&[("AUTH_JWT_ALG", "HS256"), ("AUTH_JWT_KEY", KEY), ("AUTH_JWT_KEY_IS_BASE64_ENCODED", "f")])
            .is_ok()
    );
}

#[test]
fn secrets_need_not_be_utf8() {
    let secret = [0xff_u8; 32];
    let verifier = verifier(&[("AUTH_JWT_ALG", &b"HS256"[..]), ("AUTH_JWT_KEY", &secret)]);
    let key = auth::SigningKey::from_secret(Algorithm::Hs256, &secret).unwrap();
    let token = key.token(claims(serde_json::json!({})).as_object().unwrap(), None).unwrap();
    assert_eq!(outcome(&verifier, &token), Ok("u1".to_owned()));
}

#[test]
fn secrets_are_used_untrimmed() {
    let secret = format!(" {KEY}\n");
    let verifier = verifier(&[("AUTH_JWT_ALG", "HS256"), ("AUTH_JWT_KEY", &secret)]);
    for (secret, expected) in [(secret.as_str(), true), (KEY, false)] {
        let key = auth::SigningKey::from_secret(Algorithm::Hs256, secret.as_bytes()).unwrap();
        let token = key.token(claims(serde_json::json!({})).as_object().unwrap(), None).unwrap();
        assert_eq!(outcome(&verifier, &token).is_ok(), expected);
    }
}

#[test]
fn a_key_may_come_from_a_file() {
    let load_file = |content: &[u8]| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        (load(&[("AUTH_JWT_ALG", "HS256"), ("AUTH_JWT_KEY_FILE", &path)]), path)
    };
    let token = signed(&claims(serde_json::json!({})));
    for end in ["", "\n", "\r\n"] {
        let (loaded, _) = load_file(&[SECRET, end.as_bytes()].concat());
        assert_eq!(outcome(&auth::Verifier::new(loaded.unwrap().0), &token), Ok("u1".to_owned()), "{end:?}");
    }
    // Only one line end is not part of the key.
    let (loaded, _) = load_file(&[SECRET, b"\n\n"].concat());
    assert!(outcome(&auth::Verifier::new(loaded.unwrap().0), &token).is_err());
    for (content, expected) in [
        (&b"short"[..], "AUTH_JWT_KEY has to be at least 32 bytes long for HS256"),
        (b"", "AUTH_JWT_KEY_FILE names a file that is empty"),
        (b"\n", "AUTH_JWT_KEY_FILE names a file that is empty"),
        (&[b'x'; 70_000], "AUTH_JWT_KEY_FILE names a file that is larger than 64 KiB"),
    ] {
        let (loaded, path) = load_file(content);
        let faults = loaded.unwrap_err();
        assert!(faults[0].to_string().starts_with(expected), "{faults:?}");
        assert!(faults[0].to_string().contains("AUTH_JWT_KEY_FILE"));
        assert!(!faults[0].to_string().contains(&path));
    }
    let absent = faults(&[("AUTH_JWT_ALG", "HS256"), ("AUTH_JWT_KEY_FILE", "/does/not/exist")]);
    assert!(
        absent[0].starts_with("AUTH_JWT_KEY_FILE names a file that can't be read: No such file"),
        "{absent:?}"
    );
}

#[test]
fn two_sources_of_keys_are_refused() {
    for (one, other) in [
        ("AUTH_JWT_KEY", "AUTH_JWT_KEY_FILE"),
        ("AUTH_JWT_KEY", "AUTH_JWKS_URL"),
        ("AUTH_JWT_KEY_FILE", "AUTH_JWKS_FILE"),
    ] {
        let faults = faults(&[("AUTH_JWT_ALG", "HS256"), (one, KEY), (other, "somewhere")]);
        assert_eq!(faults.len(), 1);
        assert!(faults[0].starts_with(&format!("{one} and {other} are both set")), "{faults:?}");
        assert!(!faults[0].contains(KEY));
    }
    let faults = faults(&[("AUTH_JWT_ALG", "ES256"), ("AUTH_JWKS_URL", "https://issuer.example/jwks")]);
    assert!(faults[0].starts_with("AUTH_JWT_KEY not set. AUTH_JWKS_URL is not supported"));
}

#[test]
fn settings_of_secure_mode_are_ignored_with_a_warning_in_insecure_mode() {
    let ignored = [
        "AUTH_JWT_ALG",
        "AUTH_JWT_KEY",
        "AUTH_JWT_KEY_FILE",
        "AUTH_JWT_KEY_IS_BASE64_ENCODED",
        "AUTH_JWT_ISS",
        "AUTH_JWT_AUD",
    ];
    let mut settings: Vec<(&str, &str)> = ignored.iter().map(|name| (*name, "wrong")).collect();
    settings.push(("AUTH_MODE", "insecure"));
    let (config, warnings) = load(&settings).unwrap();
    assert!(config.is_insecure());
    assert_eq!(warnings.len(), ignored.len());
    for (warning, name) in warnings.iter().zip(ignored) {
        assert!(warning.starts_with(&format!("{name} is ignored in insecure mode")), "{warning}");
    }
    // The others still count.
    let faults = faults(&[("AUTH_MODE", "insecure"), ("AUTH_JWT_LEEWAY", "soon")]);
    assert!(faults[0].starts_with(r#"AUTH_JWT_LEEWAY has invalid value: "soon""#));
}

#[test]
fn a_public_key_as_a_secret_is_warned_about() {
    let (_, warnings) = load(&[("AUTH_JWT_ALG", "HS256"), ("AUTH_JWT_KEY", pem!("p256.public"))]).unwrap();
    assert!(warnings.len() == 1 && warnings[0].starts_with("AUTH_JWT_KEY is a public key"), "{warnings:?}");
}

#[test]
fn other_values_are_checked() {
    let key = [("AUTH_JWT_ALG", "HS256"), ("AUTH_JWT_KEY", KEY)];
    let with = |name, value| load(&[&key[..], &[(name, value)]].concat());
    for (name, good, bad) in [
        ("AUTH_JWT_LEEWAY", &["0", "2s", "300", "5m", "500ms"][..], &["301", "6m", "-1", "1 s", "off"][..]),
        ("AUTH_JWT_MAX_AGE", &["off", "1s", "30d"], &["0", "Off", "never", "1w"]),
        ("AUTH_TOKEN_EXPIRY", &["enforce", "connect-only"], &["Enforce", "connect_only", "false"]),
        ("AUTH_TOKEN_MAX_BYTES", &["256", "16384", "16K", "65536"], &["255", "65537", "1M", "16KB", "-1"]),
        ("AUTH_JWT_ISS", &["a", " a", "a,b", ",a,"], &[",", " , "]),
    ] {
        for value in good {
            assert!(with(name, value).is_ok(), "{name}={value:?}");
        }
        for value in bad {
            let faults = with(name, value).unwrap_err();
            let expected = format!("{name} has invalid value: {value:?}");
            assert!(faults.len() == 1 && faults[0].to_string().starts_with(&expected), "{faults:?}");
            assert_eq!(faults[0].variable(), name);
        }
    }
    for name in ["AUTH_JWT_NAMESPACE", "AUTH_JWT_ISS", "AUTH_JWT_AUD"] {
        let faults =
            faults(&[("AUTH_JWT_ALG", &b"HS256"[..]), ("AUTH_JWT_KEY", KEY.as_bytes()), (name, b"a\xff")]);
        assert!(faults[0].contains("UTF-8"), "{faults:?}");
    }
}

#[test]
fn no_key_is_ever_shown() {
    let secret = "a-very-secret-secret";
    let mut private = vec![
        pem!("p256.private"),
        pem!("rsa-2048.private"),
        pem!("ed25519.private"),
        pem!("rsa-2048.public"),
    ];
    private.push(secret);
    for value in private {
        for algorithm in ["HS256", "HS512", "RS256", "ES256", "ES512", "EdDSA", "XX"] {
            for flag in ["false", "true"] {
                let shown = match load(&[
                    ("AUTH_JWT_ALG", algorithm),
                    ("AUTH_JWT_KEY", value),
                    ("AUTH_JWT_KEY_IS_BASE64_ENCODED", flag),
                ]) {
                    Ok((config, warnings)) => {
                        format!("{config:?} {:?} {warnings:?}", auth::Verifier::new(config.clone()))
                    }
                    Err(faults) => format!("{faults:?} {}", faults[0]),
                };
                for line in value.lines().filter(|line| !line.starts_with("-----")) {
                    for start in 0..line.len().saturating_sub(12) {
                        assert!(!shown.contains(&line[start..start + 12]), "{shown}");
                    }
                }
            }
        }
    }
    // A key in the wrong variable is not quoted either.
    let faults = faults(&[("AUTH_JWT_ALG", pem!("p256.public")), ("AUTH_JWT_KEY", "ES256")]);
    assert!(!faults[0].contains("MFkw"), "{faults:?}");
}

#[test]
fn every_setting_is_documented_once() {
    for setting in SETTINGS {
        assert!(setting.name.starts_with("AUTH_"));
        assert!(setting.doc.ends_with('.') && !setting.default.is_empty(), "{}", setting.name);
        assert_eq!(SETTINGS.iter().filter(|other| other.name == setting.name).count(), 1);
    }
}

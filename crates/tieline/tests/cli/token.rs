//! `tieline token` (spec 01 §7).

use super::{
    command::{Done, Setting, tieline, tieline_reading},
    keys::Generated,
};

const SECRET: [Setting<'_>; 2] =
    [("AUTH_JWT_ALG", "HS256"), ("AUTH_JWT_KEY", "0123456789abcdef0123456789abcdef")];

fn mint(arguments: &[&str], settings: &[Setting<'_>]) -> String {
    let done = tieline(&[&["token", "mint"], arguments].concat(), settings);
    assert_eq!((done.status, done.err.as_str()), (0, ""), "{done:?}");
    assert_eq!(done.out.lines().count(), 1);
    done.out.trim().to_owned()
}

fn verify(token: &str, settings: &[Setting<'_>]) -> Done {
    tieline(&["token", "verify", token], settings)
}

#[track_caller]
fn refused(token: &str, settings: &[Setting<'_>], text: &str) {
    let done = verify(token, settings);
    assert_eq!(done.status, 1, "{done:?}");
    assert!(done.out.contains(&format!("\nRefused: {text}\n")), "{done:?}");
    assert!(
        done.out.contains("FAILED") && done.out.contains("not reached") || text.contains("user_id"),
        "{done:?}"
    );
}

#[test]
fn a_shared_secret_of_the_settings_signs_and_verifies() {
    let done = verify(&mint(&["--sub", "1"], &SECRET), &SECRET);
    assert_eq!(done.status, 0, "{done:?}");
    for step in [
        "size",
        "segments",
        "header",
        "algorithm",
        "signature",
        "payload",
        "issued at",
        "expiry",
        "issuer",
        "user",
    ] {
        assert!(done.out.contains(&format!("passed  {step}")), "{step}: {done:?}");
    }
    assert!(done.out.contains("in 1 hour") || done.out.contains("in 2 hours"), "{done:?}");
    let base64 = [
        ("AUTH_JWT_ALG", "HS256"),
        ("AUTH_JWT_KEY", "/+/+//7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v4="),
        ("AUTH_JWT_KEY_IS_BASE64_ENCODED", "true"),
    ];
    assert_eq!(verify(&mint(&["--sub", "1"], &base64), &base64).status, 0);
}

#[test]
fn wrong_keys_expired_unsigned_and_other_algorithms_are_refused() {
    let (key, other) = (Generated::new("ES256"), Generated::new("ES256"));
    let settings = key.settings();
    let sign = |arguments: &[&str], file: &str| {
        mint(&[&["--sub", "1", "--key-file", file], arguments].concat(), &[])
    };
    assert_eq!(verify(&sign(&[], &key.private()), &settings).status, 0);
    refused(&sign(&[], &other.private()), &settings, "Invalid token signature");
    refused(&sign(&["--exp", "-1h"], &key.private()), &settings, "Expired token");
    refused(&sign(&["--exp", "never"], &key.private()), &settings, "Missing required \"exp\" claim");
    refused(&sign(&[], &Generated::new("ES384").private()), &settings, "Signing algorithm mismatch");
    refused(&mint(&["--sub", "1", "--insecure"], &[]), &settings, "Signing algorithm mismatch");
    refused("no token", &settings, "Invalid token");
    refused(
        &sign(&["--claim", "iat=99999999999"], &key.private()),
        &settings,
        "Invalid \"iat\" claim value: 99999999999",
    );
}

#[test]
fn insecure_mode_takes_unsigned_tokens() {
    let settings = [("AUTH_MODE", "insecure")];
    for token in [
        mint(&["--sub", "1", "--insecure"], &[]),
        mint(&["--claim", "user_id=\"1\"", "--insecure", "--exp", "never"], &[]),
        mint(&["--sub", "1"], &settings),
        mint(&["--sub", "1"], &SECRET),
    ] {
        let done = verify(&token, &settings);
        assert_eq!(done.status, 0, "{done:?}");
        assert!(done.out.contains("Insecure mode") && done.out.contains("Accepted: user \"1\""), "{done:?}");
    }
    refused(&mint(&["--sub", " ", "--insecure"], &[]), &settings, "Missing or invalid 'user_id'");
}

#[test]
fn tokens_may_come_from_standard_input() {
    let token = mint(&["--sub", "1"], &SECRET);
    let done = tieline_reading(&format!(" {token}\n"), &["token", "verify", "-"], &SECRET);
    assert_eq!(done.status, 0, "{done:?}");
    let done = tieline_reading(&token, &["token", "inspect", "-"], &[]);
    assert!(done.status == 0 && done.out.contains("NOT VERIFIED"), "{done:?}");
    let done = tieline_reading("\n", &["token", "verify", "-"], &SECRET);
    assert!(done.status == 1 && done.err.contains("standard input holds no token"), "{done:?}");
}

#[test]
fn mint_follows_the_settings_of_claims() {
    let settings = [
        &SECRET[..],
        &[
            ("AUTH_JWT_ISS", "https://issuer.example, other"),
            ("AUTH_JWT_AUD", "sync"),
            ("AUTH_JWT_NAMESPACE", "https://app.example/claims"),
        ],
    ]
    .concat();
    let token = mint(&["--sub", "1", "--claim", "role=admin", "--claim", "jti=t1", "--kid", "k1"], &settings);
    assert_eq!(verify(&token, &settings).status, 0);
    let shown = tieline(&["token", "inspect", &token], &[]).out;
    assert!(
        shown.contains("\"iss\": \"https://issuer.example\"") && shown.contains("\"kid\": \"k1\""),
        "{shown}"
    );
    assert!(shown.contains("  \"jti\": \"t1\"") && shown.contains("    \"role\": \"admin\""), "{shown}");
    let foreign = mint(&["--sub", "1", "--iss", "x"], &settings);
    refused(&foreign, &settings, "Invalid \"iss\" claim value: \"x\"");
}

#[test]
fn claims_are_json_or_text() {
    let token = mint(
        &["--sub", "1", "--claim", "n=5", "--claim", "s=a=b", "--claim", r#"d={"x":[1]}"#, "--insecure"],
        &[],
    );
    let shown = tieline(&["token", "inspect", &token], &[]).out;
    assert!(
        shown.contains("\"n\": 5,") && shown.contains("\"s\": \"a=b\"") && shown.contains("\"x\": ["),
        "{shown}"
    );
    assert_eq!(tieline(&["token", "mint", "--sub", "1", "--insecure", "--claim", "novalue"], &[]).status, 2);
}

#[test]
fn inspect_shows_without_judging() {
    let token = mint(&["--sub", "1", "--exp", "-1h"], &SECRET);
    let done = tieline(&["token", "inspect", &token], &[]);
    assert_eq!(done.status, 0);
    for text in [
        "NOT VERIFIED",
        "\"alg\": \"HS256\"",
        "\"sub\": \"1\"",
        "Expires (exp): 20",
        "1 hour ago",
        "Issued (iat): 20",
    ] {
        assert!(done.out.contains(text), "{text}: {done:?}");
    }
    for garbage in ["x", "a.b", "!.!.!", "a.b.c.d"] {
        let done = tieline(&["token", "inspect", garbage], &[]);
        assert!(done.status == 1 && done.err.starts_with("tieline: "), "{done:?}");
    }
}

#[test]
fn the_documented_token_is_accepted_at_its_time() {
    let key = "-----BEGIN PUBLIC KEY-----\\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEc0mb1oMUF5vyI4dnOwpsRfeVBrgH\\n\
               ubpCrkKgYwPX9ZBEhAcIlXDZsEMGiIjkvOGviv8NzID/SNj0Sh7wDnfj3w==\\n-----END PUBLIC KEY-----";
    let token = "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJ1c2VyX2lkIjoiMSIsImlhdCI6MTY4NDc0OTIxMywiZXhwIjoxNjg0NzU5MjEzfQ.\
                 dLd_bG5_VayLzTemgATu566NP3itwafMbu1zgef_8mB6VGHojczsXyh3g7QE4GM_l8kUQm9MJN7OWg8Kf-40YQ";
    let settings = [("AUTH_JWT_ALG", "ES256"), ("AUTH_JWT_KEY", key)];
    refused(token, &settings, "Expired token");
    assert_eq!(tieline(&["token", "verify", token, "--at", "1684750000"], &settings).status, 0);
    assert_eq!(tieline(&["token", "verify", token, "--at", "1684759216"], &settings).status, 1);
}

#[test]
fn wrong_settings_are_told_and_nothing_is_judged() {
    let done = verify("x.y.z", &[("AUTH_JWT_ALG", "HS256"), ("AUTH_JWT_KEY", "a short secret")]);
    assert_eq!((done.status, done.out.as_str()), (1, ""));
    assert!(done.err.contains("AUTH_JWT_KEY has to be at least 32 bytes long for HS256"), "{done:?}");
    assert!(!done.err.contains("a short secret"));
    let done = verify("x.y.z", &[]);
    assert!(
        done.err.contains("AUTH_JWT_ALG not set") && done.err.contains("AUTH_JWT_KEY not set"),
        "{done:?}"
    );
}

#[test]
fn mint_says_what_it_lacks() {
    let lacking = |arguments: &[&str], settings: &[Setting<'_>]| {
        let done = tieline(&[&["token", "mint"], arguments].concat(), settings);
        assert_eq!((done.status, done.out.as_str()), (1, ""), "{done:?}");
        done.err
    };
    assert!(lacking(&["--insecure"], &[]).contains("add --sub"));
    assert!(lacking(&["--sub", "1"], &[]).contains("there is nothing to sign with"));
    assert!(lacking(&["--sub", "1", "--alg", "ES256"], &[]).contains("add --key-file"));
    assert!(lacking(&["--sub", "1", "--alg", "HS256"], &[]).contains("AUTH_JWT_KEY not set"));
    assert!(lacking(&["--sub", "1", "--alg", "HS512"], &SECRET).contains("at least 64"));
    assert!(
        lacking(&["--sub", "1", "--key-file", "/does/not/exist"], &[])
            .contains("/does/not/exist can't be read")
    );
    let key = Generated::new("ES256");
    assert!(
        lacking(&["--sub", "1", "--alg", "ES384", "--key-file", &key.private()], &[])
            .contains("can't sign with ES384")
    );
    let secret = Generated::new("HS256");
    assert!(lacking(&["--sub", "1", "--key-file", &secret.private()], &[]).contains("add --alg"));
}

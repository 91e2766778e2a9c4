//! Claims (spec 01 §5).

use auth::Verifier;
use serde_json::{Value, json};

use crate::support::*;

fn ok() -> Result<String, String> {
    Ok("u1".to_owned())
}

fn err(text: &str) -> Result<String, String> {
    Err(text.to_owned())
}

/// The outcome for claims that pass, changed by these.
fn with(verifier: &Verifier, changes: Value) -> Result<String, String> {
    outcome(verifier, &signed(&claims(changes)))
}

/// The outcome for exactly this payload, as JSON text.
fn payload(verifier: &Verifier, text: &str) -> Result<String, String> {
    outcome(verifier, &sign(r#"{"alg":"HS256"}"#, text))
}

#[test]
fn times_have_a_leeway_of_two_seconds() {
    for verifier in [hs256(&[]), insecure(&[])] {
        assert_eq!(with(&verifier, json!({"iat": NOW + 2})), ok());
        assert_eq!(
            with(&verifier, json!({"iat": NOW + 3})),
            err(&format!("Invalid \"iat\" claim value: {}", NOW + 3))
        );
        assert_eq!(with(&verifier, json!({"exp": NOW - 2})), ok());
        assert_eq!(with(&verifier, json!({"exp": NOW - 3})), err("Expired token"));
        assert_eq!(with(&verifier, json!({"nbf": NOW + 2})), ok());
        assert_eq!(with(&verifier, json!({"nbf": NOW + 3})), err("Token is not yet valid"));
    }
}

#[test]
fn the_clock_counts_whole_seconds() {
    let verifier = hs256(&[]);
    let token = signed(&claims(json!({"exp": NOW - 2})));
    assert!(verifier.verify(&token, NOW_MS).is_ok());
    assert!(verifier.verify(&token, NOW_MS + 999).is_ok());
    assert!(verifier.verify(&token, NOW_MS + 1000).is_err());
    assert_eq!(with(&verifier, json!({"exp": NOW as f64 - 2.5})), err("Expired token"));
    assert_eq!(with(&verifier, json!({"exp": NOW as f64 - 1.5})), ok());
}

#[test]
fn the_leeway_can_be_set() {
    for (leeway, seconds) in [("0", 0), ("0s", 0), ("1500ms", 1), ("30s", 30), ("5m", 300)] {
        for verifier in [hs256(&[("AUTH_JWT_LEEWAY", leeway)]), insecure(&[("AUTH_JWT_LEEWAY", leeway)])] {
            assert_eq!(with(&verifier, json!({"exp": NOW - seconds})), ok(), "{leeway}");
            assert_eq!(with(&verifier, json!({"exp": NOW - seconds - 1})), err("Expired token"), "{leeway}");
            assert_eq!(with(&verifier, json!({"iat": NOW + seconds})), ok(), "{leeway}");
            assert!(with(&verifier, json!({"iat": NOW + seconds + 1})).is_err(), "{leeway}");
            assert_eq!(with(&verifier, json!({"nbf": NOW + seconds})), ok(), "{leeway}");
            assert!(with(&verifier, json!({"nbf": NOW + seconds + 1})).is_err(), "{leeway}");
        }
    }
}

#[test]
fn old_tokens_can_be_refused() {
    for verifier in [hs256(&[("AUTH_JWT_MAX_AGE", "1h")]), insecure(&[("AUTH_JWT_MAX_AGE", "1h")])] {
        assert_eq!(with(&verifier, json!({"iat": NOW - 3602})), ok());
        let iat = NOW - 3603;
        assert_eq!(with(&verifier, json!({"iat": iat})), err(&format!("Invalid \"iat\" claim value: {iat}")));
    }
    assert_eq!(with(&hs256(&[]), json!({"iat": 0})), ok());
    assert_eq!(with(&hs256(&[("AUTH_JWT_MAX_AGE", "off")]), json!({"iat": 0})), ok());
}

#[test]
fn secure_mode_requires_times_and_insecure_mode_does_not() {
    let (secure, insecure) = (hs256(&[]), insecure(&[]));
    for claim in ["iat", "exp"] {
        assert_eq!(
            with(&secure, json!({ claim: null })),
            err(&format!("Missing required \"{claim}\" claim"))
        );
        assert_eq!(with(&insecure, json!({ claim: null })), ok());
    }
    assert_eq!(payload(&insecure, r#"{"sub":"u1"}"#), ok());
    assert_eq!(payload(&secure, r#"{"sub":"u1"}"#), err("Missing required \"iat\" claim"));
}

#[test]
fn dates_are_numbers_from_zero_to_two_to_the_53() {
    let body = |claim: &str, text: &str| {
        let mut others =
            vec![("sub", "\"u1\"".to_owned()), ("iat", NOW.to_string()), ("exp", (NOW + 10).to_string())];
        others.retain(|(name, _)| *name != claim);
        others.push((claim, text.to_owned()));
        let members: Vec<String> = others.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    };
    for verifier in [hs256(&[]), insecure(&[])] {
        for text in
            ["1684750010", "1684750010.25", "1.68475001e9", "9007199254740991", "9007199254740991.0", "1e15"]
        {
            assert_eq!(payload(&verifier, &body("exp", text)), ok(), "{text}");
        }
        for text in ["0", "-0", "0.0", "1e-3", "1684749999.5"] {
            assert_eq!(payload(&verifier, &body("iat", text)), ok(), "{text}");
            assert_eq!(payload(&verifier, &body("nbf", text)), ok(), "{text}");
        }
        for text in [
            "\"1684750010\"",
            "true",
            "null",
            "[1684750010]",
            "{}",
            "-1",
            "-0.001",
            "9007199254740992",
            "18446744073709551615",
            "18446744073709551616",
            "1e300",
            "\"\"",
        ] {
            assert_eq!(payload(&verifier, &body("exp", text)), err("Expired token"), "{text}");
            assert_eq!(payload(&verifier, &body("nbf", text)), err("Token is not yet valid"), "{text}");
            let shown = payload(&verifier, &body("iat", text)).unwrap_err();
            assert!(shown.starts_with("Invalid \"iat\" claim value: "), "{text}: {shown}");
        }
        for claim in ["iat", "exp", "nbf"] {
            assert_eq!(payload(&verifier, &body(claim, "1e999")), err("Invalid token"));
        }
    }
}

#[test]
fn far_off_times_do_not_overflow() {
    let identity = |verifier: &Verifier, exp: Value| {
        verifier.verify(&signed(&claims(json!({"exp": exp}))), NOW_MS).unwrap()
    };
    let far = 9_007_199_254_740_991_u64;
    let verifier = hs256(&[("AUTH_JWT_LEEWAY", "300s")]);
    assert_eq!(identity(&verifier, json!(far)).expires_at_ms, Some(far * 1000));
    assert_eq!(identity(&verifier, json!(far)).deadline(), Some(far * 1000 + 300_000));
    assert!(verifier.verify(&signed(&claims(json!({}))), u64::MAX).is_err());
    assert!(verifier.verify(&signed(&claims(json!({}))), 0).is_err());
}

#[test]
fn the_deadline_is_expiry_and_leeway_if_enforced() {
    let token = signed(&claims(json!({"exp": NOW as f64 + 10.5, "iat": NOW - 1})));
    let identity = hs256(&[]).verify(&token, NOW_MS).unwrap();
    assert_eq!(identity.issued_at_ms, Some(NOW_MS - 1000));
    assert_eq!(identity.expires_at_ms, Some(NOW_MS + 10_500));
    assert_eq!(identity.deadline(), Some(NOW_MS + 12_500));
    let identity = hs256(&[("AUTH_TOKEN_EXPIRY", "connect-only")]).verify(&token, NOW_MS).unwrap();
    assert_eq!((identity.expires_at_ms, identity.deadline()), (Some(NOW_MS + 10_500), None));
    let expired = signed(&claims(json!({"exp": NOW - 3})));
    assert!(hs256(&[("AUTH_TOKEN_EXPIRY", "connect-only")]).verify(&expired, NOW_MS).is_err());
    let insecure = insecure(&[]);
    assert_eq!(insecure.verify(&token, NOW_MS).unwrap().deadline(), Some(NOW_MS + 12_500));
    assert_eq!(insecure.verify(&signed(&json!({"sub": "u1"})), NOW_MS).unwrap().deadline(), None);
}

#[test]
fn issuers_are_compared_whole() {
    let one = hs256(&[("AUTH_JWT_ISS", "https://issuer.example")]);
    assert_eq!(with(&one, json!({"iss": "https://issuer.example"})), ok());
    assert_eq!(with(&one, json!({})), err("Missing required \"iss\" claim"));
    for (iss, shown) in [
        (json!("https://issuer.example/"), r#""https://issuer.example/""#),
        (json!("HTTPS://issuer.example"), r#""HTTPS://issuer.example""#),
        (json!(""), r#""""#),
        (json!(7), "7"),
        (json!(["https://issuer.example"]), r#"["https://issuer.example"]"#),
    ] {
        assert_eq!(with(&one, json!({"iss": iss})), err(&format!("Invalid \"iss\" claim value: {shown}")));
    }
    let several = hs256(&[("AUTH_JWT_ISS", " a , b,,c ")]);
    for (iss, accepted) in
        [("a", true), ("b", true), ("c", true), (" a ", false), ("", false), ("a,b", false), ("d", false)]
    {
        assert_eq!(with(&several, json!({"iss": iss})).is_ok(), accepted, "{iss:?}");
    }
    // A single value is taken exactly.
    assert_eq!(with(&hs256(&[("AUTH_JWT_ISS", " a ")]), json!({"iss": " a "})), ok());
    assert!(with(&hs256(&[("AUTH_JWT_ISS", " a ")]), json!({"iss": "a"})).is_err());
    // Not configured: anything goes.
    assert_eq!(with(&hs256(&[]), json!({"iss": [1, 2]})), ok());
}

#[test]
fn one_audience_is_enough() {
    let verifier = hs256(&[("AUTH_JWT_AUD", "sync, other")]);
    for aud in [json!("sync"), json!("other"), json!(["x", "sync"]), json!([1, null, ["y"], "other"])] {
        assert_eq!(with(&verifier, json!({"aud": aud})), ok(), "{aud}");
    }
    assert_eq!(with(&verifier, json!({})), err("Missing required \"aud\" claim"));
    for aud in [
        json!("Sync"),
        json!("sync, other"),
        json!([]),
        json!([["sync"]]),
        json!({"sync": "sync"}),
        json!([{"sync": 1}]),
        json!(1),
        json!(true),
    ] {
        assert_eq!(with(&verifier, json!({"aud": aud})), err(&format!("Invalid \"aud\" claim value: {aud}")));
    }
    assert_eq!(
        payload(&verifier, &format!(r#"{{"sub":"u1","iat":{NOW},"exp":{NOW},"aud":null}}"#)),
        err("Invalid \"aud\" claim value: null")
    );
}

#[test]
fn insecure_mode_ignores_issuer_and_audience() {
    let verifier = insecure(&[("AUTH_JWT_ISS", "a"), ("AUTH_JWT_AUD", "b")]);
    assert_eq!(with(&verifier, json!({"iss": "x", "aud": 3})), ok());
    assert_eq!(with(&verifier, json!({})), ok());
}

#[test]
fn quoted_values_are_cut_at_64_characters() {
    let verifier = hs256(&[("AUTH_JWT_ISS", "a")]);
    let text = with(&verifier, json!({"iss": "é".repeat(100)})).unwrap_err();
    assert_eq!(text, format!("Invalid \"iss\" claim value: \"{}", "é".repeat(63)));
    let text = with(&verifier, json!({"iss": "line\nbreak\u{1b}[31m"})).unwrap_err();
    assert_eq!(text, r#"Invalid "iss" claim value: "line\nbreak\u001b[31m""#);
}

#[test]
fn the_user_is_sub_or_else_user_id() {
    const MISSING: &str = "Missing or invalid 'user_id'";
    for verifier in [hs256(&[]), insecure(&[])] {
        let of = |text: &str| payload(&verifier, &format!(r#"{{"iat":{NOW},"exp":{NOW}{text}}}"#));
        for (text, user) in [
            (r#","sub":"a""#, "a"),
            (r#","user_id":"b""#, "b"),
            (r#","sub":"a","user_id":"b""#, "a"),
            (r#","sub":"a","user_id":7"#, "a"),
            (r#","sub":null,"user_id":"b""#, "b"),
            (r#","sub":"  A b ""#, "  A b "),
            (r#","sub":"é\u200b""#, "é\u{200b}"),
            (r#","sub":"null""#, "null"),
        ] {
            assert_eq!(of(text), Ok(user.to_owned()), "{text}");
        }
        for text in [
            "",
            r#","sub":null"#,
            r#","sub":null,"user_id":null"#,
            r#","sub":"","user_id":"b""#,
            r#","sub":false,"user_id":"b""#,
            r#","sub":1,"user_id":"b""#,
            r#","sub":["a"]"#,
            r#","sub":{"a":"a"}"#,
            r#","sub":" \t\r\n""#,
            r#","sub":"\u00a0\u2003\u3000""#,
            r#","sub":"a\u0000b""#,
            r#","sub":"\u0000""#,
            r#","user_id":"""#,
            r#","user_id":7"#,
            r#","Sub":"a""#,
        ] {
            assert_eq!(of(text), err(MISSING), "{text}");
        }
    }
    let long = "x".repeat(8000);
    assert_eq!(with(&hs256(&[]), json!({"sub": long})), Ok(long));
}

#[test]
fn a_namespace_is_the_only_place_for_custom_claims() {
    const MISSING: &str = "Missing or invalid 'user_id'";
    let name = "https://example.org/jwt.claims";
    for verifier in [hs256(&[("AUTH_JWT_NAMESPACE", name)]), insecure(&[("AUTH_JWT_NAMESPACE", name)])] {
        assert_eq!(with(&verifier, json!({name: {"sub": "inner"}})), Ok("inner".to_owned()));
        assert_eq!(with(&verifier, json!({name: {"user_id": "inner"}})), Ok("inner".to_owned()));
        assert_eq!(with(&verifier, json!({})), err(MISSING));
        for value in [json!("x"), json!([]), json!(1), json!(false), json!({}), json!({"sub": ""})] {
            assert_eq!(with(&verifier, json!({ name: value })), err(MISSING));
        }
        // The dots and slashes of the name are no path.
        assert_eq!(
            with(&verifier, json!({"https:": {"": {"example": {"org/jwt": {"claims": {"sub": "x"}}}}}})),
            err(MISSING)
        );
        // Registered claims stay at the top.
        assert_eq!(with(&verifier, json!({name: {"sub": "inner", "exp": 1}})), Ok("inner".to_owned()));
        assert_eq!(
            with(&verifier, json!({"exp": 1, name: {"sub": "inner", "exp": NOW}})),
            err("Expired token")
        );
        let token =
            signed(&claims(json!({"jti": "t1", "top": 1, name: {"sub": "inner", "data": {"foo": [1]}}})));
        let identity = verifier.verify(&token, NOW_MS).unwrap();
        assert_eq!(identity.claims, json!({"sub": "inner", "data": {"foo": [1]}}));
        assert_eq!(identity.jti.as_deref(), Some("t1"));
        assert!(verifier.fingerprint(&token).starts_with(r#"sub="inner" jti="t1" "#));
    }
}

#[test]
fn all_claims_stay_available() {
    let all = claims(json!({"jti": 7, "data": {"foo": "bar"}, "roles": ["a"]}));
    let identity = hs256(&[]).verify(&signed(&all), NOW_MS).unwrap();
    assert_eq!((identity.claims, identity.jti), (all, None));
}

#[test]
fn claims_are_judged_in_order() {
    let verifier = hs256(&[("AUTH_JWT_ISS", "a"), ("AUTH_JWT_AUD", "b")]);
    let mut bad = json!({"sub": 1, "iat": "x", "exp": 1, "nbf": NOW + 100, "iss": "x", "aud": "x"});
    for (claim, good, text) in [
        ("iat", json!(NOW), r#"Invalid "iat" claim value: "x""#),
        ("exp", json!(NOW), "Expired token"),
        ("nbf", json!(NOW), "Token is not yet valid"),
        ("iss", json!("a"), r#"Invalid "iss" claim value: "x""#),
        ("aud", json!("b"), r#"Invalid "aud" claim value: "x""#),
        ("sub", json!("u1"), "Missing or invalid 'user_id'"),
    ] {
        assert_eq!(outcome(&verifier, &signed(&bad)), err(text));
        bad[claim] = good;
    }
    assert_eq!(outcome(&verifier, &signed(&bad)), ok());
}

//! Forms and strength of keys (spec 01 §3).

use auth::{Algorithm, KeyError, SigningKey, VerificationKey};

use crate::support::*;

const RSA: [Algorithm; 6] = [
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
];

/// The private key signs, the public one in whatever form verifies.
fn check(algorithm: Algorithm, private: &str, public: &str) {
    let signature = SigningKey::from_pem(algorithm, private.as_bytes()).unwrap().sign(b"message").unwrap();
    let key = VerificationKey::from_pem(algorithm, public.as_bytes()).unwrap();
    assert_eq!(key.verify(b"message", &signature), Ok(()), "{algorithm}");
    assert!(key.verify(b"massage", &signature).is_err(), "{algorithm}");
}

fn refused(algorithm: Algorithm, value: &str) -> KeyError {
    VerificationKey::from_pem(algorithm, value.as_bytes()).unwrap_err()
}

#[test]
fn all_public_forms_are_read() {
    for algorithm in RSA {
        for private in [pem!("rsa-2048.private"), pem!("rsa-2048.private-pkcs1")] {
            for public in [pem!("rsa-2048.public"), pem!("rsa-2048.pkcs1"), pem!("rsa-2048.certificate")] {
                check(algorithm, private, public);
            }
        }
    }
    check(Algorithm::Es256, pem!("p256.private"), pem!("p256.public"));
    check(Algorithm::Es256, pem!("p256.private"), pem!("p256.compressed"));
    check(Algorithm::Es256, pem!("p256.private"), pem!("p256.certificate"));
    check(Algorithm::Es384, pem!("p384.private"), pem!("p384.public"));
    check(Algorithm::Es384, pem!("p384.private"), pem!("p384.certificate"));
    check(Algorithm::Es512, pem!("p521.private"), pem!("p521.public"));
    check(Algorithm::Es512, pem!("p521.private"), pem!("p521.certificate"));
    check(Algorithm::EdDsa, pem!("ed25519.private"), pem!("ed25519.public"));
    check(Algorithm::EdDsa, pem!("ed25519.private"), pem!("ed25519.certificate"));
}

#[test]
fn environments_may_mangle_the_text() {
    for public in [pem!("p256.public"), pem!("p256.certificate")] {
        for mangled in [
            public.replace('\n', "\r\n"),
            public.replace('\n', "\\n"),
            public.trim_end().to_owned(),
            format!("\n  {public}\n\n"),
            public.trim_end().replace('\n', "\\n"),
        ] {
            check(Algorithm::Es256, pem!("p256.private"), &mangled);
            assert!(load(&[("AUTH_JWT_ALG", "ES256"), ("AUTH_JWT_KEY", &mangled)]).is_ok());
        }
    }
}

#[test]
fn curve_and_type_must_be_those_of_the_algorithm() {
    let files = [
        (pem!("rsa-2048.public"), &RSA[..]),
        (pem!("rsa-2048.certificate"), &RSA),
        (pem!("p256.public"), &[Algorithm::Es256]),
        (pem!("p256.certificate"), &[Algorithm::Es256]),
        (pem!("p384.public"), &[Algorithm::Es384]),
        (pem!("p521.public"), &[Algorithm::Es512]),
        (pem!("ed25519.public"), &[Algorithm::EdDsa]),
        (pem!("rsa-pss.public"), &[Algorithm::Ps256, Algorithm::Ps384, Algorithm::Ps512]),
        (pem!("secp256k1.public"), &[]),
        (pem!("ed448.public"), &[]),
        (pem!("x25519.public"), &[]),
        (pem!("rsa-pss-restricted.public"), &[]),
    ];
    for (file, accepted) in files {
        for algorithm in
            Algorithm::ALL.into_iter().filter(|algorithm| algorithm.family() != auth::Family::Hmac)
        {
            match VerificationKey::from_pem(algorithm, file.as_bytes()) {
                Ok(_) => assert!(accepted.contains(&algorithm), "{algorithm}\n{file}"),
                Err(error) => {
                    assert!(!accepted.contains(&algorithm), "{algorithm}: {error}\n{file}");
                    assert!(matches!(error, KeyError::OtherType(_)), "{algorithm}: {error}\n{file}");
                }
            }
        }
    }
}

#[test]
fn wrong_keys_get_the_required_words() {
    for (algorithm, value) in [
        ("ES512", pem!("p256.public")),
        ("ES512", pem!("rsa-2048.public")),
        ("RS256", pem!("p256.public")),
        ("ES256", "no PEM at all"),
        ("RS256", "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----"),
        ("RS256", "-----BEGIN PUBLIC KEY-----"),
        ("EdDSA", pem!("x25519.public")),
    ] {
        let faults = faults(&[("AUTH_JWT_ALG", algorithm), ("AUTH_JWT_KEY", value)]);
        let expected =
            format!("AUTH_JWT_KEY is not a valid key for AUTH_JWT_ALG={algorithm} or it has invalid format");
        assert!(faults.len() == 1 && faults[0].starts_with(&expected), "{faults:?}");
        assert!(faults[0].contains("-----BEGIN PUBLIC KEY-----"), "{faults:?}");
    }
}

#[test]
fn small_rsa_keys_are_refused_with_their_size() {
    for algorithm in RSA {
        assert_eq!(refused(algorithm, pem!("rsa-1024.public")), KeyError::TooSmall(1024));
    }
    let faults = faults(&[("AUTH_JWT_ALG", "RS256"), ("AUTH_JWT_KEY", pem!("rsa-1024.public"))]);
    assert!(
        faults[0].starts_with("AUTH_JWT_KEY")
            && faults[0].contains("1024 bits")
            && faults[0].contains("2048")
    );
}

#[test]
fn private_keys_are_refused_with_advice() {
    for value in [
        pem!("p256.private"),
        pem!("p256.private-sec1"),
        pem!("rsa-2048.private"),
        pem!("rsa-2048.private-pkcs1"),
        pem!("rsa-2048.private-encrypted"),
        pem!("ed25519.private"),
    ] {
        let escaped = value.replace('\n', "\\n");
        for value in [value, &escaped, &format!("{}{value}", pem!("p256.public"))] {
            for algorithm in ["ES256", "RS256", "EdDSA"] {
                let faults = faults(&[("AUTH_JWT_ALG", algorithm), ("AUTH_JWT_KEY", value)]);
                assert!(faults[0].starts_with("AUTH_JWT_KEY holds a private key"), "{faults:?}");
                assert!(faults[0].contains("openssl pkey -in private.pem -pubout"), "{faults:?}");
            }
        }
    }
}

#[test]
fn one_block_only() {
    for second in [pem!("p256.public"), pem!("p256.certificate")] {
        let value = format!("{}{second}", pem!("p256.public"));
        assert_eq!(refused(Algorithm::Es256, &value), KeyError::SeveralBlocks);
        assert_eq!(refused(Algorithm::Es256, &value.replace('\n', "\\n")), KeyError::SeveralBlocks);
    }
}

#[test]
fn other_blocks_and_parameters_are_refused() {
    let renamed = pem!("p256.public").replace("PUBLIC KEY", "CERTIFICATE REQUEST");
    assert_eq!(refused(Algorithm::Es256, &renamed), KeyError::UnknownBlock);
    assert_eq!(refused(Algorithm::Es256, pem!("p256.explicit")), KeyError::Damaged);
    let mislabelled = pem!("p256.public").replace("PUBLIC KEY", "RSA PUBLIC KEY");
    assert_eq!(refused(Algorithm::Rs256, &mislabelled), KeyError::Damaged);
}

#[test]
fn damaged_documents_are_refused_and_never_panic() {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    for (algorithm, label, text) in [
        (Algorithm::Es256, "PUBLIC KEY", pem!("p256.public")),
        (Algorithm::Es256, "CERTIFICATE", pem!("p256.certificate")),
        (Algorithm::Rs256, "PUBLIC KEY", pem!("rsa-2048.public")),
        (Algorithm::Rs256, "RSA PUBLIC KEY", pem!("rsa-2048.pkcs1")),
        (Algorithm::EdDsa, "PUBLIC KEY", pem!("ed25519.public")),
    ] {
        let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        let der = BASE64_STANDARD.decode(body).unwrap();
        let wrap = |der: &[u8]| {
            format!("-----BEGIN {label}-----\n{}\n-----END {label}-----", BASE64_STANDARD.encode(der))
        };
        assert!(VerificationKey::from_pem(algorithm, wrap(&der).as_bytes()).is_ok());
        for len in 0..der.len() {
            assert!(
                VerificationKey::from_pem(algorithm, wrap(&der[..len]).as_bytes()).is_err(),
                "{label} cut at {len}"
            );
        }
        assert!(VerificationKey::from_pem(algorithm, wrap(&[&der[..], &[0]].concat()).as_bytes()).is_err());
        for position in 0..der.len() {
            let mut changed = der.clone();
            changed[position] ^= 0x81;
            let _ = VerificationKey::from_pem(algorithm, wrap(&changed).as_bytes());
        }
    }
}

#[test]
fn points_off_the_curve_and_trivial_exponents_are_refused() {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    let wrap = |label: &str, der: &[u8]| {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----", BASE64_STANDARD.encode(der))
    };
    let body: String = pem!("p256.public").lines().filter(|line| !line.starts_with('-')).collect();
    let mut der = BASE64_STANDARD.decode(body).unwrap();
    *der.last_mut().unwrap() ^= 1;
    assert_eq!(refused(Algorithm::Es256, &wrap("PUBLIC KEY", &der)), KeyError::Damaged);
    let body: String = pem!("rsa-2048.pkcs1").lines().filter(|line| !line.starts_with('-')).collect();
    let der = BASE64_STANDARD.decode(body).unwrap();
    assert_eq!(der[der.len() - 5..], [2, 3, 1, 0, 1]);
    for exponent in [[2, 3, 1, 0, 0], [2, 3, 0, 0, 1]] {
        let changed = [&der[..der.len() - 5], &exponent].concat();
        assert_eq!(refused(Algorithm::Rs256, &wrap("RSA PUBLIC KEY", &changed)), KeyError::Damaged);
    }
}

#[test]
fn generated_keys_work_when_configured() {
    for algorithm in Algorithm::ALL {
        let key = SigningKey::generate(algorithm).unwrap();
        let value = key.public.as_deref().unwrap_or(&key.private);
        let verifier = verifier(&[("AUTH_JWT_ALG", algorithm.name()), ("AUTH_JWT_KEY", value)]);
        let signing = match key.public {
            Some(_) => SigningKey::from_pem(algorithm, key.private.as_bytes()).unwrap(),
            None => SigningKey::from_secret(algorithm, key.private.as_bytes()).unwrap(),
        };
        let token = signing.token(claims(serde_json::json!({})).as_object().unwrap(), Some("k")).unwrap();
        assert_eq!(outcome(&verifier, &token), Ok("u1".to_owned()), "{algorithm}");
        // A shared secret is one line of base64url, which may begin with a dash of its own.
        let secret = key.private.lines().find(|line| !line.starts_with("-----")).unwrap();
        assert!(!format!("{key:?} {signing:?}").contains(&secret[..20]));
    }
}

#[test]
fn the_algorithm_of_a_private_key_is_found() {
    for (pem, algorithm) in [
        (pem!("p256.private"), Some(Algorithm::Es256)),
        (pem!("p384.private"), Some(Algorithm::Es384)),
        (pem!("p521.private"), Some(Algorithm::Es512)),
        (pem!("ed25519.private"), Some(Algorithm::EdDsa)),
        (pem!("rsa-2048.private"), Some(Algorithm::Rs256)),
        (pem!("p256.public"), None),
        ("secret", None),
    ] {
        assert_eq!(SigningKey::algorithm_of_pem(pem.as_bytes()), algorithm);
    }
}

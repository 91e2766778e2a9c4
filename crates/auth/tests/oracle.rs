//! What holds for any bytes presented as a token. Used by the fuzz target and by its stable twin in `properties.rs`.

use std::sync::LazyLock;

use auth::{Algorithm, AuthConfig, SigningKey, VerificationKey, Verifier};

/// The moment of judging, in milliseconds since the epoch.
pub const NOW_MS: u64 = 1_684_750_000_000;
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static INSECURE: LazyLock<Verifier> = LazyLock::new(|| Verifier::new(AuthConfig::insecure()));
static SECURE: LazyLock<Verifier> = LazyLock::new(|| {
    let key = VerificationKey::from_secret(Algorithm::Hs256, SECRET).expect("the secret is long enough");
    Verifier::new(AuthConfig::secure(key))
});
static SIGNER: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::from_secret(Algorithm::Hs256, SECRET).expect("the secret is long enough"));

/// Judges the bytes in every way and checks what must hold.
pub fn check(bytes: &[u8]) {
    let Ok(token) = std::str::from_utf8(bytes) else { return };
    for verifier in [&*SECURE, &*INSECURE] {
        let verdict = verifier.verify(token, NOW_MS);
        let explanation = verifier.explain(token, NOW_MS);
        assert_eq!(verdict, explanation.outcome, "an explanation decides as verification does");
        match &verdict {
            Ok(identity) => {
                assert!(!identity.user_id.trim().is_empty() && !identity.user_id.contains('\0'));
                assert!(identity.claims.is_object());
                assert!(identity.deadline() >= identity.expires_at_ms);
            }
            Err(refusal) => {
                assert!(refusal.to_string().chars().count() <= 100, "messages are short");
                assert!(!refusal.reason().advice().is_empty());
            }
        }
    }
    if SECURE.verify(token, NOW_MS).is_ok() {
        let (message, signature) = token.rsplit_once('.').expect("an accepted token has dots");
        assert_eq!(signature, tag(message), "only the holder of the secret makes accepted tokens");
        assert!(INSECURE.verify(token, NOW_MS).is_ok(), "insecure mode accepts what secure mode does");
    }
    let fingerprint = SECURE.fingerprint(token);
    assert!(fingerprint.len() < 4096 && !fingerprint.contains('\n'));
    // The same payload, properly signed: reaches what stands behind the signature.
    if let Some((message, _)) = token.rsplit_once('.') {
        let _ = SECURE.verify(&format!("{message}.{}", tag(message)), NOW_MS);
    }
}

fn tag(message: &str) -> String {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
    BASE64_URL_SAFE_NO_PAD.encode(SIGNER.sign(message.as_bytes()).expect("HMAC does not fail"))
}

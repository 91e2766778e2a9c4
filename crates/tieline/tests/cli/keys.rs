//! `tieline keys` and what its keys are good for (spec 01 §7).

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use tempfile::TempDir;

use super::command::{Done, tieline};

const ALGORITHMS: [&str; 13] = [
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA", "PS256",
    "PS384", "PS512",
];

/// A generated key.
pub struct Generated {
    directory: TempDir,
    /// `AUTH_JWT_ALG` and `AUTH_JWT_KEY` as a shell would take them.
    pub settings: Vec<(String, String)>,
}

impl Generated {
    pub fn new(algorithm: &str) -> Generated {
        let directory = tempfile::tempdir().unwrap();
        let done = tieline(
            &["keys", "generate", "--alg", algorithm, "--out", directory.path().to_str().unwrap()],
            &[],
        );
        assert_eq!(done.status, 0, "{done:?}");
        let settings = done
            .out
            .lines()
            .map(|line| {
                let (name, value) = line.split_once('=').unwrap();
                (name.to_owned(), value.trim_matches('\'').to_owned())
            })
            .collect();
        Generated { directory, settings }
    }

    /// The settings for [`tieline`].
    pub fn settings(&self) -> Vec<(&str, &str)> {
        self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// The only file that signs.
    pub fn private(&self) -> String {
        let mut files = fs::read_dir(self.directory.path()).unwrap().map(|entry| entry.unwrap().path());
        let private = files.find(|path| !path.to_str().unwrap().ends_with("-public.pem")).unwrap();
        private.to_str().unwrap().to_owned()
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn tokens_of_every_algorithm_are_accepted_with_the_printed_settings() {
    for algorithm in ALGORITHMS {
        let key = Generated::new(algorithm);
        let names: Vec<&str> = key.settings.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["AUTH_JWT_ALG", "AUTH_JWT_KEY"]);
        assert_eq!(key.settings[0].1, algorithm);
        assert_eq!(mode(Path::new(&key.private())), 0o600, "{algorithm}");

        let private = key.private();
        let token =
            tieline(&["token", "mint", "--sub", "1", "--alg", algorithm, "--key-file", &private], &[]);
        assert_eq!((token.status, token.err.as_str()), (0, ""), "{algorithm}");
        let done = tieline(&["token", "verify", token.out.trim()], &key.settings());
        assert_eq!(done.status, 0, "{algorithm}: {done:?}");
        assert!(done.out.contains("Accepted: user \"1\", expires "), "{done:?}");
        // With the settings of the service the algorithm need not be repeated.
        let token = tieline(&["token", "mint", "--sub", "1", "--key-file", &private], &key.settings());
        assert_eq!(tieline(&["token", "verify", token.out.trim()], &key.settings()).status, 0, "{algorithm}");
    }
}

#[test]
fn the_shell_takes_the_settings_as_printed() {
    let directory = tempfile::tempdir().unwrap();
    let script = r#"set -eu; cd "$1"
        "$2" keys generate --alg ES384 --out . > env 2> remarks
        token=$("$2" token mint --sub 7 --key-file ./jwt-es384-private.pem)
        set -a; . ./env; set +a
        printf '%s\n' "$token" | "$2" token verify -"#;
    let output = std::process::Command::new("sh")
        .args(["-c", script, "sh", directory.path().to_str().unwrap(), env!("CARGO_BIN_EXE_tieline")])
        .output()
        .unwrap();
    let done = Done::from(output);
    assert_eq!(done.status, 0, "{done:?}");
    assert!(done.out.contains("Accepted: user \"7\""), "{done:?}");
}

#[test]
fn keys_are_never_overwritten_and_directories_are_made() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("a/b");
    let arguments = ["keys", "generate", "--alg", "HS256", "--out", directory.to_str().unwrap()];
    assert_eq!(tieline(&arguments, &[]).status, 0);
    assert_eq!(mode(&directory), 0o700);
    let file = directory.join("jwt-hs256-secret.txt");
    let secret = fs::read_to_string(&file).unwrap();
    assert!(secret.len() >= 32 && !secret.contains('\n'));
    let again = tieline(&arguments, &[]);
    assert_eq!(again.status, 1);
    assert!(again.err.contains("exists already") && again.out.is_empty(), "{again:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), secret);
}

#[test]
fn the_private_half_is_in_its_file_only() {
    let directory = tempfile::tempdir().unwrap();
    for (algorithm, stem) in [("ES256", "es256"), ("EdDSA", "eddsa")] {
        let done = tieline(
            &["keys", "generate", "--alg", algorithm, "--out", directory.path().to_str().unwrap()],
            &[],
        );
        let private = fs::read_to_string(directory.path().join(format!("jwt-{stem}-private.pem"))).unwrap();
        let public = fs::read_to_string(directory.path().join(format!("jwt-{stem}-public.pem"))).unwrap();
        let secret = private.lines().nth(1).unwrap();
        assert!(
            !done.out.contains(&secret[..32])
                && !done.err.contains(&secret[..32])
                && !public.contains(&secret[..32])
        );
        assert!(done.out.contains(public.lines().nth(1).unwrap()), "{done:?}");
    }
}

#[test]
fn unknown_algorithms_are_told_at_once() {
    let done = tieline(&["keys", "generate", "--alg", "ES257"], &[]);
    assert_eq!(done.status, 2);
    assert!(done.err.contains("ES256") && done.err.contains("EdDSA"), "{done:?}");
}

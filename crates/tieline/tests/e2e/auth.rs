//! Nothing streams before identity: tokens made by the command line, judged by the service, held by the real client.

use std::{path::Path, process::Command};

use node_client::NodeClient;
use serde_json::json;
use testkit::unsigned_token;

use super::service::{ITEMS, Service, has, id, items};

/// Runs a command of the binary's and returns what it printed.
fn tieline(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_tieline")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Makes an ES256 key pair in a folder and returns the paths of its halves.
fn keys(folder: &Path) -> (String, String) {
    std::fs::create_dir_all(folder).unwrap();
    tieline(&["keys", "generate", "--alg", "ES256", "--out", folder.to_str().unwrap()]);
    let find = |word: &str| {
        let files = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
        let file = files.into_iter().find(|path| path.file_name().unwrap().to_str().unwrap().contains(word));
        file.unwrap_or_else(|| panic!("no {word} file")).to_str().unwrap().to_owned()
    };
    (find("private"), find("public"))
}

fn mint(private: &str, more: &[&str]) -> String {
    tieline(&[&["token", "mint", "--sub", "alice", "--alg", "ES256", "--key-file", private], more].concat())
}

/// The client can't connect with this token, and nothing of the database reaches it.
async fn refused(client: &NodeClient, token: &str, why: &str) {
    assert!(client.connect(token).await.is_err(), "{why} was accepted");
    let nothing = "SELECT count(*) = 0 FROM sqlite_master WHERE name = 'items'";
    client.wait(nothing).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_token_syncs_both_ways_and_no_other_does() {
    let folder = tempfile::tempdir().unwrap();
    let (private, public) = keys(&folder.path().join("ours"));
    let (stranger, _) = keys(&folder.path().join("theirs"));
    let public = std::fs::read_to_string(public).unwrap();
    let service = Service::with(&[("AUTH_JWT_ALG", "ES256"), ("AUTH_JWT_KEY", &public)]).await;
    service.sql(ITEMS).await;
    let client = service.client("alice", &items()).await;
    refused(&client, &mint(&stranger, &[]), "a token with another key").await;
    refused(&client, &unsigned_token("alice"), "an unsigned token").await;
    let expired = ["--claim", "iat=1600000000", "--claim", "exp=1600000100"];
    refused(&client, &mint(&private, &expired), "an expired token").await;
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "0123456789abcdef0123456789abcdef").unwrap();
    let hmac = ["token", "mint", "--sub", "alice", "--alg", "HS256", "--key-file", secret.to_str().unwrap()];
    refused(&client, &tieline(&hmac), "a token for another algorithm").await;

    client.connect(&mint(&private, &["--exp", "1h"])).await.unwrap();
    client.sync(&["items"]).await.unwrap();
    service.sql(&format!("INSERT INTO items VALUES ('{}', 'down', 1)", id(1))).await;
    client.wait(has(1, "down")).await.unwrap();
    client.sql("INSERT INTO items VALUES (?, 'up', 2)", &[id(2).into()]).await.unwrap();
    service.wait(&has(2, "up")).await;
    client.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn insecure_mode_takes_unsigned_tokens_with_either_claim() {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
    let service = Service::insecure().await;
    service.sql(ITEMS).await;
    for claim in ["sub", "user_id"] {
        let client = service.client(claim, &items()).await;
        let (header, claims) = (json!({ "alg": "none" }).to_string(), json!({ claim: "alice" }).to_string());
        let token = format!("{}.{}.", BASE64.encode(header), BASE64.encode(claims));
        client.connect(&token).await.unwrap();
        client.sync(&["items"]).await.unwrap();
        client.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expiring_token_ends_the_session_and_a_new_one_resumes_it() {
    let secret = "an HMAC secret of more than thirty-two bytes";
    let service =
        Service::with(&[("AUTH_JWT_ALG", "HS256"), ("AUTH_JWT_KEY", secret), ("AUTH_JWT_LEEWAY", "0s")])
            .await;
    service.sql(ITEMS).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, secret).unwrap();
    let mint = |exp: &str| {
        let file = file.to_str().unwrap();
        tieline(&["token", "mint", "--sub", "alice", "--alg", "HS256", "--key-file", file, "--exp", exp])
    };
    let client = service.client("alice", &items()).await;
    client.connect(&mint("3s")).await.unwrap();
    client.sync(&["items"]).await.unwrap();
    let mut connectivity = client.connectivity();
    let ended = connectivity.wait_for(|state| state.status == "disconnected" && state.reason.is_some()).await;
    let reason = ended.unwrap().reason.clone().unwrap();
    assert!(reason.to_lowercase().contains("expired"), "{reason}");
    service.sql(&format!("INSERT INTO items VALUES ('{}', 'meanwhile', 1)", id(1))).await;
    client.connect(&mint("1h")).await.unwrap();
    client.wait(has(1, "meanwhile")).await.unwrap();
    client.close().await.unwrap();
}

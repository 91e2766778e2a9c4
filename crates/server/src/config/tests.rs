use std::{collections::HashMap, ffi::OsString};

use super::*;

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn read(variables: &[(&str, &str)]) -> Result<Config, String> {
    let table: HashMap<&str, OsString> = variables.iter().map(|(k, v)| (*k, OsString::from(v))).collect();
    Config::from_lookup(&|name| table.get(name).cloned()).map_err(|banner| banner.to_string())
}

/// With the least that is required, and these.
fn with(variables: &[(&str, &str)]) -> Result<Config, String> {
    let mut all = vec![
        ("DATABASE_URL", "postgresql://u@localhost/db"),
        ("AUTH_MODE", "insecure"),
        ("TIELINE_DATA_DIR", "none"),
    ];
    all.extend(variables);
    read(&all)
}

fn fault(variables: &[(&str, &str)]) -> String {
    let banner = with(variables).unwrap_err();
    let items: Vec<&str> = banner.lines().filter_map(|line| line.strip_prefix("▓   * ")).collect();
    items.join("; ")
}

#[test]
fn defaults_are_those_of_the_reference() {
    let config = with(&[]).unwrap();
    assert_eq!(config.listen, Listen { port: 5133, ipv6: true, loopback: true });
    assert_eq!((config.window.memory, config.window.span), (256 << 20, 2 << 30));
    assert_eq!(config.data_dir, None, "as it was told");
    assert_eq!(config.shutdown_timeout, Duration::from_secs(5));
    assert_eq!(config.log, Log { level: LogLevel::Info, format: LogFormat::Text });
    assert!(Uuid::parse_str(&config.instance_id).is_ok());
    assert_eq!(config.clients.unauthenticated, 1000);
    assert_eq!(config.clients.max_message, 64 << 20);
    let ShapeConfig { limits, snapshots, initial, cache } = config.shapes;
    assert_eq!(limits, ::shapes::ShapeLimits { depth: 16, layers: 256, clause: 256 << 10 });
    assert_eq!((snapshots.connections, snapshots.statement_timeout), (8, Duration::ZERO));
    assert_eq!(initial, InitialLimits { rows: None, memory: 64 << 20, spool: std::env::temp_dir() });
    assert_eq!(cache, 64 << 20);
}

#[test]
fn shapes_are_bounded_as_told() {
    let config = with(&[
        ("TIELINE_SHAPE_MAX_DEPTH", "3"),
        ("TIELINE_SHAPE_MAX_TABLES", "12"),
        ("TIELINE_SHAPE_MAX_WHERE", "4K"),
        ("TIELINE_SHAPE_MAX_ROWS", "100000"),
        ("TIELINE_SNAPSHOT_CONNECTIONS", "2"),
        ("TIELINE_SNAPSHOT_TIMEOUT", "5m"),
        ("TIELINE_SPOOL_DIR", "."),
        ("TIELINE_SHAPE_CACHE", "1G"),
    ])
    .unwrap();
    let ShapeConfig { limits, snapshots, initial, cache } = config.shapes;
    assert_eq!(limits, ::shapes::ShapeLimits { depth: 3, layers: 12, clause: 4 << 10 });
    assert_eq!((snapshots.connections, snapshots.statement_timeout), (2, Duration::from_secs(300)));
    assert_eq!(initial, InitialLimits { rows: Some(100_000), memory: 1 << 30, spool: ".".into() });
    assert_eq!(cache, 1 << 30);
}

#[test]
fn empty_and_blank_mean_unset() {
    let names = [
        "HTTP_PORT",
        "ELECTRIC_USE_IPV6",
        "DATABASE_REQUIRE_SSL",
        "DATABASE_USE_IPV6",
        "ELECTRIC_WRITE_TO_PG_MODE",
        "LOGICAL_PUBLISHER_HOST",
        "LOGICAL_PUBLISHER_PORT",
        "LOG_LEVEL",
        "LOG_FORMAT",
        "ELECTRIC_TXN_CACHE_SIZE",
        "ELECTRIC_RESUMABLE_WAL_WINDOW",
        "ELECTRIC_INSTANCE_ID",
        "TIELINE_SHUTDOWN_TIMEOUT",
        "PG_PROXY_PORT",
        "PG_PROXY_PASSWORD",
        "TIELINE_PROXY_AUTH",
        "TIELINE_PROXY_CONNECTIONS",
        "TIELINE_PROXY_TLS_CERT_FILE",
        "ELECTRIC_FEATURES",
        "MAX_UNAUTHENTICATED",
        "TIELINE_SHAPE_MAX_ROWS",
        "TIELINE_SPOOL_DIR",
    ];
    for blank in ["", "  "] {
        let variables: Vec<_> = names.iter().map(|name| (*name, blank)).collect();
        let config = with(&variables).unwrap();
        assert_eq!(config.listen.port, 5133);
        assert!(!config.instance_id.trim().is_empty());
        assert!(with(&[("DATABASE_URL", blank)]).unwrap_err().contains("DATABASE_URL not set"));
    }
}

#[test]
fn everything_wrong_is_told_at_once_and_in_order() {
    let banner = read(&[
        ("AUTH_JWT_ALG", "HS256"),
        ("TIELINE_DATA_DIR", "/nowhere/to/be/found"),
        ("ELECTRIC_WRITE_TO_PG_MODE", "foo"),
        ("LOG_LEVEL", "loud"),
        ("PG_PROXY_PORT", "http:x"),
        ("HTTP_PORT", "0"),
        ("ELECTRIC_TXN_CACHE_SIZE", "lots"),
    ])
    .unwrap_err();
    let items: Vec<&str> = banner.lines().filter_map(|line| line.strip_prefix("▓   * ")).collect();
    let expected = [
        "AUTH_JWT_KEY not set",
        "DATABASE_URL not set",
        r#"ELECTRIC_WRITE_TO_PG_MODE has invalid value: "foo". Must be one of ["direct_writes", "logical_replication"]"#,
        r#"LOG_LEVEL has invalid value: "loud". Must be one of ["error", "warning", "info", "debug"]"#,
        r#"PG_PROXY_PORT has invalid value: "x""#,
        r#"HTTP_PORT has invalid value: "0""#,
        r#"ELECTRIC_TXN_CACHE_SIZE has invalid value: "lots""#,
        r#"TIELINE_DATA_DIR has invalid value: "/nowhere/to/be/found". Must be a directory"#,
    ];
    assert_eq!(items.len(), expected.len(), "{items:?}");
    for (item, expected) in items.iter().zip(expected) {
        assert!(item.starts_with(expected), "{item} / {expected}");
    }
}

#[test]
fn faults_name_their_variable() {
    for (name, value) in [
        ("DATABASE_REQUIRE_SSL", "maybe"),
        ("DATABASE_USE_IPV6", "2"),
        ("ELECTRIC_USE_IPV6", "ja"),
        ("LOGICAL_PUBLISHER_PORT", "5433abc"),
        ("LOG_FORMAT", "xml"),
        ("TIELINE_SHUTDOWN_TIMEOUT", "soon"),
        ("ELECTRIC_RESUMABLE_WAL_WINDOW", "0"),
        ("MAX_UNAUTHENTICATED", "-1"),
        ("TIELINE_CONTAINER", "docker"),
        ("TIELINE_MAX_MESSAGE_SIZE", "1k"),
        ("TIELINE_SLOW_READER_TIMEOUT", "0"),
        ("TIELINE_SHAPE_MAX_DEPTH", "65"),
        ("TIELINE_SHAPE_MAX_TABLES", "0"),
        ("TIELINE_SHAPE_MAX_WHERE", "65M"),
        ("TIELINE_SHAPE_MAX_ROWS", "0"),
        ("TIELINE_SNAPSHOT_CONNECTIONS", "none"),
        ("TIELINE_SNAPSHOT_TIMEOUT", "0"),
        ("TIELINE_SPOOL_DIR", "/nowhere/to/be/found"),
        ("TIELINE_SHAPE_CACHE", "1K"),
    ] {
        let text = fault(&[(name, value)]);
        assert!(text.starts_with(&format!("{name} has invalid value: {value:?}")), "{text}");
        assert!(!text.contains("; "), "{text}");
    }
    assert!(
        fault(&[("DATABASE_URL", "psql://u@h/d")]).contains(r#"DATABASE_URL has invalid URL scheme: "psql""#)
    );
}

#[test]
fn the_compose_files_of_the_old_service_just_work() {
    let config = with(&[
        ("DATABASE_REQUIRE_SSL", "false"),
        ("LOGICAL_PUBLISHER_HOST", "electric"),
        ("ELECTRIC_WRITE_TO_PG_MODE", "logical_replication"),
        ("PG_PROXY_PASSWORD", "proxy_password"),
        ("AUTH_JWT_ALG", ""),
        ("AUTH_JWT_KEY", ""),
        ("ELECTRIC_FEATURES", ""),
        ("ELECTRIC_TELEMETRY", "whatever"),
    ])
    .unwrap();
    let told = format!("{:?}", config.notices);
    assert!(told.contains("logical_replication is served by direct writes"), "{told}");
    assert_eq!(
        config.proxy.map(|proxy| (proxy.port, proxy.tunnel, proxy.sessions)),
        Some((65432, false, 20))
    );
}

#[test]
fn without_a_password_there_is_no_proxy() {
    let config = with(&[("PG_PROXY_PORT", "http:6000")]).unwrap();
    assert!(config.proxy.is_none());
    let told = format!("{:?}", config.notices);
    assert_eq!(told.matches("PG_PROXY_PASSWORD is unset: the migrations proxy is off.").count(), 1, "{told}");
}

#[test]
fn the_proxy_is_as_it_was_ordered() {
    let config = with(&[
        ("PG_PROXY_PASSWORD", "hunter2"),
        ("PG_PROXY_PORT", "http:6000"),
        ("TIELINE_PROXY_AUTH", "md5"),
        ("TIELINE_PROXY_CONNECTIONS", "3"),
    ])
    .unwrap();
    let proxy = config.proxy.unwrap();
    assert_eq!((proxy.port, proxy.tunnel, proxy.sessions), (6000, true, 3));
    let shown = format!("{proxy:?}");
    assert!(shown.contains("md5") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn faults_of_the_proxy_are_told_with_all_others() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("not.pem");
    std::fs::write(&file, "nothing of the kind").unwrap();
    let file = file.to_str().unwrap();
    for (variables, faults) in [
        (
            &[("TIELINE_PROXY_AUTH", "plain"), ("TIELINE_PROXY_CONNECTIONS", "0")][..],
            &[
                "TIELINE_PROXY_AUTH has invalid value: \"plain\"",
                "TIELINE_PROXY_CONNECTIONS has invalid value: \"0\"",
            ][..],
        ),
        (
            &[("TIELINE_PROXY_TLS_CERT_FILE", file)],
            &["TIELINE_PROXY_TLS_KEY_FILE not set, though the certificate is"],
        ),
        (
            &[("TIELINE_PROXY_TLS_KEY_FILE", file)],
            &["TIELINE_PROXY_TLS_CERT_FILE not set, though its key is"],
        ),
        (
            &[("TIELINE_PROXY_TLS_KEY_FILE", file), ("TIELINE_PROXY_TLS_CERT_FILE", file)],
            &["TIELINE_PROXY_TLS_CERT_FILE names a file"],
        ),
        (
            &[("TIELINE_PROXY_TLS_KEY_FILE", file), ("TIELINE_PROXY_TLS_CERT_FILE", "/no/such.pem")],
            &["TIELINE_PROXY_TLS_CERT_FILE names a file that can't be read: \"/no/such.pem\""],
        ),
    ] {
        let banner = with(variables).unwrap_err();
        for fault in faults {
            assert!(banner.contains(fault), "{banner}");
        }
    }
}

#[test]
fn insecure_mode_is_for_this_machine_unless_told_otherwise() {
    assert!(with(&[]).unwrap().listen.loopback);
    assert!(!with(&[("AUTH_INSECURE_ALLOW_REMOTE", "true")]).unwrap().listen.loopback);
    assert!(!with(&[("TIELINE_CONTAINER", "1")]).unwrap().listen.loopback);
    let secure = [("AUTH_MODE", "secure"), ("AUTH_JWT_ALG", "HS256"), ("AUTH_JWT_KEY", KEY)];
    assert!(!with(&secure).unwrap().listen.loopback);
}

#[test]
fn no_secret_shows() {
    let secret = "hunter2hunter2hunter2hunter2hunter2";
    let url = format!("postgresql://u:{secret}@localhost/db");
    let config = with(&[
        ("DATABASE_URL", &url),
        ("AUTH_MODE", "secure"),
        ("AUTH_JWT_ALG", "HS256"),
        ("AUTH_JWT_KEY", secret),
        ("PG_PROXY_PASSWORD", secret),
    ])
    .unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    let banner = with(&[("DATABASE_URL", &format!("foo://u:{secret}@")), ("HTTP_PORT", "x")]).unwrap_err();
    assert!(!banner.contains("hunter2"), "{banner}");
}

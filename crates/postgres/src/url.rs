//! `DATABASE_URL` (spec 07 §2): `postgres[ql]://user[:password]@host[:port][/database][?option=…]`.
//!
//! Texts of faults follow the variable's name in a sentence: "DATABASE_URL missing host". None of them shows a value
//! that could be part of a password.

use std::{fmt, time::Duration};

/// Text that must not be shown: its `Debug` is blank, and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Secret {
        Secret(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What a `DATABASE_URL` says, before `DATABASE_REQUIRE_SSL` has its word on TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseUrl {
    /// Host name or address; an IPv6 address without its brackets.
    pub host: String,
    /// 5432 by default.
    pub port: u16,
    /// The role.
    pub user: String,
    /// Its password.
    pub password: Option<Secret>,
    /// The role's name by default.
    pub database: String,
    /// The options in the query part.
    pub options: UrlOptions,
    /// What was ignored, as sentences that follow the variable's name.
    pub warnings: Vec<String>,
}

/// The options that are honoured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UrlOptions {
    /// `sslmode`.
    pub ssl_mode: Option<SslMode>,
    /// `sslrootcert`: a file in PEM form, or `system`.
    pub ssl_root_cert: Option<String>,
    /// `connect_timeout` in whole seconds; zero waits as long as the system does.
    pub connect_timeout: Option<Duration>,
    /// `application_name`.
    pub application_name: Option<String>,
    /// `channel_binding`.
    pub channel_binding: ChannelBinding,
    /// `target_session_attrs`.
    pub target: TargetSession,
}

/// The values of `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are libpq's own")]
pub enum SslMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// Whether SCRAM is to be tied to the TLS connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// Where the server offers it.
    #[default]
    Prefer,
    /// No connection without it.
    Require,
}

/// Which kind of server will do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetSession {
    /// Any.
    #[default]
    Any,
    /// One that accepts writes by default.
    ReadWrite,
    /// One that does not.
    ReadOnly,
    /// One that is not in recovery.
    Primary,
    /// One that is.
    Standby,
}

impl DatabaseUrl {
    /// Reads a connection string. All faults are reported together, in the order scheme, host, user, query.
    ///
    /// # Errors
    /// The faults, as texts that follow the variable's name.
    pub fn parse(url: &str) -> Result<DatabaseUrl, Vec<String>> {
        let url = url.trim();
        let mut faults = Vec::new();
        let (scheme, rest) = split_scheme(url);
        if !matches!(scheme.to_ascii_lowercase().as_str(), "postgres" | "postgresql") {
            faults.push(format!("has invalid URL scheme: {scheme:?}"));
        }
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (userinfo, location) = match authority.rsplit_once('@') {
            Some((userinfo, location)) => (Some(userinfo), location),
            None => (None, authority),
        };
        let place = parse_location(location).map_err(|fault| faults.push(fault)).ok();
        let role = parse_userinfo(userinfo).map_err(|fault| faults.push(fault)).ok();
        let database = match decode(path) {
            Some(database) => Some(database),
            None => {
                faults.push("has an invalid percent-encoding in the database name".to_owned());
                None
            }
        };
        let mut warnings = Vec::new();
        let options = parse_query(query, &mut faults, &mut warnings);
        match (place, role, database) {
            (Some((host, port)), Some((user, password)), Some(database)) if faults.is_empty() => {
                let database = if database.is_empty() { user.clone() } else { database };
                Ok(DatabaseUrl { host, port, user, password, database, options, warnings })
            }
            _ => Err(faults),
        }
    }
}

/// The scheme and what follows `://`. Text without a scheme has an empty one.
fn split_scheme(url: &str) -> (&str, &str) {
    let is_scheme = |s: &str| {
        s.starts_with(|c: char| c.is_ascii_alphabetic())
            && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    };
    match url.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => (scheme, rest.strip_prefix("//").unwrap_or("")),
        _ => ("", url.split_once("//").map_or("", |(_, rest)| rest)),
    }
}

fn parse_location(location: &str) -> Result<(String, u16), String> {
    let (host, port) = match location.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or("has an IPv6 address without a closing bracket")?;
            (host, port.strip_prefix(':').unwrap_or(port))
        }
        None => location.rsplit_once(':').unwrap_or((location, "")),
    };
    let host = decode(host).ok_or("has an invalid percent-encoding in the host")?;
    if host.is_empty() || host.starts_with('/') {
        return Err("missing host".to_owned());
    }
    if host.contains(',') || port.contains(',') {
        return Err("has more than one host. Give a single one; all of its addresses are tried".to_owned());
    }
    let port =
        match port {
            "" => 5432,
            digits => match digits.parse::<u16>() {
                Ok(port) if port > 0 && digits.bytes().all(|b| b.is_ascii_digit()) => port,
                _ => return Err(
                    "has an invalid port. Characters like / ? # : @ in a password have to be percent-encoded"
                        .to_owned(),
                ),
            },
        };
    Ok((host, port))
}

fn parse_userinfo(userinfo: Option<&str>) -> Result<(String, Option<Secret>), String> {
    let fault = || "has invalid or missing username".to_owned();
    let userinfo = userinfo.ok_or_else(fault)?;
    let (user, password) = match userinfo.split_once(':') {
        Some((_, password)) if password.contains(':') => return Err(fault()),
        Some((user, password)) => (user, Some(password)),
        None => (userinfo, None),
    };
    let user = decode(user).filter(|user| !user.is_empty()).ok_or_else(fault)?;
    let password = match password.filter(|p| !p.is_empty()) {
        None => None,
        Some(text) => Some(decode(text).ok_or("has an invalid percent-encoding in the password")?.into()),
    };
    Ok((user, password))
}

fn parse_query(query: &str, faults: &mut Vec<String>, warnings: &mut Vec<String>) -> UrlOptions {
    let mut options = UrlOptions::default();
    let mut unknown = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Some(name), Some(value)) = (decode(name), decode(value)) else {
            faults.push("has an invalid percent-encoding in a query option".to_owned());
            continue;
        };
        let known = set_option(&mut options, &name, &value);
        match known {
            Ok(true) => {}
            Ok(false) => unknown.push(name),
            Err(fault) => faults.push(fault),
        }
    }
    if !unknown.is_empty() {
        unknown.sort_unstable();
        unknown.dedup();
        let names: Vec<String> = unknown.iter().map(|name| format!("{name:?}")).collect();
        warnings.push(format!("has unsupported query options: {}. They are ignored", names.join(", ")));
    }
    options
}

/// Sets one option; `false` if there is none of that name.
fn set_option(options: &mut UrlOptions, name: &str, value: &str) -> Result<bool, String> {
    let invalid = || format!("has invalid {name:?} value: {value:?}");
    match name {
        "sslmode" => {
            options.ssl_mode = Some(match value {
                "disable" => SslMode::Disable,
                "allow" => SslMode::Allow,
                "prefer" => SslMode::Prefer,
                "require" => SslMode::Require,
                "verify-ca" => SslMode::VerifyCa,
                "verify-full" => SslMode::VerifyFull,
                _ => return Err(invalid()),
            });
        }
        "sslrootcert" => options.ssl_root_cert = Some(value.to_owned()).filter(|path| !path.is_empty()),
        "connect_timeout" => {
            let seconds = value.parse::<u32>().map_err(|_| invalid())?;
            options.connect_timeout = Some(Duration::from_secs(u64::from(seconds)));
        }
        "application_name" => {
            options.application_name = Some(value.to_owned()).filter(|name| !name.is_empty());
        }
        "channel_binding" => {
            options.channel_binding = match value {
                "disable" => ChannelBinding::Disable,
                "prefer" => ChannelBinding::Prefer,
                "require" => ChannelBinding::Require,
                _ => return Err(invalid()),
            };
        }
        "target_session_attrs" => {
            options.target = match value {
                "any" | "prefer-standby" => TargetSession::Any,
                "read-write" => TargetSession::ReadWrite,
                "read-only" => TargetSession::ReadOnly,
                "primary" => TargetSession::Primary,
                "standby" => TargetSession::Standby,
                _ => return Err(invalid()),
            };
        }
        "replication" => {
            return Err(
                "has unsupported \"replication\" query option. Electric opens both a replication connection \
                        and regular connections to Postgres as needed"
                    .to_owned(),
            );
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Percent-decoding; `+` stays. `None` if the text is not properly encoded, not UTF-8, or holds U+0000.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2)?;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        bytes.push((digit(digits[0])? << 4 | digit(digits[1])?) as u8);
        rest = tail;
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(url: &str) -> DatabaseUrl {
        DatabaseUrl::parse(url).unwrap_or_else(|faults| panic!("{url}: {faults:?}"))
    }

    #[test]
    fn reads_what_providers_hand_out() {
        let url = parse("postgresql://me:p%40ss+1@db.example.com:6543/my%20db?sslmode=require");
        assert_eq!((url.host.as_str(), url.port), ("db.example.com", 6543));
        assert_eq!((url.user.as_str(), url.database.as_str()), ("me", "my db"));
        assert_eq!(url.password.as_ref().map(Secret::expose), Some("p@ss+1"));
        assert_eq!(url.options.ssl_mode, Some(SslMode::Require));

        let url = parse("postgres://me@[::1]");
        assert_eq!((url.host.as_str(), url.port, url.database.as_str()), ("::1", 5432, "me"));
        assert_eq!(url.password, None);
        assert_eq!(parse("postgres://me:@h/").password, None);

        let url = parse(
            "postgres://me@h/d?connect_timeout=10&application_name=a%20b&sslrootcert=%2Fca.pem\
             &channel_binding=require&target_session_attrs=read-write&sslmode=verify-full",
        );
        let options = url.options;
        assert_eq!(options.connect_timeout, Some(Duration::from_secs(10)));
        assert_eq!(options.application_name.as_deref(), Some("a b"));
        assert_eq!(options.ssl_root_cert.as_deref(), Some("/ca.pem"));
        assert_eq!(options.channel_binding, ChannelBinding::Require);
        assert_eq!(options.target, TargetSession::ReadWrite);
        assert_eq!(options.ssl_mode, Some(SslMode::VerifyFull));
    }

    #[test]
    fn ignores_unknown_options_with_a_warning() {
        let url = parse("postgres://me@h/d?pgbouncer=true&sslmode=prefer&foo=1");
        assert_eq!(url.warnings, [r#"has unsupported query options: "foo", "pgbouncer". They are ignored"#]);
    }

    #[test]
    fn says_what_is_wrong() {
        for (url, faults) in [
            ("psql://me@h/d", &[r#"has invalid URL scheme: "psql""#][..]),
            ("", &[r#"has invalid URL scheme: """#, "missing host", "has invalid or missing username"]),
            ("secret", &[r#"has invalid URL scheme: """#, "missing host", "has invalid or missing username"]),
            ("postgres://me@/d", &["missing host"]),
            ("postgres://me@%2Ftmp/d", &["missing host"]),
            ("postgres://h/d", &["has invalid or missing username"]),
            ("postgres://:pw@h/d", &["has invalid or missing username"]),
            ("postgres://me:a:b@h/d", &["has invalid or missing username"]),
            ("postgres://me@h/d?sslmode=yesplease", &[r#"has invalid "sslmode" value: "yesplease""#]),
            (
                "mysql://h?replication=database",
                &[
                    r#"has invalid URL scheme: "mysql""#,
                    "has invalid or missing username",
                    "has unsupported \"replication\" query option. Electric opens both a replication connection and \
                     regular connections to Postgres as needed",
                ],
            ),
            (
                "postgres://me@h:0",
                &["has an invalid port. Characters like / ? # : @ in a password have to be percent-encoded"],
            ),
            (
                "postgres://me@a,b",
                &["has more than one host. Give a single one; all of its addresses are tried"],
            ),
        ] {
            assert_eq!(DatabaseUrl::parse(url).unwrap_err(), faults, "{url}");
        }
    }

    #[test]
    fn never_shows_a_password() {
        let url = parse("postgres://me:hunter2@h/d");
        assert!(!format!("{url:?}").contains("hunter2"));
        for url in
            ["postgres://me:hun/ter2@h/d", "postgres://me:hunter2:x@h/d", "postgres://me:hunter2%@h:x/d"]
        {
            let faults = format!("{:?}", DatabaseUrl::parse(url).unwrap_err());
            assert!(!faults.contains("hun") && !faults.contains("ter2"), "{faults}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(url in "(postgres://)?[a-z:@/?#%&=\\[\\],0-9é]*") {
            let _ = DatabaseUrl::parse(&url);
        }

        #[test]
        fn encoded_parts_come_back(user in "\\PC{1,8}", password in "\\PC{1,8}", database in "\\PC{1,8}") {
            let encode = |text: &str| text.bytes().map(|b| format!("%{b:02x}")).collect::<String>();
            let url = format!("postgres://{}:{}@h/{}", encode(&user), encode(&password), encode(&database));
            let url = parse(&url);
            prop_assert_eq!(url.user, user);
            prop_assert_eq!(url.password.as_ref().map(Secret::expose), Some(password.as_str()));
            prop_assert_eq!(url.database, database);
        }
    }
}

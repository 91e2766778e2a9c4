//! Every setting: its name, what it is by default, and what it does. `--help` and the reference page are made from these.

/// One environment variable.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The variable.
    pub name: &'static str,
    /// What holds when it is unset, empty or blank, in words.
    pub default: &'static str,
    /// What it does, in a sentence.
    pub doc: &'static str,
}

/// Settings that belong together.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// The heading.
    pub title: &'static str,
    /// In the order of the reference.
    pub settings: &'static [Setting],
}

macro_rules! settings {
    ($($group:ident $title:literal { $($name:ident $default:literal $doc:literal)* })*) => {
        $($(
            #[doc = concat!("`", stringify!($name), "`: ", $doc)]
            pub const $name: Setting = Setting { name: stringify!($name), default: $default, doc: $doc };
        )*)*
        $(
            #[doc = concat!("Settings under the heading “", $title, "”.")]
            pub const $group: Group = Group { title: $title, settings: &[$($name),*] };
        )*
    };
}

settings! {
    DATABASE "Postgres" {
        DATABASE_URL "required"
            "Connection string of the database: `postgresql://user[:password]@host[:port][/database][?sslmode=…]`. A direct connection, not one through a pooler."
        DATABASE_REQUIRE_SSL "`sslmode` of the URL, else `true`"
            "Whether connections to Postgres must be encrypted; `false` tries without when Postgres offers no TLS."
        DATABASE_USE_IPV6 "`false`"
            "Which address family is tried first; all addresses of the host are tried in the end."
        TIELINE_STATEMENT_TIMEOUT "`30s`"
            "How long one statement of a client's transaction may take, triggers of your own included; at least 1s. After three tries the transaction is rejected."
        TIELINE_DRIFT_INTERVAL "`10s`"
            "How often synced tables are compared with what is recorded of them, for changes that nobody captured; at least 1s."
        ELECTRIC_WRITE_TO_PG_MODE "`direct_writes`"
            "`direct_writes` or `logical_replication`; the second is accepted and served by direct writes."
        LOGICAL_PUBLISHER_HOST "unused"
            "Accepted for the sake of existing deployments; nothing connects back to the service."
        LOGICAL_PUBLISHER_PORT "unused"
            "Accepted for the sake of existing deployments; the port is not opened."
    }
    NETWORK "Network" {
        HTTP_PORT "`5133`"
            "Port of the HTTP API and of the WebSocket endpoint `/ws`."
        ELECTRIC_USE_IPV6 "`true`"
            "Listen on IPv6 and IPv4 (`true`) or on IPv4 only (`false`)."
        AUTH_INSECURE_ALLOW_REMOTE "`false`"
            "Let other machines connect in insecure mode, which otherwise listens on loopback only."
        TIELINE_CONTAINER "`false`"
            "Set in the container image: the network of the container decides who may connect, so insecure mode listens on all its addresses."
        MAX_UNAUTHENTICATED "`1000`"
            "Most WebSocket connections that have not authenticated yet; more get 503."
        AUTH_FAILURE_BURST "`300`"
            "Failed attempts to authenticate that one address has at once before its answers are delayed and its log lines folded."
        AUTH_FAILURE_RATE "`20`"
            "Failed attempts that an address gets back per second."
        TIELINE_MAX_MESSAGE_SIZE "`64M`"
            "Longest message of an authenticated client; a client sends each local transaction whole."
        TIELINE_SLOW_READER_TIMEOUT "`60s`"
            "How long a client may leave what it was sent unread before it is disconnected; it can resume later."
    }
    PROXY "Migrations proxy" {
        PG_PROXY_PASSWORD "the proxy is off"
            "Password that lets a client of the migrations proxy in, whatever user it names: it can then do all that the role of `DATABASE_URL` may."
        PG_PROXY_PORT "`65432`"
            "Port of the migrations proxy, `N`. With `http:N`, or `http` for the default port, it is also reached through `/proxy` on `HTTP_PORT` (`electric-sql proxy-tunnel`)."
        TIELINE_PROXY_AUTH "`scram-sha-256`"
            "How the password is asked for: `scram-sha-256`, or `md5` for old tools."
        TIELINE_PROXY_CONNECTIONS "`20`"
            "Most sessions of the migrations proxy at once; each is a connection to Postgres. More get SQLSTATE 53300."
        TIELINE_PROXY_TLS_CERT_FILE "none: no TLS"
            "File with the certificate that the migrations proxy shows, and those that vouch for it, in PEM form. Clients may go without TLS all the same."
        TIELINE_PROXY_TLS_KEY_FILE "none"
            "File with the certificate's private key, in PEM form."
    }
    STREAM "Stream and memory" {
        ELECTRIC_TXN_CACHE_SIZE "`256M`"
            "Memory for the newest part of the journal, in bytes (suffixes k K m M g G); older transactions are read from disk. Without a journal on disk, memory for the whole window that clients can resume from."
        ELECTRIC_RESUMABLE_WAL_WINDOW "`2G`"
            "Most bytes of the journal on disk, for each database: how far behind a client may be and still resume. Without a journal on disk, bytes of write-ahead log."
        TIELINE_DATA_DIR "`/var/lib/tieline` if it is there and can be written to, else `$XDG_STATE_HOME/tieline`, else `$HOME/.local/state/tieline`"
            "Directory of the journal: the transactions that clients resume from, in a folder for each database. Put it on a disk that outlives the service. With `none` there is no journal on disk, and Postgres keeps its log for as long as clients may resume from it."
    }
    SHAPES "Shapes and initial data" {
        TIELINE_SHAPE_MAX_DEPTH "`16`"
            "Deepest nesting of includes in a shape, up to 64."
        TIELINE_SHAPE_MAX_TABLES "`256`"
            "Most steps of a shape: one for each included table, as often as it is included, and one for each table that these refer to."
        TIELINE_SHAPE_MAX_WHERE "`256K`"
            "Longest where-clause."
        TIELINE_SHAPE_MAX_ROWS "any number"
            "Most rows that a shape may have when it is subscribed to; a client that wants more gets an error and no data."
        TIELINE_SNAPSHOT_CONNECTIONS "`8`"
            "Most connections to Postgres that read initial data at a time."
        TIELINE_SNAPSHOT_TIMEOUT "none"
            "How long one query for initial data may take (`statement_timeout`)."
        TIELINE_SPOOL_DIR "the system's temporary directory"
            "Where initial data that several clients wait for is written to while it does not fit in memory. Nothing is left there."
        TIELINE_SHAPE_CACHE "`64M`"
            "Memory for what clients share of shapes: for initial data that several load at the same time, and as much for shapes with includes that nobody is subscribed to at the moment."
    }
    PROCESS "Process and diagnostics" {
        LOG_LEVEL "`info`"
            "`error`, `warning`, `info`, `debug` or `trace` (also `emergency`, `alert`, `critical`, `warn`, `notice`)."
        LOG_FORMAT "`text`"
            "`text` or `json`."
        ELECTRIC_INSTANCE_ID "a random UUID"
            "The identity that clients are told."
        TIELINE_SHUTDOWN_TIMEOUT "`5s`"
            "How long an orderly stop may take."
        ELECTRIC_FEATURES "none"
            "Accepted; features of the old service that it switched on are not needed."
        ELECTRIC_TELEMETRY "off"
            "Accepted; nothing is ever reported to anybody."
        STATSD_HOST "unused"
            "Accepted; StatsD is not spoken."
        METRICS_MEASUREMENT_PERIOD "unused"
            "Accepted."
        OTEL_EXPORT "unused"
            "Accepted; OpenTelemetry is not spoken."
        OTLP_ENDPOINT "unused"
            "Accepted."
        HONEYCOMB_API_KEY "unused"
            "Accepted."
        DISABLE_TZDATA_AUTOUPDATE "unused"
            "Accepted; no time-zone database is downloaded."
        PROXY_TRACING_ENABLE "`false`"
            "Accepted; messages that pass through the proxy are never printed."
        PG_PROXY_LOG_LEVEL "unused"
            "Accepted."
    }
}

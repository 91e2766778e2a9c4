//! Making a cluster's files, and its server process.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, TcpListener},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{Binaries, ClusterError, Options, SUPERUSER, io_error, user::Unprivileged};

/// How long a start may take: crash recovery included, of clusters that are small.
const START_LIMIT: Duration = Duration::from_secs(60);

/// What every private cluster has, whatever else is asked for.
const SETTINGS: &str = "\
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
wal_level = logical
max_wal_senders = 100
max_replication_slots = 200
max_connections = 300
logging_collector = off
log_destination = 'stderr'
";

/// Runs a program to its end; its output is the error if it fails.
fn run(program: &'static str, command: &mut Command) -> Result<(), ClusterError> {
    let output = command.stdin(Stdio::null()).output().map_err(io_error(format!("starting {program}")))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    Err(ClusterError::Failed { program, output: String::from_utf8_lossy(&text).into_owned() })
}

/// Makes a cluster's files in `data`, which must not exist.
pub(crate) fn initdb(binaries: &Binaries, user: &Unprivileged, data: &Path) -> Result<(), ClusterError> {
    run(
        "initdb",
        user.command(&binaries.program("initdb"))
            .args(["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"])
            .args(["--username", SUPERUSER, "--pgdata"])
            .arg(data),
    )
}

/// Copies the files of the cluster on `port` to `data`, which must not exist.
pub(crate) fn base_backup(
    binaries: &Binaries,
    user: &Unprivileged,
    port: u16,
    data: &Path,
    options: &[&str],
) -> Result<(), ClusterError> {
    run(
        "pg_basebackup",
        user.command(&binaries.program("pg_basebackup"))
            .args(["--host=127.0.0.1", &format!("--port={port}"), "--username", SUPERUSER])
            .args(["--checkpoint=fast", "--no-sync", "--wal-method=stream"])
            .args(options)
            .arg("--pgdata")
            .arg(data),
    )
}

/// Makes a primary of the standby in `data`.
pub(crate) fn promote(binaries: &Binaries, user: &Unprivileged, data: &Path) -> Result<(), ClusterError> {
    run("pg_ctl", user.command(&binaries.program("pg_ctl")).args(["promote", "--wait", "--pgdata"]).arg(data))
}

/// Writes the settings, ours and then the caller's.
pub(crate) fn configure(data: &Path, options: &Options) -> Result<(), ClusterError> {
    let own = data.join("tieline.conf");
    fs::write(&own, format!("{SETTINGS}{}\n", options.settings.join("\n")))
        .map_err(io_error("writing settings"))?;
    let main = data.join("postgresql.conf");
    let text = fs::read_to_string(&main).map_err(io_error("reading postgresql.conf"))?;
    if !text.contains("include = 'tieline.conf'") {
        fs::write(&main, format!("{text}\ninclude = 'tieline.conf'\n"))
            .map_err(io_error("writing settings"))?;
    }
    if let Some(hba) = &options.hba {
        fs::write(data.join("pg_hba.conf"), hba).map_err(io_error("writing pg_hba.conf"))?;
    }
    // The files were written by us, perhaps as root; the server only reads them.
    Ok(())
}

/// Whether a loopback port can be bound now.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn free_port() -> Result<u16, ClusterError> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(io_error("looking for a free port"))?;
    Ok(listener.local_addr().map_err(io_error("looking for a free port"))?.port())
}

/// Runs Postgres (`$2…`) and outlives us by a moment: when the pipe on its standard input closes, because the cluster was
/// dropped or because our process died in whatever way, it stops Postgres and removes the scratch directory `$1`, if any. Told
/// `keep` before that, it leaves both alone: Postgres has been stopped, and may be started again.
const GUARD: &str = r#"
scratch=$1; shift
exec 3<&0
"$@" 3<&- </dev/null & pid=$!
{
  [ "$(cat <&3)" = keep ] && exit
  kill -INT $pid
  while kill -0 $pid; do sleep 0.05; done
  [ -z "$scratch" ] || rm -rf -- "$scratch"
} 2>/dev/null >&2 &
exec 3<&-
wait $pid
"#;

/// A postmaster, under its guard.
pub(crate) struct Server {
    guard: Option<Child>,
    data: PathBuf,
}

impl Server {
    /// Starts a postmaster and waits until it takes connections. A free port may be taken by somebody else in the moment
    /// before Postgres binds it; another is tried then.
    pub(crate) fn start(
        binaries: &Binaries,
        user: &Unprivileged,
        data: &Path,
        port: Option<u16>,
        scratch: Option<&Path>,
    ) -> Result<(Server, u16), ClusterError> {
        let mut tries = if port.is_some() { 1 } else { 5 };
        loop {
            let chosen = port.map_or_else(free_port, Ok)?;
            tries -= 1;
            match Server::launch(binaries, user, data, chosen, scratch) {
                Err(ClusterError::Failed { output, .. })
                    if tries > 0 && output.contains("could not bind") => {}
                other => return other.map(|server| (server, chosen)),
            }
        }
    }

    fn launch(
        binaries: &Binaries,
        user: &Unprivileged,
        data: &Path,
        port: u16,
        scratch: Option<&Path>,
    ) -> Result<Server, ClusterError> {
        let log = data.join("server.log");
        let mut guard = user
            .command("/bin/sh".as_ref())
            .args(["-c", GUARD, "tieline-postgres"])
            .arg(scratch.unwrap_or(Path::new("")))
            .arg(binaries.program("postgres"))
            .arg("-D")
            .arg(data)
            .args(["-p", &port.to_string()])
            // Its own process group: Ctrl-C in a terminal reaches us only, and we stop it in good order.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(io_error("starting postgres"))?;
        let (ready, lines) = mpsc::channel();
        if let Some(stderr) = guard.stderr.take() {
            std::thread::spawn(move || follow(stderr, &log, &ready));
        }
        let mut server = Server { guard: Some(guard), data: data.to_path_buf() };
        let deadline = Instant::now() + START_LIMIT;
        let mut output = String::new();
        while let Ok(line) = lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            // A standby accepts "read-only connections".
            if line.contains("database system is ready to accept ") {
                return Ok(server);
            }
            output.push_str(&line);
            output.push('\n');
        }
        let _ = server.crash();
        Err(ClusterError::Failed { program: "postgres", output })
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.guard.as_ref().and_then(|_| postmaster(&self.data)).map(|pid| pid.as_raw().unsigned_abs())
    }

    pub(crate) fn freeze(&self) {
        self.signal_all(Signal::SIGSTOP);
    }

    pub(crate) fn thaw(&self) {
        self.signal_all(Signal::SIGCONT);
    }

    /// Signals the postmaster first, so that it starts no others meanwhile, then its children.
    fn signal_all(&self, signal: Signal) {
        let Some(postmaster) = self.guard.as_ref().and_then(|_| postmaster(&self.data)) else { return };
        let _ = kill(postmaster, signal);
        for child in children(postmaster) {
            let _ = kill(child, signal);
        }
    }

    pub(crate) fn stop(&mut self) -> Result<(), ClusterError> {
        self.end(Signal::SIGINT)
    }

    pub(crate) fn crash(&mut self) -> Result<(), ClusterError> {
        self.end(Signal::SIGQUIT)
    }

    fn end(&mut self, signal: Signal) -> Result<(), ClusterError> {
        let Some(mut guard) = self.guard.take() else { return Ok(()) };
        self.thaw();
        // The pipe must stay open until Postgres has ended: the guard would stop it in its own way.
        let pipe = guard.stdin.take();
        match postmaster(&self.data) {
            Some(pid) => drop(kill(pid, signal)),
            None => drop(kill(Pid::from_raw(guard.id() as i32), Signal::SIGTERM)),
        }
        guard.wait().map_err(io_error("waiting for postgres to end"))?;
        if let Some(mut pipe) = pipe {
            let _ = pipe.write_all(b"keep");
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

/// The running postmaster of a data directory, by its lock file.
fn postmaster(data: &Path) -> Option<Pid> {
    let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let pid: i32 = text.lines().next()?.trim().parse().ok()?;
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let ours = command.split(|byte| *byte == 0).any(|part| part == data.as_os_str().as_encoded_bytes());
    ours.then(|| Pid::from_raw(pid))
}

/// The processes that another one has started.
fn children(parent: Pid) -> Vec<Pid> {
    let is_child = |pid: &Pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name, in parentheses, may hold anything; the state and the parent follow.
        let parent_of = stat.rsplit(')').next().and_then(|rest| rest.split_ascii_whitespace().nth(1));
        parent_of.and_then(|text| text.parse().ok()) == Some(parent.as_raw())
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).map(Pid::from_raw);
    pids.filter(is_child).collect()
}

/// Waits for the end of a postmaster that a run before this one left behind in `data`; its guard is stopping it.
pub(crate) fn reclaim(data: &Path) -> Result<(), ClusterError> {
    let deadline = Instant::now() + START_LIMIT;
    while let Some(pid) = postmaster(data) {
        let _ = kill(pid, Signal::SIGINT);
        if Instant::now() > deadline {
            let output = format!("process {pid} still runs on {}", data.display());
            return Err(ClusterError::Failed { program: "postgres", output });
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Copies the server's log to a file, and its lines to whoever waits for the start, until the server ends.
fn follow(stderr: impl std::io::Read, log: &Path, ready: &mpsc::Sender<String>) {
    let mut file = fs::File::create(log).ok();
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        if let Some(file) = &mut file {
            let _ = writeln!(file, "{line}");
        }
        let _ = ready.send(line);
    }
}

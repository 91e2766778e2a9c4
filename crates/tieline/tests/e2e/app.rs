//! An app's folder, and the unmodified command line tool of `electric-sql` at work in it.

use std::{path::PathBuf, process::Stdio, time::Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use super::service::{PATIENCE, Service};

/// Prisma alone takes half of it on a busy machine.
const GENERATION: std::time::Duration = std::time::Duration::from_secs(120);

/// The password of the migrations proxy.
pub const PASSWORD: &str = "proxy_password";

/// An app.
pub struct App {
    folder: TempDir,
    service: String,
    proxy: String,
}

impl App {
    /// A new one, whose service has its proxy on this port.
    pub fn new(service: &Service, proxy_port: u16) -> App {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("package.json"), r#"{ "name": "app", "type": "module" }"#).unwrap();
        std::os::unix::fs::symlink(super::scripts().join("node_modules"), folder.path().join("node_modules"))
            .unwrap();
        let proxy = format!("postgresql://postgres:{PASSWORD}@127.0.0.1:{proxy_port}/app");
        App { folder, service: service.url(), proxy }
    }

    /// A file of the generated client.
    pub fn generated(&self, file: &str) -> PathBuf {
        self.folder.path().join("src/generated/client").join(file)
    }

    /// Writes a source file of the app.
    pub fn write(&self, file: &str, text: &str) {
        let path = self.folder.path().join("src").join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// `npx electric-sql` with these arguments. Prisma's engines are of later versions than Prisma itself, since its own can't
    /// be had from the registry: see `prisma-engine.mjs`.
    pub fn electric_sql(&self, arguments: &[&str]) -> Command {
        let engine = super::scripts().join("prisma-engine.mjs");
        let mut command = Command::new("node");
        command
            .arg("node_modules/electric-sql/dist/cli/main.js")
            .args(arguments)
            .current_dir(self.folder.path())
            .env("ELECTRIC_SERVICE", &self.service)
            .env("ELECTRIC_PROXY", &self.proxy)
            .env("PRISMA_CLI_QUERY_ENGINE_TYPE", "binary")
            .env("PRISMA_CLIENT_ENGINE_TYPE", "binary")
            .env("CHECKPOINT_DISABLE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true);
        for binary in [
            "INTROSPECTION_ENGINE_BINARY",
            "MIGRATION_ENGINE_BINARY",
            "QUERY_ENGINE_BINARY",
            "QUERY_ENGINE_LIBRARY",
            "FMT_BINARY",
        ] {
            command.env(format!("PRISMA_{binary}"), &engine);
        }
        command
    }

    /// Runs a command to its end, which is to be a good one; the answer is what it wrote.
    pub async fn run(&self, arguments: &[&str]) -> String {
        let done =
            timeout(GENERATION, self.electric_sql(arguments).output()).await.expect("it ends").unwrap();
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "electric-sql {arguments:?}: {text}");
        text
    }

    /// Starts a command that goes on.
    pub fn start(&self, arguments: &[&str]) -> Running {
        let mut child = self.electric_sql(arguments).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Running { _child: child, lines }
    }

    /// Compiles the app. What the type checker has to say is empty if all is well.
    pub async fn compile(&self) -> String {
        let compiling = Command::new("node")
            .arg(super::scripts().join("compile.mjs"))
            .arg(self.folder.path().join("src"))
            .kill_on_drop(true)
            .output();
        let done = timeout(GENERATION, compiling).await.expect("it ends").unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    /// The generated migrations of a dialect: `migrations.ts` or `pg-migrations.ts`.
    pub fn migrations(&self, file: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.generated(file)).unwrap();
        let json = text.strip_prefix("export default ").expect("a module");
        serde_json::from_str(json).unwrap()
    }

    /// Their versions, in order.
    pub fn versions(&self, file: &str) -> Vec<String> {
        self.migrations(file)
            .iter()
            .map(|migration| migration["version"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// A command that goes on; it ends when this is dropped.
pub struct Running {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// Waits until it writes a line that begins like this; the answer is the rest of the line.
    pub async fn says(&mut self, beginning: &str) -> String {
        let until = Instant::now() + GENERATION.max(PATIENCE);
        loop {
            let line = timeout(until - Instant::now(), self.lines.next_line()).await;
            let line = line.unwrap_or_else(|_| panic!("it never says {beginning:?}")).unwrap();
            let line = line.unwrap_or_else(|| panic!("it ends without saying {beginning:?}"));
            if let Some(rest) = line.strip_prefix(beginning) {
                return rest.to_owned();
            }
        }
    }
}

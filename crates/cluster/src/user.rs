//! The user that Postgres runs as.

use std::{os::unix::process::CommandExt, path::Path, process::Command};

use nix::unistd::{self, Gid, Uid, User};

use crate::{ClusterError, io_error};

/// The user to run Postgres as: ourselves, or an unprivileged one when we are root.
#[derive(Clone, Debug)]
pub(crate) struct Unprivileged(Option<(Uid, Gid)>);

impl Unprivileged {
    pub(crate) fn find() -> Result<Unprivileged, ClusterError> {
        if !Uid::effective().is_root() {
            return Ok(Unprivileged(None));
        }
        let user = ["postgres", "nobody"].iter().find_map(|name| User::from_name(name).ok().flatten());
        let user = user.ok_or(ClusterError::NoUser)?;
        Ok(Unprivileged(Some((user.uid, user.gid))))
    }

    /// Makes a directory this user's own.
    pub(crate) fn give(&self, directory: &Path) -> Result<(), ClusterError> {
        if let Some((uid, gid)) = self.0 {
            unistd::chown(directory, Some(uid), Some(gid))
                .map_err(|errno| io_error(format!("giving away {}", directory.display()))(errno.into()))?;
        }
        Ok(())
    }

    /// Whether this user can get to a directory at all: every folder above it must be open to others.
    pub(crate) fn check_reach(&self, directory: &Path) -> Result<(), ClusterError> {
        let program = "entering the directory";
        let output = self
            .command("/bin/sh".as_ref())
            .args(["-c", "cd -- \"$1\"", "sh"])
            .arg(directory)
            .output()
            .map_err(io_error(program))?;
        if output.status.success() {
            return Ok(());
        }
        let output = format!(
            "{} can't be entered by the user that Postgres runs as: a folder above it is closed to others \
             (chmod o+x makes it passable), or choose another place",
            directory.display()
        );
        Err(ClusterError::Failed { program, output })
    }

    /// A command that runs as this user.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some((uid, gid)) = self.0 {
            command.uid(uid.as_raw()).gid(gid.as_raw());
        }
        // Our own working directory may be closed to that user; Postgres then complains or fails.
        command.current_dir("/").env_remove("PGDATA").env("LC_ALL", "C.UTF-8");
        command
    }
}

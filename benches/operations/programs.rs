//! The programs as processes, and what an operator does to them.

use crate::configuration::Wanted;
use crate::{Fault, write_certificate};
use narrows_kit::folder::Folder;
use narrows_kit::programs::narrows;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::sleep;

const POLL: Duration = Duration::from_millis(20);
/// Longest wait for a program to do what it was told.
const PATIENCE: Duration = Duration::from_secs(30);

/// What an operator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Reloads a configuration with a changed route.
    Reload,
    /// Replaces the certificate, and asks for a reload.
    Certificate,
    /// Replaces the running program.
    Binary,
}

impl Operation {
    pub(crate) const ALL: [Self; 3] = [Self::Reload, Self::Certificate, Self::Binary];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Certificate => "certificate",
            Self::Binary => "binary",
        }
    }
}

/// A program that can be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Narrows,
    Nginx,
    Caddy,
}

/// What a program and all its processes have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resources {
    pub(crate) processes: usize,
    /// Resident, what is shared counted once (PSS).
    pub(crate) memory_kib: usize,
    pub(crate) descriptors: usize,
}

/// A running program, with all the processes that it has started.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) folder: PathBuf,
    program: Program,
    origin: SocketAddr,
    admin: SocketAddr,
    routes: u32,
    /// The process that was started. nginx leaves it for another.
    child: Child,
    /// The group of all processes.
    group: Pid,
    /// The process that takes signals.
    main: Pid,
}

impl Program {
    const ALL: [Self; 3] = [Self::Narrows, Self::Nginx, Self::Caddy];

    pub(crate) fn installed() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|it| it.path().exists())
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Narrows => "narrows",
            Self::Nginx => "nginx",
            Self::Caddy => "caddy",
        }
    }

    /// Caddy is restarted for a new binary.
    pub(crate) fn can(self, operation: Operation) -> bool {
        self != Self::Caddy || operation != Operation::Binary
    }

    /// The name with the version.
    pub(crate) fn version(self) -> String {
        let option = if self == Self::Nginx { "-v" } else { "version" };
        let option = if self == Self::Narrows { "--version" } else { option };
        let Ok(output) = Command::new(self.path()).arg(option).output() else {
            return self.name().to_owned();
        };
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let is_part = |c: char| c.is_ascii_digit() || c == '.';
        let version = text.split(|c| !is_part(c)).find(|it| it.contains('.')).unwrap_or_default();
        format!("{} {version}", self.name())
    }

    fn path(self) -> PathBuf {
        match self {
            Self::Narrows => narrows(),
            Self::Nginx => "/usr/sbin/nginx".into(),
            Self::Caddy => "/usr/bin/caddy".into(),
        }
    }

    /// Starts it, and returns when it listens.
    pub(crate) fn start(
        self,
        folder: &Folder,
        origin: SocketAddr,
        routes: u32,
    ) -> Result<Running, Fault> {
        let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr();
        let (address, admin) = (free()?, free()?);
        let folder = folder.path.join(format!("{}-{}", self.name(), address.port()));
        fs::create_dir(&folder)?;
        write_certificate(&folder, false)?;
        let second = false;
        write_configuration(
            self,
            Wanted { address, origin, admin, routes, folder: &folder, second },
        )?;
        let log = OpenOptions::new().create(true).append(true).open(folder.join("log"))?;
        let mut command = Command::new(self.path());
        match self {
            Self::Narrows => command.args(["run", "--config"]),
            Self::Nginx => command.args(["-e", "stderr", "-c"]),
            Self::Caddy => command.args(["run", "--adapter", "caddyfile", "--config"]),
        };
        command.arg(folder.join("configuration")).env("HOME", &folder).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn()?;
        let main = Pid::from_child(&child);
        let mut running = Running {
            address,
            folder,
            program: self,
            origin,
            admin,
            routes,
            child,
            group: main,
            main,
        };
        running.wait_until_it_listens()?;
        // It must be a daemon: otherwise it would not replace its program.
        if let Some(main) = running.number_of_nginx() {
            (running.main, running.group) = (main, main);
        }
        Ok(running)
    }
}

fn write_configuration(program: Program, wanted: Wanted<'_>) -> io::Result<()> {
    let text = match program {
        Program::Narrows => wanted.narrows(),
        Program::Nginx => wanted.nginx(),
        Program::Caddy => wanted.caddy(),
    };
    fs::write(wanted.folder.join("configuration"), text)
}

impl Running {
    fn wait_until_it_listens(&self) -> Result<(), Fault> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if std::net::TcpStream::connect(self.address).is_ok() {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        Err(fs::read_to_string(self.folder.join("log"))?.into())
    }

    /// Does it, and returns when the program has done it, or has been told if it does not say.
    /// `false`: it cannot be done now.
    pub(crate) async fn operate(
        &mut self,
        operation: Operation,
        second: bool,
    ) -> Result<bool, Fault> {
        match (operation, self.program) {
            (Operation::Binary, Program::Narrows) => {
                const SERVES: &str = "a new process serves";
                let served = self.lines(SERVES);
                kill_process(self.main, Signal::USR2)?;
                self.wait(SERVES, served + 1).await?;
                let log = fs::read_to_string(self.folder.join("log"))?;
                let line = log.lines().rfind(|it| it.contains(SERVES));
                let pid = line.and_then(|it| it.split("pid=").nth(1)?.trim().parse().ok());
                self.main = pid.and_then(Pid::from_raw).ok_or("no new process")?;
            }
            // nginx replaces no program whose predecessor still has connections.
            (Operation::Binary, _) if self.folder.join("nginx.pid.oldbin").exists() => {
                return Ok(false);
            }
            (Operation::Binary, _) => {
                let old = self.main;
                kill_process(old, Signal::USR2)?;
                self.main = self.wait_for_new_nginx().await?;
                kill_process(old, Signal::QUIT)?;
            }
            (Operation::Reload | Operation::Certificate, program) => {
                let second = operation == Operation::Reload && second;
                let Self { address, origin, admin, routes, ref folder, .. } = *self;
                let wanted = Wanted { address, origin, admin, routes, folder, second };
                write_configuration(program, wanted)?;
                self.reload().await?;
            }
        }
        Ok(true)
    }

    async fn reload(&self) -> Result<(), Fault> {
        match self.program {
            Program::Narrows => {
                let reloaded = self.lines("reloaded");
                kill_process(self.main, Signal::HUP)?;
                self.wait("reloaded", reloaded + 1).await?;
            }
            Program::Nginx => kill_process(self.main, Signal::HUP)?,
            Program::Caddy => {
                let mut command = Command::new(self.program.path());
                command.args(["reload", "--force", "--adapter", "caddyfile", "--config"]);
                command.arg(self.folder.join("configuration"));
                command.arg("--address").arg(self.admin.to_string());
                command.stdout(Stdio::null()).stderr(File::create(self.folder.join("reload"))?);
                let status = tokio::task::spawn_blocking(move || command.status()).await??;
                if !status.success() {
                    return Err(fs::read_to_string(self.folder.join("reload"))?.into());
                }
            }
        }
        Ok(())
    }

    /// How many lines of the log contain `part`.
    fn lines(&self, part: &str) -> usize {
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        log.lines().filter(|it| it.contains(part)).count()
    }

    async fn wait(&self, part: &str, count: usize) -> Result<(), Fault> {
        let begun = Instant::now();
        while self.lines(part) < count {
            if begun.elapsed() > PATIENCE {
                return Err(fs::read_to_string(self.folder.join("log"))?.into());
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    /// The old one keeps its file of its number under another name meanwhile.
    async fn wait_for_new_nginx(&self) -> Result<Pid, Fault> {
        let begun = Instant::now();
        loop {
            if let Some(new) = self.number_of_nginx().filter(|it| *it != self.main) {
                // Its workers take a moment longer.
                TcpStream::connect(self.address).await?;
                sleep(POLL * 10).await;
                return Ok(new);
            }
            if begun.elapsed() > PATIENCE {
                return Err(fs::read_to_string(self.folder.join("log"))?.into());
            }
            sleep(POLL).await;
        }
    }

    /// The process of nginx that takes signals.
    fn number_of_nginx(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.folder.join("nginx.pid")).ok()?;
        Pid::from_raw(text.trim().parse().ok()?)
    }

    /// All processes of the group.
    fn processes(&self) -> Vec<Pid> {
        let group = self.group.as_raw_nonzero().to_string();
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbers = all.filter_map(|it| it.file_name().to_str()?.parse::<i32>().ok());
        let is_ours = |number: &i32| {
            let stat = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
            // Behind the name, which may contain anything: state, parent, group.
            let mut fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
            fields.next() != Some("Z") && fields.nth(1) == Some(&group)
        };
        numbers.filter(is_ours).filter_map(Pid::from_raw).collect()
    }

    pub(crate) fn resources(&self) -> io::Result<Resources> {
        let processes = self.processes();
        let (mut memory_kib, mut descriptors) = (0, 0);
        for process in &processes {
            let folder = PathBuf::from(format!("/proc/{}", process.as_raw_nonzero()));
            memory_kib += proportional_kib(&folder)?;
            descriptors += fs::read_dir(folder.join("fd"))?.count();
        }
        Ok(Resources { processes: processes.len(), memory_kib, descriptors })
    }

    /// Ends all processes.
    pub(crate) async fn stop(mut self) -> Result<(), Fault> {
        for signal in [Signal::TERM, Signal::TERM, Signal::KILL] {
            let begun = Instant::now();
            for process in self.processes() {
                // It may have ended by itself.
                let _gone = kill_process(process, signal);
            }
            while begun.elapsed() < PATIENCE / 10 {
                let _ = self.child.try_wait()?;
                if self.processes().is_empty() {
                    return Ok(());
                }
                sleep(POLL).await;
            }
        }
        Err(format!("{} does not end", self.program.name()).into())
    }
}

fn proportional_kib(process: &Path) -> io::Result<usize> {
    let text = fs::read_to_string(process.join("smaps_rollup"))?;
    let line = text.lines().find_map(|it| it.strip_prefix("Pss:"));
    let number = line.and_then(|it| it.trim().strip_suffix(" kB")?.parse().ok());
    number.ok_or_else(|| io::Error::other("no Pss"))
}

//! A master with its one kid, the pages behind it, and who asks for them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use liveline_demo::Words;
use liveline_demo::load::{Client, Fault};
use liveline_demo::tool::Selection;

use super::client::{Browser, Neighbour, Ports, garbage_is_refused};
use super::origin;
use crate::nginx::Connection;
use crate::shell::{Failure, Quiet, Result, Tried, output_of};
use crate::trial::{Daemon, Service, Started, free_port};

const BROWSERS: usize = 8;
const NEIGHBOURS: usize = 4;

/// As Debian's, with a cache on disk, whose threads read and write.
const CONFIGURATION: &str = "\
http_port 127.0.0.1:HTTP
icp_port ICP
udp_incoming_address 127.0.0.1
http_access allow all
icp_access allow all
visible_hostname trial
cache_mem 64 MB
cache_dir aufs FOLDER/cache 100 16 16
coredump_dir FOLDER
pid_filename FOLDER/squid.pid
cache_log FOLDER/cache.log
access_log stdio:FOLDER/access.log
pinger_enable off
unlinkd_program PLACE/unlinkd
shutdown_lifetime 0 seconds
";

struct Squid {
    master: Daemon,
    program: PathBuf,
    ports: Ports,
    log: PathBuf,
}

/// Starts the server, and connects the load.
pub(super) fn start(program: &Path, folder: &Path, words: Words) -> Result<Started> {
    // A file of its own, so that `--exe` means these processes and no others.
    let own = folder.join("squid");
    fs::copy(program, &own).tried("copy the program")?;
    let helper = program.with_file_name("../lib/squid/unlinkd");
    fs::copy(&helper, folder.join("unlinkd")).tried(format!("copy {}", helper.display()))?;
    // The kid gives up root.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).tried("open the folder")?;
    let run = folder.join("run");
    fs::create_dir(&run).tried("make the server's folder")?;
    let proxy = |line: &str| output_of(line)?.trim().parse::<u32>().tried(line);
    chown(&run, Some(proxy("id -u proxy")?), Some(proxy("id -g proxy")?)).tried("give the folder away")?;
    let ports = Ports { http: free_port()?, icp: free_port()?, origin: origin::start()? };
    let file = folder.join("squid.conf");
    let text = CONFIGURATION
        .replace("HTTP", &ports.http.to_string())
        .replace("ICP", &ports.icp.to_string())
        .replace("FOLDER", &run.display().to_string())
        .replace("PLACE", &folder.display().to_string());
    fs::write(&file, text).tried("write the configuration")?;
    let configuration = file.display().to_string();
    Quiet::new(folder, "./squid --foreground -z -f").argument(&configuration).run()?;
    let log = run.join("cache.log");
    // What made the folders has its own lines in there.
    fs::remove_file(&log).tried("clear the log")?;
    let mut master = Daemon::start(&own, |command| {
        command.arg("--foreground").arg("-f").arg(&file);
    })?
    .ended_by_term();
    if let Err(failure) = master.await_ready(|| Connection::plain(ports.http).is_ok()) {
        return Err(Failure(format!("{failure}\n{}", fs::read_to_string(&log).unwrap_or_default())));
    }
    let mut clients: Vec<Box<dyn Client>> = Vec::new();
    for name in 0..BROWSERS {
        clients.push(Box::new(Browser::open(name, ports).tried("connect")?));
    }
    for name in 0..NEIGHBOURS {
        clients.push(Box::new(Neighbour::open(BROWSERS + name, ports).tried("connect")?));
    }
    words.line(&format!(
        "squid's master is pid {}, with one kid; {BROWSERS} clients by HTTP and {NEIGHBOURS} by ICP at full speed",
        master.pid()
    ));
    Ok((Box::new(Squid { master, program: own, ports, log }), clients))
}

impl Service for Squid {
    fn selection(&self) -> Selection<'_> {
        Selection::Exe(&self.program)
    }

    fn processes(&self) -> usize {
        2
    }

    fn fixed(&mut self) -> std::result::Result<bool, Fault> {
        garbage_is_refused(self.ports)
    }

    fn alive(&mut self) -> Result<()> {
        self.master.alive()
    }

    fn finish(&mut self) -> Result<Vec<String>> {
        let text = fs::read_to_string(&self.log).tried("read squid's log")?;
        let bad =
            |line: &&str| ["FATAL", "assertion failed", "WARNING"].iter().any(|word| line.contains(word));
        if let Some(line) = text.lines().find(bad) {
            return Err(Failure(format!("squid's log says: {line}")));
        }
        match text.matches("Starting Squid Cache").count() {
            1 => Ok(vec!["squid's own log has no warning, and its kid was started once".into()]),
            count => Err(Failure(format!("squid's kid was started {count} times"))),
        }
    }
}

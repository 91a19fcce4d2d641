//! A master with workers, and what they serve.

use std::fs;
use std::path::{Path, PathBuf};

use liveline_demo::Words;
use liveline_demo::load::{Client, Fault};
use liveline_demo::tool::Selection;

use super::client::{Checker, Connection, Server, files};
use crate::shell::{Failure, Quiet, Result, Tried};
use crate::trial::{Daemon, Service, Started, free_port};

const WORKERS: usize = 4;

/// Captures of `/short/` become shorter, from the whole rest of the path to its first two letters, when the map is
/// looked up: between counting and writing.
const CONFIGURATION: &str = r#"
daemon off;
user root;
worker_processes WORKERS;
pid FOLDER/nginx.pid;
error_log FOLDER/error.log notice;
events { worker_connections 512; }
http {
    log_format trial escape=json '$status $request_length "$request" "$http_x_word" $upstream_status $ssl_protocol';
    access_log FOLDER/access.log trial;
    client_body_temp_path FOLDER/body;
    proxy_temp_path FOLDER/proxy;
    fastcgi_temp_path FOLDER/fastcgi;
    scgi_temp_path FOLDER/scgi;
    uwsgi_temp_path FOLDER/uwsgi;
    keepalive_requests 100000;
    sendfile on;
    map $uri $short { volatile; "~^/short/(..)" "."; }
    map $uri $three { "~^/match/(?<head>...)" $head; }
    upstream far { server unix:FOLDER/far.sock; keepalive 8; }
    server {
        listen unix:FOLDER/far.sock;
        location /far/ { return 200 "$http_x_sent|$uri|$arg_n"; }
    }
    server {
        listen 127.0.0.1:PORT;
        listen 127.0.0.1:SECURE ssl;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_certificate FOLDER/certificate.pem;
        ssl_certificate_key FOLDER/key.pem;
        root FOLDER/root;
        location = /echo { return 200 "$arg_a-$arg_b"; }
        location ~ ^/proxy/(.*)$ {
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header X-Sent $http_x_word;
            proxy_pass http://far/far/$1$is_args$args;
        }
        location ~ ^/match/(.*)$ { set $rest $1; return 200 "$three:$rest"; }
        location ~ ^/short/(.*)$ { return 200 "$1$short"; }
    }
}
"#;

/// What TLS clients ask for: versions, key exchanges and ciphers.
const FLAVOURS: [&str; 6] = [
    "-tls1_3",
    "-tls1_3 -ciphersuites TLS_CHACHA20_POLY1305_SHA256",
    "-tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256",
    "-tls1_2 -cipher ECDHE-RSA-AES256-SHA384 -curves P-256",
    "-tls1_2 -cipher AES128-SHA256",
    "-tls1_2 -cipher ECDHE-RSA-CHACHA20-POLY1305 -curves X25519",
];

/// A running nginx.
pub(crate) struct Nginx {
    master: Daemon,
    program: PathBuf,
    /// Port for TCP.
    pub(crate) port: u16,
    /// Port for TLS.
    pub(crate) secure: u16,
    log: PathBuf,
}

/// How many clients there are.
#[derive(Clone, Copy)]
pub(crate) struct Clients {
    pub(crate) plain: usize,
    pub(crate) tls: usize,
}

impl Nginx {
    /// Starts the server in `folder`, with other libraries if there is a folder of them, and connects the load.
    pub(crate) fn start(
        program: &Path,
        libraries: Option<&Path>,
        folder: &Path,
        count: Clients,
        words: Words,
    ) -> Result<(Self, Vec<Box<dyn Client>>)> {
        let root = folder.join("root");
        fs::create_dir_all(&root).tried("make the server's folder")?;
        for (name, content) in files() {
            fs::write(root.join(name), content).tried("write the server's files")?;
        }
        certificate(folder)?;
        let (port, secure) = (free_port()?, free_port()?);
        let text = CONFIGURATION
            .replace("WORKERS", &WORKERS.to_string())
            .replace("PORT", &port.to_string())
            .replace("SECURE", &secure.to_string())
            .replace("FOLDER", &folder.display().to_string());
        let file = folder.join("nginx.conf");
        fs::write(&file, text).tried("write the configuration")?;
        // A file of its own, so that `--exe` means these processes and no others.
        let own = folder.join("nginx");
        fs::copy(program, &own).tried("copy the program")?;
        let mut master = Daemon::start(&own, |command| {
            command.arg("-c").arg(&file).arg("-e").arg(folder.join("error.log")).arg("-p").arg(folder);
            if let Some(libraries) = libraries {
                command.env("LD_LIBRARY_PATH", libraries);
            }
        })?
        .ended_by_term();
        let said = || fs::read_to_string(folder.join("error.log")).unwrap_or_default();
        if let Err(failure) = master.await_ready(|| Connection::plain(port).is_ok()) {
            return Err(Failure(format!("{failure}\n{}", said())));
        }
        let mut clients: Vec<Box<dyn Client>> = Vec::new();
        for name in 0..count.plain + count.tls {
            let server = match name.checked_sub(count.plain) {
                None => Server::Plain(port),
                Some(number) => Server::Tls(secure, FLAVOURS[number % FLAVOURS.len()]),
            };
            clients.push(Box::new(Checker::open(name, server).tried("connect")?));
        }
        words.line(&format!(
            "nginx's master is pid {}, with {WORKERS} workers; {} clients by TCP and {} by TLS at full speed",
            master.pid(),
            count.plain,
            count.tls
        ));
        let log = folder.join("error.log");
        Ok((Nginx { master, program: own, port, secure, log }, clients))
    }

    /// An error if its log tells of trouble.
    pub(crate) fn untroubled(&self) -> Result<String> {
        let text = fs::read_to_string(&self.log).tried("read nginx's log")?;
        let bad = |line: &&str| ["[alert]", "[emerg]"].iter().any(|level| line.contains(level));
        match text.lines().find(bad) {
            None => Ok("nginx's own log has no alert: no worker died or was started again".into()),
            Some(line) => Err(Failure(format!("nginx's log says: {line}"))),
        }
    }
}

/// Starts the server whose own code is to be updated.
pub(super) fn start(program: &Path, folder: &Path, words: Words) -> Result<Started> {
    let (nginx, clients) = Nginx::start(program, None, folder, Clients { plain: 16, tls: 8 }, words)?;
    Ok((Box::new(nginx), clients))
}

fn certificate(folder: &Path) -> Result<()> {
    let line = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=trial -days 2 -keyout key.pem -out certificate.pem";
    Quiet::new(folder, line).run()
}

impl Service for Nginx {
    fn selection(&self) -> Selection<'_> {
        Selection::Exe(&self.program)
    }

    fn processes(&self) -> usize {
        1 + WORKERS
    }

    /// Asks each worker: by new connections, more than there are workers.
    fn fixed(&mut self) -> std::result::Result<bool, Fault> {
        let mut fixed = None;
        for i in 0..4 * WORKERS {
            let mut connection =
                if i % 4 == 0 { Connection::tls(self.secure, "")? } else { Connection::plain(self.port)? };
            let answer = connection.ask("GET", "/short/abcdefgh", "")?;
            let now = match answer.body.as_slice() {
                b"ab." => true,
                [b'a', b'b', b'.', ..] if answer.body.len() == 9 => false,
                other => return Err(Fault(format!("/short/abcdefgh: {other:?}"))),
            };
            if *fixed.get_or_insert(now) != now {
                return Err(Fault("some workers behave as the old code, others as the new".into()));
            }
        }
        fixed.ok_or_else(|| Fault("nobody was asked".into()))
    }

    fn alive(&mut self) -> Result<()> {
        self.master.alive()
    }

    fn finish(&mut self) -> Result<Vec<String>> {
        Ok(vec![self.untroubled()?])
    }
}

//! The running service, its tenants, and a round of updates.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use liveline_demo::Words;
use liveline_demo::load::{Client, Dice, Load};

use super::client::Tenant;
use super::figures::Span;
use super::phases::{Class, Phases};
use crate::http::Connection;
use crate::shell::{Failure, Result, Tried};
use crate::trial::{Daemon, free_port};

/// Tenants that make requests at full speed, and how much each may keep.
const TENANTS: usize = 8;
const CAPACITY: usize = 1000;
/// Tenants whose values nobody asks for, and how many each has.
const IDLE: usize = 32;
const IDLE_ENTRIES: usize = 256;
/// A small namespace, to see who is evicted.
const PROBE: usize = 4;

pub(super) struct Service {
    daemon: Daemon,
    admin: Connection,
    phases: Arc<Phases>,
    probe: Tenant,
    asked: usize,
}

impl Service {
    /// Starts the service, makes its namespaces and fills those that stay idle.
    pub(super) fn start(program: &Path, words: Words) -> Result<(Self, Vec<Box<dyn Client>>)> {
        let port = free_port()?;
        let mut daemon = Daemon::start(program, |command| {
            command.arg(port.to_string());
        })?;
        daemon.await_ready(|| Connection::open(port).is_ok())?;
        let phases = Arc::new(Phases::default());
        let tenant = |name: &str, capacity| Tenant::open(port, name, capacity, &phases).tried("connect");
        let mut clients: Vec<Box<dyn Client>> = Vec::new();
        for n in 0..TENANTS {
            clients.push(Box::new(tenant(&format!("tenant{n}"), CAPACITY)?));
        }
        let probe = tenant("probe", PROBE)?;
        let admin = Connection::open(port).tried("connect")?;
        words.line(&format!("the service is pid {}; {TENANTS} clients at full speed", daemon.pid()));
        let mut service = Service { daemon, admin, phases: Arc::clone(&phases), probe, asked: 0 };
        service.each_idle(|admin, path, value| {
            let done = admin.ask(&format!("PUT {path}"), "", value.as_bytes()).tried("fill a namespace")?;
            if done.status == 204 { Ok(()) } else { Err(Failure(format!("PUT {path}: {}", done.status))) }
        })?;
        words.line(&format!("{} entries in {IDLE} idle namespaces", IDLE * IDLE_ENTRIES));
        Ok((service, clients))
    }

    /// Looks whether all idle entries are there; gives how many.
    pub(super) fn check_idle(&mut self) -> Result<usize> {
        let mut found = 0;
        self.each_idle(|admin, path, value| {
            let got = admin.ask(&format!("GET {path}"), "", b"").tried("ask for an idle entry")?;
            if got.status != 200 || got.body != value.as_bytes() {
                return Err(Failure(format!("GET {path}: {} with {} bytes", got.status, got.body.len())));
            }
            found += 1;
            Ok(())
        })?;
        Ok(found)
    }

    fn each_idle(&mut self, mut visit: impl FnMut(&mut Connection, &str, &str) -> Result<()>) -> Result<()> {
        for n in 0..IDLE {
            self.command("PUT", &format!("namespace/idle{n}/{IDLE_ENTRIES}"))?;
            let mut dice = Dice::new(n as u64);
            for key in 0..IDLE_ENTRIES {
                visit(&mut self.admin, &format!("/cache/idle{n}/k{key}"), &dice.text(200))?;
            }
        }
        Ok(())
    }

    /// Updates each class and then takes each back, and looks at the behaviour every time.
    pub(super) fn round(
        &mut self,
        round: usize,
        load: &Load,
        changes: &mut Vec<Span>,
        words: Words,
    ) -> Result<()> {
        // The first round is the picture.
        let pause = Duration::from_millis(if round == 0 { 1500 } else { 200 });
        for updates in [true, false] {
            for class in Class::ALL {
                std::thread::sleep(pause);
                if self.is_new(class)? == updates {
                    return Err(Failure(format!("the {} is as it should become", class.name())));
                }
                let span = self.change(class, updates, load)?;
                if self.is_new(class)? != updates {
                    return Err(Failure(format!("the {} did not change its behaviour", class.name())));
                }
                words.line(&format!(
                    "{:>2}. {} {}: {} objects in {:.2} ms; behaves as it should before and after",
                    round + 1,
                    class.name(),
                    if updates { "updated" } else { "taken back" },
                    span.converted,
                    span.took_us / 1e3
                ));
                changes.push(span);
            }
        }
        std::thread::sleep(pause);
        Ok(())
    }

    fn change(&mut self, class: Class, updates: bool, load: &Load) -> Result<Span> {
        let word = if updates { "update" } else { "revert" };
        let from_ms = load.now_ms();
        self.phases.advance(class);
        let told = self.command("POST", &format!("{word}/{}", class.name()))?;
        self.phases.advance(class);
        let to_ms = load.now_ms();
        let kept = told["kept"].as_array().map_or(usize::MAX, Vec::len);
        if kept > 0 {
            return Err(Failure(format!("{word} of the {}: {told}", class.name())));
        }
        let converted = told["converted"].as_u64().unwrap_or(0);
        let took_us = told["took_us"].as_f64().unwrap_or(0.0);
        Ok(Span { class, updates, from_ms, to_ms, converted, took_us })
    }

    fn command(&mut self, method: &str, path: &str) -> Result<serde_json::Value> {
        let line = format!("{method} /admin/{path}");
        let answer = self.admin.ask(&line, "", b"").tried(&line)?;
        let text = String::from_utf8_lossy(&answer.body);
        if answer.status != 200 {
            return Err(Failure(format!("{line}: {} {text}", answer.status)));
        }
        serde_json::from_str(&text).tried(line)
    }

    /// Whether a class behaves as its new version does, seen from outside.
    fn is_new(&mut self, class: Class) -> Result<bool> {
        self.asked += 1;
        let key = |n: usize| format!("p{}x{n}", self.asked);
        let keys: Vec<_> = (0..=PROBE).map(key).collect();
        let probe = &mut self.probe;
        let seen = match class {
            // The namespace is filled, its oldest key asked for, and one more stored: is the oldest still there?
            Class::Policy => (|| {
                keys[..PROBE].iter().try_for_each(|key| probe.put(key))?;
                probe.get(&keys[0], false)?;
                probe.put(&keys[PROBE])?;
                probe.get(&keys[0], false)
            })(),
            Class::Storage => probe.put(&keys[0]).and_then(|()| probe.tagged(&keys[0])),
            Class::Handler => probe.put(&keys[0]).and_then(|()| probe.conditional(&keys[0])),
        };
        seen.tried(format!("look at the {}", class.name()))
    }

    pub(super) fn alive(&mut self) -> Result<()> {
        self.daemon.alive()
    }
}

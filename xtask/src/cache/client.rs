//! A tenant of the cache: it knows the answer to each of its requests, eviction by eviction.

use std::sync::Arc;

use liveline_demo::load::{Client, Dice, Fault};

use super::model::Model;
use super::phases::{Class, Moment, Phases};
use crate::http::{Answer, Connection};

/// Keys that a tenant uses, for each one that its namespace can hold.
const KEYS: u64 = 2;

/// One tenant, with a connection that is kept.
pub(super) struct Tenant {
    connection: Connection,
    phases: Arc<Phases>,
    name: String,
    keys: u64,
    model: Model,
    dice: Dice,
}

impl Tenant {
    /// Makes a namespace and connects to it.
    pub(super) fn open(port: u16, name: &str, capacity: usize, phases: &Arc<Phases>) -> Result<Self, Fault> {
        let mut connection = Connection::open(port)?;
        let made = connection.ask(&format!("PUT /admin/namespace/{name}/{capacity}"), "", b"")?;
        if made.status != 200 {
            return Err(Fault(format!("the namespace {name} was not made: {}", made.status)));
        }
        let seed = name.bytes().fold(1, |seed: u64, byte| seed * 31 + u64::from(byte));
        Ok(Tenant {
            connection,
            phases: Arc::clone(phases),
            name: name.into(),
            keys: capacity as u64 * KEYS,
            model: Model::new(capacity),
            dice: Dice::new(seed),
        })
    }

    /// Asks for a key, which is fetched from the origin if it is not there and `fetched` says so.
    pub(super) fn get(&mut self, key: &str, fetched: bool) -> Result<bool, Fault> {
        let kind = if fetched { "origin" } else { "cache" };
        let line = format!("GET /{kind}/{}/{key}", self.name);
        let tag = self.model.value(key).map(tag_of);
        // Every third request that will find something has the value already.
        let more = match &tag {
            Some(tag) if self.dice.below(3) == 0 => format!("If-None-Match: {tag}\r\n"),
            _ => String::new(),
        };
        let (answer, sent) = self.ask(&line, &more, b"")?;
        let new_handler = self.judge(Class::Handler, answer.field("server"), sent, &line)?;
        let Some(tag) = tag else { return self.absent(key, &line, fetched, &answer, sent) };
        let status = answer.field("cache-status");
        let Some(rest) = status.strip_prefix("cache; hit; policy=") else {
            return Err(fault(&line, &answer, "the key is known"));
        };
        let Some((policy, layout)) = rest.split_once("; layout=") else {
            return Err(fault(&line, &answer, "no layout told"));
        };
        let counts = self.judge(Class::Policy, policy, sent, &line)?;
        self.judge(Class::Storage, layout, sent, &line)?;
        let unsent = new_handler && !more.is_empty();
        let told_tag = if new_handler { tag.as_str() } else { "" };
        let value = self.model.value(key).unwrap_or_default();
        let body = if unsent { "" } else { value };
        if answer.status != if unsent { 304 } else { 200 }
            || answer.body != body.as_bytes()
            || answer.field("etag") != told_tag
        {
            return Err(fault(&line, &answer, &format!("expected {} bytes, tag {tag}", body.len())));
        }
        self.model.asked(key, counts);
        Ok(true)
    }

    /// Judges the answer for a key that is not there.
    fn absent(
        &mut self,
        key: &str,
        line: &str,
        fetched: bool,
        answer: &Answer,
        sent: Moment,
    ) -> Result<bool, Fault> {
        if !fetched {
            return match answer.status {
                404 if answer.body.is_empty() => Ok(false),
                _ => Err(fault(line, answer, "the key must be gone")),
            };
        }
        let value = format!("the origin's value of {key}");
        if answer.status != 200 || answer.body != value.as_bytes() {
            return Err(fault(line, answer, "not what the origin has"));
        }
        self.kept(key, value, line, answer, sent)?;
        Ok(false)
    }

    /// Stores a value.
    pub(super) fn put(&mut self, key: &str) -> Result<(), Fault> {
        let length = 50 + self.dice.below(1000) as usize;
        let value = self.dice.text(length);
        let line = format!("PUT /cache/{}/{key}", self.name);
        let (answer, sent) = self.ask(&line, "", value.as_bytes())?;
        self.judge(Class::Handler, answer.field("server"), sent, &line)?;
        if answer.status != 204 {
            return Err(fault(&line, &answer, "not stored"));
        }
        self.kept(key, value, &line, &answer, sent)
    }

    /// A value was stored: notes it, and judges who left for it.
    fn kept(
        &mut self,
        key: &str,
        value: String,
        line: &str,
        answer: &Answer,
        sent: Moment,
    ) -> Result<(), Fault> {
        let status = answer.field("cache-status");
        let told = status.strip_prefix("cache; fwd=miss; stored; policy=");
        let Some((policy, layout)) = told.and_then(|rest| rest.split_once("; layout=")) else {
            return Err(fault(line, answer, "who stored it is not told"));
        };
        let counts = self.judge(Class::Policy, policy, sent, line)?;
        self.judge(Class::Storage, layout, sent, line)?;
        self.model
            .stored(key, value, counts, answer.field("x-evicted"))
            .map_err(|Fault(why)| fault(line, answer, &why))
    }

    fn delete(&mut self, key: &str) -> Result<(), Fault> {
        let line = format!("DELETE /cache/{}/{key}", self.name);
        let (answer, sent) = self.ask(&line, "", b"")?;
        self.judge(Class::Handler, answer.field("server"), sent, &line)?;
        let known = self.model.value(key).is_some();
        if answer.status != if known { 204 } else { 404 } {
            return Err(fault(&line, &answer, &format!("known: {known}")));
        }
        self.model.removed(key);
        Ok(())
    }

    /// Whether the server sends no value that the client has already.
    pub(super) fn conditional(&mut self, key: &str) -> Result<bool, Fault> {
        let tag = self.model.value(key).map(tag_of).unwrap_or_default();
        let line = format!("GET /cache/{}/{key}", self.name);
        let (answer, _) = self.ask(&line, &format!("If-None-Match: {tag}\r\n"), b"")?;
        match answer.status {
            200 => Ok(false),
            304 => Ok(true),
            _ => Err(fault(&line, &answer, "neither sent nor known")),
        }
    }

    /// Whether the storage keeps tags.
    pub(super) fn tagged(&mut self, key: &str) -> Result<bool, Fault> {
        let (answer, _) = self.ask(&format!("GET /cache/{}/{key}", self.name), "", b"")?;
        Ok(answer.field("cache-status").ends_with("layout=tagged"))
    }

    fn ask(&mut self, line: &str, more: &str, body: &[u8]) -> Result<(Answer, Moment), Fault> {
        let sent = self.phases.now();
        Ok((self.connection.ask(line, more, body)?, sent))
    }

    fn judge(&self, class: Class, seen: &str, sent: Moment, line: &str) -> Result<bool, Fault> {
        self.phases.judge(class, seen, sent).map_err(|Fault(why)| Fault(format!("{line}: {why}")))
    }
}

impl Client for Tenant {
    fn request(&mut self) -> Result<(), Fault> {
        // Some keys are asked for much more often than others.
        let all = if self.dice.below(4) > 0 { (self.keys / 8).max(1) } else { self.keys };
        let n = self.dice.below(all);
        match self.dice.below(20) {
            0..12 => self.get(&format!("k{n}"), false).map(|_| ()),
            12..14 => self.get(&format!("o{n}"), true).map(|_| ()),
            14..19 => self.put(&format!("k{n}")),
            _ => self.delete(&format!("k{n}")),
        }
    }
}

/// The entity tag of a value, as the service makes it.
fn tag_of(value: &str) -> String {
    let hash = value
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("\"{hash:016x}\"")
}

fn fault(line: &str, answer: &Answer, why: &str) -> Fault {
    let (status, length, told) = (answer.status, answer.body.len(), answer.field("cache-status"));
    Fault(format!("{line}: {why}; the answer is {status} with {length} bytes, {told:?}"))
}

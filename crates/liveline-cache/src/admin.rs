//! `/admin/`: namespaces are made, classes updated and taken back.
//!
//! `PUT /admin/namespace/NAME/CAPACITY`, `POST /admin/update/CLASS`, `POST /admin/revert/CLASS`, `GET
//! /admin/classes`. It stands outside of the handler, which it replaces.

use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::{Method, Response, StatusCode};
use liveline_runtime::{
    Class, ClassError, Factory, Interface, ObjectRef, Options, Patience, Report, classes,
};
use serde_json::{Value, json};

use crate::handler::{Conditional, Handler, Shared, Simple};
use crate::policy::{Fifo, Lru, Policy};
use crate::storage::{Plain, Storage, Tagged};

/// Requests that wait for the origin take a few milliseconds to leave a handler.
const PATIENCE: Patience = Patience { bound: Duration::from_millis(20), attempts: 10 };

/// What the service is made of.
#[derive(Clone)]
pub(crate) struct Classes {
    policies: Class<dyn Policy, usize>,
    storages: Class<dyn Storage>,
    handlers: Class<dyn Handler, Shared>,
    shared: Shared,
    pub(crate) handler: ObjectRef<dyn Handler>,
}

impl Classes {
    pub(crate) fn new() -> Result<Self, ClassError> {
        let shared = Shared::default();
        let handlers = Class::new("handler", Factory::new(|shared| Simple { shared }))?;
        Ok(Self {
            policies: Class::new("policy", Factory::new(Fifo::new))?,
            storages: Class::new("storage", Factory::new(|()| Plain::default()))?,
            handler: handlers.create(shared.clone()),
            handlers,
            shared,
        })
    }

    /// Does what the path says. It may wait: not to be called where tasks run.
    pub(crate) fn command(&self, method: &Method, path: &str) -> Response<Bytes> {
        let words: Vec<_> = path.split('/').skip(2).collect();
        match (method, words.as_slice()) {
            (&Method::PUT, ["namespace", name, capacity]) => match capacity.parse() {
                Ok(capacity) => {
                    let made = self.shared.cache.create(name, capacity, self.policies, self.storages);
                    told(StatusCode::OK, json!({ "made": made }))
                }
                Err(_) => told(StatusCode::BAD_REQUEST, json!({ "why": "the capacity is no number" })),
            },
            (&Method::POST, ["update", class]) => self.change(class, Self::update),
            (&Method::POST, ["revert", class]) => self.change(class, Self::revert),
            (&Method::GET, ["classes"]) => {
                let all = classes()
                    .into_iter()
                    .map(|c| json!({ "name": c.name(), "version": c.version(), "instances": c.instances() }));
                let answered = self.handler.answered();
                told(StatusCode::OK, json!({ "classes": all.collect::<Vec<_>>(), "answered": answered }))
            }
            _ => told(StatusCode::NOT_FOUND, json!({ "why": "there is no such command" })),
        }
    }

    fn change(
        &self,
        class: &str,
        change: impl FnOnce(&Self, &str) -> Result<Report, ClassError>,
    ) -> Response<Bytes> {
        let began = Instant::now();
        let result = change(self, class);
        let took_us = began.elapsed().as_secs_f64() * 1e6;
        match result {
            Ok(report) => {
                let kept: Vec<_> = report.kept.iter().map(ToString::to_string).collect();
                let told_so = json!({ "converted": report.converted, "kept": kept, "took_us": took_us });
                told(StatusCode::OK, told_so)
            }
            Err(why) => told(StatusCode::CONFLICT, json!({ "why": why.to_string() })),
        }
    }

    fn update(&self, class: &str) -> Result<Report, ClassError> {
        match class {
            "policy" => update(self.policies, Factory::new(Lru::new)),
            "storage" => update(self.storages, Factory::new(|()| Tagged::default())),
            "handler" => update(self.handlers, Factory::new(|shared| Conditional { shared })),
            _ => Err(ClassError::Unknown(class.to_string())),
        }
    }

    fn revert(&self, name: &str) -> Result<Report, ClassError> {
        let class = classes().into_iter().find(|known| known.name() == name);
        let class = class.ok_or_else(|| ClassError::Unknown(name.to_string()))?;
        class.revert_with(Options::with_patience(PATIENCE))
    }
}

/// The line goes on where a revert left it.
fn update<I: ?Sized + Interface, A: Send + 'static>(
    class: Class<I, A>,
    factory: Factory<I, A>,
) -> Result<Report, ClassError> {
    class.update_with(factory.numbered(class.version() + 1), Options::with_patience(PATIENCE))
}

fn told(code: StatusCode, what: Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(what.to_string()));
    *response.status_mut() = code;
    response
}

//! What is done with a request.
//!
//! `GET`, `PUT`, `DELETE /cache/NAMESPACE/KEY`; `GET /origin/NAMESPACE/KEY` fetches what is not there. Who did it
//! is told in `server` and `cache-status`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use hyper::header::{ETAG, IF_NONE_MATCH};
use hyper::http::response::Builder;
use hyper::{Method, Request, Response, StatusCode};
use liveline_runtime::{class, interface};

use crate::cache::{Cache, Done, Namespace};
use crate::origin;
use crate::storage::{Found, tag_of};

/// The service's front.
#[interface]
pub(crate) trait Handler {
    /// Answers a request.
    async fn answer(&self, request: Request<Bytes>) -> Response<Bytes>;
    /// How many requests were answered, by all versions.
    fn answered(&self) -> u64;
}

/// What outlives a handler.
#[derive(Clone, Default)]
pub(crate) struct Shared {
    pub(crate) cache: Arc<Cache>,
    answered: Arc<AtomicU64>,
}

/// Version 1.
pub(crate) struct Simple {
    pub(crate) shared: Shared,
}

#[class(state(shared))]
impl Handler for Simple {
    async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        let response = match route(&self.shared, &request) {
            Ok(route) => match perform(&route, &request).await {
                Outcome::Found(found, status) => reply(StatusCode::OK, "cache/1", &status).body(found.value),
                other => other.reply("cache/1"),
            },
            Err(status) => reply(status, "cache/1", "cache").body(Bytes::new()),
        };
        finish(&self.shared, response)
    }

    fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }
}

/// Version 2: values have entity tags, and who has a value already is not sent it again.
pub(crate) struct Conditional {
    pub(crate) shared: Shared,
}

#[class(version = 2, state(shared))]
impl Handler for Conditional {
    async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        let response = match route(&self.shared, &request) {
            Ok(route) => match perform(&route, &request).await {
                Outcome::Found(found, status) => {
                    let tag = format!("\"{:016x}\"", found.tag.unwrap_or_else(|| tag_of(&found.value)));
                    let known = request.headers().get(IF_NONE_MATCH).is_some_and(|known| *known == *tag);
                    let (code, body) = if known {
                        (StatusCode::NOT_MODIFIED, Bytes::new())
                    } else {
                        (StatusCode::OK, found.value)
                    };
                    reply(code, "cache/2", &status).header(ETAG, tag).body(body)
                }
                other => other.reply("cache/2"),
            },
            Err(status) => reply(status, "cache/2", "cache").body(Bytes::new()),
        };
        finish(&self.shared, response)
    }

    fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }
}

/// What a request is about.
struct Route<'a> {
    namespace: Arc<Namespace>,
    key: &'a str,
    fetches: bool,
}

fn route<'a>(shared: &Shared, request: &'a Request<Bytes>) -> Result<Route<'a>, StatusCode> {
    let mut parts = request.uri().path().splitn(4, '/').skip(1);
    let (Some(kind), Some(name), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(StatusCode::BAD_REQUEST);
    };
    let fetches = match kind {
        "cache" => false,
        "origin" => true,
        _ => return Err(StatusCode::NOT_FOUND),
    };
    let namespace = shared.cache.namespace(name).ok_or(StatusCode::NOT_FOUND)?;
    Ok(Route { namespace, key, fetches })
}

/// What came of a request.
enum Outcome {
    Found(Found, String),
    Stored(Done),
    Fetched(Bytes, Done),
    Removed(&'static str),
    Missing,
    Refused,
}

async fn perform(route: &Route<'_>, request: &Request<Bytes>) -> Outcome {
    let Route { namespace, key, fetches } = route;
    match *request.method() {
        Method::GET => match namespace.get(key) {
            Some((found, policy)) => {
                let status = format!("cache; hit; policy={policy}; layout={}", found.layout);
                Outcome::Found(found, status)
            }
            None if *fetches => {
                let value = origin::load(key).await;
                Outcome::Fetched(value.clone(), namespace.put(key, value))
            }
            None => Outcome::Missing,
        },
        Method::PUT if !fetches => Outcome::Stored(namespace.put(key, request.body().clone())),
        Method::DELETE if !fetches => namespace.remove(key).map_or(Outcome::Missing, Outcome::Removed),
        _ => Outcome::Refused,
    }
}

type Reply = hyper::http::Result<Response<Bytes>>;

impl Outcome {
    /// The answer where all versions give the same.
    fn reply(self, server: &str) -> Reply {
        let stored = |code, done: Done, body| {
            let status = format!("cache; fwd=miss; stored; policy={}; layout={}", done.policy, done.layout);
            let builder = reply(code, server, &status);
            match done.evicted {
                Some(evicted) => builder.header("x-evicted", &*evicted).body(body),
                None => builder.body(body),
            }
        };
        match self {
            Self::Found(found, status) => reply(StatusCode::OK, server, &status).body(found.value),
            Self::Stored(done) => stored(StatusCode::NO_CONTENT, done, Bytes::new()),
            Self::Fetched(value, done) => stored(StatusCode::OK, done, value),
            Self::Removed(policy) => {
                let status = format!("cache; hit; policy={policy}");
                reply(StatusCode::NO_CONTENT, server, &status).body(Bytes::new())
            }
            Self::Missing => reply(StatusCode::NOT_FOUND, server, "cache; fwd=miss").body(Bytes::new()),
            Self::Refused => reply(StatusCode::METHOD_NOT_ALLOWED, server, "cache").body(Bytes::new()),
        }
    }
}

fn reply(code: StatusCode, server: &str, status: &str) -> Builder {
    Response::builder().status(code).header("server", server).header("cache-status", status)
}

fn finish(shared: &Shared, response: Reply) -> Response<Bytes> {
    shared.answered.fetch_add(1, Ordering::Relaxed);
    response.unwrap_or_else(|_| {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response
    })
}

//! Connections.

use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task;

use crate::admin::Classes;
use crate::handler::Handler;

/// The largest value.
const LIMIT: usize = 1 << 20;

/// Serves for ever.
pub(crate) async fn serve(listener: TcpListener, classes: Classes) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let classes = classes.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| respond(classes.clone(), request));
            // A client that goes away is its own affair.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn respond(classes: Classes, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    // The body is read before the handler is entered: a client that sends slowly keeps no object from being
    // replaced.
    let response = match Limited::new(body, LIMIT).collect().await {
        Err(_) => status(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(_) if head.uri.path().starts_with("/admin/") => {
            let command = move || classes.command(&head.method, head.uri.path());
            task::spawn_blocking(command).await.unwrap_or_else(|_| status(StatusCode::INTERNAL_SERVER_ERROR))
        }
        Ok(body) => classes.handler.answer(Request::from_parts(head, body.to_bytes())).await,
    };
    Ok(response.map(Full::new))
}

fn status(code: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = code;
    response
}

//! A key-value cache over HTTP, whose eviction policy, storage and request handler are replaced while it serves.
//!
//! `liveline-cache PORT` serves on 127.0.0.1. What is under `/admin/` makes namespaces and updates classes.
#![forbid(unsafe_code)]

mod admin;
mod cache;
mod handler;
mod origin;
mod policy;
mod server;
mod storage;

use std::error::Error;
use std::net::Ipv4Addr;

use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = std::env::args().nth(1).ok_or("usage: liveline-cache PORT")?.parse()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let classes = admin::Classes::new()?;
    server::serve(listener, classes).await?;
    Ok(())
}

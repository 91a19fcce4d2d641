//! The examples run.
#![forbid(unsafe_code)]

#[path = "../examples/adapter.rs"]
mod adapter;
#[path = "../examples/links.rs"]
mod links;
#[path = "../examples/service.rs"]
mod service;

#[test]
fn adapter_runs() {
    adapter::main();
}

#[test]
fn links_runs() {
    links::main();
}

#[test]
fn service_runs() {
    service::main();
}

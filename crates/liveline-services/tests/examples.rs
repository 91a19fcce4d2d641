//! The examples run.
#![forbid(unsafe_code)]

#[path = "../examples/adapter.rs"]
#[allow(unused_attributes)]
mod adapter;
#[path = "../examples/links.rs"]
#[allow(unused_attributes)]
mod links;
#[path = "../examples/service.rs"]
#[allow(unused_attributes)]
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

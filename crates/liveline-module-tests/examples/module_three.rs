//! The third version of the counters.
#![forbid(unsafe_code)]

use liveline_module_tests::counter;
use liveline_runtime::{Factory, Module, module};

counter!(Three, 3);

#[module]
fn load(module: &mut Module) {
    module.update("counter", Factory::new(Three::new));
}

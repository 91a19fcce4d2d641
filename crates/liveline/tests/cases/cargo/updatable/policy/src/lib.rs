//! The policy's next version.
#![forbid(unsafe_code)]

use liveline_runtime::{Factory, Module, module};

shop::policy!(Next, 2, 3);

#[module]
fn load(module: &mut Module) {
    module.update("policy", Factory::new(|()| Next::default()));
}

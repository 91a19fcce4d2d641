//! The second version of the counters. What its entry does is said by the file that `LIVELINE_CASE` names.
#![forbid(unsafe_code)]

use liveline_module_tests::{Counter, Greeter, counter};
use liveline_runtime::{Factory, Module, class, module};

counter!(Two, 2);

#[derive(Default)]
struct Polite;

#[class(version = 2, stateless)]
impl Greeter for Polite {
    fn greet(&self) -> String {
        "good day".to_string()
    }
}

#[module]
fn load(module: &mut Module) -> Result<(), String> {
    let case = std::env::var("LIVELINE_CASE").ok().and_then(|path| std::fs::read_to_string(path).ok());
    match case.as_deref().unwrap_or("update").trim() {
        "update" => drop(module.update("counter", Factory::new(Two::new))),
        "both" => {
            module.update("counter", Factory::new(Two::new));
            module.update("other", Factory::new(Two::new));
            module.add("greeter", Factory::new(|()| Polite));
        }
        "panic" => panic!("no good day"),
        "refuse" => return Err("not on a Friday".to_string()),
        "unknown" => drop(module.update("nobody", Factory::new(Two::new))),
        "mismatch" => drop(module.update("counter", Factory::new(|()| Polite))),
        "skip" => drop(module.update("counter", Factory::new(Two::new).numbered(7))),
        "twice" => {
            module.update("counter", Factory::new(Two::new));
            module.update("counter", Factory::new(Two::new));
        }
        "nothing" => {}
        "never" => loop {
            std::thread::park();
        },
        other => return Err(format!("what is {other}?")),
    }
    let _: Option<&dyn Counter> = None;
    Ok(())
}

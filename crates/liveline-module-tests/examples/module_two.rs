//! The second version of the counters. What its entry does is said by the file that `LIVELINE_CASE` names.
#![forbid(unsafe_code)]

use liveline_module_tests::{Counter, Greeter, counter};
use liveline_runtime::{Class, Factory, Module, ObjectRef, class, module};

counter!(Two, 2);

#[derive(Default)]
struct Polite;

#[class(version = 2, stateless)]
impl Greeter for Polite {
    fn greet(&self) -> String {
        "good day".to_string()
    }
}

/// Something that a factory holds.
struct Sour;

impl Drop for Sour {
    fn drop(&mut self) {
        panic!("sour");
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
        // What was named is dropped, and panics each time.
        "drop" => {
            for class in ["counter", "other"] {
                let sour = Sour;
                module.update(
                    class,
                    Factory::new(move |start: u64| {
                        let _ = &sour;
                        Two::new(start)
                    }),
                );
            }
            return Err("not on a Friday".to_string());
        }
        "unknown" => drop(module.update("nobody", Factory::new(Two::new))),
        "mismatch" => drop(module.update("counter", Factory::new(|()| Polite))),
        "skip" => drop(module.update("counter", Factory::new(Two::new).numbered(7))),
        "twice" => {
            module.update("counter", Factory::new(Two::new));
            module.update("counter", Factory::new(Two::new));
        }
        "nothing" => {}
        // What an entry may only name.
        "make" => {
            let made = Class::<dyn Greeter>::new("greeter", Factory::new(|()| Polite));
            return made.map(drop).map_err(|error| error.to_string());
        }
        "change" => {
            let class = Class::<dyn Counter, u64>::find("counter").map_err(|error| error.to_string())?;
            return class.update(Factory::new(Two::new)).map(drop).map_err(|error| error.to_string());
        }
        "swap" => {
            let object: ObjectRef<dyn Greeter> = ObjectRef::new(Polite);
            return ObjectRef::swap::<Polite>(&object).map_err(|error| error.to_string());
        }
        "never" => loop {
            std::thread::park();
        },
        other => return Err(format!("what is {other}?")),
    }
    let _: Option<&dyn Counter> = None;
    Ok(())
}

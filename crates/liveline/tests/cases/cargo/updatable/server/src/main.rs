//! A server that takes in modules.
#![forbid(unsafe_code)]

use std::io::{BufRead, stdin};

use liveline_runtime::{Class, Factory};
use shop::Policy;

shop::policy!(First, 1, 1);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let class = Class::new("policy", Factory::new(|()| First::default()))?;
    let policy = class.create(());
    // It may have much to do before it serves.
    if let Some(open) = std::env::args().nth(1) {
        while !std::path::Path::new(&open).exists() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
    liveline_runtime::serve!()?;
    println!("ready");
    for line in stdin().lock().lines() {
        match line?.split_once(' ') {
            Some(("stay", until)) => {
                let (policy, until) = (policy.clone(), until.to_string());
                std::thread::spawn(move || policy.stay(&until));
                println!("inside");
            }
            _ => println!("{}", policy.sell(1)),
        }
    }
    Ok(())
}

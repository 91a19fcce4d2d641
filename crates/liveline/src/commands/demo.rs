//! `demo`: the main job on its own.

use liveline_demo::DemoOptions;

use crate::args::DemoArgs;
use crate::failure::{Code, Failure, Result};
use crate::print;

pub(crate) fn run(args: &DemoArgs) -> Result {
    let options =
        DemoOptions { seconds: args.seconds, output: args.output.clone(), json: args.json, liveline: None };
    let report = liveline_demo::run(&options).map_err(|error| Failure::failed(error.to_string()))?;
    if args.json {
        print::json(&report)?;
    }
    Ok(if report.failed == 0 { Code::Done } else { Code::Failed })
}

//! A patch into a process: plan, stage, commit, registry, revert, recover.

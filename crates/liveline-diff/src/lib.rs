//! Two builds in, a patch out: what changed, what must come along, what is refused.

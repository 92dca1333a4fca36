#![doc = include_str!("tracing.md")]

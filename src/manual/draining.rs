#![doc = include_str!("draining.md")]

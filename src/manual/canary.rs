#![doc = include_str!("canary.md")]

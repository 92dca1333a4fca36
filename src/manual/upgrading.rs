#![doc = include_str!("upgrading.md")]

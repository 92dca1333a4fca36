#![doc = include_str!("config_reference.md")]

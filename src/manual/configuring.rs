#![doc = include_str!("configuring.md")]

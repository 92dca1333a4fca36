#![doc = include_str!("standing_firm.md")]

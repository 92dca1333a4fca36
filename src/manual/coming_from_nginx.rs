#![doc = include_str!("coming_from_nginx.md")]

//! Our strict HTTP/1 codec, pure over byte slices.

//! Bodies in chunks: pieces give the data and the end of the whole.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::http1::{BodyError, Decoder, Framing};

fuzz_target!(|bytes: &[u8]| {
    let whole = decode(bytes, usize::MAX);
    for piece in [1, 3, 16] {
        assert_eq!(decode(bytes, piece), whole, "in pieces of {piece}");
    }
    let mut decoder = Decoder::new(Framing::Chunked);
    let mut copy = bytes.to_vec();
    match (decoder.decode_in_place(&mut copy), whole) {
        (Ok(all), Ok((data, consumed, done))) => {
            assert_eq!((&copy[all.data], all.consumed, all.done), (&data[..], consumed, done));
        }
        (Err(one), Err(other)) => assert_eq!(one, other),
        (one, other) => panic!("in place {one:?}, else {other:?}"),
    }
});

/// The data, the bytes that it took, and whether the body ended.
fn decode(bytes: &[u8], piece: usize) -> Result<(Vec<u8>, usize, bool), BodyError> {
    let mut decoder = Decoder::new(Framing::Chunked);
    let (mut data, mut consumed) = (Vec::new(), 0);
    for part in bytes.chunks(piece.min(bytes.len()).max(1)) {
        let mut used = 0;
        while used < part.len() && !decoder.is_done() {
            let decoded = decoder.decode(&part[used..])?;
            data.extend_from_slice(&part[used..][decoded.data]);
            assert!(decoded.consumed > 0, "it goes on");
            used += decoded.consumed;
        }
        consumed += used;
        if decoder.is_done() {
            break;
        }
    }
    Ok((data, consumed, decoder.is_done()))
}

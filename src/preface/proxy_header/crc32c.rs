//! The checksum of PROXY headers.

/// The checksum of RFC 9260, appendix A, bit by bit, which is fast enough for one header a
/// connection.
pub(super) fn crc32c(parts: [&[u8]; 3]) -> u32 {
    const REVERSED_POLYNOMIAL: u32 = 0x82f6_3b78;
    let bytes = parts.into_iter().flatten();
    !bytes.fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            crc >> 1 ^ if crc & 1 == 1 { REVERSED_POLYNOMIAL } else { 0 }
        })
    })
}

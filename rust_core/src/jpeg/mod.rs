//! Plain JPEGs, decoded to the pixels that libjpeg has, bit for bit: baseline, coded by Huffman, gray or of three colours.
//!
//! What is not plain, damaged or only strange is refused, never guessed at: others know what to do with it. [`ordinary`] tells
//! what is a JPEG like most. Of it [`headers`] reads what stands before the first sample, [`scan`] the coefficients that
//! follow, by the codes of [`huffman`] and [`pairs`] of them; [`idct`] makes samples of them, and [`planes`] rows of pixels, with [`rows`] and
//! [`colour`]. A picture is decoded strip by strip: memory goes with its width, and time with its bytes and pixels.
//!
//! It needs registers of 32 bytes. Where the processor has none, nothing is plain.

#[cfg(target_arch = "x86_64")]
mod colour;
#[cfg(target_arch = "x86_64")]
mod headers;
#[cfg(target_arch = "x86_64")]
mod huffman;
#[cfg(target_arch = "x86_64")]
mod idct;
mod ordinary;
#[cfg(target_arch = "x86_64")]
mod pairs;
#[cfg(target_arch = "x86_64")]
mod picture;
#[cfg(target_arch = "x86_64")]
mod planes;
#[cfg(target_arch = "x86_64")]
mod rows;
#[cfg(target_arch = "x86_64")]
mod scan;

pub use ordinary::ordinary;

/// A decoder, with memory that it uses again for each picture.
#[derive(Default)]
pub struct Decoder {
    #[cfg(target_arch = "x86_64")]
    memory: picture::Memory,
}

impl Decoder {
    /// Decodes a plain picture into height x width x 3 bytes of red, green and blue. False where it is not plain, or not of
    /// that size; the bytes may be any then.
    pub fn decode(&mut self, bytes: &[u8], pixels: &mut [u8]) -> bool {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("bmi2") {
            // SAFETY: the processor was asked whether it has them.
            #[allow(unsafe_code)]
            return unsafe { picture::decode(bytes, &mut self.memory, pixels) }.is_some();
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _others = (bytes, pixels);
        false
    }
}

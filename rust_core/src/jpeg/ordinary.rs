//! Ordinary JPEGs: those that any decoder built on libjpeg reads alike. Headers are looked at, not the picture.

/// Larger pictures are not ordinary.
const MOST_PIXELS: usize = 64 << 20;

/// Samplings across and down: all pixels, every second one across, every second one both ways.
const COMMON: [u8; 3] = [0x11, 0x21, 0x22];

/// (height, width) of an ordinary JPEG: one frame of 8 bits, gray or of three colours in a common sampling, baseline or
/// progressive, coded by Huffman, with every segment before the first scan whole and of a kind that says nothing unusual.
pub fn ordinary(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut at = 2;
    if bytes.get(..3)? != b"\xff\xd8\xff" {
        return None;
    }
    let mut frame = None;
    loop {
        let [0xff, marker, high, low] = *bytes.get(at..at + 4)? else { return None };
        let end = at + 2 + usize::from(u16::from_be_bytes([high, low]));
        let body = bytes.get(at + 4..end)?;
        match marker {
            // Application data and comments that readers of files do not stumble on.
            0xe0 if !body.starts_with(b"JFIF") || body.len() >= 7 => {}
            0xe2 if body.starts_with(b"ICC_PROFILE\0") && body.len() >= 14 => {}
            0xe2 if !body.starts_with(b"MPF\0") && !body.starts_with(b"ICC_PROFILE\0") => {}
            0xed if !body.starts_with(b"Photoshop 3.0\0") => {}
            // Colours that are not YCbCr are for others.
            0xee if !body.starts_with(b"Adobe") || (body.len() == 12 && body[11] == 1) => {}
            0xe1 | 0xe3..=0xec | 0xef | 0xfe | 0xc4 => {}
            0xdd if body.len() == 2 => {}
            0xdb if tables_are_whole(body) => {}
            0xc0..=0xc2 if frame.is_none() => frame = Some(size(body)?),
            0xda => return frame,
            _ => return None,
        }
        at = end;
    }
}

fn tables_are_whole(mut body: &[u8]) -> bool {
    while let Some(head) = body.first() {
        let length = 1 + if head >> 4 == 0 { 64 } else { 128 };
        match body.get(length..) {
            Some(rest) if head >> 4 <= 1 && head & 15 <= 3 => body = rest,
            _ => return false,
        }
    }
    true
}

fn size(frame: &[u8]) -> Option<(usize, usize)> {
    let [8, h1, h0, w1, w0, layers, rest @ ..] = frame else { return None };
    let (height, width) = (usize::from(u16::from_be_bytes([*h1, *h0])), usize::from(u16::from_be_bytes([*w1, *w0])));
    let sampled = |at: usize| rest.get(3 * at + 1).copied();
    let common = match layers {
        1 => rest.len() == 3 && COMMON.contains(&sampled(0)?),
        3 => {
            rest.len() == 9
                && COMMON.contains(&sampled(0)?)
                && sampled(1) == Some(0x11)
                && sampled(2) == Some(0x11)
                && [rest[0], rest[3], rest[6]] == [1, 2, 3]
        }
        _ => false,
    };
    (common && height > 0 && width > 0 && height * width <= MOST_PIXELS).then_some((height, width))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(frame: &[u8], before: &[u8]) -> Vec<u8> {
        let mut out = b"\xff\xd8\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0".to_vec();
        out.extend_from_slice(before);
        out.extend_from_slice(&[0xff, 0xc0, 0, frame.len() as u8 + 2]);
        out.extend_from_slice(frame);
        out.extend_from_slice(b"\xff\xda\x00\x02");
        out
    }

    const COLOUR: &[u8] = &[8, 0, 30, 0, 20, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1];

    #[test]
    fn ordinary_ones_have_a_size() {
        assert_eq!(ordinary(&picture(COLOUR, b"")), Some((30, 20)));
        assert_eq!(ordinary(&picture(&[8, 0, 3, 0, 2, 1, 1, 0x11, 0], b"\xff\xfe\x00\x04hi")), Some((3, 2)));
    }

    #[test]
    fn odd_ones_are_left_to_others() {
        let twelve_bits = [&[12], &COLOUR[1..]].concat();
        let four_layers = [8, 0, 3, 0, 2, 4, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 4, 0x11, 0];
        for odd in [
            picture(&twelve_bits, b""),
            picture(&four_layers, b""),
            picture(COLOUR, b"\xff\xee\x00\x0eAdobe\0\x64\0\0\0\0\x00"),
            picture(COLOUR, b"\xff\xdb\x00\x05\0\0\0"),
            picture(COLOUR, b"\xff\xe2\x00\x06MPF\0"),
            picture(COLOUR, b"\0"),
            b"\x89PNG".to_vec(),
            Vec::new(),
        ] {
            assert_eq!(ordinary(&odd), None);
        }
        let whole = picture(COLOUR, b"");
        assert!((0..whole.len()).all(|cut| ordinary(&whole[..cut]).is_none()));
    }
}

//! A plain picture, strip by strip: as many rows as a unit has.

use super::headers::{self, Sampling, Tables};
use super::idct::{Overflow, Scale};
use super::planes::Planes;
use super::scan::{Block, Scan};

/// Memory that is used again.
#[derive(Default)]
pub(super) struct Memory {
    tables: Tables,
    part: Vec<u8>,
    planes: Planes,
}

/// The blocks of a unit in their order, two and two. Where they have no side, two units are done together.
fn blocks(sampling: Sampling) -> &'static [Block] {
    match sampling {
        Sampling::Gray => &[(0, 0, 0)],
        Sampling::Full => &[(0, 0, 0), (1, 1, 0), (2, 2, 0)],
        Sampling::Across => &[(0, 0, 0), (0, 0, 1), (1, 1, 0), (2, 1, 1)],
        Sampling::BothWays => &[(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1), (1, 2, 0), (2, 2, 1)],
    }
}

/// Decodes it. None where it is not plain.
#[target_feature(enable = "avx2,bmi1,bmi2")]
pub(super) fn decode(bytes: &[u8], memory: &mut Memory, pixels: &mut [u8]) -> Option<()> {
    let header = headers::read(bytes, &mut memory.tables)?;
    if pixels.len() != header.height * header.width * 3 {
        return None;
    }
    let (tables, planes) = (&memory.tables, &mut memory.planes);
    let blocks = blocks(header.sampling);
    let codes = header.layers.map(|layer| (&tables.dc[layer.dc], &tables.ac[layer.ac]));
    let mut scales = [Scale::default(); 3];
    let (across, down) = header.sampling.luma();
    for (layer, pair, side) in blocks {
        let factors = &tables.factors[header.layers[*layer].factors];
        scales[*pair].set(*side, factors);
        if across == 1 {
            scales[*pair].set(1, factors);
        }
    }
    let (units, strips) = (header.width.div_ceil(8 * across), header.height.div_ceil(8 * down));
    planes.fit(&header)?;
    let mut scan = Scan::new(bytes, &header, &mut memory.part)?;
    let mut overflow = Overflow::new();
    for strip in 0..strips {
        for (at, unit) in (0..units).step_by(2 / across).enumerate() {
            let mut pairs = [[0; 128]; 3];
            scan.unit(blocks, 0, &codes, &mut pairs)?;
            if across == 1 && unit + 1 < units {
                scan.unit(blocks, 1, &codes, &mut pairs)?;
            }
            planes.put(header.sampling, at, &pairs, &scales, &mut overflow);
        }
        if overflow.happened() {
            return None;
        }
        planes.show(&header, strip, pixels);
    }
    scan.done().then_some(())
}

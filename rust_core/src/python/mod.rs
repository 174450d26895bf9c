//! The Python module `recipe_compiler._core`: a list of functions, ten lines each, through one gate.

// PyO3 hands over owned paths and arrays; borrowing from them is the point of a binding.
#![allow(clippy::needless_pass_by_value, clippy::elidable_lifetime_names)]

mod capabilities;
mod choosing;
mod gate;
mod goals;
mod objects;
mod packing;
mod pictures;
mod quotas;
mod reading;
mod scheduling;
mod spreading;
mod streaming;
mod tables;

use pyo3::prelude::*;

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("KernelError", module.py().get_type::<gate::KernelError>())?;
    module.add("FileError", module.py().get_type::<gate::FileError>())?;
    module.add_function(wrap_pyfunction!(reading::wrapping, module)?)?;
    module.add_function(wrap_pyfunction!(reading::unwrap, module)?)?;
    module.add_function(wrap_pyfunction!(reading::check_table, module)?)?;
    module.add_function(wrap_pyfunction!(reading::layout, module)?)?;
    module.add_function(wrap_pyfunction!(reading::detect, module)?)?;
    module.add_function(wrap_pyfunction!(reading::index, module)?)?;
    module.add_class::<reading::Mapper>()?;
    module.add_class::<streaming::Pool>()?;
    module.add_class::<streaming::Batch>()?;
    module.add_class::<streaming::Spare>()?;
    module.add_function(wrap_pyfunction!(pictures::ordinary_jpeg, module)?)?;
    module.add_function(wrap_pyfunction!(pictures::plain_jpegs, module)?)?;
    module.add_function(wrap_pyfunction!(objects::filled, module)?)?;
    module.add_function(wrap_pyfunction!(objects::parted, module)?)?;
    module.add_function(wrap_pyfunction!(reading::prove, module)?)?;
    module.add_function(wrap_pyfunction!(reading::digest_file, module)?)?;
    module.add_function(wrap_pyfunction!(capabilities::levels, module)?)?;
    module.add_function(wrap_pyfunction!(capabilities::mmssr, module)?)?;
    module.add_function(wrap_pyfunction!(choosing::best, module)?)?;
    module.add_function(wrap_pyfunction!(choosing::best_first, module)?)?;
    module.add_function(wrap_pyfunction!(choosing::rank_of, module)?)?;
    module.add_function(wrap_pyfunction!(choosing::edge_of, module)?)?;
    module.add_function(wrap_pyfunction!(quotas::packed_codes, module)?)?;
    module.add_function(wrap_pyfunction!(quotas::packed_cells, module)?)?;
    module.add_function(wrap_pyfunction!(quotas::priced, module)?)?;
    module.add_function(wrap_pyfunction!(quotas::sides, module)?)?;
    module.add_function(wrap_pyfunction!(quotas::wrong, module)?)?;
    module.add_function(wrap_pyfunction!(quotas::summed, module)?)?;
    module.add_function(wrap_pyfunction!(quotas::smooth, module)?)?;
    module.add_function(wrap_pyfunction!(quotas::random_part, module)?)?;
    module.add_function(wrap_pyfunction!(quotas::tally, module)?)?;
    module.add_function(wrap_pyfunction!(quotas::nearness, module)?)?;
    module.add_function(wrap_pyfunction!(quotas::nearest_to_nothing, module)?)?;
    module.add_function(wrap_pyfunction!(choosing::cells, module)?)?;
    module.add_function(wrap_pyfunction!(choosing::elementary, module)?)?;
    module.add_function(wrap_pyfunction!(goals::wording, module)?)?;
    module.add_function(wrap_pyfunction!(goals::goal_scores, module)?)?;
    module.add_function(wrap_pyfunction!(goals::goal_quality, module)?)?;
    module.add_function(wrap_pyfunction!(goals::goal_choose, module)?)?;
    module.add_function(wrap_pyfunction!(packing::windows, module)?)?;
    module.add_function(wrap_pyfunction!(packing::pack, module)?)?;
    module.add_function(wrap_pyfunction!(packing::fill, module)?)?;
    module.add_function(wrap_pyfunction!(scheduling::digest_parts, module)?)?;
    module.add_function(wrap_pyfunction!(scheduling::row_checks, module)?)?;
    module.add_function(wrap_pyfunction!(scheduling::shard_file, module)?)?;
    module.add_function(wrap_pyfunction!(scheduling::keyed_order, module)?)?;
    module.add_function(wrap_pyfunction!(scheduling::multiset_digest, module)?)?;
    module.add_function(wrap_pyfunction!(scheduling::ranking, module)?)?;
    module.add_function(wrap_pyfunction!(scheduling::ranked_rows, module)?)?;
    module.add_function(wrap_pyfunction!(tables::gather, module)?)?;
    module.add_function(wrap_pyfunction!(tables::codes, module)?)?;
    module.add_function(wrap_pyfunction!(tables::numbered, module)?)?;
    module.add_function(wrap_pyfunction!(tables::differs, module)?)?;
    module.add_function(wrap_pyfunction!(tables::tokens, module)?)?;
    module.add_function(wrap_pyfunction!(tables::taken_rows, module)?)?;
    module.add_function(wrap_pyfunction!(tables::renumbered, module)?)?;
    module.add_function(wrap_pyfunction!(tables::zeros, module)?)?;
    module.add_function(wrap_pyfunction!(tables::num_different, module)?)?;
    module.add_function(wrap_pyfunction!(tables::leave, module)?)?;
    module.add_function(wrap_pyfunction!(scheduling::sample_ids, module)?)?;
    module.add_function(wrap_pyfunction!(scheduling::first_of_equals, module)?)?;
    module.add_function(wrap_pyfunction!(scheduling::number_equals, module)?)?;
    module.add_function(wrap_pyfunction!(scheduling::repeated, module)?)?;
    module.add_function(wrap_pyfunction!(scheduling::shared_numbers, module)?)?;
    module.add_function(wrap_pyfunction!(scheduling::totals, module)?)?;
    module.add_function(wrap_pyfunction!(scheduling::earlier_equals, module)?)?;
    module.add_function(wrap_pyfunction!(scheduling::occurrences, module)?)?;
    module.add_function(wrap_pyfunction!(scheduling::interleave, module)?)?;
    module.add_function(wrap_pyfunction!(scheduling::pace, module)?)?;
    module.add_function(wrap_pyfunction!(scheduling::stratify, module)?)?;
    module.add_function(wrap_pyfunction!(scheduling::anchor, module)?)?;
    module.add_function(wrap_pyfunction!(scheduling::take, module)?)?;
    module.add_function(wrap_pyfunction!(scheduling::unmoved, module)?)?;
    module.add_function(wrap_pyfunction!(spreading::quantise, module)?)?;
    module.add_function(wrap_pyfunction!(spreading::nearest, module)?)?;
    module.add_function(wrap_pyfunction!(spreading::distinct, module)?)?;
    module.add_function(wrap_pyfunction!(spreading::k_center, module)?)?;
    module.add_function(wrap_pyfunction!(spreading::relevance, module)?)?;
    module.add_function(wrap_pyfunction!(spreading::facility, module)?)?;
    Ok(())
}

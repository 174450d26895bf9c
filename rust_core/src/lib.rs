//! The compute core of the recipe compiler.
//!
//! Everything here is a pure function of its arguments and of the bytes of the files it is pointed at: no clock, no
//! environment, no hash-order iteration, and the same answer for any number of threads. Bad data is a value
//! ([`record::Malformed`]), never a panic.
//!
//! Reading: [`container`] says what a file is, [`json`], [`delimited`], [`webdataset`], [`mds`] and [`columnar`] find its
//! records, [`record`] turns one into a [`value::Value`] (by `quick` where it is well formed), [`fields`] maps that to a
//! [`sample::Sample`] (and [`canonical`] where it is one already), [`index`] does it for a whole file. Of
//! pictures, [`jpeg`] decodes those that are plain. Scheduling:
//! [`digest`], [`table`], [`rank`], [`equals`], [`alike`], [`interleave`], [`pace`], [`batches`], [`packing`], [`select`], [`best`], [`cells`],
//! [`embed`], [`spread`], [`levels`] and [`mmssr`], [`gdo`] and [`goal`] with [`wording`].

pub mod alike;
pub mod batches;
pub mod best;
mod bits;
pub mod bounds;
pub mod canonical;
pub mod cells;
pub mod columnar;
pub mod container;
pub mod delimited;
mod deltas;
pub mod detect;
pub mod digest;
pub mod elementary;
pub mod embed;
pub mod equals;
pub mod error;
pub mod fields;
pub mod gdo;
pub mod goal;
#[cfg(all(target_os = "linux", any(test, feature = "extension-module")))]
mod huge;
pub mod index;
pub mod interleave;
pub mod jpeg;
pub mod json;
mod lanes;
pub mod levels;
pub mod mds;
pub mod mmssr;
pub mod moves;
pub mod near;
pub mod numbers;
pub mod pace;
pub mod packing;
mod pages;
mod pass;
pub mod path;
pub mod pieces;
mod quick;
pub mod quotas;
pub mod rank;
mod reading;
pub mod record;
mod registers;
pub mod sample;
pub mod select;
pub mod shards;
pub mod sift;
pub mod smooth;
pub mod spread;
pub mod streaming;
mod sweep;
pub mod table;
mod tally;
pub mod texts;
pub mod tokens;
pub mod value;
pub mod webdataset;
pub mod wording;

#[cfg(feature = "python")]
mod python;

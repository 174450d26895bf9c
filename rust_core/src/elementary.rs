//! Functions whose last bit would otherwise depend on a platform's library.

use rayon::prelude::*;

use crate::error::{CoreError, Result};

/// `log` or `exp` of each value.
pub fn elementary(name: &str, values: &[f64]) -> Result<Vec<f64>> {
    let function: fn(f64) -> f64 = match name {
        "log" => libm::log,
        "exp" => libm::exp,
        _ => return Err(CoreError::Contract(format!("no function {name}"))),
    };
    Ok(values.par_iter().with_min_len(1 << 14).map(|value| function(*value)).collect())
}

//! Speed of the chunker per back-end, in MB/s on one core: `cargo bench -p vault-core --bench cut`.
//!
//! Prints the best of many short passes, since other load can only make a pass slower.

#![allow(clippy::print_stdout, reason = "a benchmark reports by printing")]

use std::time::Instant;

use vault_core::chunk::cut::{Backend, Cutter, Params};
use vault_core::crypto::secret::Secret;
use vault_core::id::VaultId;

/// Passes over every byte are short, to fit between interruptions.
const SHORT: usize = 256 << 10;
/// Passes with skipping need several chunks.
const LONG: usize = 8 << 20;
const SECONDS: f64 = 2.0;

fn main() {
    let mut data = vec![0; LONG];
    blake3::Hasher::new().finalize_xof().fill(&mut data);

    println!("{:>10} {:>12} {:>12}", "back-end", "every byte", "skipping");
    for backend in Backend::available() {
        let cutter = Cutter::new(&Secret::new([1; 32]), &VaultId::new([2; 32]), Params::default())
            .with_backend(backend)
            .expect("an available back-end can be used");
        let every = best(SHORT, || {
            let mut out = Vec::new();
            cutter.candidates(&[], &data[..SHORT], &mut out);
            out.len()
        });
        let skipping = best(LONG, || cutter.cut(&data).len());
        println!("{:>10} {every:>12.0} {skipping:>12.0}", format!("{backend:?}"));
    }
}

fn best(bytes: usize, mut pass: impl FnMut() -> usize) -> f64 {
    let begin = Instant::now();
    let mut best = f64::INFINITY;
    while begin.elapsed().as_secs_f64() < SECONDS {
        let start = Instant::now();
        std::hint::black_box(pass());
        best = best.min(start.elapsed().as_secs_f64());
    }
    bytes as f64 / 1e6 / best
}

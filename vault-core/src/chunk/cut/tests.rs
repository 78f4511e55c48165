//! Tests of the chunker as a whole: back-ends against the formula and each other, and the behaviour of cuts.
//!
//! Everything is derived from fixed seeds, so every run sees the same bytes.

use aes::Aes128;
use aes::cipher::{BlockEncrypt, KeyInit};
use proptest::prelude::*;

use super::*;
use crate::crypto::{kdf, labels};

/// Small enough that short inputs have many chunks.
fn small() -> Params {
    Params::new(64, 8, 1000).unwrap()
}

fn cutter(key: u8, params: Params) -> Cutter {
    Cutter::new(&Secret::new([key; 32]), &VaultId::new([9; 32]), params)
}

fn on_every_backend(params: Params) -> Vec<Cutter> {
    Backend::available().into_iter().map(|b| cutter(1, params).with_backend(b).unwrap()).collect()
}

fn pseudo_random(seed: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}

fn all_candidates(cutter: &Cutter, data: &[u8]) -> Vec<usize> {
    let mut out = Vec::new();
    cutter.candidates(&[], data, &mut out);
    out
}

fn chosen(cutter: &Cutter, data: &[u8]) -> Vec<u64> {
    let mut out = Vec::new();
    let mut chooser = Chooser::new(cutter.params());
    chooser.push(&all_candidates(cutter, data), data.len(), &mut out);
    chooser.finish(&mut out);
    out
}

fn chunks<'a>(data: &'a [u8], cuts: &[u64]) -> Vec<&'a [u8]> {
    let starts = std::iter::once(0).chain(cuts.iter().copied());
    starts.zip(cuts).map(|(from, to)| &data[from as usize..*to as usize]).collect()
}

/// The formula of the module's documentation, without rolling and without tables of its own making.
fn candidates_by_definition(data: &[u8], mask_bits: u32) -> Vec<usize> {
    let k_cut = Secret::new([1; 32]);
    let vault = VaultId::new([9; 32]);
    let table: Secret<4096> = kdf::derive(&k_cut, &vault, labels::CUT_TABLE, &[]);
    let prf: Secret<16> = kdf::derive(&k_cut, &vault, labels::CUT_PRF, &[]);
    let cipher = Aes128::new(prf.expose().into());
    let multiply = |entry: u64, power: usize| {
        let product = u128::from(entry) << power;
        let fold = |value: u128| {
            let high = value >> 64;
            (value & u128::from(u64::MAX)) ^ high ^ (high << 1) ^ (high << 3) ^ (high << 4)
        };
        fold(fold(product)) as u64
    };
    let is_candidate = |window: &[u8]| {
        let mut block = [0; 16];
        for half in 0..2 {
            let sum = (1..=64).fold(0, |sum, i| {
                let at = usize::from(window[64 - i]) * 16 + half * 8;
                sum ^ multiply(u64::from_le_bytes(table.expose()[at..at + 8].try_into().unwrap()), i - 1)
            });
            block[half * 8..][..8].copy_from_slice(&sum.to_le_bytes());
        }
        cipher.encrypt_block((&mut block).into());
        u64::from_le_bytes(block[..8].try_into().unwrap()).trailing_zeros() >= mask_bits
    };
    (64..=data.len()).filter(|&p| is_candidate(&data[p - 64..p])).collect()
}

#[test]
fn one_cutter_serves_all_threads() {
    fn shared<T: Send + Sync>(value: T) -> T {
        value
    }
    let data = pseudo_random(11, 20_000);
    let cutter = shared(cutter(1, small()));

    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| cutter.cut(&data));
        (first.join().unwrap(), cutter.cut(&data))
    });

    assert_eq!(first, second);
}

#[test]
fn the_fastest_backend_is_chosen() {
    assert_eq!(Some(&cutter(1, small()).backend()), Backend::available().last());
}

#[test]
fn every_backend_follows_the_definition() {
    let data = pseudo_random(1, 40_000);
    let expected = candidates_by_definition(&data, 8);

    assert!(expected.len() > 100);
    for cutter in on_every_backend(small()) {
        assert_eq!(all_candidates(&cutter, &data), expected, "{:?}", cutter.backend());
    }
}

/// Published: a change here cuts every file in every vault anew.
#[test]
fn golden_cuts_do_not_change() {
    let data = pseudo_random(7, 8 << 20);
    let digest_of_small_cuts = |cuts: &[u64]| {
        let bytes: Vec<u8> = cuts.iter().flat_map(|cut| cut.to_le_bytes()).collect();
        blake3::hash(&bytes).to_hex().to_string()
    };

    for cutter in on_every_backend(Params::default()) {
        assert_eq!(cutter.cut(&data), GOLDEN_CUTS, "{:?}", cutter.backend());
    }
    for cutter in on_every_backend(Params::new(256, 10, 8192).unwrap()) {
        let cuts = cutter.cut(&data[..1 << 20]);
        assert_eq!(cuts.len(), GOLDEN_SMALL_COUNT);
        assert_eq!(digest_of_small_cuts(&cuts), GOLDEN_SMALL_DIGEST);
    }
}

const GOLDEN_CUTS: [u64; 20] = [
    242_777, 707_404, 1_220_732, 1_599_572, 2_001_581, 2_487_172, 3_017_963, 3_366_600, 3_636_306, 3_972_946,
    4_907_201, 5_348_350, 5_620_591, 6_548_595, 6_945_968, 7_216_120, 7_454_152, 7_854_817, 8_300_730,
    8_388_608,
];
const GOLDEN_SMALL_COUNT: usize = 851;
const GOLDEN_SMALL_DIGEST: &str = "1581ef51dbb97dc5d83d3f7e9e37702bc3d7c1cc6a04f20b96b44248d38ff271";

#[test]
fn short_files_are_one_chunk_and_empty_ones_none() {
    for cutter in on_every_backend(Params::default()) {
        assert!(cutter.cut(&[]).is_empty());
        for len in [1, 63, 64, 65, 1000, Params::DEFAULT_MIN as usize] {
            assert_eq!(cutter.cut(&pseudo_random(2, len)), [len as u64]);
        }
    }
}

#[test]
fn lengths_around_the_minimum_and_around_blocks_agree_with_candidates() {
    let around = [64, 65, 127, 128, 129, 1000, 1001, 4 * 4096 + 63, 4 * 4096 + 64, 4 * 4096 + 65, 40_000];
    let data = pseudo_random(3, 40_000);

    for cutter in on_every_backend(small()) {
        for len in around.into_iter().chain(0..200) {
            assert_eq!(cutter.cut(&data[..len]), chosen(&cutter, &data[..len]), "{len}");
        }
    }
}

#[test]
fn data_without_candidates_is_cut_at_the_maximum() {
    let params = Params::new(64, 24, 1000).unwrap();

    for cutter in on_every_backend(params) {
        for period in [1, 2, 3, 7, 64, 100] {
            let data: Vec<u8> = (0..10_500).map(|i| (i % period) as u8).collect();
            let cuts = cutter.cut(&data);
            assert_eq!(cuts.len(), 11);
            assert!(cuts[..10].iter().zip(1..).all(|(cut, i)| *cut == i * 1000));
        }
    }
}

#[test]
fn a_window_that_is_a_candidate_is_one_everywhere() {
    // With a short period every window recurs, so candidates must recur with the same period.
    for cutter in on_every_backend(small()) {
        for period in 1..200 {
            let data: Vec<u8> = pseudo_random(4, period).into_iter().cycle().take(4000).collect();
            let candidates = all_candidates(&cutter, &data);
            for &p in candidates.iter().filter(|&&p| p + period <= data.len()) {
                assert!(candidates.binary_search(&(p + period)).is_ok());
            }
        }
    }
}

#[test]
fn chunks_of_random_data_have_the_expected_mean_and_bounds() {
    let params = Params::new(2048, 12, 40_960).unwrap();
    let data = pseudo_random(5, 12 << 20);

    let cuts = cutter(1, params).cut(&data);

    let lengths: Vec<usize> = chunks(&data, &cuts).iter().map(|chunk| chunk.len()).collect();
    let mean = data.len() / lengths.len();
    assert!((5800..6500).contains(&mean), "{mean}");
    assert!(lengths[..lengths.len() - 1].iter().all(|len| (2048..=40_960).contains(len)));
}

#[test]
fn after_an_inserted_byte_the_cuts_find_together_again() {
    let params = Params::new(2048, 12, 40_960).unwrap();
    let before = pseudo_random(6, 2 << 20);
    let mut after = before.clone();
    after.insert(1 << 20, 42);
    let cutter = cutter(1, params);

    let old = cutter.cut(&before);
    let known: std::collections::HashSet<&[u8]> = chunks(&before, &old).into_iter().collect();
    let new = cutter.cut(&after);
    let added = chunks(&after, &new).into_iter().filter(|chunk| !known.contains(chunk)).count();

    assert!((1..=12).contains(&added), "{added} of {}", new.len());
}

#[test]
fn cuts_under_two_keys_have_little_in_common() {
    let params = Params::new(2048, 12, 40_960).unwrap();
    let data = pseudo_random(8, 4 << 20);
    let cuts = |key| cutter(key, params).cut(&data).into_iter().collect::<std::collections::HashSet<_>>();

    let (first, second) = (cuts(1), cuts(2));

    // About 680 cuts each: by chance 0.1 in common, and the end of the file.
    assert!(first.intersection(&second).count() <= 3);
}

#[test]
fn candidates_look_no_further_back_than_a_window() {
    let data = pseudo_random(10, 5000);
    let cutter = cutter(1, small());
    let expected: Vec<usize> = all_candidates(&cutter, &data).into_iter().filter(|p| *p > 1000).collect();

    for context in [63, 64, 500] {
        let mut out = Vec::new();
        cutter.candidates(&data[1000 - context..1000], &data[1000..], &mut out);
        assert_eq!(out.iter().map(|p| p + 1000).collect::<Vec<_>>(), expected);
    }
}

/// Few different bytes and short periods among random ones, so that long runs without candidates and dense ones both occur.
fn contents() -> impl Strategy<Value = Vec<u8>> {
    let run = prop_oneof![
        (any::<u8>(), 1..5000_usize).prop_map(|(byte, len)| vec![byte; len]),
        (any::<u8>(), 1..90_usize, 1..40_usize)
            .prop_map(|(seed, len, times)| pseudo_random(seed, len).repeat(times)),
        (any::<u8>(), 1..30_000_usize).prop_map(|(seed, len)| pseudo_random(seed, len)),
    ];
    proptest::collection::vec(run, 0..6).prop_map(|runs| runs.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn backends_and_ways_of_cutting_agree(data in contents()) {
        let cutters = on_every_backend(small());
        let expected = chosen(&cutters[0], &data);
        prop_assert_eq!(expected.last().copied().unwrap_or(0), data.len() as u64);
        for cutter in &cutters {
            prop_assert_eq!(&chosen(cutter, &data), &expected);
            prop_assert_eq!(&cutter.cut(&data), &expected);
        }
    }

    #[test]
    fn cuts_do_not_depend_on_buffers(data in contents(), lengths in proptest::collection::vec(0..3000_usize, 1..20)) {
        let cutter = cutter(1, small());
        let (mut streamed, mut chosen) = (Vec::new(), Vec::new());
        let (mut stream, mut chooser) = (cutter.stream(), Chooser::new(cutter.params()));
        let mut at = 0;
        // The cycle may hold nothing but zeros: one byte more each keeps it moving.
        for len in lengths.iter().cycle().scan(0, |n, len| { *n += 1; Some(if *n % 2 == 0 { *len } else { len / 50 + 1 }) }) {
            let end = (at + len).min(data.len());
            stream.push(&data[at..end], &mut streamed);
            let mut candidates = Vec::new();
            cutter.candidates(&data[..at], &data[at..end], &mut candidates);
            chooser.push(&candidates, end - at, &mut chosen);
            at = end;
            if at == data.len() {
                break;
            }
        }
        stream.finish(&mut streamed);
        chooser.finish(&mut chosen);

        prop_assert_eq!(&streamed, &cutter.cut(&data));
        prop_assert_eq!(&chosen, &streamed);
    }
}

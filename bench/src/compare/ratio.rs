//! Ratios: how one system's blocks compare with those that another had right beside them.
//!
//! Each pair of blocks gives one ratio; the median of all pairs is what is told, with the interval that holds the medians of
//! nineteen in twenty samples drawn anew from the pairs (a bootstrap). Nothing is assumed about how times are distributed,
//! and a disturbance that hits one pair moves one ratio.

/// Samples drawn.
const DRAWS: usize = 2000;
/// Of those, as many lie below the interval as above it.
const OUTSIDE: usize = DRAWS / 40;

/// A median ratio and the interval that it lies in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ratio {
    pub(super) median: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

/// The ratio of `ours` to `theirs`, block by block. Rounds that one of the two has no figure for do not count; `None` if no
/// round is left.
pub(super) fn ratio(ours: &[Option<f64>], theirs: &[Option<f64>]) -> Option<Ratio> {
    let pairs = ours.iter().zip(theirs);
    let of = |pair: (&Option<f64>, &Option<f64>)| Some((*pair.0)? / (*pair.1)?).filter(|ratio| ratio.is_finite());
    let ratios: Vec<f64> = pairs.filter_map(of).collect();
    if ratios.is_empty() {
        return None;
    }
    // The same seed every time: the same pairs have the same interval.
    let mut state = 0x5EED_u64;
    let mut draw = || ratios[(next(&mut state) % ratios.len() as u64) as usize];
    let mut medians: Vec<f64> =
        (0..DRAWS).map(|_| median(&mut (0..ratios.len()).map(|_| draw()).collect::<Vec<_>>())).collect();
    medians.sort_by(f64::total_cmp);
    Some(Ratio { median: median(&mut ratios.clone()), low: medians[OUTSIDE], high: medians[DRAWS - 1 - OUTSIDE] })
}

/// The median of values of which there is at least one.
pub(super) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) { f64::midpoint(values[middle - 1], values[middle]) } else { values[middle] }
}

/// The next number of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_pairs_have_one_ratio_and_no_width() {
        let (ours, theirs) = (vec![Some(300.0); 20], vec![Some(400.0); 20]);
        assert_eq!(ratio(&ours, &theirs), Some(Ratio { median: 0.75, low: 0.75, high: 0.75 }));
    }

    #[test]
    fn a_drift_that_hits_both_of_a_pair_does_not_count() {
        let ours: Vec<_> = (1..=20).map(|at| Some(100.0 * f64::from(at))).collect();
        let theirs: Vec<_> = (1..=20).map(|at| Some(200.0 * f64::from(at))).collect();
        assert_eq!(ratio(&ours, &theirs).map(|found| found.high), Some(0.5));
    }

    #[test]
    fn the_interval_holds_the_median_and_is_the_same_every_time() {
        let ours: Vec<_> = (0..21).map(|at| Some(90.0 + f64::from(at))).collect();
        let found = ratio(&ours, &[Some(100.0); 21]).unwrap();
        assert!(found.low < found.median && found.median < found.high, "{found:?}");
        assert!((0.9..=1.1).contains(&found.low) && (0.9..=1.1).contains(&found.high), "{found:?}");
        assert_eq!(ratio(&ours, &[Some(100.0); 21]), Some(found));
    }

    #[test]
    fn rounds_without_a_figure_are_left_out() {
        assert_eq!(ratio(&[None, Some(1.0)], &[Some(3.0), Some(2.0)]).map(|found| found.median), Some(0.5));
        assert_eq!(ratio(&[None], &[Some(3.0)]), None);
        assert_eq!(ratio(&[Some(1.0)], &[Some(0.0)]), None);
    }
}

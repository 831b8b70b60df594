//! Where a process listens: on two instances of the list, the same two for everybody who knows its id.

use streamz_protocol::ProcessId;

/// The positions, in the list of instances, on which a process subscribes: the one that is preferred first. Two if there
/// are two or more.
///
/// Rendezvous hashing over positions: with a longer or shorter list most processes keep their instances. The list is the
/// same in every process, in the same order, so nobody has to ask.
pub(crate) fn homes(process: ProcessId, instances: usize) -> Vec<usize> {
    let mut positions: Vec<usize> = (0..instances).collect();
    positions.sort_by_key(|position| (std::cmp::Reverse(weight(process, *position as u64)), *position));
    positions.truncate(2);
    positions
}

/// The channel of a process.
pub(crate) fn channel(namespace: &str, process: ProcessId) -> String {
    format!("streamz:{namespace}:{:016x}", process.0)
}

/// The finaliser of splitmix64, twice: part of the protocol between processes, never to be changed.
fn weight(process: ProcessId, position: u64) -> u64 {
    mix(mix(process.0) ^ position)
}

fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_different_instances_or_the_only_one() {
        for id in 1..1000 {
            assert_eq!(homes(ProcessId(id), 1), [0]);
            for instances in 2..6 {
                let homes = homes(ProcessId(id), instances);
                assert!(homes.len() == 2 && homes[0] != homes[1], "{homes:?}");
                assert!(homes.iter().all(|home| *home < instances));
            }
        }
    }

    #[test]
    fn it_never_changes() {
        let found: Vec<Vec<usize>> = (1..=4).map(|id| homes(ProcessId(id), 3)).collect();
        assert_eq!(found, [[1, 2], [1, 2], [1, 0], [1, 0]]);
        assert_eq!(channel("prod", ProcessId(0x2a)), "streamz:prod:000000000000002a");
    }

    #[test]
    fn processes_spread_evenly_and_a_longer_list_moves_few() {
        let mut first = [0; 4];
        let mut moved = 0;
        for id in 1..=4000 {
            let four = homes(ProcessId(id), 4);
            first[four[0]] += 1;
            if homes(ProcessId(id), 3)[0] != four[0] {
                moved += 1;
                assert_eq!(four[0], 3, "only the new one takes any");
            }
        }
        assert!(first.iter().all(|count| (900..=1100).contains(count)), "{first:?}");
        assert!((900..=1100).contains(&moved), "{moved}");
    }
}

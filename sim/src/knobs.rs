//! What kind of world a seed is: sizes, rates and which faults there are at all. Drawn once, before anything happens.

use crate::disk::Latency;
use crate::rng::Rng;

/// The shape of one world.
#[derive(Clone, Copy, Debug)]
pub struct Knobs {
    /// FIX clients.
    pub traders: usize,
    /// Bytes of a segment; small ones roll often.
    pub segment_bytes: u64,
    /// What the disk costs.
    pub latency: Latency,
    /// How long faults happen.
    pub faults_ns: u64,
    /// A process lives for at most this many places at which it may crash; 0 = it is never killed.
    pub crash_operations_max: u64,
    /// Of a hundred crashes, those by loss of power.
    pub power_percent: u64,
    /// Whether the disk fills up now and then.
    pub fills_up: bool,
    /// Whether writes and syncs fail now and then.
    pub fails: bool,
    /// Whether the wall clock is set now and then.
    pub wall_steps: bool,
    /// Whether clients lose connections, reset their sessions and repeat themselves.
    pub rough_clients: bool,
    /// Pause between two actions of a client, at most.
    pub pause_us_max: u64,
    /// Orders that a client sends at once, at most.
    pub burst_max: u64,
    /// Orders and requests of a client in all, at most.
    pub actions_max: u64,
    /// Bytes of journal between two snapshots; small ones make many.
    pub snapshot_bytes: u64,
}

const MILLI_NS: u64 = 1_000_000;

impl Knobs {
    /// Those of `rng`'s seed. One world in eight knows one kind of fault alone, one in sixteen none.
    #[must_use]
    pub fn draw(rng: &mut Rng) -> Self {
        let (quiet, single) = (rng.below(16) == 0, rng.below(8) == 0);
        let only = rng.below(4);
        let mut enabled = |kind: u64, in_ten: u64| {
            let drawn = rng.below(10) < in_ten;
            !quiet && if single { kind == only } else { drawn }
        };
        let (crashes, fills_up, fails, wall_steps) =
            (enabled(0, 9), enabled(1, 4), enabled(2, 3), enabled(3, 4));
        let crash_operations_max = rng.pick(&[40, 200, 1_000, 5_000]);
        Self {
            traders: rng.within(1..=4) as usize,
            segment_bytes: rng.pick(&[128 << 10, 128 << 10, 256 << 10]),
            latency: rng.pick(&[
                Latency { min_us: 15, max_us: 60, stall_ppm: 0, stall_us: 0 },
                Latency { min_us: 50, max_us: 800, stall_ppm: 5_000, stall_us: 30_000 },
                Latency { min_us: 500, max_us: 5_000, stall_ppm: 20_000, stall_us: 200_000 },
            ]),
            faults_ns: rng.within(300..=2_000) * MILLI_NS,
            crash_operations_max: if crashes { crash_operations_max } else { 0 },
            power_percent: rng.pick(&[0, 50, 50, 100]),
            fills_up,
            fails,
            wall_steps,
            rough_clients: !quiet && rng.coin(),
            pause_us_max: rng.pick(&[300, 3_000, 20_000]),
            burst_max: rng.pick(&[1, 4, 20]),
            actions_max: rng.pick(&[100, 400, 1_500]),
            snapshot_bytes: rng.pick(&[20_000, 100_000, 1 << 30]),
        }
    }

    /// A world without faults and without chance in it, for scripts.
    #[must_use]
    pub fn scripted() -> Self {
        Self {
            traders: 2,
            segment_bytes: 128 << 10,
            latency: Latency { min_us: 50, max_us: 50, stall_ppm: 0, stall_us: 0 },
            faults_ns: 0,
            crash_operations_max: 0,
            power_percent: 0,
            fills_up: false,
            fails: false,
            wall_steps: false,
            rough_clients: false,
            pause_us_max: 300,
            burst_max: 4,
            actions_max: 60,
            snapshot_bytes: 100_000,
        }
    }
}

//! What kind of world a seed is: sizes, rates and which faults there are at all. Drawn once, before anything happens.

use protocol::limits::BLOCK_BYTES_MAX;

use crate::disk::Latency;
use crate::rng::Rng;

/// The shape of one world.
#[derive(Clone, Copy, Debug)]
pub struct Knobs {
    /// Replicas.
    pub nodes: usize,
    /// What happens between them.
    pub network: NetworkKnobs,
    /// FIX clients.
    pub traders: usize,
    /// Bytes of a segment; small ones roll often.
    pub segment_bytes: u64,
    /// Bytes of a block; small ones leave many waiting behind a slow write.
    pub block_bytes_max: usize,
    /// What the disk costs.
    pub latency: Latency,
    /// How long faults happen.
    pub faults_ns: u64,
    /// A process lives for at most this many places at which it may crash; 0 = it is never killed.
    pub crash_operations_max: u64,
    /// Of a hundred crashes, those by loss of power.
    pub power_percent: u64,
    /// How long nobody starts a process again, at most.
    pub down_us_max: u64,
    /// Whether the disk fills up now and then.
    pub fills_up: bool,
    /// Whether reads, writes and syncs fail now and then.
    pub fails: bool,
    /// Whether bits rot where no peer is needed to repair them: outbox and snapshots.
    pub rots: bool,
    /// Whether bits rot in the journal too, and alone in `meta`. In a cluster the atlas says on which machines.
    pub rots_journal: bool,
    /// Whether they rot on more machines at a time than a cluster survives: it has to stand still.
    pub rots_beyond: bool,
    /// Whether the memory of one replica goes wrong.
    pub corrupts: bool,
    /// Whether the device says now and then that something is durable which is not.
    pub lies: bool,
    /// Whether the wall clock is set now and then; in a cluster, that of a minority.
    pub wall_steps: bool,
    /// How far the wall clock's rate may be off.
    pub skew_ppm_max: u64,
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
    /// Whether a client sends batches of up to 1 MiB. Segments are as long then as a node's at least.
    pub large_batches: bool,
    /// Whether a client pays in batches: what it reserves expires, and what it links fails now and then.
    pub payments: bool,
    /// Whether traders say more of their orders than price and quantity, and the operator takes the market through its phases.
    pub order_terms: bool,
}

/// What happens between replicas, and to processes as a whole.
#[derive(Clone, Copy, Debug)]
pub struct NetworkKnobs {
    /// Messages lost, of a million.
    pub loss_ppm: u64,
    /// Messages that arrive twice, of a million.
    pub duplicate_ppm: u64,
    /// Mean of the delay, which is exponential: messages overtake each other.
    pub delay_us: u64,
    /// Whether groups are cut off from each other.
    pub partitions: bool,
    /// Whether a way is cut in one direction alone.
    pub one_way: bool,
    /// Whether ways hold everything for a while.
    pub clogs: bool,
    /// Whether processes stop turning for a while.
    pub pauses: bool,
    /// Whether an operator moves the lead now and then.
    pub transfers: bool,
    /// Whether machines are lost with their disks now and then, one at a time, and replaced.
    pub replaces: bool,
}

const MILLI_NS: u64 = 1_000_000;
/// Longer than any world: a day.
const NEVER_US: u64 = 86_400_000_000;
/// The smallest segment that a node is configured with.
const LARGE_SEGMENT_BYTES: u64 = 4 << 20;
/// No world writes so much: none is taken.
const NO_SNAPSHOTS_BYTES: u64 = 1 << 30;
/// In one world of so many a client pays in batches.
const PAYMENTS_EVERY: u64 = 3;
/// In one of so many orders have terms, and the market has phases.
const ORDER_TERMS_EVERY: u64 = 3;
/// So many times more is done in a world that lasts.
const LONG_ACTIONS: u64 = 2;

/// Disks, from good to bad. The last two hang for longer than a leader may wait for its own; the very last so often that others lead,
/// and say something else, while writes of an earlier term still wait.
const LATENCIES: [Latency; 5] = [
    Latency { min_us: 15, max_us: 60, stall_ppm: 0, stall_us: 0 },
    Latency { min_us: 50, max_us: 800, stall_ppm: 5_000, stall_us: 30_000 },
    Latency { min_us: 500, max_us: 5_000, stall_ppm: 20_000, stall_us: 200_000 },
    Latency { min_us: 50, max_us: 800, stall_ppm: 3_000, stall_us: 2_500_000 },
    Latency { min_us: 200, max_us: 3_000, stall_ppm: 20_000, stall_us: 1_500_000 },
];

impl NetworkKnobs {
    const QUIET: Self = Self {
        loss_ppm: 0,
        duplicate_ppm: 0,
        delay_us: 100,
        partitions: false,
        one_way: false,
        clogs: false,
        pauses: false,
        transfers: false,
        replaces: false,
    };

    fn draw(rng: &mut Rng, enabled: &mut impl FnMut(u64, u64, &mut Rng) -> bool) -> Self {
        let loss_ppm = rng.pick(&[1_000, 20_000, 100_000, 300_000]);
        let duplicate_ppm = rng.pick(&[10_000, 100_000, 500_000]);
        Self {
            loss_ppm: if enabled(10, 5, rng) { loss_ppm } else { 0 },
            duplicate_ppm: if enabled(11, 4, rng) { duplicate_ppm } else { 0 },
            delay_us: rng.pick(&[200, 200, 1_000, 5_000, 20_000]),
            partitions: enabled(12, 5, rng),
            one_way: enabled(13, 4, rng),
            clogs: enabled(14, 3, rng),
            pauses: enabled(15, 4, rng),
            transfers: enabled(16, 4, rng),
            replaces: enabled(17, 3, rng),
        }
    }
}

impl Knobs {
    /// Those of `rng`'s seed, for a cluster of `nodes`. One world in eight knows one kind of fault alone, one in sixteen
    /// none.
    #[must_use]
    pub fn draw(rng: &mut Rng, nodes: usize) -> Self {
        let (quiet, single) = (rng.below(16) == 0, rng.below(8) == 0);
        let cluster = nodes > 1;
        let kinds: &[u64] =
            if cluster { &[0, 1, 2, 3, 6, 10, 11, 12, 13, 14, 15, 16, 17] } else { &[0, 1, 2, 3, 4, 5] };
        let only = rng.pick(kinds);
        let mut enabled = |kind: u64, in_ten: u64, rng: &mut Rng| {
            let drawn = rng.below(10) < in_ten;
            !quiet && if single { kind == only } else { drawn }
        };
        let crashes = enabled(0, 9, rng);
        let lives: &[u64] = if cluster { &[400, 3_000, 20_000] } else { &[40, 200, 1_000, 5_000] };
        let downs: &[u64] = if cluster { &[20_000, 400_000, 2_000_000] } else { &[20_000] };
        let crash_operations_max = if crashes { rng.pick(lives) } else { 0 };
        let (fills_up, fails) = (enabled(1, if cluster { 1 } else { 4 }, rng), enabled(2, 3, rng));
        let (rots, lies) = (enabled(4, 2, rng), enabled(5, 2, rng) && !cluster);
        let network = if cluster { NetworkKnobs::draw(rng, &mut enabled) } else { NetworkKnobs::QUIET };
        let drawn = Self {
            nodes,
            network,
            traders: rng.within(1..=4) as usize,
            segment_bytes: rng.pick(&[128 << 10, 128 << 10, 256 << 10]),
            block_bytes_max: rng.pick(&[BLOCK_BYTES_MAX, BLOCK_BYTES_MAX, 4 << 10]),
            latency: rng.pick(if cluster { &LATENCIES } else { &LATENCIES[..3] }),
            faults_ns: if cluster { rng.within(1_500..=6_000) } else { rng.within(300..=2_000) } * MILLI_NS,
            crash_operations_max,
            // Only a loss of power shows what a lying device has lost.
            power_percent: rng.pick(if lies { &[50, 100] } else { &[0, 50, 50, 100] }),
            down_us_max: rng.pick(downs),
            fills_up,
            fails,
            rots: rots || (lies && rng.coin()),
            rots_journal: rots,
            rots_beyond: false,
            corrupts: false,
            lies,
            wall_steps: enabled(3, 4, rng),
            skew_ppm_max: if quiet { 0 } else { 500 },
            rough_clients: !quiet && rng.coin(),
            pause_us_max: rng.pick(&[300, 3_000, 20_000]),
            burst_max: rng.pick(&[1, 4, 20]),
            actions_max: rng.pick(&[100, 400, 1_500]),
            snapshot_bytes: rng.pick(&[20_000, 100_000, NO_SNAPSHOTS_BYTES]),
            large_batches: false,
            payments: rng.fork("payments").below(PAYMENTS_EVERY) == 0,
            order_terms: rng.fork("order terms").below(ORDER_TERMS_EVERY) == 0,
        };
        let drawn = if rng.fork("large batches").below(16) == 0 { drawn.with_large_batches() } else { drawn };
        if !cluster {
            return drawn;
        }
        let rots_journal = enabled(6, 4, rng);
        let corrupts = !quiet && !single && rng.below(3) == 0;
        drawn.with_damage(rots_journal, rots_journal && rng.below(4) == 0, corrupts)
    }

    /// A process that is killed sooner than a segment is made would never have one.
    fn with_large_batches(self) -> Self {
        let crash_operations_max = match self.crash_operations_max {
            0 => 0,
            operations => operations.max(1_000),
        };
        Self { large_batches: true, segment_bytes: LARGE_SEGMENT_BYTES, crash_operations_max, ..self }
    }

    /// A cluster in which journals may rot, on more machines than it survives, or the memory of a replica go wrong, as far as that goes
    /// with its other faults: somebody always has what another one lacks.
    fn with_damage(self, rots_journal: bool, rots_beyond: bool, corrupts: bool) -> Self {
        let rots_any = rots_journal || self.rots;
        // One that is lost gives nothing back.
        let replaces = self.network.replaces && !rots_any;
        let corrupts = corrupts && !rots_any && !replaces;
        let snapshot_bytes = match (corrupts, rots_beyond) {
            (true, _) => self.snapshot_bytes.min(20_000),
            // What a repair has given up is not brought back with the bytes: a log has to reach back to all of it.
            (_, true) => NO_SNAPSHOTS_BYTES,
            (false, false) => self.snapshot_bytes,
        };
        // Nothing goes wrong so on a machine that never goes down.
        let needs_crashes = (rots_journal || corrupts) && self.crash_operations_max == 0;
        Self {
            network: NetworkKnobs { replaces, ..self.network },
            // A state that a log begins with is a part of it: where both may rot, two machines could be damaged at once.
            rots: self.rots && !(rots_journal && snapshot_bytes < NO_SNAPSHOTS_BYTES),
            rots_journal,
            rots_beyond,
            corrupts,
            snapshot_bytes,
            crash_operations_max: if needs_crashes { 3_000 } else { self.crash_operations_max },
            ..self
        }
    }

    /// The same world with faults for so many virtual seconds, over which the clients spread what they do.
    #[must_use]
    pub fn lasting(self, faults_s: u64) -> Self {
        let faults_us = faults_s * 1_000_000;
        let actions_max = LONG_ACTIONS * self.actions_max;
        let pause_us_max = self.pause_us_max.max(2 * faults_us / actions_max);
        Self { faults_ns: faults_us * 1_000, pause_us_max, actions_max, ..self }
    }

    /// The disk that machines have once they are healed.
    #[must_use]
    pub fn good_latency() -> Latency {
        LATENCIES[0]
    }

    /// A disk that never answers.
    #[must_use]
    pub fn no_answer() -> Latency {
        Latency { min_us: NEVER_US, max_us: NEVER_US, stall_ppm: 0, stall_us: 0 }
    }

    /// A world without faults and without chance in it, for scripts.
    #[must_use]
    pub fn scripted() -> Self {
        Self {
            nodes: 1,
            network: NetworkKnobs::QUIET,
            traders: 2,
            segment_bytes: 128 << 10,
            block_bytes_max: BLOCK_BYTES_MAX,
            latency: Latency { min_us: 50, max_us: 50, stall_ppm: 0, stall_us: 0 },
            faults_ns: 0,
            crash_operations_max: 0,
            power_percent: 0,
            down_us_max: 20_000,
            fills_up: false,
            fails: false,
            rots: false,
            rots_journal: false,
            rots_beyond: false,
            corrupts: false,
            lies: false,
            wall_steps: false,
            skew_ppm_max: 0,
            rough_clients: false,
            pause_us_max: 300,
            burst_max: 4,
            actions_max: 60,
            snapshot_bytes: 100_000,
            large_batches: false,
            payments: false,
            order_terms: false,
        }
    }
}

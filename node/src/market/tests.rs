//! What market data do to the hot thread: nothing, whatever becomes of them.

use std::sync::atomic::AtomicU64;
use std::sync::mpsc;

use protocol::AssetId;
use protocol::Text;
use protocol::commands::DefineAsset;

use super::*;
use crate::history::tests::{World, world};

/// A node that has begun, in a folder of its own.
struct Node {
    world: World,
    disk: FileDisk,
    dir: PathBuf,
    assets: u32,
}

impl Node {
    fn start(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("sicil-market-{name}-{}", std::process::id()));
        let (mut world, disk) = world(&dir);
        while !world.replica.serving() {
            world.turn();
        }
        Self { world, disk, dir, assets: 0 }
    }

    fn home(&self) -> Home {
        Home { dir: self.dir.clone(), disk: self.disk.beside() }
    }

    /// Has commands executed, all of them, whatever the thread does.
    fn execute(&mut self, feeder: &mut Feeder, commands: u32) {
        for _ in 0..commands {
            self.assets += 1;
            let code = Text::truncated(&format!("A{}", self.assets));
            self.world.submit(DefineAsset { asset: AssetId(self.assets), code, scale: 2 });
        }
        loop {
            self.world.turn();
            feeder.step(self.world.now(), &mut self.world.replica);
            let status = self.world.replica.status();
            if status.queue_records == 0 && status.index_applied == status.index_last {
                break;
            }
        }
        assert_eq!(
            self.world.replica.engine().definitions().len(),
            usize::try_from(self.assets).unwrap() + 1,
            "with the session of the node's own"
        );
    }

    /// Until market data have what was applied.
    fn follow(&mut self, feeder: &mut Feeder, counts: &Counts) {
        while counts.look().seq != self.world.replica.status().seq_applied {
            self.world.turn();
            feeder.step(self.world.now(), &mut self.world.replica);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.dir).unwrap();
    }
}

fn nobody() -> Listeners {
    Listeners { binary: None, websocket: None, connections_max: 1 }
}

#[test]
fn market_data_that_lose_frames_begin_again() {
    let mut node = Node::start("gaps");
    let counts = Arc::default();
    let mut feeder = start(nobody(), &counts, node.home(), Clock::start()).unwrap();
    for round in 0..20 {
        // Some come one by one, some in frames that are longer than the queue.
        node.execute(&mut feeder, if round % 3 == 0 { 200 } else { 1 });
        node.follow(&mut feeder, &counts);
    }
    assert!(counts.look().begins > 3, "{:?}", counts.look());
}

#[test]
fn market_data_that_die_begin_again() {
    let mut node = Node::start("panics");
    let counts: Arc<Counts> = Arc::default();
    let (lives, theirs) = (Arc::new(AtomicU64::new(0)), Arc::clone(&counts));
    let counted = Arc::clone(&lives);
    let Home { dir, disk } = node.home();
    let disk = Mutex::new(disk);
    let mut feeder = Feeder::start(Clock::start(), move |shared| {
        if counted.fetch_add(1, Ordering::AcqRel) < 3 {
            shared.begin();
            panic!("as if there were a mistake in market data");
        }
        let life = Life { listeners: &nobody(), shared, counts: &theirs, clock: Clock::start() };
        life.serve((dir.join("tapes"), disk.lock().unwrap().beside())).unwrap();
    })
    .unwrap();
    for _ in 0..20 {
        node.execute(&mut feeder, 50);
    }
    node.follow(&mut feeder, &counts);
    assert_eq!(lives.load(Ordering::Acquire), 4);
}

#[test]
fn trading_goes_on_while_market_data_stand_still() {
    let mut node = Node::start("stalls");
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let (begun, begins) = mpsc::channel();
    let begun = Mutex::new(begun);
    let mut feeder = Feeder::start(Clock::start(), move |shared| {
        shared.begin();
        begun.lock().unwrap().send(()).unwrap();
        // Until the test ends.
        held.lock().unwrap().recv().unwrap_err();
    })
    .unwrap();
    begins.recv().unwrap();
    node.execute(&mut feeder, 2_000);
    let (waiting, has_gap) = feeder.waiting();
    assert!(has_gap && waiting == 0, "{waiting} bytes wait");
    assert!(node.world.replica.take_tapped(replicas::View::Market).is_empty(), "the tap is closed");
    node.execute(&mut feeder, 100);
    assert_eq!(feeder.waiting(), (0, true));
    drop(release);
}

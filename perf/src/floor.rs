//! What the machine takes for the least that a durable answer needs: one round trip through the loopback and one write
//! that is on the disk when it returns. Nothing of the house is in these figures but the aligned buffer.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ::journal::AlignedBuf;

use crate::clock::Stopwatch;
use crate::fault::Fault;

/// Round trips of one measurement.
const TRIPS: usize = 500;
/// Writes of one measurement, each into a block of its own of a file that was written before, as a segment is.
const WRITES: u64 = 400;
/// One commit block.
const WRITE_BYTES: usize = 4_096;

// The values of the kernel's generic headers and of the two architectures that the house is built for.
const O_DSYNC: i32 = 0o10_000;
#[cfg(target_arch = "x86_64")]
const O_DIRECT: i32 = 0o40_000;
#[cfg(not(target_arch = "x86_64"))]
const O_DIRECT: i32 = 0o200_000;

/// Nanoseconds of blocking round trips of `message_bytes` through an echo on the loopback.
pub(crate) fn tcp_round_trips_ns(message_bytes: usize) -> Result<Vec<u32>, Fault> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Fault::io("an echo's listener"))?;
    let address = listener.local_addr().map_err(Fault::io("an echo's address"))?;
    std::thread::scope(|scope| {
        let echo = scope.spawn(move || echo(&listener, message_bytes));
        let laps = ping(TcpStream::connect(address), message_bytes);
        let echoed = echo.join().unwrap_or_else(|_| Err(io::Error::other("the echo's thread panicked")));
        let laps = laps.map_err(Fault::io("a round trip"))?;
        echoed.map_err(Fault::io("an echo"))?;
        Ok(laps)
    })
}

fn echo(listener: &TcpListener, message_bytes: usize) -> io::Result<()> {
    let (mut stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    let mut message = vec![0; message_bytes];
    for _ in 0..TRIPS {
        stream.read_exact(&mut message)?;
        stream.write_all(&message)?;
    }
    Ok(())
}

fn ping(stream: io::Result<TcpStream>, message_bytes: usize) -> io::Result<Vec<u32>> {
    let mut stream = stream?;
    stream.set_nodelay(true)?;
    let mut message = vec![7; message_bytes];
    let mut laps = Vec::with_capacity(TRIPS);
    let mut watch = Stopwatch::start();
    for _ in 0..TRIPS {
        stream.write_all(&message)?;
        stream.read_exact(&mut message)?;
        laps.push(watch.lap_ns());
    }
    Ok(laps)
}

/// Nanoseconds of 4 KiB writes, one in flight, each durable when it returns, into a file that has been written before, in
/// `folder`. Says so where the file system refuses direct I/O; the writes then go through the page cache.
pub(crate) fn disk_writes_ns(folder: &Path) -> Result<Vec<u32>, Fault> {
    let scratch = Scratch(folder.join(format!("perf-disk-{}", std::process::id())));
    let path = &scratch.0;
    std::fs::write(path, vec![1; usize::try_from(WRITES).unwrap_or(1) * WRITE_BYTES])
        .map_err(Fault::io(format!("writing {}", path.display())))?;
    let file = open(path, O_DIRECT | O_DSYNC)
        .or_else(|_| {
            println!("{} takes no direct writes: measured with O_DSYNC alone", folder.display());
            open(path, O_DSYNC)
        })
        .map_err(Fault::io(format!("opening {}", path.display())))?;
    file.sync_all().map_err(Fault::io("syncing the scratch file"))?;
    let mut block = AlignedBuf::zeroed(WRITE_BYTES);
    let mut laps = Vec::new();
    let mut watch = Stopwatch::start();
    for place in 0..WRITES {
        if let Some(first) = block.first_mut() {
            *first = u8::try_from(place % 251).unwrap_or(0);
        }
        file.write_all_at(&block, place * 4_096).map_err(Fault::io("a durable write"))?;
        laps.push(watch.lap_ns());
    }
    Ok(laps)
}

/// Opens a file that exists, so that a write is on the disk when it returns, past the page cache.
pub(crate) fn open_durable(path: &Path) -> io::Result<File> {
    open(path, O_DIRECT | O_DSYNC)
}

fn open(path: &Path, flags: i32) -> io::Result<File> {
    OpenOptions::new().write(true).custom_flags(flags).open(path)
}

/// A file that goes when the measurement ends, also by a fault.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            eprintln!("perf: {} stays behind: {error}", self.0.display());
        }
    }
}

//! What happened in all markets until market data began: fed by a second run over the journal, and kept in a file, so that not all of it
//! has to be run again. It is put in front of market data that went on meanwhile.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::path::Path;

use protocol::event::Event;
use protocol::events::{AuctionUncrossed, MarketPhaseChanged, Settled, TradeBusted};
use protocol::frame::FrameHeader;
use protocol::hash::{Hash, crc32c};
use protocol::{EventBody, MarketId, Seq, TradeId, UnixNanos};

use super::data::{MarketLimits, last_record};
use super::fault::MarketFault;
use super::tape::Tape;

/// What begins a file, with the version of what follows.
const MAGIC: [u8; 16] = *b"sicil-tapes-v001";
/// No section is longer: what is kept of one market is bounded.
const SECTION_BYTES_MAX: usize = 64 << 20;

/// Where a tape ends: a record, its time, and the hash over all effects behind its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TapeEnd {
    /// The record.
    pub seq: Seq,
    /// Its time.
    pub time: UnixNanos,
    /// The hash.
    pub effects: Hash,
}

/// One market's tape, and where it ends.
#[derive(Clone, Debug)]
pub(crate) struct Spooled {
    pub(crate) tape: Tape,
    pub(crate) end: TapeEnd,
}

/// The tapes of all markets, which may end at different records until they are run on.
#[derive(Clone, Debug)]
pub struct Past {
    limits: MarketLimits,
    tapes: BTreeMap<MarketId, Spooled>,
    /// The last record of the run.
    end: TapeEnd,
    /// Tapes count from behind here.
    began: (Seq, UnixNanos),
}

impl Past {
    /// Of nothing yet: it goes on from behind `begin`.
    #[must_use]
    pub const fn begin(limits: MarketLimits, begin: TapeEnd) -> Self {
        let (limits, began) = (limits.with_windows(), (begin.seq, begin.time));
        Self { limits, tapes: BTreeMap::new(), end: begin, began }
    }

    /// Up to which record it goes, with the hash over all effects there: a run goes on from behind it.
    #[must_use]
    pub const fn end(&self) -> TapeEnd {
        self.end
    }

    /// Tapes count from behind this record.
    #[must_use]
    pub const fn began(&self) -> (Seq, UnixNanos) {
        self.began
    }

    pub(crate) fn take_tape(&mut self, market: MarketId) -> Option<Tape> {
        self.tapes.remove(&market).map(|spooled| spooled.tape)
    }

    /// Takes the next frame with its events, and the hash over all effects behind it.
    ///
    /// # Errors
    /// [`MarketFault::OutOfOrder`], and [`MarketFault::OtherLog`] where a tape that came out of the file ends with other effects.
    pub fn take_frame(
        &mut self,
        frame: &FrameHeader,
        events: &[Event],
        effects: Hash,
    ) -> Result<(), MarketFault> {
        let Some((seq, time)) = last_record(frame, self.end.seq)? else { return Ok(()) };
        for event in events {
            self.event(event);
        }
        self.end = TapeEnd { seq, time, effects };
        for spooled in self.tapes.values_mut() {
            if spooled.end.seq < seq {
                spooled.end = self.end;
            } else if spooled.end.seq == seq && spooled.end.effects != effects {
                return Err(MarketFault::OtherLog { seq });
            }
        }
        Ok(())
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all else is on no tape")]
    fn event(&mut self, event: &Event) {
        let Event { seq, time, .. } = *event;
        let market = match &event.body {
            EventBody::Settled(Settled { trade: TradeId(0), .. }) => return,
            EventBody::Settled(Settled { market, .. })
            | EventBody::TradeBusted(TradeBusted { settled: Settled { market, .. }, .. })
            | EventBody::MarketPhaseChanged(MarketPhaseChanged { market, .. })
            | EventBody::AuctionUncrossed(AuctionUncrossed { market, .. }) => *market,
            _ => return,
        };
        let (limits, since, end) = (&self.limits, self.began.1, self.end);
        let spooled =
            self.tapes.entry(market).or_insert_with(|| Spooled { tape: Tape::new(limits, since), end });
        // What came out of the file may be further already.
        if seq <= spooled.end.seq {
            return;
        }
        match &event.body {
            EventBody::Settled(settled) => spooled.tape.settle(settled, seq, time),
            EventBody::TradeBusted(busted) => spooled.tape.bust(busted, seq, time),
            EventBody::MarketPhaseChanged(changed) => spooled.tape.begin_phase(changed, seq, time),
            EventBody::AuctionUncrossed(uncrossed) => spooled.tape.uncross(uncrossed, seq, time),
            _ => {}
        }
    }

    /// Reads the file; `None` = there is none.
    ///
    /// # Errors
    /// Why it is of no use: damage, another version, or a disk that fails.
    pub fn read(path: &Path, limits: MarketLimits) -> io::Result<Option<Self>> {
        let mut bytes = Vec::new();
        match File::open(path) {
            Ok(mut file) => file.read_to_end(&mut bytes)?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Self::decode(&bytes, limits).map(Some).ok_or_else(|| ErrorKind::InvalidData.into())
    }

    fn decode(bytes: &[u8], limits: MarketLimits) -> Option<Self> {
        let (mut rest, limits) = (bytes.strip_prefix(&MAGIC)?, limits.with_windows());
        let mut head = section(&mut rest)?;
        let began = (Seq(u64_of(&mut head)?), UnixNanos(u64_of(&mut head)?));
        let count = u64_of(&mut head)?;
        let mut tapes = BTreeMap::new();
        while !rest.is_empty() {
            let mut body = section(&mut rest)?;
            let market = MarketId(u32::try_from(u64_of(&mut body)?).ok()?);
            let (seq, time) = (Seq(u64_of(&mut body)?), UnixNanos(u64_of(&mut body)?));
            let (effects, mut body) = body.split_first_chunk()?;
            let end = TapeEnd { seq, time, effects: Hash(*effects) };
            let tape = Tape::read(&mut body, &limits).filter(|_| body.is_empty())?;
            tapes.insert(market, Spooled { tape, end });
        }
        let end = tapes.values().map(|spooled| spooled.end).min_by_key(|end| end.seq)?;
        (tapes.len() as u64 == count && began.0 <= end.seq).then_some(Self { limits, tapes, end, began })
    }
}

/// Writes a file of tapes, one behind the other. It takes the place of the one before when it is whole.
#[derive(Debug)]
pub struct PastWriter {
    file: BufWriter<File>,
}

impl PastWriter {
    /// Begins a file beside the one at `path`, of `count` tapes that count from behind `began`.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn begin(path: &Path, began: (Seq, UnixNanos), count: usize) -> io::Result<Self> {
        let mut file = BufWriter::new(File::create(beside(path))?);
        file.write_all(&MAGIC)?;
        let mut writer = Self { file };
        let head = [began.0.0, began.1.0, count as u64];
        writer.section(&head.map(u64::to_le_bytes).concat())?;
        Ok(writer)
    }

    /// Appends a market's tape.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn append(&mut self, market: MarketId, tape: &Tape, end: TapeEnd) -> io::Result<()> {
        let mut bytes = [u64::from(market.0), end.seq.0, end.time.0].map(u64::to_le_bytes).concat();
        bytes.extend_from_slice(&end.effects.0);
        tape.write(&mut bytes);
        self.section(&bytes)
    }

    fn section(&mut self, body: &[u8]) -> io::Result<()> {
        self.file.write_all(&(body.len() as u64).to_le_bytes())?;
        self.file.write_all(&crc32c(body).to_le_bytes())?;
        self.file.write_all(body)
    }

    /// Puts the file in its place. It need not be durable: what is lost with a machine is run again.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn finish(mut self, path: &Path) -> io::Result<()> {
        self.file.flush()?;
        std::fs::rename(beside(path), path)
    }
}

fn beside(path: &Path) -> std::path::PathBuf {
    path.with_extension("tmp")
}

pub(crate) fn u64_of(bytes: &mut &[u8]) -> Option<u64> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u64::from_le_bytes(*head))
}

/// A section's body, if it is as it was written.
fn section<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = usize::try_from(u64_of(rest)?).ok().filter(|length| *length <= SECTION_BYTES_MAX)?;
    let (crc, behind) = rest.split_first_chunk()?;
    let (body, behind) = behind.split_at_checked(length)?;
    *rest = behind;
    (crc32c(body) == u32::from_le_bytes(*crc)).then_some(body)
}

//! A disk that forgets what was not synced, or some of it.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::sync::{Arc, Mutex};

use redb::StorageBackend;

const SECTOR: usize = 512;

#[derive(Clone, Debug, Default)]
pub(super) struct SimulatedDisk(Arc<Mutex<Content>>);

#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors that were written since the last sync.
    dirty: BTreeMap<usize, ()>,
    /// Calls that still succeed.
    good: Option<u64>,
}

impl SimulatedDisk {
    /// Every call fails after so many.
    pub(super) fn fail_after(&self, calls: u64) {
        self.0.lock().unwrap().good = Some(calls);
    }

    /// Power is lost and comes back: of what was not synced, chance decides which sectors are there.
    pub(super) fn crash(&self, seed: u64) {
        let content = &mut *self.0.lock().unwrap();
        let mut bits = seed | 1;
        for sector in std::mem::take(&mut content.dirty).into_keys() {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let range = sector * SECTOR..((sector + 1) * SECTOR).min(content.bytes.len());
            if bits >> 63 == 1 && !range.is_empty() {
                content.durable.resize(content.durable.len().max(range.end), 0);
                content.durable[range.clone()].copy_from_slice(&content.bytes[range]);
            }
        }
        content.bytes = content.durable.clone();
        content.good = None;
    }

    /// Another disk with the same content.
    pub(super) fn copy(&self) -> Self {
        let content = self.0.lock().unwrap();
        let (bytes, durable) = (content.bytes.clone(), content.durable.clone());
        Self(Arc::new(Mutex::new(Content { bytes, durable, ..Content::default() })))
    }

    /// Flips a bit.
    pub(super) fn damage(&self, at: usize, bit: u32) {
        let content = &mut *self.0.lock().unwrap();
        content.bytes[at] ^= 1 << bit;
        content.durable[at] ^= 1 << bit;
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.lock().unwrap().bytes.len()
    }

    fn call<T>(&self, what: impl FnOnce(&mut Content) -> Result<T, Error>) -> Result<T, Error> {
        let content = &mut *self.0.lock().unwrap();
        if let Some(good) = &mut content.good {
            *good = good.checked_sub(1).ok_or_else(|| Error::other("the power is gone"))?;
        }
        what(content)
    }
}

impl StorageBackend for SimulatedDisk {
    fn len(&self) -> Result<u64, Error> {
        self.call(|content| Ok(content.bytes.len().try_into().unwrap()))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        self.call(|content| {
            let at = usize::try_from(offset).unwrap();
            let bytes = content.bytes.get(at..at + out.len()).ok_or(ErrorKind::UnexpectedEof)?;
            out.copy_from_slice(bytes);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        self.call(|content| {
            content.bytes.resize(len.try_into().unwrap(), 0);
            Ok(())
        })
    }

    fn sync_data(&self) -> Result<(), Error> {
        self.call(|content| {
            content.durable.clone_from(&content.bytes);
            content.dirty.clear();
            Ok(())
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        self.call(|content| {
            let at = usize::try_from(offset).unwrap();
            content.bytes[at..at + data.len()].copy_from_slice(data);
            let sectors = at / SECTOR..(at + data.len()).div_ceil(SECTOR);
            content.dirty.extend(sectors.map(|sector| (sector, ())));
            Ok(())
        })
    }
}

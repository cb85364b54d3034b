//! What a peer has sent and nobody has taken yet. Bytes are read from the socket into their place: a batch is copied once, from here
//! into the frame that becomes durable.

use core::ops::Range;

use protocol::binary::{BinaryFault, message_bytes};

/// Room for what comes, unless a message is known to be longer.
const ROOM_BYTES: usize = 32 << 10;
/// Largest piece that is read at once: what one peer sends does not keep the others waiting.
const BITE_BYTES: usize = 256 << 10;

/// Bytes of one connection.
#[derive(Debug, Default)]
pub(crate) struct Input {
    buffer: Vec<u8>,
    /// What was received and not taken.
    waiting: Range<usize>,
}

impl Input {
    /// Where the next bytes go; never empty.
    pub(crate) fn room(&mut self, bytes_max: usize) -> &mut [u8] {
        // A length that means nothing is found when the message is taken.
        let head = message_bytes(self.waiting(), bytes_max).ok().flatten();
        let needed = head.unwrap_or(0).max(self.waiting.len() + 1).max(ROOM_BYTES);
        if self.waiting.is_empty() {
            self.waiting = 0..0;
        }
        if self.waiting.start + needed > self.buffer.len() {
            self.buffer.copy_within(self.waiting.clone(), 0);
            self.waiting = 0..self.waiting.len();
            if self.buffer.len() < needed {
                self.buffer.resize(needed, 0);
            }
        }
        let room = &mut self.buffer[self.waiting.end..];
        let bite = room.len().min(BITE_BYTES);
        &mut room[..bite]
    }

    /// So many bytes were put into the room.
    pub(crate) fn received(&mut self, bytes: usize) {
        self.waiting.end = (self.waiting.end + bytes).min(self.buffer.len());
    }

    /// The first message, if all of it has come.
    ///
    /// # Errors
    /// [`BinaryFault`] if nothing behind this can be found.
    pub(crate) fn message(&self, bytes_max: usize) -> Result<Option<&[u8]>, BinaryFault> {
        let length = message_bytes(self.waiting(), bytes_max)?;
        Ok(length.and_then(|length| self.waiting().get(..length)))
    }

    /// Takes so many bytes off the front.
    pub(crate) fn take(&mut self, bytes: usize) {
        self.waiting.start = (self.waiting.start + bytes).min(self.waiting.end);
    }

    /// Forgets what waits, and gives the memory back.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// A connection that is silent between two messages holds no memory.
    pub(crate) fn give_back_if_idle(&mut self) {
        if self.waiting.is_empty() {
            self.clear();
        }
    }

    fn waiting(&self) -> &[u8] {
        &self.buffer[self.waiting.clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::RequestNumber;
    use protocol::binary::{CreateTransfers, Message, Rows, Sequence};

    const BYTES_MAX: usize = protocol::limits::BINARY_MESSAGE_BYTES_MAX;

    fn small(n: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        Sequence { next_seq_no: RequestNumber(n) }.write(&mut bytes);
        bytes
    }

    fn large(rows: usize) -> Vec<u8> {
        let (rows, mut bytes) = (vec![7; rows * 128], Vec::new());
        CreateTransfers { seq_no: RequestNumber(1), transfers: Rows::new(&rows).unwrap() }.write(&mut bytes);
        bytes
    }

    /// Everything that comes out of what is put in, in pieces of `piece` bytes at most.
    fn through(stream: &[u8], piece: usize) -> Vec<Vec<u8>> {
        let (mut input, mut out, mut rest) = (Input::default(), Vec::new(), stream);
        while !rest.is_empty() {
            let room = input.room(BYTES_MAX);
            let count = room.len().min(piece).min(rest.len());
            assert!(count > 0);
            room[..count].copy_from_slice(&rest[..count]);
            input.received(count);
            rest = &rest[count..];
            while let Some(message) = input.message(BYTES_MAX).unwrap() {
                Message::read(message).unwrap();
                let message = message.to_vec();
                input.take(message.len());
                out.push(message);
            }
            assert!(input.buffer.len() <= BYTES_MAX.max(ROOM_BYTES));
        }
        out
    }

    #[test]
    fn messages_come_out_as_they_went_in_wherever_they_are_cut() {
        let messages = [small(1), large(700), small(2), small(3), large(8_189), large(1), small(4)];
        let stream = messages.concat();
        for piece in [1, 5, 6, 7, 1_000, 32 << 10, usize::MAX] {
            assert_eq!(through(&stream, piece), messages, "pieces of {piece}");
        }
    }

    #[test]
    fn memory_is_given_back_between_messages_and_not_within_one() {
        let mut input = Input::default();
        let bytes = small(1);
        input.room(BYTES_MAX)[..5].copy_from_slice(&bytes[..5]);
        input.received(5);
        input.give_back_if_idle();
        input.room(BYTES_MAX)[..bytes.len() - 5].copy_from_slice(&bytes[5..]);
        input.received(bytes.len() - 5);
        assert_eq!(input.message(BYTES_MAX), Ok(Some(&bytes[..])));
        input.take(bytes.len());
        input.give_back_if_idle();
        assert_eq!(input.buffer.capacity(), 0);
    }
}

//! Every message, and the codes in them.

use super::fields::{Fields, Fixed, Rows, Tail, TailLayout, Words};
use super::macros::messages;
use super::rows::{AccountKey, AccountState, TransferKey, TransferState};
use super::{BinaryFault, ENCODING_TYPE, FRAMING_BYTES, HEADERS_BYTES, SCHEMA_ID, SCHEMA_VERSION};
use crate::bytes::{Field, put};
use crate::hash::Hash;
use crate::limits::{BINARY_MESSAGE_BYTES_MAX, LEDGER_ROWS_MAX, READ_ROWS_MAX};
use crate::rows::{AccountRow, RowAmount, RowResult, TransferRow};
use crate::sign::Signature;
use crate::wire::codes;
use crate::{AccountId, Amount, RejectReason, RequestNumber, Seq, SessionId, Term, UnixNanos};

codes! {
    /// What a flow promises.
    pub enum FlowType {
        /// The server's: replies carry the number of their request and no other; what was not answered is sent again.
        Unsequenced = 2,
        /// The client's: each request has the next number, and what of them did not come is said by NotApplied.
        Idempotent = 3,
    }
}

codes! {
    /// Why a Negotiate is refused.
    pub enum NegotiateRejectCode {
        /// No session of this protocol has that id, or its actor has no key.
        Credentials = 1,
        /// The client's flow has to be Idempotent.
        FlowTypeNotSupported = 2,
        /// Version 0 is none.
        InvalidSessionVersion = 6,
    }
}

codes! {
    /// Why an Establish is refused.
    pub enum EstablishRejectCode {
        /// It names another session or version than the Negotiate before.
        Unnegotiated = 1,
        /// The keep-alive interval is out of range; the text names the range.
        KeepAliveInterval = 4,
        /// The signature is not that of the session's actor over this connection's challenge.
        Credentials = 5,
        /// Numbers begin at 1 or above.
        InvalidNextSeqNo = 6,
        /// Another node leads; the text is its address, as far as it is known here.
        NotLeader = 8,
        /// The session has as many connections as one may have.
        TooManyConnections = 9,
    }
}

codes! {
    /// Why a connection ends.
    pub enum TerminationCode {
        /// It was asked for, and everything is answered.
        Finished = 0,
        /// Nothing was heard for twice the keep-alive interval.
        KeepAliveExpired = 4,
        /// A message that may not come now, or a number that was used.
        ProtocolViolation = 5,
        /// What came is no message of this schema; the text says why.
        DecodingError = 6,
        /// The node does not lead any more.
        LeaderChange = 9,
        /// The actor's key has been changed or taken back.
        Blocked = 10,
        /// The node stops.
        Maintenance = 11,
    }
}

codes! {
    /// Why a request is answered by a BusinessReject.
    pub enum BusinessRejectReason {
        /// The engine refused all of it; `refusal` says why.
        Refused = 1,
        /// A field has no meaning there; the text names it.
        FieldOutOfRange = 2,
        /// The seq that the answer may not be older than did not come in time.
        SeqNotReached = 3,
        /// No quorum confirmed that nothing newer is acknowledged elsewhere; the same may be asked again.
        NoQuorum = 4,
        /// As many reads wait as may; the same may be asked again.
        Busy = 5,
        /// The account does not exist, or did not at that time.
        UnknownAccount = 6,
        /// The seq or instant has not come yet.
        InTheFuture = 7,
        /// There is no history from which it could be answered; the text says why.
        NotKept = 8,
    }
}

codes! {
    /// What became of a transfer.
    pub enum TransferStatus {
        /// It is final: it moved money, or settled a pending transfer.
        Final = 1,
        /// It is pending.
        Pending = 2,
        /// It was pending, and was posted.
        Posted = 3,
        /// It was pending, and was voided.
        Voided = 4,
        /// It was pending, and its time was over.
        Expired = 5,
    }
}

messages! {
    /// Every message.
    pub enum Message<'a> {
        /// Client, first: which session, in which version of it.
        Negotiate = 1 {
            /// The session.
            session: SessionId,
            /// The client's number for this life of its session, above 0. It is signed and given back, and nothing is kept of it.
            session_ver_id: u64,
            /// The client's clock; given back.
            timestamp: UnixNanos,
            /// Idempotent.
            client_flow: FlowType,
        }
        /// Server: the session is there, and its client is to prove itself.
        NegotiateResponse = 2 {
            /// As in the Negotiate.
            session: SessionId,
            /// As in the Negotiate.
            session_ver_id: u64,
            /// As in the Negotiate.
            request_timestamp: UnixNanos,
            /// Unsequenced.
            server_flow: FlowType,
            /// For this connection alone.
            challenge: Hash,
        }
        /// Server: no. The connection ends.
        NegotiateReject<'a> = 3 {
            /// As in the Negotiate.
            session: SessionId,
            /// As in the Negotiate.
            session_ver_id: u64,
            /// As in the Negotiate.
            request_timestamp: UnixNanos,
            /// Why.
            reject_code: NegotiateRejectCode,
            ..
            /// For people.
            text: Words<'a>,
        }
        /// Client: its proof, and how it goes on.
        Establish = 4 {
            /// As negotiated.
            session: SessionId,
            /// As negotiated.
            session_ver_id: u64,
            /// The client's clock; signed and given back.
            timestamp: UnixNanos,
            /// The longest that either side is silent, in milliseconds.
            keep_alive_ms: u32,
            /// The number of its first request on this connection.
            next_seq_no: RequestNumber,
            /// Ed25519, by the key of the session's actor: [`super::establish_to_sign`].
            signature: Signature,
        }
        /// Server: requests are taken.
        EstablishAck = 5 {
            /// As in the Establish.
            session: SessionId,
            /// As in the Establish.
            session_ver_id: u64,
            /// As in the Establish.
            request_timestamp: UnixNanos,
            /// As in the Establish.
            keep_alive_ms: u32,
            /// As in the Establish: the number of the request that is expected next.
            next_seq_no: RequestNumber,
            /// The term in which this node leads.
            term: Term,
            /// What is applied here: reads see this and later.
            journal_seq: Seq,
        }
        /// Server: no. The connection ends.
        EstablishReject<'a> = 6 {
            /// As in the Establish.
            session: SessionId,
            /// As in the Establish.
            session_ver_id: u64,
            /// As in the Establish.
            request_timestamp: UnixNanos,
            /// Why.
            reject_code: EstablishRejectCode,
            ..
            /// For people, or the leader's address.
            text: Words<'a>,
        }
        /// Either: nothing comes behind it. The server answers a client's after all that is unanswered.
        Terminate<'a> = 7 {
            /// The session; 0 before there is one.
            session: SessionId,
            /// Its version.
            session_ver_id: u64,
            /// Why.
            code: TerminationCode,
            ..
            /// For people.
            text: Words<'a>,
        }
        /// Server: requests with these numbers did not come and never will be executed under them.
        NotApplied = 8 {
            /// The first.
            from_seq_no: RequestNumber,
            /// How many.
            count: u64,
        }
        /// Either: it lives. A client may skip numbers with it.
        Sequence = 9 {
            /// The number of the client's next request, as who says this counts it.
            next_seq_no: RequestNumber,
        }
        /// Server: a request was not executed, or a question is not answered.
        BusinessReject<'a> = 207 {
            /// Template of the request.
            ref_template_id: u16,
            /// Its number.
            ref_seq_no: RequestNumber,
            /// Why.
            reason: BusinessRejectReason,
            /// The engine's reason, where it is its refusal; 0 = none.
            refusal: Option<RejectReason>,
            /// When to ask again, in nanoseconds from now; 0 = the same is refused again.
            retry_after_ns: u64,
            ..
            /// The field that is meant, or what else people want to know.
            text: Words<'a>,
        }

        /// Client: a batch of accounts to create. It is one record of the journal, and its rows share a seq and a time.
        CreateAccounts<'a> = 600 {
            /// Number of the request.
            seq_no: RequestNumber,
            ..
            /// As the engine reads them.
            accounts: Rows<'a, AccountRow, LEDGER_ROWS_MAX>,
        }
        /// Client: a batch of transfers to create. It is one record of the journal, and its rows share a seq and a time.
        CreateTransfers<'a> = 601 {
            /// Number of the request.
            seq_no: RequestNumber,
            ..
            /// As the engine reads them.
            transfers: Rows<'a, TransferRow, LEDGER_ROWS_MAX>,
        }
        /// Server: what became of a batch of accounts. Rows that are not named were created.
        AccountsCreated<'a> = 602 {
            /// Number of the request.
            client_seq_no: RequestNumber,
            /// Where the batch stands in the journal.
            journal_seq: Seq,
            /// When that was.
            transact_time: UnixNanos,
            /// Rows of the batch.
            count: u32,
            /// Those that were created by it.
            created: u32,
            ..
            /// The others.
            exceptions: Rows<'a, RowResult, LEDGER_ROWS_MAX>,
        }
        /// Server: what became of a batch of transfers. Rows that are not named were created.
        TransfersCreated<'a> = 603 {
            /// Number of the request.
            client_seq_no: RequestNumber,
            /// Where the batch stands in the journal.
            journal_seq: Seq,
            /// When that was.
            transact_time: UnixNanos,
            /// Rows of the batch.
            count: u32,
            /// Those that were created by it.
            created: u32,
            ..
            /// The others.
            exceptions: Rows<'a, RowResult, LEDGER_ROWS_MAX>,
            /// Those that moved another amount than was sent, now or before.
            amounts: Rows<'a, RowAmount, LEDGER_ROWS_MAX>,
        }

        /// Client: accounts by id, as they are now.
        LookupAccounts<'a> = 610 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// The answer is as of this seq or later; 0 = of what the node has applied when it takes the question, or later.
            min_seq: Seq,
            /// It misses nothing that was acknowledged anywhere before the question.
            linearizable: bool,
            ..
            /// Which.
            ids: Rows<'a, AccountKey, READ_ROWS_MAX>,
        }
        /// Server: the accounts that exist of those asked for, in that order.
        Accounts<'a> = 611 {
            /// Number of the request.
            client_seq_no: RequestNumber,
            /// As they are behind this seq.
            journal_seq: Seq,
            ..
            /// Each once for each time that it was asked for.
            accounts: Rows<'a, AccountState, READ_ROWS_MAX>,
        }
        /// Client: transfers by id.
        LookupTransfers<'a> = 612 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// The answer is as of this seq or later; 0 = of what the node has applied when it takes the question, or later.
            min_seq: Seq,
            /// It misses nothing that was acknowledged anywhere before the question.
            linearizable: bool,
            ..
            /// Which.
            ids: Rows<'a, TransferKey, READ_ROWS_MAX>,
        }
        /// Server: transfers: those that exist of those asked for, in that order, or a page of an account's, in its.
        Transfers<'a> = 613 {
            /// Number of the request.
            client_seq_no: RequestNumber,
            /// As they are behind this seq.
            journal_seq: Seq,
            /// Where the next page goes on: the seq …
            next_seq: Seq,
            /// … and a place in it, to be handed back as it is. Both 0 = there is no more.
            next_index: u32,
            ..
            /// What was found.
            transfers: Rows<'a, TransferState, READ_ROWS_MAX>,
        }
        /// Client: an account's transfers, a page at a time; answered by Transfers.
        GetAccountTransfers = 614 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// The answer is as of this seq or later; 0 = of what the node has applied when it takes the question, or later.
            min_seq: Seq,
            /// It misses nothing that was acknowledged anywhere before the question.
            linearizable: bool,
            /// Whose.
            account: AccountId,
            /// With this account alone; 0 = with any.
            counterparty: AccountId,
            /// From this instant on; 0 = from the first.
            time_from: UnixNanos,
            /// Up to this instant; 0 = up to the last.
            time_to: UnixNanos,
            /// As the page before said: the seq …
            from_seq: Seq,
            /// … and the place in it. Both 0 = the first page.
            from_index: u32,
            /// Rows at most; 1 to [`READ_ROWS_MAX`].
            limit: u32,
            /// Of this code alone; 0 = of any.
            code: u16,
            /// Whether those that debit the account are wanted.
            debits: bool,
            /// Whether those that credit the account are wanted.
            credits: bool,
            /// The newest first.
            backwards: bool,
        }
        /// Client: an account's sums at a time.
        BalanceAt = 616 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// The answer is as of this seq or later; 0 = of what the node has applied when it takes the question, or later.
            min_seq: Seq,
            /// It misses nothing that was acknowledged anywhere before the question.
            linearizable: bool,
            /// Whose.
            account: AccountId,
            /// Behind this seq; 0 = see the next.
            at_seq: Seq,
            /// At this instant, if no seq is named; both 0 = now.
            at_time: UnixNanos,
        }
        /// Server: an account's sums.
        Balance = 617 {
            /// Number of the request.
            client_seq_no: RequestNumber,
            /// Whose.
            account: AccountId,
            /// As they are behind this seq.
            journal_seq: Seq,
            /// Its time; of an earlier one, when money had last moved until then.
            transact_time: UnixNanos,
            /// Sums in minor units: reserved by pending transfers that debit it.
            debits_pending: Amount,
            /// Of all transfers that debited it.
            debits_posted: Amount,
            /// Of pending transfers that credit it.
            credits_pending: Amount,
            /// Of all transfers that credited it.
            credits_posted: Amount,
        }
    }
}

/// A message as the schema describes it.
#[derive(Clone, Copy, Debug)]
pub struct MessageLayout {
    /// Its name.
    pub name: &'static str,
    /// Its template id.
    pub template: u16,
    /// Its fixed fields.
    pub fields: Fields,
    /// Name and layout of what follows them.
    pub tails: &'static [(&'static str, TailLayout)],
}

/// What the SBE header says, once schema and version are known to be ours.
#[derive(Clone, Copy)]
struct Header {
    template: u16,
    block_bytes: u16,
}

impl Header {
    /// Splits the block off the front of `rest`.
    fn block<'a>(self, bytes: usize, rest: &mut &'a [u8]) -> Result<&'a [u8], BinaryFault> {
        let Self { template, block_bytes } = self;
        if usize::from(block_bytes) != bytes {
            return Err(BinaryFault::Block { template, found: block_bytes });
        }
        let (block, behind) = rest.split_at_checked(bytes).ok_or(BinaryFault::Cut(template))?;
        *rest = behind;
        Ok(block)
    }

    fn fixed<F: Fixed>(self, block: &mut &[u8]) -> Result<F, BinaryFault> {
        F::take(block).map_err(|list| BinaryFault::Value { template: self.template, list })
    }

    fn tail<'a, T: Tail<'a>>(self, rest: &mut &'a [u8]) -> Result<T, BinaryFault> {
        T::take(self.template, rest)
    }
}

impl<'a> Message<'a> {
    /// Reads one whole message, whose length [`super::message_bytes`] has told.
    ///
    /// # Errors
    /// [`BinaryFault`] for what [`Self::write`] does not write.
    pub fn read(bytes: &'a [u8]) -> Result<Self, BinaryFault> {
        let length = super::message_bytes(bytes, BINARY_MESSAGE_BYTES_MAX)?;
        let (headers, mut rest) = bytes
            .split_at_checked(HEADERS_BYTES)
            .filter(|_| length == Some(bytes.len()))
            .ok_or(BinaryFault::Length(u32::try_from(bytes.len()).unwrap_or(u32::MAX)))?;
        let field = |at: usize| headers.u16_at(FRAMING_BYTES.saturating_add(at));
        let header = Header { block_bytes: field(0), template: field(2) };
        if field(4) != SCHEMA_ID {
            return Err(BinaryFault::Schema(field(4)));
        }
        if field(6) != SCHEMA_VERSION {
            return Err(BinaryFault::Version(field(6)));
        }
        let message = Self::read_body(header, &mut rest)?;
        if rest.is_empty() { Ok(message) } else { Err(BinaryFault::Behind(header.template)) }
    }
}

/// Appends the headers of a message; where it begins.
fn begin(template: u16, block_bytes: usize, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    0_u32.put(out);
    let block_bytes = u16::try_from(block_bytes).unwrap_or(u16::MAX);
    for field in [ENCODING_TYPE, block_bytes, template, SCHEMA_ID, SCHEMA_VERSION] {
        field.put(out);
    }
    start
}

/// Sets the length of the message that begins at `start`.
fn finish(start: usize, out: &mut [u8]) {
    let message = out.get_mut(start..).unwrap_or_default();
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    put(message, 0, &length.to_le_bytes());
}

//! The codes in messages that are no others' but theirs.

use crate::wire::codes;

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
        /// No such proposal is open.
        UnknownProposal = 9,
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

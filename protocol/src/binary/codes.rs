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
        /// Market data were there to be read, and nothing was read for too long.
        SlowReader = 12,
        /// As many read market data as may.
        NoRoom = 13,
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

codes! {
    /// What is subscribed to, of one market.
    pub enum MarketChannel {
        /// The best price of each side.
        Top = 1,
        /// The five best.
        Depth5 = 2,
        /// The ten best.
        Depth10 = 3,
        /// The twenty best.
        Depth20 = 4,
        /// All levels, and what becomes of them (L2).
        Levels = 5,
        /// All orders, and what becomes of them (L3).
        Orders = 6,
        /// Trades.
        Trades = 7,
        /// What was traded in a window that moves on.
        Ticker = 8,
        /// What was traded in each interval of time.
        Candles = 9,
        /// The phase, what an auction would trade or has traded, the index price, and within which bounds orders are taken.
        Status = 10,
        /// Trades, those of one price and one record in one row.
        AggregateTrades = 11,
    }
}

codes! {
    /// What became of a trade.
    pub enum TradeStatus {
        /// It stands as it was made.
        Made = 1,
        /// It stands at another price, or with a smaller quantity.
        Corrected = 2,
        /// It was taken back.
        Busted = 3,
    }
}

codes! {
    /// How far a ticker looks back.
    pub enum TickerWindow {
        /// 5m: of the average price.
        FiveMinutes = 1,
        /// 1h.
        Hour = 2,
        /// 4h.
        FourHours = 3,
        /// 1d, which is 24 hours.
        Day = 4,
    }
}

codes! {
    /// How long a candle is.
    pub enum CandleInterval {
        /// 1s.
        Second = 1,
        /// 1m.
        Minute = 2,
        /// 3m.
        ThreeMinutes = 3,
        /// 5m.
        FiveMinutes = 4,
        /// 15m.
        QuarterHour = 5,
        /// 30m.
        HalfHour = 6,
        /// 1h.
        Hour = 7,
        /// 2h.
        TwoHours = 8,
        /// 4h.
        FourHours = 9,
        /// 6h.
        SixHours = 10,
        /// 8h.
        EightHours = 11,
        /// 12h.
        TwelveHours = 12,
        /// 1d.
        Day = 13,
        /// 3d, counted from 1970-01-01.
        ThreeDays = 14,
        /// 1w, from Monday.
        Week = 15,
        /// 1M, of the calendar.
        Month = 16,
    }
}

codes! {
    /// What became of a resting order.
    pub enum OrderChangeKind {
        /// It rests, behind the others at its price.
        Added = 1,
        /// Less of it is visible; it keeps its place.
        Reduced = 2,
        /// It left without a trade.
        Removed = 3,
        /// The next slice of its reserve rests, behind the others at its price.
        Refilled = 4,
        /// It traded, and keeps its place; it left if nothing is left.
        Executed = 5,
    }
}

codes! {
    /// Why a question or a subscription is refused.
    pub enum MarketRejectReason {
        /// There is no such market.
        UnknownMarket = 1,
        /// A connection has as many subscriptions as it may, or all of them together; the text says which.
        TooManySubscriptions = 2,
        /// The connection has a subscription of that number.
        NumberInUse = 3,
        /// The connection has no subscription of that number.
        UnknownSubscription = 4,
        /// A field has no meaning there; the text names it.
        FieldOutOfRange = 5,
        /// Market data begin, or begin again: the same may be asked in a moment.
        NotReady = 6,
        /// Of the WebSocket alone: the message is no JSON object of the documented form; the text says why.
        Malformed = 7,
    }
}

codes! {
    /// Why a subscription ended.
    pub enum SubscriptionEnd {
        /// It was asked for.
        Unsubscribed = 1,
        /// What the reader had not read was not kept any more, too often one time behind the other.
        FellBehind = 2,
        /// The market is not there any more.
        Gone = 3,
    }
}

//! Every business refusal, in the order of the checks. A refusal is an outcome: journaled, hashed, the same everywhere.

use crate::wire::codes;

codes! {
    /// Why a command was refused, an order cancelled or expired. Declared in the order in which the engine checks;
    /// FIX reject codes (docs/FIX.md) follow from this list.
    pub enum RejectReason {
        /// The record's session does not exist.
        UnknownSession = 1,
        /// A straggler of an older connection.
        StaleGeneration = 2,
        /// The number has been executed: a repetition.
        AlreadyExecuted = 3,
        /// The number is ahead of the next one.
        SequenceGap = 4,
        /// The same request number came with another body; the field that differs is named.
        KeyReused = 5,
        /// The request number is below the window in which repetitions are recognised.
        BelowRequestWindow = 6,
        /// The command does not belong to this kind of session.
        WrongSessionKind = 7,
        /// The actor lacks the role.
        NotEntitled = 8,
        /// The body does not decode: a kind or version that this engine does not know.
        Malformed = 9,
        /// The command is executed only when one actor has proposed and another one approved it.
        ApprovalNeeded = 10,
        /// No command of this kind can be proposed.
        NotProposable = 11,
        /// No such proposal is open.
        UnknownProposal = 12,
        /// Nobody approves what they proposed.
        OwnProposal = 13,
        /// What the proposal changes has changed since it was made.
        ProposalStale = 14,
        /// Fewer than two actors with the role ADMIN and a key could approve each other's proposals.
        TooFewApprovers = 15,

        /// The id exists with the same fields: done before, nothing changed.
        Exists = 16,
        /// The id exists and a field differs; it is named.
        ExistsWithDifferent = 17,
        /// A field is out of range; it is named.
        FieldOutOfRange = 18,
        /// A table is full.
        TableFull = 19,
        /// The actor does not exist.
        UnknownActor = 20,
        /// The asset does not exist.
        UnknownAsset = 21,
        /// The market does not exist.
        UnknownMarket = 22,
        /// The account does not exist.
        UnknownAccount = 23,
        /// The client has no settlement account in an asset of the market.
        NoSettlementAccount = 24,
        /// The account is of another class than the command needs.
        WrongAccountClass = 25,
        /// The account is in another asset than the command needs.
        AssetMismatch = 26,
        /// Accounts have the code, and are not what would be said of it: its field is named.
        AccountCodeInUse = 27,
        /// Amount 0, or past what an account can hold.
        AmountOutOfRange = 28,
        /// One of the accounts is closed.
        AccountClosed = 29,
        /// A transfer that the command consists of was refused: which one, and the [`crate::LedgerRefusal`], are named.
        TransferRefused = 30,
        /// A transfer of a correction was refused: its place, from 0, and the [`crate::LedgerRefusal`] are named.
        CorrectionRefused = 31,
        /// The monitor does not exist.
        UnknownMonitor = 32,
        /// No such quote is open.
        UnknownQuote = 33,
        /// The standing order does not exist.
        UnknownStandingOrder = 34,
        /// More than is left of what may be sold on the quote.
        QuoteExceeded = 35,
        /// The quote is for the accounts of another client.
        QuoteOfAnotherClient = 36,
        /// The accounts have different owners.
        DifferentOwners = 37,
        /// What would be bought is nothing, or less than was wanted at least.
        BuyAmountBelowMinimum = 38,
        /// The chart of accounts keeps the account from having this code: the [`crate::LedgerRefusal`] is named.
        AccountCodeRefused = 39,

        /// The session may not trade for this client.
        ClientNotEntitled = 40,
        /// The ClOrdID has been used by this session.
        DuplicateClOrdId = 41,
        /// The bid of a quote is not below its offer.
        InvalidSpread = 59,
        /// The market does not take this in its phase.
        MarketClosed = 42,
        /// Cancelled, or refused: too much of its session's orders in the market was filled in too short a time.
        MarketMakerProtection = 94,
        /// Price missing, or outside the market's range.
        PriceOutOfRange = 43,
        /// Quantity missing, or outside the market's range.
        QtyOutOfRange = 44,
        /// Price × quantity outside the market's range.
        NotionalOutOfRange = 45,
        /// The combination of type, time in force, price and quantity means nothing, or the market does not take it.
        UnsupportedOrder = 46,
        /// The order's end, or the time until which it was valid, is over; or an index price is not news any more.
        TooLateToEnter = 55,
        /// The market's bands lie around an index price, and none is valid.
        NoReferencePrice = 56,
        /// The price is outside the market's band around the reference price; an armed order expires for it.
        PriceOutsideBand = 50,
        /// The client has as many live orders as it may.
        TooManyOrders = 47,
        /// As many orders wait for a price in this market, or of this client in it, as may.
        TooManyStops = 51,
        /// The client has as many orders in this market that show a part of themselves as it may.
        TooManyIcebergs = 52,
        /// As many orders of this market follow its best prices as may.
        TooManyPegged = 58,
        /// The book is full.
        BookFull = 48,
        /// The order must not take liquidity, and would.
        WouldTake = 54,
        /// The client would hold more of the base asset than it may.
        PositionLimit = 53,
        /// Less available than the worst case needs, fee included.
        InsufficientFunds = 49,

        /// No such order of this session.
        UnknownOrder = 60,
        /// The order is filled, cancelled or expired.
        TooLate = 61,
        /// Symbol or side differ from the order's.
        OrderMismatch = 62,
        /// The new quantity is not above what is filled.
        QtyBelowFilled = 63,
        /// The order that was to be cancelled for it could not be.
        CancelFailed = 64,
        /// The order has been replaced as often as it may.
        TooManyAmendments = 57,

        /// Expired: immediate-or-cancel.
        ImmediateOrCancel = 80,
        /// Expired: fill-or-kill could not be filled.
        FillOrKill = 81,
        /// Expired: a market order found no more liquidity.
        InsufficientLiquidity = 82,
        /// Cancelled at the client's request.
        ByClient = 83,
        /// Cancelled because its connection ended.
        OnDisconnect = 84,
        /// Cancelled by an operator.
        ByOperator = 85,
        /// Expired: its time had come.
        GoodTillDate = 86,
        /// Expired: the trading day was over.
        EndOfDay = 87,
        /// Expired: less than its minimum could be filled on entry.
        MinQtyNotMet = 88,
        /// Expired or reduced: it would have traded with an order of its own trade group.
        SelfTrade = 89,
        /// Expired: it would have traded too far from the reference price.
        PriceCollar = 90,
        /// Cancelled, or refused, because another order of its list ended, traded, fired or was refused.
        OrderList = 91,
        /// Cancelled because its session did not say in time that it is there.
        CancelAllAfter = 93,
        /// Expired: it was good for an auction, and that is over.
        AuctionOver = 95,
        /// Restated: the best price that it follows has changed.
        Repriced = 97,

        /// Passed over by operators, because no engine could take it: it had no effect.
        Skipped = 96,
    }
}

//! The lists of codes that commands and events share. A code is for ever; a new variant gets a new one.

use super::codes;
use crate::PriceTicks;

codes! {
    /// Side(54) of an order or a trade.
    pub enum Side {
        /// Buys base, pays quote.
        Buy = 1,
        /// Sells base, receives quote.
        Sell = 2,
    }
}

impl Side {
    /// The other side.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }

    /// Whether an order of this side at `price` trades with one of the other side at `other`.
    #[must_use]
    pub const fn reaches(self, price: PriceTicks, other: PriceTicks) -> bool {
        match self {
            Self::Buy => price.0 >= other.0,
            Self::Sell => price.0 <= other.0,
        }
    }

    /// The price nearest to `other` at which this side does not trade with it; `None` where there is none.
    #[must_use]
    pub const fn behind(self, other: PriceTicks) -> Option<PriceTicks> {
        let behind = match self {
            Self::Buy => other.0.checked_sub(1),
            Self::Sell => other.0.checked_add(1),
        };
        match behind {
            Some(price) => Some(PriceTicks(price)),
            None => None,
        }
    }
}

codes! {
    /// OrdType(40).
    pub enum OrderType {
        /// At whatever price the book offers; what is left expires.
        Market = 1,
        /// At `price_ticks` or better.
        Limit = 2,
    }
}

codes! {
    /// TimeInForce(59).
    pub enum TimeInForce {
        /// Rests until cancelled.
        GoodTillCancel = 1,
        /// Takes part in the next opening auction alone.
        AtTheOpening = 2,
        /// Fills what it can at once; the rest expires.
        ImmediateOrCancel = 3,
        /// Fills in full at once, or not at all.
        FillOrKill = 4,
        /// Rests until its time.
        GoodTillDate = 6,
        /// Takes part in the next closing auction alone.
        AtTheClose = 7,
        /// Rests until the end of the trading day (`0`).
        Day = 8,
    }
}

codes! {
    /// What becomes of an order that must not take liquidity where it would.
    pub enum PostOnly {
        /// It is refused.
        Reject = 1,
        /// It rests one tick behind the best price of the other side.
        Slide = 2,
    }
}

codes! {
    /// What is done where an order would trade with one of the same trade group.
    pub enum SelfTradePrevention {
        /// They trade.
        None = 1,
        /// What is left of the incoming order expires.
        ExpireTaker = 2,
        /// The resting order expires.
        ExpireMaker = 3,
        /// Both expire.
        ExpireBoth = 4,
        /// Both are reduced by the smaller of their quantities, without a trade.
        Decrement = 5,
        /// The same quantity changes the account without a trade, if both orders say so; else as `Decrement`.
        Transfer = 6,
    }
}

codes! {
    /// What becomes of the new order of a pair if the old one cannot be cancelled.
    pub enum CancelReplaceMode {
        /// It is refused.
        StopOnFailure = 1,
        /// It enters all the same.
        AllowFailure = 2,
    }
}

codes! {
    /// How the orders of a list hang together; ContingencyType(1385).
    pub enum Contingency {
        /// Two orders: when one trades or ends, the other is cancelled (`1`).
        OneCancelsOther = 1,
        /// Two orders: the second one enters when the first one has traded (`2`).
        OneTriggersOther = 2,
        /// Three orders: the second and the third enter when the first one has traded, and cancel each other.
        OneTriggersOneCancelsOther = 3,
    }
}

codes! {
    /// When the orders enter that wait for the first one of their list.
    pub enum ListRelease {
        /// When it is filled.
        Filled = 1,
        /// When it has traded at all.
        Traded = 2,
    }
}

codes! {
    /// Where a list of orders stands; ListOrderStatus(431).
    pub enum ListState {
        /// Accepted: its first order, or both that cancel each other, are live (`3`).
        Executing = 1,
        /// The orders that waited have entered.
        Released = 2,
        /// All of its orders have ended (`6`).
        Done = 3,
    }
}

codes! {
    /// Around which price a market's bands and its collar lie.
    pub enum ReferencePrice {
        /// That of the last trade.
        LastTrade = 1,
        /// The index, while it is valid.
        Index = 2,
    }
}

codes! {
    /// Which price a trigger watches; TriggerPriceType(1107).
    pub enum TriggerPriceType {
        /// That of the last trade.
        Last = 1,
        /// The best one that the order would trade at.
        Best = 2,
        /// The index, a sequenced fact from outside.
        Index = 3,
    }
}

codes! {
    /// From which side the price comes that fires a trigger; TriggerPriceDirection(1109).
    pub enum TriggerDirection {
        /// It rises to the trigger's price or above (`U`).
        Up = 1,
        /// It falls to the trigger's price or below (`D`).
        Down = 2,
    }
}

codes! {
    /// In what the distance of a trailing trigger is given.
    pub enum TrailBy {
        /// In ticks.
        Ticks = 1,
        /// In ten-thousandths of the price, rounded away from the market.
        BasisPoints = 2,
    }
}

codes! {
    /// Which best price a pegged order follows; PegPriceType(1094).
    pub enum PegTo {
        /// That of its own side (`5`).
        Primary = 1,
        /// That of the other side (`4`).
        Market = 2,
    }
}

codes! {
    /// OrderCapacity(528); RTS 24 field 7.
    pub enum Capacity {
        /// Agency (FIX `A`; AOTC).
        Agency = 1,
        /// Principal (FIX `P`; DEAL).
        Principal = 2,
        /// Riskless principal (FIX `R`; MTCH).
        RisklessPrincipal = 3,
    }
}

codes! {
    /// What an account is for.
    pub enum AccountClass {
        /// Money of a client: never below zero.
        Client = 1,
        /// The house's own money: never below zero.
        House = 2,
        /// Fees earned: never below zero.
        Fee = 3,
        /// The world outside: what came in and went out; may stand below zero.
        External = 4,
        /// What currencies are exchanged through.
        Liquidity = 5,
        /// What is not yet known to be whose.
        Suspense = 6,
    }
}

impl AccountClass {
    /// Its bit among several classes.
    #[must_use]
    pub const fn bit(self) -> u8 {
        match self {
            Self::Client => 1,
            Self::House => 2,
            Self::Fee => 4,
            Self::External => 8,
            Self::Liquidity => 16,
            Self::Suspense => 32,
        }
    }
}

codes! {
    /// On which side of an account's balance what it is worth stands.
    pub enum NormalSide {
        /// Debits − credits: what the bank owns or is owed, and what it spends.
        Debit = 1,
        /// Credits − debits: what the bank owes, and what it earns.
        Credit = 2,
    }
}

codes! {
    /// What the accounts of a code are, in a bank's chart of accounts.
    pub enum AccountKind {
        /// A current account.
        Checking = 1,
        /// Savings, payable at any time.
        Savings = 2,
        /// Money that is bound until a day.
        TermDeposit = 3,
        /// What a client owes.
        Loan = 4,
        /// What a merchant has taken.
        Merchant = 5,
        /// What a card is paid from: prepaid, or on credit.
        Card = 6,
        /// A digital asset, of clients or of the house.
        Crypto = 7,
        /// What is held together for many, at a custodian or for one.
        Omnibus = 8,
        /// The bank's money at another bank, or at the central bank.
        Nostro = 9,
        /// What is not yet known to be whose.
        Suspense = 10,
        /// Fees earned.
        FeeIncome = 11,
        /// Taxes taken for the state.
        TaxIncome = 12,
        /// What currencies are exchanged through.
        Liquidity = 13,
        /// On its way from or to a payment or card scheme.
        Clearing = 14,
        /// The bank's own funds.
        OwnFunds = 15,
        /// Interest that the bank has earned.
        InterestIncome = 16,
        /// Interest that the bank has paid.
        InterestExpense = 17,
    }
}

impl AccountKind {
    /// Of which classes its accounts may be, as bits.
    #[must_use]
    pub const fn classes(self) -> u8 {
        use AccountClass as C;
        match self {
            Self::Checking | Self::Crypto => C::Client.bit() | C::House.bit(),
            Self::Savings | Self::TermDeposit | Self::Loan | Self::Merchant | Self::Card => C::Client.bit(),
            Self::Omnibus => C::House.bit() | C::External.bit(),
            Self::Nostro => C::House.bit() | C::External.bit() | C::Liquidity.bit(),
            Self::Suspense => C::Suspense.bit(),
            Self::FeeIncome => C::Fee.bit(),
            Self::TaxIncome => C::Fee.bit() | C::Suspense.bit(),
            Self::Liquidity => C::Liquidity.bit() | C::House.bit(),
            Self::Clearing => C::External.bit() | C::Suspense.bit(),
            Self::OwnFunds => C::House.bit(),
            Self::InterestIncome | Self::InterestExpense => C::Fee.bit() | C::House.bit(),
        }
    }

    /// On which side what they are worth stands; `None` = on either, and the bank says on which.
    #[must_use]
    pub const fn normal_side(self) -> Option<NormalSide> {
        match self {
            Self::Checking
            | Self::Savings
            | Self::TermDeposit
            | Self::Merchant
            | Self::FeeIncome
            | Self::TaxIncome
            | Self::OwnFunds
            | Self::InterestIncome => Some(NormalSide::Credit),
            Self::Loan | Self::Nostro | Self::InterestExpense => Some(NormalSide::Debit),
            Self::Card | Self::Crypto | Self::Omnibus | Self::Suspense | Self::Liquidity | Self::Clearing => {
                None
            }
        }
    }
}

codes! {
    /// Where a market is in its day, and so what it takes. Cancels and status requests are taken in every phase.
    pub enum MarketPhase {
        /// Orders match.
        Trading = 1,
        /// Cancels and status requests only.
        CancelOnly = 2,
        /// As `CancelOnly`, announced as a halt.
        Halt = 3,
        /// Orders are collected for an auction that is not announced yet.
        PreOpen = 4,
        /// Orders are collected, and the price at which they would trade is published.
        Auction = 5,
        /// Orders that do not take.
        PostOnly = 6,
        /// Over until the next day: as `CancelOnly`, and orders of the day have ended.
        Closed = 7,
    }
}

codes! {
    /// Why a market went into another phase.
    pub enum PhaseCause {
        /// An operator said so.
        Command = 1,
        /// Its schedule says so.
        Schedule = 2,
        /// Its price moved too far in too short a time.
        Volatility = 3,
    }
}

codes! {
    /// How a session numbers what it sends.
    pub enum SessionProtocol {
        /// FIX: numbers without gaps; a number below the next is a repetition and is dropped.
        Fix = 1,
        /// Requests with a key: any order inside a window; a repetition gets the first reply again.
        Request = 2,
    }
}

codes! {
    /// How strictly inbound messages are held against the dictionary.
    pub enum Strictness {
        /// Unknown tags, repeated tags, empty values and enum values out of range are rejected.
        Strict = 1,
        /// Unknown tags and tags not defined for the message are ignored; everything else as `Strict`.
        Lenient = 2,
    }
}

codes! {
    /// When a session's live orders are cancelled without its asking.
    pub enum CancelOnDisconnect {
        /// Never.
        Never = 1,
        /// When its connection is lost without a Logout, after the session's window.
        OnLoss = 2,
        /// When its connection ends, by a Logout too, after the session's window.
        OnLossOrLogout = 3,
    }
}

codes! {
    /// ExecType(150).
    pub enum ExecType {
        /// Accepted (`0`).
        New = 1,
        /// A fill (`F`).
        Trade = 2,
        /// Cancelled (`4`).
        Canceled = 3,
        /// Replaced or reduced (`5`).
        Replaced = 4,
        /// Refused (`8`).
        Rejected = 5,
        /// Expired unfilled or partly filled: IOC, FOK, market without liquidity (`C`).
        Expired = 6,
        /// Answer to a status request (`I`).
        OrderStatus = 7,
        /// Reduced without a trade and without a request (`D`).
        Restated = 8,
        /// A fill was taken back (`H`).
        TradeCancel = 9,
        /// A fill has another price or quantity (`G`).
        TradeCorrect = 10,
        /// Accepted, and waits for another order of its list (`A`).
        PendingNew = 11,
    }
}

codes! {
    /// OrdStatus(39).
    pub enum OrderStatus {
        /// Live, nothing filled (`0`).
        New = 1,
        /// Live, partly filled (`1`).
        PartiallyFilled = 2,
        /// Filled (`2`).
        Filled = 3,
        /// Cancelled (`4`).
        Canceled = 4,
        /// Refused (`8`).
        Rejected = 5,
        /// Expired (`C`).
        Expired = 6,
        /// Ended because it would have traded with an order of its own trade group (`C`).
        ExpiredInMatch = 7,
        /// Waits for another order of its list (`A`).
        PendingNew = 8,
    }
}

codes! {
    /// Which side of a trade took liquidity; LastLiquidityInd(851).
    pub enum Liquidity {
        /// Rested in the book.
        Maker = 1,
        /// Came in and met it.
        Taker = 2,
        /// Both rested: it was an auction's.
        Auction = 4,
    }
}

codes! {
    /// What became of a resting order without a trade: what moves in the book is this, and fills.
    pub enum BookAction {
        /// It rests, behind the others at its price.
        Added = 1,
        /// Less of it is visible; it keeps its place.
        Reduced = 2,
        /// It left.
        Removed = 3,
        /// What was visible is filled: the next slice of its reserve rests, behind the others at its price.
        Refilled = 4,
    }
}

codes! {
    /// The postings of a trade.
    pub enum TradePart {
        /// Base, from the seller to the buyer.
        Base = 1,
        /// Quote, from the buyer to the seller.
        Quote = 2,
        /// The buyer's fee, or the rebate that it is paid.
        BuyerFee = 3,
        /// The seller's fee, or the rebate that it is paid.
        SellerFee = 4,
        /// The tax on the buyer's fee.
        BuyerTax = 5,
        /// The tax on the seller's fee.
        SellerTax = 6,
        /// What is advanced to whom has to give something back and has it no more.
        Receivable = 7,
    }
}

codes! {
    /// Which request an OrderCancelReject(9) answers; CxlRejResponseTo(434).
    pub enum CancelRejectTo {
        /// OrderCancelRequest(F).
        Cancel = 1,
        /// OrderCancelReplaceRequest(G).
        Replace = 2,
    }
}

codes! {
    /// What a gateway, seeing a clock, asks of the engine, which sees none.
    pub enum SessionAction {
        /// Nothing was sent for a heartbeat interval: send a Heartbeat.
        Heartbeat = 1,
        /// Nothing was heard for a heartbeat interval and a grace: send a TestRequest.
        TestRequest = 2,
        /// The TestRequest was not answered: send a Logout and close.
        TimeOut = 3,
        /// The node is stopping: send a Logout and close.
        Stop = 4,
        /// The peer broke the session protocol, and a Reject before this said how: send a Logout and close.
        Protocol = 5,
        /// A message with another BeginString(8) came: send a Logout that says so and close.
        BeginString = 6,
    }
}

codes! {
    /// Why a session's connection ended, or was refused.
    pub enum SessionEnd {
        /// The peer's Logout was answered.
        Logout = 1,
        /// The connection was lost.
        Lost = 2,
        /// The peer was silent for too long.
        Silent = 3,
        /// A newer connection of the same session took over.
        TakenOver = 4,
        /// The node stopped, or a new term began.
        NodeStopped = 5,
        /// The peer broke the session protocol: a number too low, a first message other than Logon.
        Protocol = 6,
        /// A connection of the session is alive: a second Logon is refused.
        AlreadyConnected = 7,
        /// HeartBtInt(108) out of the session's range.
        HeartbeatRange = 8,
        /// ResetSeqNumFlag(141) where the session does not allow it.
        ResetNotAllowed = 9,
        /// MsgSeqNum(34) below the expected one.
        SequenceTooLow = 10,
        /// An operator reset the session.
        Reset = 11,
        /// The peer sent a message of another version: BeginString(8) was not the session's.
        BeginString = 12,
    }
}

codes! {
    /// How a proposal ended.
    pub enum ProposalEnd {
        /// Another actor approved it, and it was executed.
        Approved = 1,
        /// Another actor rejected it.
        Rejected = 2,
        /// Who made it took it back.
        Withdrawn = 3,
        /// Nobody did in time.
        Expired = 4,
    }
}

codes! {
    /// What a monitor watches, of an account or of the accounts of one ledger, code and class.
    pub enum MonitorField {
        /// Posted debits.
        DebitsPosted = 1,
        /// Posted credits.
        CreditsPosted = 2,
        /// Pending debits.
        DebitsPending = 3,
        /// Pending credits.
        CreditsPending = 4,
        /// Posted credits − posted debits.
        Balance = 5,
        /// Posted credits − debits, posted and pending − what is held for orders; of an account alone.
        Available = 6,
        /// By how much one record raised posted credits.
        Inflow = 7,
        /// By how much one record raised posted debits.
        Outflow = 8,
    }
}

codes! {
    /// How a monitor compares what it watches with its value.
    pub enum MonitorOperator {
        /// Less.
        Below = 1,
        /// Less, or as much.
        AtMost = 2,
        /// More, or as much.
        AtLeast = 3,
        /// More.
        Above = 4,
    }
}

codes! {
    /// How an exchange quote ended.
    pub enum QuoteEnd {
        /// Its time was over.
        Expired = 1,
        /// All that it was for has been exchanged.
        UsedUp = 2,
    }
}

codes! {
    /// On which dates a standing order is executed.
    pub enum Schedule {
        /// On its first date.
        Once = 1,
        /// Every day.
        Daily = 2,
        /// On the first date's day of the week.
        Weekly = 3,
        /// On the first date's day of the month, or on the last one of a shorter month.
        Monthly = 4,
        /// On the last business day of the month.
        MonthEnd = 5,
    }
}

codes! {
    /// What becomes of an execution on a day that is no business day.
    pub enum DayRule {
        /// It takes place all the same.
        Execute = 1,
        /// It takes place on the next business day.
        Next = 2,
        /// It takes place on the business day before.
        Previous = 3,
        /// It is left out.
        Skip = 4,
    }
}

codes! {
    /// How a standing order ended.
    pub enum StandingOrderEnd {
        /// Its schedule has no further date.
        Finished = 1,
        /// It was cancelled.
        Cancelled = 2,
    }
}

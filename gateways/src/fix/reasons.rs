//! Codes and texts of refusals. docs/FIX.md prints the same table; a test compares them.

use protocol::RejectReason;
use protocol::RejectReason as R;

/// OrdRejReason(103) of an ExecutionReport that refuses an order.
#[expect(clippy::wildcard_enum_match_arm, reason = "FIX 4.4 has a code for these only; the text says which")]
pub(crate) const fn ord_rej_reason(reason: RejectReason) -> u8 {
    match reason {
        R::UnknownMarket => 1,
        R::MarketClosed | R::MarketMakerProtection => 2,
        R::PriceOutOfRange
        | R::NotionalOutOfRange
        | R::PriceOutsideBand
        | R::TooManyOrders
        | R::TooManyStops
        | R::TooManyIcebergs
        | R::TooManyPegged
        | R::PositionLimit
        | R::InsufficientFunds => 3,
        R::TooLate | R::TooLateToEnter => 4,
        R::UnknownOrder => 5,
        R::DuplicateClOrdId => 6,
        R::UnsupportedOrder | R::WouldTake => 11,
        R::QtyOutOfRange | R::QtyBelowFilled => 13,
        R::ClientNotEntitled | R::NoSettlementAccount => 15,
        R::NotEntitled | R::BookFull | R::NoReferencePrice => 0,
        _ => 99,
    }
}

/// CxlRejReason(102) of an OrderCancelReject.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "FIX 4.4 has a code for five of them only; the text says which"
)]
pub(crate) const fn cxl_rej_reason(reason: RejectReason) -> u8 {
    match reason {
        R::TooLate => 0,
        R::UnknownOrder => 1,
        R::MarketClosed | R::MarketMakerProtection | R::NotEntitled | R::BookFull => 2,
        R::DuplicateClOrdId => 6,
        _ => 99,
    }
}

/// Text(58) for a reason.
pub(crate) fn text(reason: RejectReason) -> &'static str {
    TEXTS.iter().find(|(of, _)| *of == reason).map_or("", |(_, text)| text)
}

/// The texts; a test looks up every reason.
const TEXTS: &[(RejectReason, &str)] = &[
    (R::UnknownSession, "unknown session"),
    (R::StaleGeneration, "sent on an older connection"),
    (R::AlreadyExecuted, "already executed"),
    (R::SequenceGap, "number ahead of the next one"),
    (R::KeyReused, "request number used for another request"),
    (R::BelowRequestWindow, "request number too old"),
    (R::WrongSessionKind, "not for this kind of session"),
    (R::NotEntitled, "not entitled"),
    (R::Malformed, "malformed"),
    (R::Exists, "exists"),
    (R::ExistsWithDifferent, "exists with different fields"),
    (R::FieldOutOfRange, "a field is out of range"),
    (R::TableFull, "no room for more"),
    (R::UnknownActor, "unknown actor"),
    (R::UnknownAsset, "unknown asset"),
    (R::UnknownMarket, "unknown symbol"),
    (R::UnknownAccount, "unknown account"),
    (R::NoSettlementAccount, "no settlement account in an asset of the market"),
    (R::WrongAccountClass, "wrong class of account"),
    (R::AssetMismatch, "account in another asset"),
    (R::AccountCodeInUse, "accounts have the code and are something else"),
    (R::AmountOutOfRange, "amount out of range"),
    (R::AccountClosed, "account closed"),
    (R::TransferRefused, "a transfer was refused"),
    (R::CorrectionRefused, "a transfer of the correction was refused"),
    (R::UnknownMonitor, "unknown monitor"),
    (R::UnknownQuote, "unknown quote"),
    (R::QuoteExceeded, "quote exceeded"),
    (R::QuoteOfAnotherClient, "quote of another client"),
    (R::DifferentOwners, "accounts of different owners"),
    (R::BuyAmountBelowMinimum, "less than wanted would be bought"),
    (R::AccountCodeRefused, "the chart of accounts keeps the account from having this code"),
    (R::UnknownStandingOrder, "unknown standing order"),
    (R::ApprovalNeeded, "needs another actor's approval"),
    (R::NotProposable, "cannot be proposed"),
    (R::UnknownProposal, "no such proposal"),
    (R::OwnProposal, "own proposal"),
    (R::ProposalStale, "proposal overtaken by a change"),
    (R::TooFewApprovers, "too few approvers"),
    (R::ClientNotEntitled, "session may not trade for this client"),
    (R::DuplicateClOrdId, "ClOrdID used before"),
    (R::MarketClosed, "market does not accept this now"),
    (R::PriceOutOfRange, "price missing or out of range"),
    (R::QtyOutOfRange, "quantity missing or out of range"),
    (R::NotionalOutOfRange, "price x quantity out of range"),
    (R::UnsupportedOrder, "unsupported combination of order type, time in force, price and quantity"),
    (R::TooManyOrders, "too many live orders"),
    (R::BookFull, "book is full"),
    (R::TooManyStops, "too many orders wait for a price"),
    (R::TooManyIcebergs, "too many orders show a part of themselves"),
    (R::TooManyPegged, "too many orders are pegged"),
    (R::InvalidSpread, "bid not below the offer"),
    (R::TooLateToEnter, "its end, or the time until which it was valid, is over"),
    (R::NoReferencePrice, "no valid reference price"),
    (R::PriceOutsideBand, "price outside the band around the reference price"),
    (R::WouldTake, "must not take liquidity, and would"),
    (R::PositionLimit, "more of the base asset than the client may hold"),
    (R::InsufficientFunds, "insufficient funds"),
    (R::UnknownOrder, "unknown order"),
    (R::TooLate, "too late: the order is filled, cancelled or expired"),
    (R::OrderMismatch, "symbol or side differ from the order's"),
    (R::QtyBelowFilled, "quantity not above what is filled"),
    (
        R::MarketMakerProtection,
        "too much of the session's orders in the market was filled in too short a time",
    ),
    (R::CancelFailed, "the order that was to be cancelled for it could not be"),
    (R::TooManyAmendments, "replaced as often as it may be"),
    (R::ImmediateOrCancel, "immediate or cancel: the rest expired"),
    (R::FillOrKill, "fill or kill: could not be filled"),
    (R::InsufficientLiquidity, "market order: no more liquidity"),
    (R::ByClient, "cancelled on request"),
    (R::OnDisconnect, "cancelled on disconnect"),
    (R::ByOperator, "cancelled by the operator"),
    (R::GoodTillDate, "its time had come"),
    (R::EndOfDay, "the trading day was over"),
    (R::MinQtyNotMet, "less than its minimum could be filled"),
    (R::SelfTrade, "would have traded with an order of its own trade group"),
    (R::PriceCollar, "would have traded too far from the reference price"),
    (R::OrderList, "another order of its list ended, traded, fired or was refused"),
    (R::CancelAllAfter, "its session did not say in time that it is there"),
    (R::AuctionOver, "good for an auction that is over"),
    (R::Repriced, "its price followed the best price"),
    (R::Skipped, "passed over by the operators: it had no effect"),
];

/// Text(58) of a Reject(3) for its SessionRejectReason(373), in the words of the specification.
pub(crate) const fn session_text(reason: u16) -> &'static str {
    match reason {
        0 => "Invalid tag number",
        1 => "Required tag missing",
        2 => "Tag not defined for this message type",
        3 => "Undefined tag",
        4 => "Tag specified without a value",
        5 => "Value is incorrect (out of range) for this tag",
        6 => "Incorrect data format for value",
        7 => "Decryption problem",
        8 => "Signature problem",
        9 => "CompID problem",
        10 => "SendingTime accuracy problem",
        11 => "Invalid MsgType",
        12 => "XML validation error",
        13 => "Tag appears more than once",
        14 => "Tag specified out of required order",
        15 => "Repeating group fields out of order",
        16 => "Incorrect NumInGroup count for repeating group",
        17 => "Non \"data\" value includes field delimiter",
        _ => "Other",
    }
}

/// BusinessRejectReason(380).
pub(crate) mod business {
    pub(crate) const OTHER: u16 = 0;
    pub(crate) const UNKNOWN_ID: u16 = 1;
    pub(crate) const UNKNOWN_SECURITY: u16 = 2;
    pub(crate) const UNSUPPORTED_MSG_TYPE: u16 = 3;
    pub(crate) const CONDITIONALLY_REQUIRED: u16 = 5;
}

/// Text(58) of a BusinessMessageReject(j) for its BusinessRejectReason(380), in the words of the specification.
pub(crate) const fn business_text(reason: u16) -> &'static str {
    match reason {
        1 => "Unknown ID",
        2 => "Unknown Security",
        3 => "Unsupported Message Type",
        4 => "Application not available",
        5 => "Conditionally Required Field Missing",
        6 => "Not authorized",
        7 => "DeliverTo firm not available at this time",
        _ => "Other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reasons that a trader can be told: those of orders, and of what an order names.
    fn told() -> impl Iterator<Item = RejectReason> {
        let named =
            [RejectReason::NotEntitled, RejectReason::UnknownMarket, RejectReason::NoSettlementAccount];
        RejectReason::ALL.iter().copied().filter(move |reason| reason.code() >= 40 || named.contains(reason))
    }

    #[test]
    fn the_rules_of_engagement_print_every_reason_as_it_is_sent() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/FIX.md");
        let rules = std::fs::read_to_string(path).unwrap();
        for reason in told() {
            let (ord, cxl) = (ord_rej_reason(reason), cxl_rej_reason(reason));
            let row = format!("| {} | {ord} | {cxl} |", text(reason));
            assert!(rules.contains(&row), "docs/FIX.md lacks {row}");
        }
    }

    #[test]
    fn every_code_is_one_of_the_dictionary() {
        use super::super::dictionary::{FIELDS, place};
        let has = |tag, code: u8| {
            let values = FIELDS[place(tag).unwrap()].values;
            values.iter().any(|(value, _)| *value == code.to_string())
        };
        for &reason in RejectReason::ALL {
            assert!(has(103, ord_rej_reason(reason)) && has(102, cxl_rej_reason(reason)), "{reason:?}");
            assert!(!text(reason).is_empty());
        }
    }
}

//! Identities: one type for each thing that has a number, so that the compiler refuses a mix-up.

use core::fmt;

use crate::wire::fields::{AsField, FieldValue};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident($inner:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
        pub struct $name(
            /// The bare number.
            pub $inner,
        );
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl AsField for $name {
            fn as_field(&self) -> FieldValue<'_> {
                FieldValue::Id(stringify!($name), u128::from(self.0))
            }
        }
    )*};
}

ids! {
    /// Place of a command in the one total order. The first command of a cluster has seq 1; there are no gaps.
    Seq(u64);
    /// Index of a Raft entry (Raft, §5.3). The first entry has index 1.
    Index(u64);
    /// Raft term (Raft, §5.1).
    Term(u64);
    /// A replica. Never reused: a host that lost its disk comes back under a new one.
    NodeId(u64);
    /// A cluster, drawn at random when it is created.
    ClusterId(u128);
    /// Incarnation of a cluster; a forced promotion raises it and thereby fences the nodes left behind.
    ClusterEpoch(u64);
    /// Who acts: an operator, a system component, or the owner of a session.
    ActorId(u32);
    /// A client session, or one of the two reserved ones ([`SessionId::SYSTEM`], [`SessionId::OPERATOR`]).
    SessionId(u32);
    /// A gateway process of its own, as its certificate names it; 0 = the gateway inside a node.
    GatewayId(u32);
    /// Raised by each logon and reset of a session; a record of an older generation is a straggler and is dropped.
    Generation(u32);
    /// Raised when a session's numbers restart at 1 (FIX: ResetSeqNumFlag).
    SessionEpoch(u32);
    /// Number of a request in its session: MsgSeqNum(34) of a FIX message; 0 = unnumbered.
    RequestNumber(u64);
    /// Number of an output in its session and epoch: MsgSeqNum(34) of what we send. The first is 1.
    OutSeq(u64);
    /// An asset: a ledger of its own, with a scale.
    AssetId(u32);
    /// A market: base asset priced in quote asset.
    MarketId(u32);
    /// An account, in one asset.
    AccountId(u128);
    /// Owner of accounts and orders. 0 = the house.
    ClientId(u64);
    /// Clients who pay the same fees; 0 = those of no group.
    FeeGroupId(u16);
    /// Clients whose orders do not trade with each other where they say so. 0 = none.
    TradeGroupId(u64);
    /// A member firm.
    FirmId(u32);
    /// A transfer; chosen by its submitter and never executed twice. Unix milliseconds stand in the upper 48 bits.
    TransferId(u128);
    /// A proposal: the seq of the command that made it.
    ProposalId(u64);
    /// An offer of a rate at which currencies are exchanged; chosen by whoever makes it.
    QuoteId(u128);
    /// A transfer that executes itself at the dates of a schedule; chosen by whoever defines it.
    StandingOrderId(u64);
    /// A balance monitor; chosen by whoever defines it.
    MonitorId(u64);
    /// An order: the seq of the command that created it; where that creates several, each behind the first has its number in the top byte.
    OrderId(u64);
    /// A list of orders: the seq of the command that created it.
    OrderListId(u64);
    /// A trade: counted from 1 over all markets.
    TradeId(u64);
}

impl OrderId {
    const SEQ_BITS: u32 = 56;

    /// The order of this number, from 0, among those that the command of `seq` creates.
    #[must_use]
    pub fn nth(seq: Seq, number: u8) -> Self {
        Self(seq.0 | u64::from(number) << Self::SEQ_BITS)
    }

    /// A number that is the lower, the older the order.
    #[must_use]
    pub const fn age(self) -> u64 {
        self.0.rotate_left(u64::BITS - Self::SEQ_BITS)
    }

    /// The order of this [`Self::age`].
    #[must_use]
    pub const fn of_age(age: u64) -> Self {
        Self(age.rotate_right(u64::BITS - Self::SEQ_BITS))
    }
}

impl GatewayId {
    /// The gateway inside the leader.
    pub const IN_NODE: Self = Self(0);
    /// Connections of one gateway: their numbers stand below its id in the number that the cluster knows.
    const CONNECTION_BITS: u32 = 48;

    /// Whether a process may have this id.
    #[must_use]
    pub const fn is_process(self) -> bool {
        self.0 >= 1 && self.0 <= crate::limits::GATEWAYS_MAX
    }

    /// The first connection number of this gateway; it counts on from there.
    #[must_use]
    pub fn connections_from(self) -> u64 {
        u64::from(self.0) << Self::CONNECTION_BITS
    }

    /// Whose connection this is.
    #[must_use]
    pub fn of_connection(connection: u64) -> Self {
        Self(u32::try_from(connection >> Self::CONNECTION_BITS).unwrap_or_default())
    }
}

impl SessionId {
    /// The node itself: term starts and pulses.
    pub const SYSTEM: Self = Self(0);
    /// The operator named in the genesis record, through the admin socket.
    pub const OPERATOR: Self = Self(1);
    /// The first number free for clients' sessions.
    pub const CLIENTS_FROM: Self = Self(16);
}

impl TransferId {
    const TIME_BITS: u32 = 48;
    const REST_BITS: u32 = 128 - Self::TIME_BITS;

    /// The id of this time in Unix milliseconds; of `rest` the lower 80 bits count.
    #[must_use]
    pub fn at_ms(ms: u64, rest: u128) -> Self {
        Self((u128::from(ms) << Self::REST_BITS) | (rest & (u128::MAX >> Self::TIME_BITS)))
    }

    /// Its time in Unix milliseconds.
    #[must_use]
    pub fn ms(self) -> u64 {
        u64::try_from(self.0 >> Self::REST_BITS).unwrap_or(u64::MAX)
    }
}

impl Seq {
    /// The seq before the first command.
    pub const ZERO: Self = Self(0);
    /// The one after this.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl Index {
    /// The one after this.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

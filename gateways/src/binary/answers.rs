//! Answers as the messages that carry them.

use protocol::binary::{
    AccountCodes, Accounts, BusinessReject, Exchanges, Fixed, Message, MonitorTriggers, Monitors, Overdrafts,
    Proposal, Proposals, Quotes, Rows, StandingOrderAttempts, StandingOrders, Totals, Transfers,
};
use protocol::{AssetId, MonitorId, ProposalId, QuoteId, Seq, StandingOrderId};

use super::acceptor::refusal;
use super::read::{Answer, Read};

impl<'a> Answer<'a> {
    /// What is said to a question, as it is behind `journal_seq`; rows are written into `rows`.
    pub(super) fn message(&self, read: &Read, journal_seq: Seq, rows: &'a mut Vec<u8>) -> Message<'a> {
        let client_seq_no = read.seq_no;
        match *self {
            Self::Accounts(accounts) => {
                let accounts = rows_of(accounts, rows);
                Accounts { client_seq_no, journal_seq, accounts }.into()
            }
            Self::Transfers { transfers, next } => {
                let (next_seq, next_index) = next.unwrap_or((Seq(0), 0));
                let transfers = rows_of(transfers, rows);
                Transfers { client_seq_no, journal_seq, next_seq, next_index, transfers }.into()
            }
            Self::Balance { time, sums } => read.balance(journal_seq, time, sums).into(),
            Self::ValueBalance { business_date, sums } => {
                read.value_balance(journal_seq, business_date, sums).into()
            }
            Self::Overdrafts(overdrafts) => {
                let overdrafts = rows_of(overdrafts, rows);
                Overdrafts { client_seq_no, journal_seq, overdrafts }.into()
            }
            Self::Calendar(calendar) => read.calendar(journal_seq, calendar, rows).into(),
            Self::AccountCodes { codes, next } => {
                let ((next_code, next_ledger), codes) = (next.unwrap_or_default(), rows_of(codes, rows));
                AccountCodes { client_seq_no, journal_seq, next_code, next_ledger, codes }.into()
            }
            Self::Monitors { monitors, next } => {
                let next_monitor = next.unwrap_or(MonitorId(0));
                let monitors = rows_of(monitors, rows);
                Monitors { client_seq_no, journal_seq, next_monitor, monitors }.into()
            }
            Self::Quotes { quotes, next } => {
                let (next_quote, quotes) = (next.unwrap_or(QuoteId(0)), rows_of(quotes, rows));
                Quotes { client_seq_no, journal_seq, next_quote, quotes }.into()
            }
            Self::StandingOrders { orders, next } => {
                let (next_order, orders) = (next.unwrap_or(StandingOrderId(0)), rows_of(orders, rows));
                StandingOrders { client_seq_no, journal_seq, next_order, orders }.into()
            }
            Self::Totals { totals, next } => {
                let key = next.map(|(ledger, code, class)| (ledger, code, Some(class)));
                let (next_ledger, next_code, next_class) = key.unwrap_or((AssetId(0), 0, None));
                let totals = rows_of(totals, rows);
                Totals { client_seq_no, journal_seq, next_ledger, next_code, next_class, totals }.into()
            }
            Self::Proposals { proposals, next } => {
                let next_proposal = next.unwrap_or(ProposalId(0));
                let proposals = rows_of(proposals, rows);
                Proposals { client_seq_no, journal_seq, next_proposal, proposals }.into()
            }
            Self::Proposal(proposal) => Proposal { client_seq_no, journal_seq, ..proposal }.into(),
            Self::Exchanges(exchanges) => {
                let exchanges = rows_of(exchanges, rows);
                Exchanges { client_seq_no, journal_seq, exchanges }.into()
            }
            Self::Attempts { attempts, next } => {
                let (next_seq, next_index) = next.unwrap_or((Seq(0), 0));
                let attempts = rows_of(attempts, rows);
                StandingOrderAttempts { client_seq_no, journal_seq, next_seq, next_index, attempts }.into()
            }
            Self::Triggers { triggers, next } => {
                let (next_seq, next_index) = next.unwrap_or((Seq(0), 0));
                let triggers = rows_of(triggers, rows);
                MonitorTriggers { client_seq_no, journal_seq, next_seq, next_index, triggers }.into()
            }
            Self::Rejected { reason, retry_after_ns, text } => {
                let reject = refusal(read.template, read.seq_no, reason, text);
                BusinessReject { retry_after_ns, ..reject }.into()
            }
        }
    }
}

/// Rows of an answer, written into `buffer`.
pub(super) fn rows_of<'a, R: Fixed, const MAX: usize>(
    rows: &[R],
    buffer: &'a mut Vec<u8>,
) -> Rows<'a, R, MAX> {
    buffer.clear();
    rows.iter().take(MAX).for_each(|row| row.put(buffer));
    Rows::new(buffer).unwrap_or_default()
}

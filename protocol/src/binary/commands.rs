//! Commands as clients write them: each has a message of its own, with the command's fields under the command's names.

use super::messages::{self, Message};
use super::{Day, Enclosed, Fixed, Kind, Rows, exchange};
use crate::rows::{FeeTier, ScheduledPhase, TransferRow};
use crate::{Command, ProposedCommand, RequestNumber, commands};

/// A command in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarriedCommand {
    /// Number of the request on its connection.
    pub seq_no: RequestNumber,
    /// Number of the command in its session, by which a repetition is known.
    pub command_no: RequestNumber,
    /// What is to be executed.
    pub command: Command,
}

/// Rows that are numbers of commands.
macro_rules! bare {
    ($( $row:ident { $field:ident: $number:ty } )*) => {$(
        impl From<$number> for $row {
            fn from($field: $number) -> Self {
                Self { $field }
            }
        }

        impl From<$row> for $number {
            fn from(row: $row) -> Self {
                row.$field
            }
        }
    )*};
}
bare! { Day { day: u32 } Kind { kind: u16 } }

/// The commands that have a message: their fields, and behind a semicolon what are groups there, with their rows. Those in front have
/// other fields there, and say themselves which.
macro_rules! carried {
    (
        others { $( $other:ident )* }
        $( $name:ident { $( $field:ident ),* $( ; $( $group:ident: $row:ident ),+ )? } )*
    ) => {
        impl CarriedCommand {
            /// The command in a message; `None` if there is none in it.
            #[must_use]
            pub fn of(message: &Message<'_>) -> Option<Self> {
                match message {
                    Message::Propose(carrier) => Self::proposed(carrier),
                    $( Message::$other(carrier) => Some(Self {
                        seq_no: carrier.seq_no,
                        command_no: carrier.command_no,
                        command: commands::$other::from(carrier).into(),
                    }), )*
                    $( Message::$name(carrier) => Some(Self {
                        seq_no: carrier.seq_no,
                        command_no: carrier.command_no,
                        command: commands::$name {
                            $( $field: carrier.$field, )*
                            $( $( $group: carrier.$group.iter().map(Into::into).collect(), )+ )?
                        }
                        .into(),
                    }), )*
                    _ => None,
                }
            }

            /// Appends the message of the command. Returns false, with nothing appended, if none can carry it: no message is for its
            /// kind, or it has more rows than a message may.
            pub fn write(&self, out: &mut Vec<u8>) -> bool {
                let &Self { seq_no, command_no, ref command } = self;
                match command {
                    Command::Propose(propose) => self.write_proposed(propose, out),
                    $( Command::$other(command) => {
                        exchange::$other::of((seq_no, command_no), command).write(out);
                        true
                    } )*
                    $( Command::$name(command) => {
                        $( $(
                            let mut rows = Vec::new();
                            command.$group.iter().for_each(|&row| $row::from(row).put(&mut rows));
                            let Some($group) = Rows::new(&rows) else { return false };
                        )+ )?
                        super::$name { seq_no, command_no, $( $field: command.$field, )* $( $( $group, )+ )? }.write(out);
                        true
                    } )*
                    _ => false,
                }
            }
        }
    };
}

carried! {
    others { SetMarketMakerProtection CancelAll BustTrade CorrectTrade }
    PublishPrice { market, price_ticks, observed_at_ns, valid_for_ms }
    SetMarketPhase { market, phase }
    SetFeeSchedule { market, fee_group, effective_seq, tax_ppm; tiers: FeeTier }
    SetFeeGroup { client, fee_group }
    SetTradeGroup { client, trade_group }
    SetTradingRules {
        market, reference, buy_above_ppm, buy_below_ppm, sell_above_ppm, sell_below_ppm, collar_ppm, self_trade_prevention,
        may_self_trade, client_stops_max, client_icebergs_max, client_position_lots_max, amendments_max, volatility_ppm,
        volatility_window_ms, volatility_phase, volatility_pause_ms
    }
    SetMarketSchedule { market, utc_offset_s, behind_utc; entries: ScheduledPhase, holidays: Day, short_days: Day }
    SetOverdraft { account, agreed, temporary, temporary_until_ns, interest_code }
    SetLedgerLimits {
        id_window_ms, id_ahead_ms, transfer_ids_max, pending_transfers_max, correction_window_ms, corrected_transfers_max
    }
    SetAccountCode { ledger, code, kind, normal_side, classes, name }
    UpdateAccount { account, code, user_data_128, user_data_64, user_data_32 }
    SetCalendar {
        business_date, weekend_days, value_back_days_max, value_ahead_days_max, utc_offset_s, behind_utc; holidays: Day
    }
    CloseDay { business_date, next }
    CorrectTransfers { reason; transfers: TransferRow }
    QuoteExchange {
        quote, client, sell_ledger, buy_ledger, rate_mantissa, rate_scale, sell_liquidity, buy_liquidity, rounding,
        sell_amount_max, valid_until_ns, source
    }
    ExchangeCurrency {
        quote, sell_account, buy_account, sell_amount, buy_amount_min, sell_transfer, buy_transfer, rounding_transfer, code
    }
    DefineStandingOrder {
        order, debit_account, credit_account, amount, ledger, code, schedule, first_date, last_date, time_of_day_s,
        day_rule, retry_days, user_data_128
    }
    CancelStandingOrder { order }
    DefineMonitor { monitor, account, ledger, code, class, field, operator, value, negative }
    RemoveMonitor { monitor }
    Approve { proposal }
    Reject { proposal, note }
    SetApprovals { ; kinds: Kind }
}

impl CarriedCommand {
    /// The proposal of a command that has a message itself.
    fn proposed(carrier: &messages::Propose<'_>) -> Option<Self> {
        let &messages::Propose { seq_no, command_no, expires_in_s, note, command } = carrier;
        // A message without one is taken for what it is: refused by the engine.
        let command = command.command().as_ref().map(ProposedCommand::new).unwrap_or_default();
        Some(Self { seq_no, command_no, command: commands::Propose { command, expires_in_s, note }.into() })
    }

    fn write_proposed(&self, propose: &commands::Propose, out: &mut Vec<u8>) -> bool {
        let &Self { seq_no, command_no, .. } = self;
        let &commands::Propose { ref command, expires_in_s, note } = propose;
        let mut bytes = Vec::new();
        let is_carried = command
            .command()
            .is_ok_and(|command| !matches!(command, Command::Propose(_)) && enclose(command, &mut bytes));
        let Some(command) = Enclosed::new(&bytes).filter(|_| is_carried) else { return false };
        messages::Propose { seq_no, command_no, expires_in_s, note, command }.write(out);
        true
    }
}

/// Writes a command for [`Enclosed`]. Returns false, with nothing written, if no message carries it.
pub fn enclose(command: Command, out: &mut Vec<u8>) -> bool {
    let (seq_no, command_no) = (RequestNumber(0), RequestNumber(0));
    CarriedCommand { seq_no, command_no, command }.write(out)
}

//! `[[market.fees]]` and `[[client]]`: what groups of clients pay, and who belongs to them.

use protocol::commands::SetFeeSchedule;
use protocol::rows::FeeTier;
use protocol::{Amount, FeeGroupId, MarketId, Seq};
use serde::Deserialize;
use toml::Spanned;

use super::{EntryFault, Field, Item, decimal, item};

/// What a group pays in a market; without tiers it has no schedule of its own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FeesEntry {
    /// 0 = everybody without one of his own.
    #[serde(default)]
    group: u16,
    /// 0 = at once, whenever the file is applied and it is not so.
    #[serde(default)]
    effective_seq: u64,
    #[serde(default)]
    tiers: Vec<TierEntry>,
    #[serde(default)]
    tax_ppm: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TierEntry {
    /// In quote.
    #[serde(default = "nothing")]
    volume_min: String,
    /// Below zero: whose order rests is paid that.
    maker_ppm: i32,
    taker_ppm: u32,
}

fn nothing() -> String {
    "0".to_owned()
}

/// The market that schedules are of.
pub(super) struct FeesOf<'a> {
    pub(super) market: MarketId,
    pub(super) symbol: &'a str,
    /// Decimals of its quote.
    pub(super) scale: u8,
    /// All of its schedules.
    pub(super) all: &'a [Spanned<FeesEntry>],
}

/// The command that sets one of them. Tiers may stand in any order. One that another of its group follows by the file itself counts until
/// then: a file that is applied behind that does not set it again.
pub(super) fn fee_schedule(of: &FeesOf<'_>, entry: &FeesEntry) -> Result<Item, EntryFault> {
    let &FeesEntry { group, effective_seq, tax_ppm, .. } = entry;
    let seqs = of.all.iter().map(Spanned::get_ref).filter(|other| other.group == group);
    let seqs = seqs.map(|other| other.effective_seq);
    if seqs.clone().filter(|&seq| seq == effective_seq).count() > 1 {
        return Err(format!("fees.effective_seq: group {group} has two schedules from {effective_seq} on"));
    }
    let tier = |tier: &TierEntry| {
        Ok(FeeTier {
            volume_min: decimal("fees.volume_min", &tier.volume_min, of.scale)?,
            maker_ppm: tier.maker_ppm.unsigned_abs(),
            maker_is_paid: tier.maker_ppm < 0,
            taker_ppm: tier.taker_ppm,
        })
    };
    let mut tiers = entry.tiers.iter().map(tier).collect::<Result<Vec<_>, EntryFault>>()?;
    tiers.sort_by_key(|tier| tier.volume_min);
    let from = if effective_seq == 0 { String::new() } else { format!(" from seq {effective_seq}") };
    let label = format!("fees of group {group} in market {}{from}", of.symbol);
    let (market, fee_group, effective_seq) = (of.market, FeeGroupId(group), Seq(effective_seq));
    let until = seqs.map(Seq).filter(|&seq| seq > effective_seq).min();
    let command = SetFeeSchedule { market, fee_group, effective_seq, tiers, tax_ppm };
    Ok(Item { until, ..item(label, command) })
}

/// What a schedule says, as text.
pub(crate) fn fields(schedule: &SetFeeSchedule) -> Vec<Field> {
    let tiers: Vec<String> = schedule.tiers.iter().map(write_tier).collect();
    let tiers = if tiers.is_empty() { "none".to_owned() } else { tiers.join(" ") };
    vec![("tiers", tiers), ("tax_ppm", schedule.tax_ppm.to_string())]
}

/// `VOLUME:MAKER:TAKER`, a maker who is paid with a minus.
fn write_tier(tier: &FeeTier) -> String {
    let &FeeTier { volume_min: Amount(volume), maker_ppm, maker_is_paid, taker_ppm } = tier;
    let minus = if maker_is_paid { "-" } else { "" };
    format!("{volume}:{minus}{maker_ppm}:{taker_ppm}")
}

/// Reads what [`write_tier`] writes.
pub(crate) fn read_tier(text: &str) -> Option<FeeTier> {
    let [volume, maker, taker] = text.split(':').collect::<Vec<_>>().try_into().ok()?;
    let (maker, maker_is_paid) = maker.strip_prefix('-').map_or((maker, false), |paid| (paid, true));
    Some(FeeTier {
        volume_min: Amount(volume.parse().ok()?),
        maker_ppm: maker.parse().ok()?,
        maker_is_paid,
        taker_ppm: taker.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use protocol::commands::SetFeeGroup;
    use protocol::{ClientId, Command};

    use super::*;
    use crate::definitions::{Assets, DEMO, translate};

    #[test]
    fn fees_of_the_demo_mean_what_they_say() {
        let items = translate(Path::new("d.toml"), DEMO, Assets::new()).unwrap();
        let of = |label: &str| items.iter().find(|item| item.label == label).unwrap().command.clone();
        let tier = |volume: u128, maker_ppm, maker_is_paid, taker_ppm| FeeTier {
            volume_min: Amount(volume),
            maker_ppm,
            maker_is_paid,
            taker_ppm,
        };
        let schedule = SetFeeSchedule {
            market: MarketId(3),
            fee_group: FeeGroupId(1),
            effective_seq: Seq(0),
            // A million lira, in millionths.
            tiers: vec![tier(0, 500, false, 1_000), tier(10_u128.pow(12), 50, true, 800)],
            tax_ppm: 0,
        };
        assert_eq!(of("fees of group 1 in market USDT-TRY"), schedule.into());
        let group = SetFeeGroup { client: ClientId(8), fee_group: FeeGroupId(1) };
        assert_eq!(of("fee group of client 8"), group.into());
    }

    #[test]
    fn what_follows_a_schedule_ends_it() {
        let quote = "[[asset]]\nid = 1\ncode = \"TRY\"\nscale = 8\n";
        let market = DEMO.split("[[market]]").nth(1).unwrap().replace("BTC\"", "TRY\"");
        let fees = [(1, 900), (2, 0), (1, 0), (1, 500)]
            .map(|(group, seq)| format!("\n[[market.fees]]\ngroup = {group}\neffective_seq = {seq}\n"));
        let text = format!("{quote}[[market]]{market}{}[[client]]\nid = 4\n", fees.concat());
        let items = translate(Path::new("d.toml"), &text, Assets::new()).unwrap();
        let fees = items.iter().filter(|item| matches!(item.command, Command::SetFeeSchedule(_)));
        let until: Vec<_> = fees.map(|item| item.until).collect();
        assert_eq!(until, [None, None, Some(Seq(500)), Some(Seq(900))]);
        // For what is submitted behind 498, the schedule of 500 is still to come.
        let over = [498, 499, 900].map(|seq| items.iter().filter(|item| item.is_over(Seq(seq))).count());
        assert_eq!(over, [0, 1, 2]);
        assert_eq!(items.len(), 6, "nothing is said of the client's group");
    }

    #[test]
    fn a_tier_says_a_volume_and_two_fees() {
        let tier = FeeTier { volume_min: Amount(5), maker_ppm: 20, maker_is_paid: true, taker_ppm: 300 };
        for (text, tier) in [("5:-20:300", tier), ("5:20:300", FeeTier { maker_is_paid: false, ..tier })] {
            assert_eq!((read_tier(text), write_tier(&tier).as_str()), (Some(tier), text));
        }
        for wrong in ["", "5", "5:20", "5:20:300:1", "5:20:-300", "x:20:300", "-5:20:300", "5:--20:300"] {
            assert_eq!(read_tier(wrong), None, "{wrong}");
        }
    }
}

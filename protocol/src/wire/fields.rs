//! A message's fields as values with names: for tools that print or search messages of every kind. Never for bytes.

use crate::hash::Hash;
use crate::sign::PublicKey;
use crate::text::RareText;
use crate::{Amount, PriceTicks, QtyLots, Text};

/// One value of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldValue<'a> {
    /// A number, an amount, a price.
    Number(u128),
    /// An id: the name of its type, and the number.
    Id(&'static str, u128),
    /// Yes or no.
    Flag(bool),
    /// A code, by its name.
    Code(&'static str),
    /// Bytes that are usually text.
    Text(&'a [u8]),
    /// A hash or a key.
    Bytes(&'a [u8]),
    /// An optional value that is not there.
    Absent,
    /// Values of one type.
    List(Vec<FieldValue<'a>>),
    /// A message within a message.
    Fields(Vec<(&'static str, FieldValue<'a>)>),
}

/// What can stand in a message.
pub trait AsField {
    /// Itself as a value.
    fn as_field(&self) -> FieldValue<'_>;
}

macro_rules! numbers {
    ($($type:ty)*) => {$(
        impl AsField for $type {
            fn as_field(&self) -> FieldValue<'_> {
                FieldValue::Number(u128::from(*self))
            }
        }
    )*};
}
numbers!(u8 u16 u32 u64 u128);

impl AsField for bool {
    fn as_field(&self) -> FieldValue<'_> {
        FieldValue::Flag(*self)
    }
}

impl AsField for Amount {
    fn as_field(&self) -> FieldValue<'_> {
        FieldValue::Number(self.0)
    }
}

impl AsField for PriceTicks {
    fn as_field(&self) -> FieldValue<'_> {
        self.0.as_field()
    }
}

impl AsField for QtyLots {
    fn as_field(&self) -> FieldValue<'_> {
        self.0.as_field()
    }
}

impl<const N: usize> AsField for Text<N> {
    fn as_field(&self) -> FieldValue<'_> {
        FieldValue::Text(self.as_bytes())
    }
}

impl<const N: usize> AsField for RareText<N> {
    fn as_field(&self) -> FieldValue<'_> {
        FieldValue::Text(self.as_bytes())
    }
}

impl AsField for Hash {
    fn as_field(&self) -> FieldValue<'_> {
        FieldValue::Bytes(&self.0)
    }
}

impl AsField for PublicKey {
    fn as_field(&self) -> FieldValue<'_> {
        FieldValue::Bytes(&self.0)
    }
}

impl<T: AsField> AsField for Option<T> {
    fn as_field(&self) -> FieldValue<'_> {
        self.as_ref().map_or(FieldValue::Absent, AsField::as_field)
    }
}

impl<T: AsField> AsField for Vec<T> {
    fn as_field(&self) -> FieldValue<'_> {
        FieldValue::List(self.iter().map(AsField::as_field).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::{CancelAll, DefineAsset};
    use crate::{AssetId, Command, EventBody, SessionId, events};

    #[test]
    fn fields_stand_in_the_order_of_declaration_with_ids_told_from_numbers() {
        let asset = DefineAsset { asset: AssetId(7), code: Text::truncated("BTC"), scale: 8 };
        let expected = vec![
            ("asset", FieldValue::Id("AssetId", 7)),
            ("code", FieldValue::Text(b"BTC")),
            ("scale", FieldValue::Number(8)),
        ];
        assert_eq!(Command::from(asset.clone()).fields(), expected);
        let event = EventBody::from(events::AssetDefined { definition: asset.clone() });
        assert_eq!(event.fields(), [("definition", FieldValue::Fields(expected))]);
        let cancel = Command::from(CancelAll {
            session: Some(SessionId(16)),
            client: None,
            market: None,
            side: None,
            firm: None,
        });
        let values: Vec<_> = cancel.fields().into_iter().map(|(_, value)| value).collect();
        assert_eq!(
            values,
            [
                FieldValue::Id("SessionId", 16),
                FieldValue::Absent,
                FieldValue::Absent,
                FieldValue::Absent,
                FieldValue::Absent
            ]
        );
    }
}

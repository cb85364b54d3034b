//! [`Text`] and [`RareText`] are archived as a list of bytes, so that a short ClOrdID takes a short body.

use rkyv::rancor::{Fallible, Source, fail};
use rkyv::ser::{Allocator, Writer};
use rkyv::vec::{ArchivedVec, VecResolver};
use rkyv::{Archive, Deserialize, Place, Serialize};

use crate::Text;
use crate::text::RareText;

impl<const N: usize> Archive for Text<N> {
    type Archived = ArchivedVec<u8>;
    type Resolver = VecResolver;

    fn resolve(&self, resolver: Self::Resolver, out: Place<Self::Archived>) {
        ArchivedVec::resolve_from_slice(self.as_bytes(), resolver, out);
    }
}

impl<const N: usize, S: Fallible + Writer + Allocator + ?Sized> Serialize<S> for Text<N> {
    fn serialize(&self, serializer: &mut S) -> Result<Self::Resolver, S::Error> {
        ArchivedVec::serialize_from_slice(self.as_bytes(), serializer)
    }
}

impl<const N: usize, D> Deserialize<Text<N>, D> for ArchivedVec<u8>
where
    D: Fallible + ?Sized,
    D::Error: Source,
{
    fn deserialize(&self, _: &mut D) -> Result<Text<N>, D::Error> {
        match Text::fit(self.as_slice()) {
            Some(text) => Ok(text),
            None => fail!(PastLimit { max: N, found: self.len() }),
        }
    }
}

impl<const N: usize> Archive for RareText<N> {
    type Archived = ArchivedVec<u8>;
    type Resolver = VecResolver;

    fn resolve(&self, resolver: Self::Resolver, out: Place<Self::Archived>) {
        ArchivedVec::resolve_from_slice(self.as_bytes(), resolver, out);
    }
}

impl<const N: usize, S: Fallible + Writer + Allocator + ?Sized> Serialize<S> for RareText<N> {
    fn serialize(&self, serializer: &mut S) -> Result<Self::Resolver, S::Error> {
        ArchivedVec::serialize_from_slice(self.as_bytes(), serializer)
    }
}

impl<const N: usize, D> Deserialize<RareText<N>, D> for ArchivedVec<u8>
where
    D: Fallible + ?Sized,
    D::Error: Source,
{
    fn deserialize(&self, deserializer: &mut D) -> Result<RareText<N>, D::Error> {
        let text: Text<N> = self.deserialize(deserializer)?;
        Ok(text.into())
    }
}

#[derive(Debug)]
struct PastLimit {
    max: usize,
    found: usize,
}

impl core::fmt::Display for PastLimit {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "a text of {} bytes where {} are allowed", self.found, self.max)
    }
}

impl core::error::Error for PastLimit {}

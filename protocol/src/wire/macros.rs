//! The two shapes of everything on the wire: a list of codes, and a list of messages.

/// An enum whose codes are written out: on the wire a variant is its code, never its place in the list.
macro_rules! codes {
    ($(#[$doc:meta])* pub enum $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $code:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// Every variant, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            /// The code on the wire and on disk.
            #[must_use]
            pub const fn code(self) -> u8 {
                match self { $(Self::$variant => $code,)* }
            }
            /// The variant with this code.
            #[must_use]
            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }
            /// The variant's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)* }
            }
        }

        impl $crate::wire::fields::AsField for $name {
            fn as_field(&self) -> $crate::wire::fields::FieldValue<'_> {
                $crate::wire::fields::FieldValue::Code(self.name())
            }
        }

        impl rkyv::Archive for $name {
            type Archived = u8;
            type Resolver = ();
            fn resolve(&self, (): (), out: rkyv::Place<u8>) {
                out.write(self.code());
            }
        }

        impl<S: rkyv::rancor::Fallible + ?Sized> rkyv::Serialize<S> for $name {
            fn serialize(&self, _: &mut S) -> Result<(), S::Error> {
                Ok(())
            }
        }

        impl<D> rkyv::Deserialize<$name, D> for u8
        where
            D: rkyv::rancor::Fallible + ?Sized,
            D::Error: rkyv::rancor::Source,
        {
            fn deserialize(&self, _: &mut D) -> Result<$name, D::Error> {
                match $name::from_code(*self) {
                    Some(known) => Ok(known),
                    None => rkyv::rancor::fail!($crate::wire::UnknownCode { list: stringify!($name), code: *self }),
                }
            }
        }
    };
}
pub(crate) use codes;

/// Frozen structs with their kind and version, and the enum over them.
macro_rules! messages {
    (
        $(#[$enum_doc:meta])*
        pub enum $enum:ident {
            $(
                $(#[$doc:meta])*
                $name:ident = $kind:literal v $version:literal {
                    $( $(#[$field_doc:meta])* $field:ident: $type:ty, )*
                }
            )*
        }
    ) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
            pub struct $name { $( $(#[$field_doc])* pub $field: $type, )* }

            impl $name {
                /// Kind in the header around the body.
                pub const KIND: u16 = $kind;
                /// Version of this layout.
                pub const VERSION: u16 = $version;

                /// Reads a body of this kind, for who knows which one it expects.
                ///
                /// # Errors
                /// [`crate::wire::Unreadable`] for what the encoder of this or an earlier version does not write.
                pub fn read(version: u16, body: &[u8]) -> Result<Self, $crate::wire::Unreadable> {
                    if version != Self::VERSION {
                        return Err($crate::wire::Unreadable);
                    }
                    rkyv::from_bytes(body)
                }

                /// Name of the first field in which `other` differs.
                #[must_use]
                #[allow(unused_variables, clippy::allow_attributes, reason = "some messages have no field")]
                pub fn first_difference(&self, other: &Self) -> Option<&'static str> {
                    $( if self.$field != other.$field { return Some(stringify!($field)); } )*
                    None
                }
            }

            impl $crate::wire::fields::AsField for $name {
                fn as_field(&self) -> $crate::wire::fields::FieldValue<'_> {
                    $crate::wire::fields::FieldValue::Fields(vec![
                        $( (stringify!($field), $crate::wire::fields::AsField::as_field(&self.$field)), )*
                    ])
                }
            }

            impl From<$name> for $enum {
                fn from(message: $name) -> Self {
                    Self::$name(message)
                }
            }
        )*

        $(#[$enum_doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $enum { $( $(#[$doc])* $name($name), )* }

        impl $enum {
            /// Kind in the header around the body.
            #[must_use]
            pub const fn kind(&self) -> u16 {
                match self { $( Self::$name(_) => $kind, )* }
            }

            /// Version of the body's layout.
            #[must_use]
            pub const fn version(&self) -> u16 {
                match self { $( Self::$name(_) => $version, )* }
            }

            /// The message's name, as tools print it.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self { $( Self::$name(_) => stringify!($name), )* }
            }

            /// Kind of the message of this name.
            #[must_use]
            pub fn kind_of_name(name: &str) -> Option<u16> {
                match name { $( stringify!($name) => Some($kind), )* _ => None }
            }

            /// Name of the message of this kind.
            #[must_use]
            pub const fn name_of_kind(kind: u16) -> Option<&'static str> {
                match kind { $( $kind => Some(stringify!($name)), )* _ => None }
            }

            /// Its fields by name, in the order of declaration.
            #[must_use]
            pub fn fields(&self) -> Vec<(&'static str, $crate::wire::fields::FieldValue<'_>)> {
                let value = match self {
                    $( Self::$name(message) => $crate::wire::fields::AsField::as_field(message), )*
                };
                if let $crate::wire::fields::FieldValue::Fields(fields) = value { fields } else { Vec::new() }
            }

            /// Where `other` differs first: `kind`, or the name of a field.
            #[must_use]
            pub fn first_difference(&self, other: &Self) -> Option<&'static str> {
                match (self, other) {
                    $( (Self::$name(one), Self::$name(two)) => one.first_difference(two), )*
                    _ => Some("kind"),
                }
            }

            /// Appends the body to `out`.
            pub fn encode(&self, out: &mut Vec<u8>) {
                match self { $( Self::$name(message) => $crate::wire::archive(message, out), )* }
            }

            /// Decodes a body.
            ///
            /// # Errors
            /// [`crate::wire::WireFault`] for what [`Self::encode`] of this or an earlier version does not write.
            pub fn decode(kind: u16, version: u16, body: &[u8]) -> Result<Self, $crate::wire::WireFault> {
                match (kind, version) {
                    $(
                        ($kind, $version) => $name::read(version, body)
                            .map(Self::$name)
                            .map_err(|_| $crate::wire::WireFault::Malformed { kind }),
                    )*
                    _ => Err($crate::wire::WireFault::Unknown { kind, version }),
                }
            }
        }
    };
}
pub(crate) use messages;

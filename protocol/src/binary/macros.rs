//! The shapes of the binary protocol: fields at fixed offsets, and messages that begin with such.

/// Implements [`super::Fixed`] for a struct of fixed fields, which stand one behind the other.
macro_rules! fixed {
    ($name:ident { $( $field:ident: $type:ty ),* $(,)? }) => {
        impl $crate::binary::Fixed for $name {
            const BYTES: usize = 0 $( + <$type as $crate::binary::Fixed>::BYTES )*;
            const TYPE: &'static str = stringify!($name);
            const ANY: bool = true $( && <$type as $crate::binary::Fixed>::ANY )*;
            const FIELDS: $crate::binary::Fields = &[
                $( (stringify!($field), <$type as $crate::binary::Fixed>::TYPE, <$type as $crate::binary::Fixed>::BYTES), )*
            ];

            #[inline]
            fn put(&self, out: &mut Vec<u8>) {
                $( $crate::binary::Fixed::put(&self.$field, out); )*
                // A message may have no field.
                let _ = out;
            }

            #[inline]
            fn take(bytes: &mut &[u8]) -> Result<Self, &'static str> {
                $( let $field = <$type as $crate::binary::Fixed>::take(bytes)?; )*
                let _ = bytes;
                Ok(Self { $( $field, )* })
            }
        }
    };
}
pub(crate) use fixed;

/// Structs of fixed fields, such as a group's rows.
macro_rules! rows {
    ($(
        $(#[$doc:meta])*
        pub struct $name:ident { $( $(#[$field_doc:meta])* pub $field:ident: $type:ty, )* }
    )*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name { $( $(#[$field_doc])* pub $field: $type, )* }

        $crate::binary::macros::fixed!($name { $( $field: $type, )* });
    )*};
}
pub(crate) use rows;

/// A message with its template id: fixed fields, then groups, then texts.
macro_rules! message {
    (
        $(#[$doc:meta])*
        $name:ident $(<$life:lifetime>)? = $template:literal {
            $( $(#[doc = $field_doc:literal])* $field:ident: $type:ty, )*
            $( .. $( $(#[doc = $tail_doc:literal])* $tail:ident: $tail_type:ty, )* )?
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name $(<$life>)? {
            $( $(#[doc = $field_doc])* pub $field: $type, )*
            $( $( $(#[doc = $tail_doc])* pub $tail: $tail_type, )* )?
        }

        impl $(<$life>)? $name $(<$life>)? {
            /// Template id.
            pub const TEMPLATE: u16 = $template;
            /// Bytes of its fixed fields.
            pub const BLOCK_BYTES: usize = 0 $( + <$type as $crate::binary::Fixed>::BYTES )*;
            /// As the schema describes it.
            pub const LAYOUT: $crate::binary::MessageLayout = $crate::binary::MessageLayout {
                name: stringify!($name),
                template: $template,
                fields: &[ $( (
                    stringify!($field),
                    <$type as $crate::binary::Fixed>::TYPE,
                    <$type as $crate::binary::Fixed>::BYTES,
                ), )* ],
                tails: &[ $( $( (stringify!($tail), <$tail_type as $crate::binary::Tail>::LAYOUT), )* )? ],
                meanings: &[
                    $( (stringify!($field), concat!($($field_doc),*)), )*
                    $( $( (stringify!($tail), concat!($($tail_doc),*)), )* )?
                ],
            };

            /// Appends the message, framing header included.
            pub fn write(&self, out: &mut Vec<u8>) {
                let start = $crate::binary::headers::begin(Self::TEMPLATE, Self::BLOCK_BYTES, out);
                $( $crate::binary::Fixed::put(&self.$field, out); )*
                $( $( $crate::binary::Tail::put(&self.$tail, out); )* )?
                $crate::binary::headers::finish(start, out);
            }

            pub(super) fn read_body(
                header: $crate::binary::headers::Header,
                rest: &mut & $($life)? [u8],
            ) -> Result<Self, $crate::binary::BinaryFault> {
                let mut block = header.block(Self::BLOCK_BYTES, rest)?;
                $( let $field = header.fixed::<$type>(&mut block)?; )*
                $( $( let $tail = header.tail::<$tail_type>(rest)?; )* )?
                let _ = block;
                Ok(Self { $( $field, )* $( $( $tail, )* )? })
            }
        }
    };
}
pub(crate) use message;

/// Messages, and the enum over them and over those of other files that stand `with` them.
macro_rules! messages {
    (
        $(#[$enum_doc:meta])*
        pub enum $enum:ident<$enum_life:lifetime> $( with ( $( $used:ident $(<$used_life:lifetime>)?, )* ) )? {
            $(
                $(#[$doc:meta])*
                $name:ident $(<$life:lifetime>)? = $template:literal { $($body:tt)* }
            )*
        }
    ) => {
        $(
            $crate::binary::macros::message! {
                $(#[$doc])*
                $name $(<$life>)? = $template { $($body)* }
            }

            impl<$enum_life> From<$name $(<$life>)?> for $enum<$enum_life>
            $( where $life: $enum_life, $enum_life: $life )?
            {
                fn from(message: $name $(<$life>)?) -> Self {
                    Self::$name(message)
                }
            }
        )*

        $( $(
            impl<$enum_life> From<$used $(<$used_life>)?> for $enum<$enum_life>
            $( where $used_life: $enum_life, $enum_life: $used_life )?
            {
                fn from(message: $used $(<$used_life>)?) -> Self {
                    Self::$used(message)
                }
            }
        )* )?

        $(#[$enum_doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $enum<$enum_life> {
            $( $(#[$doc])* $name($name $(<$life>)?), )*
            $( $(
                #[doc = concat!("[`", stringify!($used), "`]")]
                $used($used $(<$used_life>)?),
            )* )?
        }

        impl<$enum_life> $enum<$enum_life> {
            /// Every message, as the schema describes it.
            pub const LAYOUTS: &'static [$crate::binary::MessageLayout] =
                &[ $( <$name>::LAYOUT, )* $( $( <$used>::LAYOUT, )* )? ];

            /// Its template id.
            #[must_use]
            pub const fn template(&self) -> u16 {
                match self {
                    $( Self::$name(_) => $template, )*
                    $( $( Self::$used(_) => <$used>::TEMPLATE, )* )?
                }
            }

            /// Appends the message, framing header included.
            pub fn write(&self, out: &mut Vec<u8>) {
                match self {
                    $( Self::$name(message) => message.write(out), )*
                    $( $( Self::$used(message) => message.write(out), )* )?
                }
            }

            pub(super) fn read_body(
                header: $crate::binary::headers::Header,
                rest: &mut &$enum_life [u8],
            ) -> Result<Self, $crate::binary::BinaryFault> {
                match header.template {
                    $( $template => <$name>::read_body(header, rest).map(Self::$name), )*
                    $( $( <$used>::TEMPLATE => <$used>::read_body(header, rest).map(Self::$used), )* )?
                    template => Err($crate::binary::BinaryFault::Template(template)),
                }
            }
        }
    };
}
pub(crate) use messages;

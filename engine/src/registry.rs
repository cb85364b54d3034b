//! What was configured beside markets, accounts and sessions: the cluster, its actors and their roles, the assets.

use std::collections::BTreeMap;

use protocol::commands::{DefineActor, DefineAsset, Genesis, SetActorKey, roles};
use protocol::limits::{ACTORS_MAX, ASSET_SCALE_MAX, ASSETS_MAX};
use protocol::sign::PublicKey;
use protocol::{ActorId, AssetId, RejectReason, Term, events};

use crate::broken::{Stop, ensure, ensure_field, refuse_field};
use crate::effects::Effects;

/// Every role there is.
const ROLES_ALL: u32 = roles::ADMIN | roles::CASHIER | roles::TRADER | roles::PAYER | roles::PRICE_SOURCE;

/// The cluster, its actors and assets. Small and seldom looked at: ordered maps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registry {
    pub(crate) genesis: Option<Genesis>,
    pub(crate) term: Term,
    pub(crate) actors: BTreeMap<ActorId, Actor>,
    pub(crate) assets: BTreeMap<AssetId, DefineAsset>,
}

/// Who acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Actor {
    /// Bits of [`roles`].
    pub(crate) roles: u32,
    /// By whose signatures it decides outside the order of commands.
    pub(crate) key: Option<PublicKey>,
}

impl Actor {
    const fn administers(&self) -> bool {
        self.roles & roles::ADMIN != 0 && self.key.is_some()
    }
}

impl Registry {
    pub(crate) fn asset(&self, asset: AssetId) -> Option<&DefineAsset> {
        self.assets.get(&asset)
    }

    /// Refuses an actor who has none of these roles.
    pub(crate) fn entitle(&self, actor: ActorId, roles: u32) -> Result<(), Stop> {
        let granted = self.actors.get(&actor).map_or(0, |actor| actor.roles);
        ensure(granted & roles != 0, RejectReason::NotEntitled)
    }

    /// Sets an actor's key; so many have to be left who may configure and have one.
    pub(crate) fn set_key(
        &mut self,
        command: &SetActorKey,
        administrators_min: usize,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let &SetActorKey { actor, key } = command;
        let before = *self.actors.get(&actor).ok_or(RejectReason::UnknownActor)?;
        ensure(before.key != key, RejectReason::Exists)?;
        let after = Actor { key, ..before };
        ensure(self.administrators_with(actor, after) >= administrators_min, RejectReason::TooFewApprovers)?;
        self.actors.insert(actor, after);
        effects.push(events::ActorKeySet { actor, key });
        Ok(())
    }

    /// The cluster begins: its operator gets every role.
    pub(crate) fn begin(&mut self, genesis: &Genesis, effects: &mut Effects<'_>) -> Result<(), Stop> {
        if let Some(before) = &self.genesis {
            return Err(match before.first_difference(genesis) {
                Some(field) => refuse_field(RejectReason::ExistsWithDifferent, field),
                None => RejectReason::Exists.into(),
            });
        }
        self.genesis = Some(genesis.clone());
        self.actors.insert(genesis.operator, Actor { roles: ROLES_ALL, key: None });
        effects.push(events::ActorDefined { actor: genesis.operator, roles: ROLES_ALL });
        Ok(())
    }

    /// Actors who may configure and have a key: without one, nobody can speak for an actor from elsewhere than the node itself.
    pub(crate) fn administrators(&self) -> usize {
        self.actors.values().filter(|actor| actor.administers()).count()
    }

    /// As many as there are once `actor` is as it will be.
    fn administrators_with(&self, actor: ActorId, after: Actor) -> usize {
        let others = self.actors.iter().filter(|(id, other)| **id != actor && other.administers()).count();
        others.saturating_add(usize::from(after.administers()))
    }

    /// Creates an actor or changes its roles; so many have to be left who may configure and have a key.
    pub(crate) fn define_actor(
        &mut self,
        command: &DefineActor,
        administrators_min: usize,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let &DefineActor { actor, roles: granted } = command;
        let before = self.actors.get(&actor).copied();
        ensure(before.is_none_or(|before| before.roles != granted), RejectReason::Exists)?;
        ensure_field(granted & !ROLES_ALL == 0, "roles")?;
        // Without an operator who may configure, nobody could ever repair a mistake.
        let is_operator = self.genesis.as_ref().is_some_and(|genesis| genesis.operator == actor);
        ensure_field(!is_operator || granted & roles::ADMIN != 0, "roles")?;
        let after = Actor { roles: granted, ..before.unwrap_or_default() };
        ensure(self.administrators_with(actor, after) >= administrators_min, RejectReason::TooFewApprovers)?;
        ensure(before.is_some() || self.actors.len() < ACTORS_MAX, RejectReason::TableFull)?;
        self.actors.insert(actor, after);
        effects.push(events::ActorDefined { actor, roles: granted });
        Ok(())
    }

    pub(crate) fn define_asset(
        &mut self,
        command: &DefineAsset,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        if let Some(before) = self.assets.get(&command.asset) {
            return Err(match before.first_difference(command) {
                Some(field) => refuse_field(RejectReason::ExistsWithDifferent, field),
                None => RejectReason::Exists.into(),
            });
        }
        ensure_field(!command.code.is_empty(), "code")?;
        ensure_field(self.assets.values().all(|asset| asset.code != command.code), "code")?;
        ensure_field(command.scale <= ASSET_SCALE_MAX, "scale")?;
        ensure(self.assets.len() < ASSETS_MAX, RejectReason::TableFull)?;
        self.assets.insert(command.asset, command.clone());
        effects.push(events::AssetDefined { definition: command.clone() });
        Ok(())
    }
}

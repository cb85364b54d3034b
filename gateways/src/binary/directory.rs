//! Who may establish a session: its actor, by the key that is on record. All of it comes from committed events.

use std::collections::BTreeMap;

use protocol::sign::PublicKey;
use protocol::{ActorId, EventBody, SessionId, SessionProtocol};

/// Request sessions and actors' keys.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    actors: BTreeMap<SessionId, ActorId>,
    keys: BTreeMap<ActorId, PublicKey>,
}

impl Directory {
    /// Takes a definition; other events say nothing about sessions. Returns the actor whose key is another one now.
    pub(crate) fn define(&mut self, event: &EventBody) -> Option<ActorId> {
        if let EventBody::SessionDefined(event) = event {
            let session = &event.definition;
            if session.protocol == SessionProtocol::Request {
                self.actors.insert(session.session, session.actor);
            }
        } else if let EventBody::ActorKeySet(set) = event {
            let before = match set.key {
                Some(key) => self.keys.insert(set.actor, key),
                None => self.keys.remove(&set.actor),
            };
            return (before != set.key).then_some(set.actor);
        }
        None
    }

    /// Whose session this is, and the key that proves it.
    pub(crate) fn who(&self, session: SessionId) -> Option<(ActorId, PublicKey)> {
        let actor = *self.actors.get(&session)?;
        Some((actor, *self.keys.get(&actor)?))
    }
}

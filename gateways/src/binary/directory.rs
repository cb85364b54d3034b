//! Who may establish a session: its actor, by the key that is on record; and what it may read. All of it comes from committed events.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::commands::roles;
use protocol::sign::PublicKey;
use protocol::{ActorId, ClientId, EventBody, SessionId, SessionProtocol};

use super::read::Scope;

/// A request session.
#[derive(Debug)]
struct Session {
    actor: ActorId,
    /// Those it acts for, in order.
    clients: Arc<[ClientId]>,
}

/// Request sessions, and actors' keys and roles.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    sessions: BTreeMap<SessionId, Session>,
    keys: BTreeMap<ActorId, PublicKey>,
    roles: BTreeMap<ActorId, u32>,
}

impl Directory {
    /// Takes a definition; other events say nothing about sessions. Returns the actor whose key is another one now.
    pub(crate) fn define(&mut self, event: &EventBody) -> Option<ActorId> {
        if let EventBody::SessionDefined(event) = event {
            let session = &event.definition;
            if session.protocol == SessionProtocol::Request {
                let mut clients = session.clients.clone();
                clients.sort_unstable();
                let defined = Session { actor: session.actor, clients: clients.into() };
                self.sessions.insert(session.session, defined);
            }
        } else if let EventBody::ActorKeySet(set) = event {
            let before = match set.key {
                Some(key) => self.keys.insert(set.actor, key),
                None => self.keys.remove(&set.actor),
            };
            return (before != set.key).then_some(set.actor);
        } else if let EventBody::ActorDefined(defined) = event {
            self.roles.insert(defined.actor, defined.roles);
        }
        None
    }

    /// Whose session this is, and the key that proves it.
    pub(crate) fn who(&self, session: SessionId) -> Option<(ActorId, PublicKey)> {
        let actor = self.sessions.get(&session)?.actor;
        Some((actor, *self.keys.get(&actor)?))
    }

    /// What a session may read now.
    pub(crate) fn scope(&self, session: SessionId) -> Scope {
        let Some(Session { actor, clients }) = self.sessions.get(&session) else {
            return Scope::Clients(Arc::default());
        };
        match self.roles.get(actor).copied().unwrap_or(0) {
            of_the_bank if of_the_bank & (roles::ADMIN | roles::CASHIER) != 0 => Scope::Everything,
            0 => Scope::Clients(Arc::default()),
            _ => Scope::Clients(clients.clone()),
        }
    }
}

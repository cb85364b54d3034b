//! Nodes of the cluster that are no members, as far as those know to whom they speak.

use protocol::{ClusterEpoch, NodeId};
use raft::prelude::{Message, MessageType};
use replicas::{MemberChange, ReceiveFault, Role, message};

use super::cluster::{Cluster, learner};

/// Of the kinds that end a leader's term by a higher one, or make its voters stand against it.
const KINDS: [MessageType; 8] = [
    MessageType::MsgAppend,
    MessageType::MsgAppendResponse,
    MessageType::MsgRequestVote,
    MessageType::MsgRequestVoteResponse,
    MessageType::MsgRequestPreVoteResponse,
    MessageType::MsgHeartbeat,
    MessageType::MsgHeartbeatResponse,
    MessageType::MsgTimeoutNow,
];

fn say(kind: MessageType, from: u64, to: u64) -> Vec<u8> {
    let mut message = Message { from, to, term: 1_000, ..Message::default() };
    message.set_msg_type(kind);
    if kind == MessageType::MsgRequestVote {
        // As of one to whom the leader has given the lead: it asks in spite of the lease.
        message.context = b"CampaignTransfer".to_vec().into();
    }
    message::encode(ClusterEpoch(1), &message)
}

#[test]
fn while_a_leader_is_heard_nothing_that_a_stranger_says_counts() {
    let mut cluster = Cluster::new("strangers", &[1, 2, 3]);
    cluster.define(1, 20);
    cluster.agree(20);
    let term = cluster.running[&1].status().term;
    for kind in KINDS {
        for node in 1..=3 {
            let replica = cluster.running.get_mut(&node).unwrap();
            let heard = replica.receive_from(NodeId(9), &say(kind, 9, node));
            assert!(matches!(heard, Err(ReceiveFault::Stranger(NodeId(9)))), "{kind:?}: {heard:?}");
        }
        (0..400).for_each(|_| cluster.tick());
        for (node, status) in (1..).zip(cluster.statuses()) {
            let role = if node == 1 { Role::Leader } else { Role::Follower };
            assert_eq!((status.role, status.term), (role, term), "{kind:?}");
        }
    }
    cluster.define(21, 30);
    cluster.agree(30);
}

/// Its process was stopped, with a leader in mind, while another was added and now leads: it cannot know that one, and is needed.
#[test]
fn who_has_not_heard_of_a_new_member_follows_it_once_its_own_leader_is_silent() {
    let mut cluster = Cluster::new("unheard-of", &[1, 2, 3]);
    cluster.define(1, 20);
    cluster.agree(20);
    let paused = cluster.running.remove(&3).unwrap();
    cluster.create(4);
    for change in [learner(4), MemberChange::Promote(NodeId(4))] {
        while cluster.running.get_mut(&1).unwrap().change_members(&change).is_err() {
            cluster.tick();
        }
    }
    while cluster.serving() != Some(4) {
        // It may have to hear first that it is a voter.
        cluster.running.get_mut(&1).unwrap().transfer_leader(NodeId(4)).unwrap_or_default();
        cluster.tick();
    }
    assert!(paused.membership().members().all(|(node, _)| node != NodeId(4)));
    assert_eq!(paused.leader(), Some(NodeId(1)));
    cluster.running.insert(3, paused);
    cluster.until("it follows", |cluster| cluster.running[&3].leader() == Some(NodeId(4)));
    assert!(cluster.refused > 0, "it has not listened at first");
    // Of four voters three are a quorum.
    cluster.stop(1);
    cluster.define_further(21, 30);
    assert_eq!(cluster.serving(), Some(4));
    cluster.open(1);
    cluster.agree(30);
}

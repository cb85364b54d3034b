//! An operator who wants no stale answer waits here in front of the question, until the engine has come far enough: what
//! is asked on the same connection afterwards is answered from that state or a later one.

use journal::FileDisk;
use protocol::time::NANOS_PER_SECOND;
use protocol::{MonoNanos, Seq};
use replicas::{ReadTicket, Replica};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::admin::client::Client;
use crate::admin::{Answer, Request};
use crate::fault::NodeFault;

/// A seq that has not come in this time is not waited for any more.
pub(crate) const SEQ_NANOS: u64 = 5 * NANOS_PER_SECOND;

/// How new a state has to be.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Freshness {
    /// It misses nothing that was acknowledged anywhere before the question.
    Linearizable,
    /// It holds the effects of this seq: what an answer elsewhere was given at, for who must not see less.
    MinSeq(u64),
}

/// As options of a command.
#[derive(clap::Args)]
pub(crate) struct FreshnessArgs {
    /// Miss nothing that was acknowledged anywhere before: a quorum has to answer. Without it a node tells what it knows.
    #[arg(long, conflicts_with = "min_seq")]
    linearizable: bool,
    /// Wait until the node has applied this seq, for up to 5 seconds.
    #[arg(long, value_name = "SEQ")]
    min_seq: Option<u64>,
}

impl FreshnessArgs {
    /// Waits until the node is as far as was asked for.
    ///
    /// # Errors
    /// What the node says against it.
    pub(crate) fn wait(&self, client: &mut Client) -> Result<(), NodeFault> {
        let linearizable = self.linearizable.then_some(Freshness::Linearizable);
        let Some(freshness) = self.min_seq.map(Freshness::MinSeq).or(linearizable) else { return Ok(()) };
        let answer = client.ask(&Request::Fresh { freshness })?;
        if let Answer::Fresh { .. } = answer { Ok(()) } else { Err(NodeFault::crossed()) }
    }
}

/// The seq that is applied, or why it is not known to be far enough.
pub(crate) type Fresh = Result<u64, String>;

enum Waits {
    ForQuorum(ReadTicket),
    ForSeq(Seq, MonoNanos),
}

/// Who waits. Operators have few connections and ask one thing at a time on each.
#[derive(Default)]
pub(crate) struct Reads(Vec<(Waits, oneshot::Sender<Fresh>)>);

impl Reads {
    /// Somebody asks. Returns whether the answer, if there is one already, was heard.
    pub(crate) fn take(
        &mut self,
        replica: &mut Replica<FileDisk>,
        freshness: Freshness,
        now: MonoNanos,
        answer: oneshot::Sender<Fresh>,
    ) -> bool {
        let waits = match freshness {
            Freshness::MinSeq(seq) => Waits::ForSeq(Seq(seq), now.plus(SEQ_NANOS)),
            Freshness::Linearizable => match replica.ask_read() {
                Ok(ticket) => Waits::ForQuorum(ticket),
                Err(refusal) => return answer.send(Err(refusal.to_string())).is_ok(),
            },
        };
        self.0.push((waits, answer));
        true
    }

    /// Answers who has waited long enough.
    pub(crate) fn answer(&mut self, replica: &mut Replica<FileDisk>, now: MonoNanos) {
        let applied = replica.engine().seq_applied();
        let known = |waits: &Waits, replica: &mut Replica<FileDisk>| match waits {
            Waits::ForQuorum(ticket) => {
                let read = replica.take_read(*ticket)?;
                Some(read.map(|_| applied.0).map_err(|refusal| refusal.to_string()))
            }
            Waits::ForSeq(seq, _) if applied >= *seq => Some(Ok(applied.0)),
            Waits::ForSeq(seq, until) if now >= *until => {
                Some(Err(format!("seq {seq} has not come: {applied} is applied here")))
            }
            Waits::ForSeq(..) => None,
        };
        for (waits, answer) in std::mem::take(&mut self.0) {
            match known(&waits, replica) {
                // Nobody is hurt when the operator has left.
                Some(fresh) => drop(answer.send(fresh)),
                None => self.0.push((waits, answer)),
            }
        }
    }
}

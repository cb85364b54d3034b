//! `sicil init`: makes the folder of one node of a cluster, once.
//!
//! A node alone makes its folder when it starts. A member of a cluster must not: on a disk that was replaced it would come
//! back without knowing what it has acknowledged and for whom it has voted, and could help to elect a leader that lacks
//! what was committed. So a person says that the cluster begins here, or that this node has never been a member.

use journal::{Identity, Journal};
use protocol::{ClusterEpoch, NodeId};

use crate::config::Config;
use crate::fault::NodeFault;
use crate::folder::{self, Folder};
use crate::{InitArgs, print};

/// Runs the command.
///
/// # Errors
/// If the folder holds anything, or the configuration is not that of a cluster.
pub(crate) fn run(args: &InitArgs) -> Result<(), NodeFault> {
    let config = Config::load(Some(&args.config))?;
    let Some(cluster) = config.cluster.filter(|_| config.is_clustered()) else {
        return Err(NodeFault::Usage(format!(
            "{}: no cluster; a node alone makes its folder when it starts",
            args.config.display()
        )));
    };
    let node = NodeId(config.node_id.value);
    let is_founder = config.founders().nodes().contains(&node);
    if is_founder == args.join {
        let what = if is_founder { "a founder: it cannot join" } else { "no founder: it has to --join" };
        return Err(NodeFault::Usage(format!("node {node} is {what}")));
    }
    if folder::look_at(&args.data)? != Folder::Blank {
        return Err(NodeFault::Usage(format!("{} holds a replica already", args.data.display())));
    }
    let mut disk = folder::open_disk(&args.data, config.writer.value)?;
    if folder::look_inside(&mut disk)? != Folder::Blank {
        return Err(NodeFault::Usage(format!("{} holds a replica already", args.data.display())));
    }
    let identity = Identity { cluster, epoch: ClusterEpoch(1), node, founders: config.founders() };
    Journal::create(disk, identity, folder::journal_options(&config)?)
        .map_err(|refusal| NodeFault::Recovery { dir: args.data.clone(), report: refusal.to_string() })?;
    print(&format!("node {node} of cluster {:032x}: {}\n", cluster.0, args.data.display()))
}

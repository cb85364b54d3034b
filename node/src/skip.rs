//! `sicil key` and `sicil skip`: operators' keys, and their signed decision to pass over a record at which the engine halted.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use protocol::hash::{Hash, NotAHash, parse_hex};
use protocol::limits::SKIP_REASON_BYTES_MAX;
use protocol::sign::PrivateKey;
use protocol::skip::Skip;
use protocol::{ActorId, ClusterId, Seq, Text};

use crate::admin::client::Client;
use crate::admin::{Answer, HaltLine, Request, hex};
use crate::fault::NodeFault;
use crate::text_file::read_secret;
use crate::{KeyArgs, SkipArgs, folder, print};

/// A key file is one line of hexadecimal digits.
const KEY_FILE_BYTES_MAX: u64 = 128;

/// Makes a key.
///
/// # Errors
/// If the file exists or cannot be written.
pub(crate) fn make_key(args: &KeyArgs) -> Result<(), NodeFault> {
    let seed = folder::random::<32>()?;
    let what = || args.out.display().to_string();
    let mut options = OpenOptions::new();
    let mut file =
        options.write(true).create_new(true).mode(0o600).open(&args.out).map_err(NodeFault::io(what()))?;
    file.write_all((hex(&seed) + "\n").as_bytes()).map_err(NodeFault::io(what()))?;
    file.sync_all().map_err(NodeFault::io(what()))?;
    print(&format!("public_key = \"{}\"\n", PrivateKey::from_seed(&seed).public()))
}

/// Signs the decision, proposes it, and waits until the engine is past the record.
///
/// # Errors
/// [`NodeFault::Admin`] with what the node says against it.
pub(crate) fn run(args: &SkipArgs) -> Result<(), NodeFault> {
    let key = read_key(&args.key)?;
    let reason = Text::new(&args.reason).ok().filter(|reason| !reason.is_empty()).ok_or_else(|| {
        NodeFault::Usage(format!(
            "--reason of {} bytes: 1 to {SKIP_REASON_BYTES_MAX} are allowed",
            args.reason.len()
        ))
    })?;
    let mut client = Client::connect(&args.data)?;
    let (Some(halt), _) = halt_of(&mut client)? else {
        return Err(NodeFault::Admin("the engine has not halted: there is nothing to pass over".to_owned()));
    };
    let (cluster, record_hash) = meant(&halt, args.seq)?;
    let mut skip = Skip::new(Seq(args.seq), record_hash, reason);
    skip.sign(cluster, ActorId(args.actor), &key);
    let mut payload = Vec::new();
    skip.write(&mut payload);
    let Answer::SkipProposed = client.ask(&Request::Skip { payload: hex(&payload) })? else {
        return Err(NodeFault::crossed());
    };
    let waits = format!("the decision is proposed, and not in effect after {} s", args.timeout_s);
    client.ask_until(args.timeout_s, &waits, |client| match halt_of(client)? {
        (None, seq_applied) if seq_applied >= args.seq => Ok(Some(())),
        (Some(next), _) if next.seq > args.seq => {
            let (seq, why) = (args.seq, next.why);
            Err(NodeFault::Admin(format!("passed over seq {seq}; the engine halted again: {why}")))
        }
        _ => Ok(None),
    })?;
    print(&format!("passed over seq {}, record {record_hash}\n", args.seq))
}

/// What the decision is about, if it is what the operator named.
fn meant(halt: &HaltLine, seq: u64) -> Result<(ClusterId, Hash), NodeFault> {
    if halt.seq != seq {
        return Err(NodeFault::Admin(format!("the engine halted at seq {}: {}", halt.seq, halt.why)));
    }
    let Some(record_hash) = &halt.record_hash else {
        return Err(NodeFault::Admin(format!("a record is not to blame: {}", halt.why)));
    };
    let cluster = u128::from_str_radix(&halt.cluster, 16).map(ClusterId);
    match (cluster, record_hash.parse()) {
        (Ok(cluster), Ok(record_hash)) => Ok((cluster, record_hash)),
        _ => Err(NodeFault::Admin("a halt that cannot be read".to_owned())),
    }
}

/// Where the engine halted, and the last seq that it has taken.
fn halt_of(client: &mut Client) -> Result<(Option<HaltLine>, u64), NodeFault> {
    if let Answer::Halt { halt, seq_applied } = client.ask(&Request::Halt)? {
        Ok((halt, seq_applied))
    } else {
        Err(NodeFault::crossed())
    }
}

/// Reads a key file.
pub(crate) fn read_key(path: &Path) -> Result<PrivateKey, NodeFault> {
    let text = read_secret(path, KEY_FILE_BYTES_MAX)?;
    let seed = parse_hex(text.trim()).map_err(|NotAHash| {
        NodeFault::Usage(format!("{}: not a key: 64 hexadecimal digits are expected", path.display()))
    })?;
    Ok(PrivateKey::from_seed(&seed))
}

//! `sicil pki` and the keys of a cluster: what an operator types before there are three nodes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::folder::Folder;
use crate::process::{run, sicil};

fn pki(dir: &Path, command: &str, more: &[&str]) -> (i32, String, String) {
    run(sicil(["pki", command, "--dir"]).arg(dir).args(more))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn an_authority_is_made_once_and_issues_certificates() {
    let folder = Folder::new("pki");
    let dir = folder.join("pki");
    let (code, out, err) = pki(&dir, "init", &[]);
    assert_eq!(code, 0, "{err}");
    let id = out.strip_prefix("id = \"").unwrap().strip_suffix("\"\n").unwrap();
    assert_eq!(fs::read_to_string(dir.join("cluster.id")).unwrap(), format!("{id}\n"));
    assert_eq!((mode(&dir), mode(&dir.join("ca.key")), mode(&dir.join("ca.pem"))), (0o700, 0o600, 0o644));
    let authority = fs::read(dir.join("ca.pem")).unwrap();
    let (code, _, err) = pki(&dir, "init", &[]);
    assert_eq!(code, 2);
    assert!(err.contains("ca.pem exists: it is not overwritten"), "{err}");
    assert_eq!(fs::read(dir.join("ca.pem")).unwrap(), authority);
    let more = ["--node", "7", "--host", "node-7.example", "--host", "10.0.0.7"];
    let (code, out, err) = pki(&dir, "issue", &more);
    assert_eq!(code, 0, "{err}");
    let (certificate, key) = (dir.join("node7.pem"), dir.join("node7.key"));
    assert_eq!(out, format!("{}\n{}\n", certificate.display(), key.display()));
    assert_eq!((mode(&certificate), mode(&key)), (0o644, 0o600));
    assert_eq!(pki(&dir, "issue", &["--gateway", "7"]).0, 0);
    assert!(dir.join("gateway7.pem").exists() && mode(&dir.join("gateway7.key")) == 0o600);
    let (code, _, err) = pki(&dir, "issue", &["--node", "7"]);
    assert_eq!(code, 2);
    assert!(err.contains("node7.pem exists"), "{err}");
}

#[test]
fn what_cannot_be_issued_is_said() {
    let folder = Folder::new("pki-wrong");
    let dir = folder.join("pki");
    let (code, _, err) = pki(&dir, "issue", &["--node", "1"]);
    assert_eq!(code, 2);
    assert!(err.contains("cluster.id"), "there is no authority: {err}");
    assert_eq!(pki(&dir, "init", &[]).0, 0);
    for whose in [&["--node", "0"][..], &["--gateway", "257"], &["--gateway", "1", "--node", "1"], &[]] {
        assert_eq!(pki(&dir, "issue", whose).0, 2, "{whose:?}");
    }
    let (code, _, err) = pki(&dir, "issue", &["--node", "1", "--host", "k\u{f6}ln"]);
    assert_eq!(code, 2);
    assert!(err.contains("not ASCII"), "{err}");
    fs::write(dir.join("ca.key"), "no key").unwrap();
    let (code, _, err) = pki(&dir, "issue", &["--node", "1"]);
    assert_eq!(code, 2);
    assert!(err.contains("ca.key"), "{err}");
    assert!(!dir.join("node1.pem").exists() && !dir.join("node1.key").exists());
}

#[test]
fn the_keys_of_a_cluster_are_checked_and_shown() {
    let folder = Folder::new("cluster-config");
    let cluster = "id = \"000000000000000000000000000000ab\"";
    let text = format!(
        "[cluster]\n{cluster}\nfounders = [1, 2]\n[listen]\npeers = \"127.0.0.1:9884\"\n[tls]\nca = \"ca.pem\"\n\
         certificate = \"node1.pem\"\nkey = \"node1.key\"\n[[peer]]\nid = 2\naddress = \"node-2.example:9884\"\n"
    );
    let check = |name: &str, text: &str| {
        let file = folder.write(name, text);
        run(sicil(["config", "check", "--config"]).arg(file))
    };
    let (code, out, err) = check("one.toml", &text);
    assert_eq!(code, 0, "{err}");
    let shown = [
        cluster,
        "founders = [1, 2]",
        "peers = \"127.0.0.1:9884\"",
        "address = \"node-2.example:9884\"",
        "profile = \"lan\"",
    ];
    for shown in shown {
        assert!(out.contains(shown), "{shown} is not in {out}");
    }
    let certificate = format!("certificate = {:?}", folder.join("node1.pem").display().to_string());
    assert!(out.contains(&certificate), "relative to the file: {out}");
    let (code, _, err) = check("two.toml", &text.replace("[tls]", "[ssl]"));
    assert_eq!(code, 2);
    assert!(err.contains("two.toml:6:2: unknown field `ssl`"), "{err}");
}

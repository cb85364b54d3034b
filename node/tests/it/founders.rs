//! With whom a cluster began is in the folder: no file, and no lack of one, makes a member lead alone.

use std::fs;

use crate::cluster::Cluster;
use crate::folder::Folder;
use crate::process::{Node, run, sicil};

#[test]
fn a_founder_starts_with_the_founders_of_its_making_or_not_at_all() {
    let cluster = Cluster::new("founders", "");
    assert_eq!(cluster.init(0, &[]).0, 0);
    let (data, own) = (cluster.data(0), fs::read_to_string(cluster.config(0)).unwrap());
    let before = fs::read(data.join("meta")).unwrap();
    let (code, _, err) = run(sicil(["start", "--data"]).arg(&data));
    assert_eq!(code, 2, "{err}");
    assert!(
        err.contains("node 1 of a cluster that began with [1, 2, 3]") && err.contains("--config"),
        "{err}"
    );
    for founders in ["[1]", "[1, 2]", "[3, 2, 1]"] {
        let wrong = own.replace("founders = [1, 2, 3]", &format!("founders = {founders}"));
        let wrong = cluster.folder.write("wrong.toml", &wrong);
        let (code, _, err) = run(sicil(["start", "--data"]).arg(&data).arg("--config").arg(wrong));
        assert_eq!(code, 2, "{err}");
        assert!(err.contains(&format!("cluster.founders = {founders}, but the cluster of")), "{err}");
        assert!(err.trim_end().ends_with("began with [1, 2, 3]"), "{err}");
    }
    assert_eq!(fs::read(data.join("meta")).unwrap(), before);
}

#[test]
fn a_node_that_began_alone_does_not_become_one_of_several_founders() {
    let folder = Folder::new("founders-alone");
    let id = "[cluster]\nid = \"000000000000000000000000000000ab\"\n";
    let alone = folder.config(&format!("demo = true\n{id}"));
    assert_eq!(Node::start(&folder.data(), &alone).stop().code(), Some(0));
    let text = format!(
        "{id}founders = [1, 2]\n[listen]\npeers = \"127.0.0.1:0\"\n[tls]\nca = \"a\"\ncertificate = \"b\"\nkey = \"c\"\n"
    );
    let among = folder.write("among.toml", &text);
    let (code, _, err) = run(sicil(["start", "--data"]).arg(folder.data()).arg("--config").arg(among));
    assert_eq!(code, 2, "{err}");
    assert!(
        err.contains("cluster.founders = [1, 2], but") && err.trim_end().ends_with("began with [1]"),
        "{err}"
    );
}

#[test]
fn a_node_that_others_have_joined_does_not_start_without_a_way_to_them() {
    let cluster = Cluster::new("founders-joined", "");
    let own = fs::read_to_string(cluster.config(0)).unwrap();
    fs::write(cluster.config(0), own.replace("founders = [1, 2, 3]", "founders = [1]")).unwrap();
    assert_eq!(cluster.init(0, &[]).0, 0);
    let data = cluster.data(0);
    let node = Node::start(&data, &cluster.config(0));
    let mut add = sicil(["add-member", "--node", "2", "--learner", "--timeout-s", "0", "--data"]);
    assert_eq!(run(add.arg(&data)).0, 8, "nobody runs there");
    loop {
        let (code, out, err) = run(sicil(["members", "--json", "--data"]).arg(&data));
        assert_eq!(code, 0, "{err}");
        let members: serde_json::Value = serde_json::from_str(&out).unwrap();
        if members["members"].as_array().unwrap().len() == 2 {
            break;
        }
    }
    node.kill();
    let alone = cluster.folder.config("");
    let (code, out, err) = run(sicil(["start", "--data"]).arg(&data).arg("--config").arg(&alone));
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    assert!(err.contains("that others have joined"), "{err}");
    assert_eq!(Node::start(&data, &cluster.config(0)).stop().code(), Some(0));
}

//! With whom a cluster began is in the folder: no file, and no lack of one, makes a member lead alone.

use std::fs;

use crate::cluster::Cluster;
use crate::folder::Folder;
use crate::process::{Node, run, sicil, status};

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

/// Whoever forgets the file must not turn what `init` has made into a demo, which it would be for ever.
#[test]
fn what_init_has_made_becomes_no_demo_without_its_file() {
    let cluster = Cluster::new("founders-file", "");
    let own = fs::read_to_string(cluster.config(0)).unwrap();
    let own = own.replace("founders = [1, 2, 3]", "founders = [1]").replace("demo = true", "demo = false");
    fs::write(cluster.config(0), own).unwrap();
    assert_eq!(cluster.init(0, &[]).0, 0);
    let data = cluster.data(0);
    let (code, out, err) = run(sicil(["start", "--data"]).arg(&data));
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    assert!(err.contains("has never begun: give its own file with --config"), "{err}");
    let node = Node::start(&data, &cluster.config(0));
    assert_eq!(status(&data, &[])["demo"], false);
    assert_eq!(node.stop().code(), Some(0));
}

/// Two clusters that cannot talk to each other: an operator sees on each side why.
#[test]
fn nodes_that_were_made_with_other_founders_say_so_where_an_operator_looks() {
    let mut cluster = Cluster::new("founders-two", "");
    let right = fs::read_to_string(cluster.config(1)).unwrap();
    fs::write(cluster.config(1), right.replace("founders = [1, 2, 3]", "founders = [2]")).unwrap();
    for place in 0..3 {
        assert_eq!(cluster.init(place, &[]).0, 0);
    }
    let launched = [0, 1, 2].map(|place| Node::launch(&cluster.data(place), &cluster.config(place)));
    cluster.nodes = launched.map(|child| Some(Node::when_ready(child))).into();
    let fault = |place: usize, list: &str, node: u64| loop {
        let (code, out, err) = run(sicil(["members", "--json", "--data"]).arg(cluster.data(place)));
        assert_eq!(code, 0, "{err}");
        let members: serde_json::Value = serde_json::from_str(&out).unwrap();
        let line = members[list].as_array().unwrap().iter().find(|line| line["node"] == node);
        if let Some(fault) =
            line.and_then(|line| line["fault"].as_str()).filter(|said| said.contains("founders"))
        {
            break fault.to_owned();
        }
    };
    let said = fault(0, "members", 2);
    let shown = status(&cluster.data(0), &[]);
    assert_ne!(shown["role"], "removed", "of another cluster's members nobody was removed");
    assert!(said.contains("cluster.founders = [2] is expected, found [1, 2, 3]"), "{said}");
    let said = fault(1, "strangers", 3);
    assert!(said.contains("cluster.founders = [1, 2, 3] is expected, found [2]"), "{said}");
    let (_, shown, _) = run(sicil(["members", "--data"]).arg(cluster.data(1)));
    assert!(shown.contains("node 3    no member") && shown.contains("is expected, found"), "{shown}");
}

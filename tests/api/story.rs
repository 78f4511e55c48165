//! The whole way: join, found a vault, store, commit, read, condemn.

use vault_core::crypto::hash;
use vault_core::id::{IndexId, PackId, Seq};
use vault_core::log::testing::{Machine, Person, TestLog, commit, members};
use vault_core::log::{Body, Commit, Condemn, PqPolicy, Role};
use vault_core::object::ObjectKey;
use vault_core::wire::Receipt;
use vault_core::wire::v1::paths;
use vault_tests::TestServer;

#[test]
fn a_user_joins_founds_a_vault_stores_commits_reads_and_condemns() {
    let server = TestServer::start();
    let (alice, laptop) = (Person::new(1), Machine::new(11));
    server.join(&alice, &[&laptop]);
    let client = server.client(&laptop);
    let mut log = TestLog::founded(&alice, PqPolicy::Required);
    let vault = log.vault;

    let founded = client.put(&paths::vault(&vault), &log.stored[0]);
    assert_eq!(founded.status, 201, "{}", founded.text());
    assert_eq!(client.put(&paths::vault(&vault), &log.stored[0]).status, 200);

    log.push_members(&alice, members(1, vec![alice.user(Role::Owner, &[&laptop])]));
    let put = client.put(&paths::statement(&vault, Seq(1)), &log.stored[1]);
    assert_eq!(put.status, 201, "{}", put.text());
    let receipt = Receipt::parse_header(put.header("vault-receipt").unwrap()).unwrap();
    let key = server.get(paths::SERVER).parse::<vault_core::wire::v1::server::ServerInfo>().receipt_key;
    assert!(receipt.verify(&key, &vault, &log.head(1)).is_ok());

    let pack = vec![7; 3_000_000];
    let pack_id = PackId::new(hash::object_hash(&pack));
    let index = b"an index object".to_vec();
    let index_id = IndexId::new(hash::object_hash(&index));
    let pack_path = paths::object(&vault, &ObjectKey::Pack(pack_id));
    assert_eq!(client.get(&pack_path).problem(), (404, "not_found".to_owned()));
    let put = client.put(&pack_path, &pack);
    assert_eq!(put.status, 201, "{}", put.text());
    assert_eq!(client.put(&pack_path, &pack).status, 200);

    let named = Commit { indexes: vec![index_id], ..commit(1, 1) };
    log.push_commit(&laptop, named);
    let missing = client.put(&paths::statement(&vault, Seq(2)), &log.stored[2]);
    assert_eq!(missing.problem(), (422, "statement_refused".to_owned()));
    assert_eq!(client.put(&paths::object(&vault, &ObjectKey::Index(index_id)), &index).status, 201);
    let put = client.put(&paths::statement(&vault, Seq(2)), &log.stored[2]);
    assert_eq!(put.status, 201, "{}", put.text());

    let read = client.get(&pack_path);
    assert_eq!((read.status, read.body.len()), (200, pack.len()));
    assert_eq!(read.body, pack);
    let head = client.send("HEAD", &pack_path, None);
    assert_eq!((head.status, head.header("content-length")), (200, Some("3000000")));

    let condemned = Condemn {
        domain: alice.id().into(),
        packs: vec![pack_id],
        replaced: Vec::new(),
        replacements: Vec::new(),
    };
    log.push_body(&laptop, Body::Condemn(condemned));
    assert_eq!(client.put(&paths::statement(&vault, Seq(3)), &log.stored[3]).status, 201);
    assert_eq!(client.get(&pack_path).status, 404);
    let trash = client.get(&paths::trash(&vault)).json();
    assert_eq!(trash["objects"].as_array().unwrap().len(), 1);
}

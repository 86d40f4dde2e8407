//! az uses one tenant by default, so users in several tenants keep theirs.

use super::*;

fn users(tenants: &[&str]) -> String {
    let mut text = String::from("users:\n");
    for (number, tenant) in tenants.iter().enumerate() {
        let args = AZ_EXEC.replace(", t]", &format!(", {tenant}]"));
        text +=
            &format!("- name: u{number}\n  user: {{exec: {{command: kubelogin, args: {args}}}}}\n");
    }
    text + "contexts:\n- name: first\n  context: {user: u0}\n"
}

fn tenants_of(text: &str) -> Vec<Option<String>> {
    let args = args_of(text).into_iter();
    args.map(|args| {
        let at = args.iter().position(|arg| arg == "--tenant-id")?;
        args.get(at + 1).cloned()
    })
    .collect()
}

#[test]
fn users_of_several_tenants_keep_their_own_for_az_and_it_is_said() {
    let system = crate::system::fake::FakeSystem::new([]);
    for mode in ["azurecli", "azd", "azurepowershell"] {
        let two = users(&["t1", "t2", "t1"]);
        let (texts, plan) = convert_files(&[&two], &["-l", mode]).expect("converted");
        assert_eq!(
            tenants_of(&texts[0]),
            ["t1", "t2", "t1"].map(|t| Some(t.to_owned()))
        );
        let files = [KubeconfigFile::in_memory("config", &*two)];
        plan.report.tell(&[], &files, "converted", &system);
        assert!(
            system
                .told()
                .iter()
                .any(|line| line.ends_with("\"u1\" converted, tenant t2")),
            "{:?}",
            system.told()
        );
        let (_, again) = convert_files(&[&texts[0]], &["-l", mode]).expect("converted");
        assert!(again.changes.is_empty());
        // Converting one at a time gives the same result.
        let one = convert(&two, &["-l", mode, "--context", "first"]);
        assert_eq!(tenants_of(&one)[0].as_deref(), Some("t1"));
        // From two files, too.
        let (texts, _) = convert_files(&[&users(&["t1"]), &users(&["x", "t2"])], &["-l", mode])
            .expect("converted");
        assert_eq!(tenants_of(&texts[0])[0].as_deref(), Some("t1"));
    }
}

#[test]
fn users_of_one_tenant_or_with_a_typed_one_do_as_with_the_original() {
    for same in [&["t"][..], &["t", "T"]] {
        let converted = convert(&users(same), &["-l", "azurecli"]);
        assert!(
            tenants_of(&converted).iter().all(Option::is_none),
            "{converted}"
        );
    }
    let typed = convert(
        &users(&["t1", "t2"]),
        &["-l", "azurecli", "--tenant-id", "t3"],
    );
    assert!(
        tenants_of(&typed)
            .iter()
            .all(|tenant| tenant.as_deref() == Some("t3"))
    );
    let other = convert(&users(&["t1", "t2"]), &["-l", "msi"]);
    assert!(
        tenants_of(&other).iter().all(Option::is_none),
        "a managed identity has one tenant"
    );
}

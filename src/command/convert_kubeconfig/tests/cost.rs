//! What a conversion costs, in counts.

use super::*;

/// This many users, each with these arguments after its server ID.
fn users(count: usize, args: &str) -> String {
    let user = |number| {
        format!(
            "- name: u{number}\n  user:\n    exec:\n      command: kubelogin\n      args: [get-token, --server-id, s, {args}]\n"
        )
    };
    format!("users:\n{}", (0..count).map(user).collect::<String>())
}

/// clap takes longer to read arguments than everything else takes together.
#[test]
fn the_arguments_of_each_user_are_read_once() {
    const USERS: usize = 50;
    let text = users(USERS, "--client-id, c, --tenant-id, t");
    for login in ["spn", "azurecli", "devicecode"] {
        let args = parse(&["-l", login]);
        let mut conversion = Conversion::new(&args, &Env::of(&[])).expect("a conversion");
        let file = KubeconfigFile::in_memory("config", &*text);
        let plan = conversion.convert(&[file]).expect("converted");
        assert_eq!(plan.report.converted.len(), USERS, "{login}");
        assert_eq!(conversion.old_args.readings, USERS, "{login}");
        // Again, with remembered flags: only those that are not empty are parsed.
        let text = &plan.changes[0].text;
        conversion.old_args.readings = 0;
        let again = conversion.convert(&[KubeconfigFile::in_memory("config", &**text)]);
        assert!(again.expect("converted").changes.is_empty());
        let most = USERS * if login == "azurecli" { 2 } else { 1 };
        assert_eq!(conversion.old_args.readings, most, "{login}");
    }
}

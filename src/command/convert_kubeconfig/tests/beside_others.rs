//! Conversions while another program writes the same file.

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::system::fake::FakeSystem;

/// kubectl empties the file and writes it anew, under its lock: what is read in that moment is empty, or half of it.
#[test]
fn what_another_program_has_half_written_is_read_again_under_its_lock() {
    let whole = format!(
        "{}- name: bob\n  user: {{exec: {{command: kubelogin, args: {AZ_EXEC}}}}}\n",
        exec_user(AZ_EXEC)
    );
    let halves = [
        "",
        "users:\n- name: [",
        "users: []\n",
        &format!("{HEAD}    exec:\n      command: kubelogin\n      args: [get-token]\n"),
        &convert(&exec_user(AZ_EXEC), &["-l", "spn"]),
    ];
    for half in halves {
        let room = TempDir::new().expect("a folder");
        let (path, lock) = (room.path().join("config"), room.path().join("config.lock"));
        fs::write(&path, half).expect("written");
        fs::write(&lock, "").expect("locked");
        let kubectl = {
            let (path, lock, whole) = (path.clone(), lock.clone(), whole.clone());
            move || {
                if lock.exists() {
                    fs::write(&path, &whole).expect("written");
                    fs::remove_file(&lock).expect("unlocked");
                }
            }
        };
        let system = FakeSystem::new([]).with_sleeper(kubectl);
        let name = path.display().to_string();
        let args = parse(&["-l", "spn", "--kubeconfig", &name]);
        run(&args, &Env::of(&[]), &system, &mut Vec::new())
            .unwrap_or_else(|error| panic!("{error}\n{half}"));
        let text = fs::read_to_string(&path).expect("read");
        let modes: Vec<_> = args_of(&text)
            .into_iter()
            .map(|args| args[2].clone())
            .collect();
        assert_eq!(modes, ["spn", "spn"], "{half}=>\n{text}");
        assert!(!lock.exists());
    }
}

#[test]
fn a_file_that_stays_empty_or_damaged_is_believed_after_a_moment() {
    let room = TempDir::new().expect("a folder");
    let path = room.path().join("config");
    fs::write(room.path().join("config.lock"), "").expect("a lock that was left behind");
    let name = path.display().to_string();
    let args = parse(&["-l", "spn", "--kubeconfig", &name]);
    for (text, said) in [("", "is empty"), ("users: [", "not valid YAML")] {
        fs::write(&path, text).expect("written");
        let system = FakeSystem::new([]);
        let result = run(&args, &Env::of(&[]), &system, &mut Vec::new());
        let error = result
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        assert!(
            system.told().concat().contains(said) || error.contains(said),
            "{error}"
        );
        assert!(system.elapsed() <= std::time::Duration::from_secs(2));
    }
}

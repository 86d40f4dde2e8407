//! What it rejects, with an error that names the place.

use super::*;

#[test]
fn a_user_that_cannot_be_converted_is_named_with_the_place() {
    let cases: &[(&str, &str, &str)] = &[
        (
            "    auth-provider: {name: azure}\n",
            "config0:2:3: user \"alice\": server-id is required",
            "--server-id",
        ),
        (
            "    exec: {command: kubelogin}\n",
            "config0:2:3: user \"alice\": server-id is required",
            "--server-id",
        ),
        (
            "    exec: {command: kubelogin, args: [get-token, --server-id, s]}\n",
            "client-id is required",
            "--client-id",
        ),
        (
            "    exec: {command: kubelogin, args: [get-token, 5]}\n",
            "user \"alice\": config0:4:50: argument 5 must be a quoted string",
            "quotes",
        ),
        (
            "    exec: {command: kubelogin, args: [get-token, yes]}\n",
            "argument yes must be a quoted string",
            "quotes",
        ),
        (
            "    exec: {command: kubelogin, args: {a: b}}\n",
            "config0:4:38: args must be a list, not a map",
            "",
        ),
        (
            "    exec: {command: kubelogin, args: [get-token, --legacy, false]}\n",
            "argument false",
            "",
        ),
        (
            "    exec: {command: kubelogin, args: [get-token, --legacy, 'false']}\n",
            "unexpected argument",
            "Correct or remove",
        ),
        (
            "    exec: {command: kubelogin, args: [get-token, '--login azurecli', --server-id, s]}\n",
            "--login and its value are one argument",
            "two items",
        ),
        (
            "    exec: {command: kubelogin, args: [get-token, '-l azurecli', --server-id, s]}\n",
            "-l and its value are one argument",
            "two items",
        ),
        (
            "    exec: {command: kubelogin, args: [get-token]}\n",
            "server-id is required",
            "6dae42f8-4368-4678-94ff-3960e28e3630",
        ),
        (
            "    exec: {command: kubelogin, args: [get-token, --server-id, s, --client-id, c, -t, t, --pop-enabled]}\n",
            "user \"alice\": --pop-enabled needs --pop-claims",
            "",
        ),
        (
            "    exec: [kubelogin]\n",
            "config0:4:11: exec must be a map, not a list",
            "",
        ),
        (
            "    auth-provider: {name: azure}\n    exec: {command: aws}\n",
            "an auth-provider and an exec",
            "Remove one",
        ),
        (
            "    auth-provider: {name: gcp}\n    exec: {command: kubelogin}\n",
            "an auth-provider and an exec",
            "Remove one",
        ),
    ];
    for (user, what, remedy) in cases {
        let error = failure(&format!("{HEAD}{user}"), &["-l", "spn"]);
        assert!(error.contains(what), "{user}: {error}");
        assert!(
            error.contains(remedy) && error.contains("alice"),
            "{user}: {error}"
        );
        assert!(error.lines().count() <= 3, "{error}");
    }
}

#[test]
fn a_file_that_is_not_a_kubeconfig_is_refused_with_the_place() {
    let nested = format!("a: {}", "[".repeat(10_000));
    let block = (0..10_000).fold(String::new(), |text, depth| {
        text + &" ".repeat(depth % 300) + "a:\n"
    });
    let cases: &[(&str, &str)] = &[
        ("users: [", "config0:"),
        ("users:\n\t- name: a\n", "config0:2:"),
        ("a: \"b\n", "config0:1:4"),
        ("just words", "config0:1:1: a kubeconfig must be a map"),
        (
            "- users",
            "config0:1:1: a kubeconfig must be a map, not a list",
        ),
        (
            "users: {a: b}",
            "config0:1:8: users must be a list, not a map",
        ),
        ("users:\n- a\n", "config0:2:3: a user must be a map"),
        (
            "users:\n- name: a\n  user: []\n",
            "config0:3:9: user must be a map, not a list",
        ),
        (
            "users:\n- {name: a, user: {}}\n- {name: a, user: {}}\n",
            "config0:3:3: user \"a\" is already defined in line 2",
        ),
        (
            "users: []\nusers: []\n",
            "config0:2:1: duplicate key \"users\"",
        ),
        (
            "users:\n- name: [a]\n  user: {}\n",
            "name must be text, not a list",
        ),
        (&nested, "config0:1:"),
        (&block, "config0:"),
        ("a: *nowhere\n", "config0:1:4"),
    ];
    for (text, what) in cases {
        let error = failure(text, &["-l", "spn"]);
        assert!(
            error.contains(what),
            "{}: {error}",
            &text[..text.len().min(60)]
        );
        assert!(error.lines().count() <= 3, "{error}");
    }
}

#[test]
fn an_edit_that_would_change_something_else_is_refused() {
    let login = format!("{{command: kubelogin, args: {AZ_EXEC}}}");
    let cases = [
        format!("x: &x\n  exec: {login}\nusers:\n- name: a\n  user: *x\n"),
        format!("x: &x {login}\nusers:\n- name: a\n  user:\n    exec: *x\n"),
        format!("x: &x\n  exec: {login}\nusers:\n- name: a\n  user:\n    <<: *x\n"),
        format!(
            "x: &x\n  command: kubelogin\nusers:\n- name: a\n  user:\n    exec:\n      <<: *x\n      command: kubelogin\n      args: {AZ_EXEC}\n"
        ),
        format!("users:\n- name: a\n  user: &u\n    exec: {login}\n- name: b\n  user: *u\n"),
        format!(
            "users:\n- name: a\n  user:\n    exec: {{command: kubelogin, args: &args {AZ_EXEC}}}\nx: *args\n"
        ),
        format!("users:\n- &a\n  name: a\n  user:\n    exec: {login}\nx: *a\n"),
        "users:\n- name: a\n  user:\n    auth-provider: {name: azure, config: {apiserver-id: s, client-id: c, tenant-id: t}}\n    exec: null\n".into(),
        format!("users: &all\n- name: a\n  user:\n    exec: {login}\nx: *all\n"),
        format!(
            "users:\n- name: a\n  user:\n    exec: {{command: kubelogin, args: {AZ_EXEC}, args: []}}\n"
        ),
    ];
    for text in cases {
        let error = failure(&text, &["-l", "spn"]);
        assert!(error.contains("config0:"), "{text}: {error}");
        assert!(
            error.contains("again"),
            "says nothing about what to do: {text}: {error}"
        );
    }
}

#[test]
fn a_client_that_calls_us_as_its_plugin_is_told_to_use_get_token() {
    let env = Env::of(&[(env::KUBERNETES_EXEC_INFO, "{}")]);
    let system = crate::system::fake::FakeSystem::new([]);
    let error = run(&parse(&[]), &env, &system, &mut Vec::new())
        .expect_err("refused")
        .to_string();
    assert!(error.contains("use get-token"), "{error}");
}

//! What reading a kubeconfig costs.

use super::*;

/// Comparisons that reading all credentials takes; `None` if the file is refused.
fn steps(text: &str) -> Option<usize> {
    let kubeconfig = Kubeconfig::parse("config", text).ok()?;
    for user in kubeconfig.users().expect("users") {
        if let Credentials::Exec(exec) = kubeconfig.credentials(&user).expect("credentials") {
            kubeconfig.args(&exec).expect("arguments");
        }
    }
    Some(kubeconfig.tree.steps())
}

fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(line).collect()
}

#[test]
fn a_file_of_merge_keys_and_aliases_costs_as_many_steps_as_it_is_long() {
    let users = |count, value: &str| {
        let line = |number| format!("- {{name: u{number}, user: {value}}}\n");
        format!("users:\n{}", lines(count, line))
    };
    let shapes: &[Shape] = &[
        ("each user merges the same list", &|n| {
            let maps = lines(n, |number| format!("- {{k{number}: v}}\n"));
            format!("x: &x\n{maps}{}", users(n, "{<<: *x}"))
        }),
        ("each user merges the same large map", &|n| {
            let keys = lines(n, |number| format!("  k{number}: v\n"));
            format!("x: &x\n{keys}{}", users(n, "{<<: *x}"))
        }),
        ("each user is the same large map", &|n| {
            let keys = lines(n, |number| format!("  k{number}: v\n"));
            format!("x: &x\n{keys}{}", users(n, "*x"))
        }),
        ("one user merges a large map many times", &|n| {
            let keys = lines(n, |number| format!("  k{number}: v\n"));
            let list = lines(n, |_| "*x,".into());
            format!("x: &x\n{keys}{}", users(1, &format!("{{<<: [{list}]}}")))
        }),
    ];
    for (shape, text) in shapes {
        let [small, large] = [30, 300].map(|count| steps(&text(count)).expect("read"));
        assert!(
            large < small * 12,
            "{shape}: {small} steps for 30, {large} for 300"
        );
    }
}

/// A kind of file, made as large as a number says.
type Shape<'s> = (&'s str, &'s dyn Fn(usize) -> String);

/// What many users share is read for each of them, so it must be small.
#[test]
fn aliases_that_repeat_too_much_are_refused_before_anything_is_read() {
    let users = |count, value: &str| {
        let line = |number| format!("- {{name: u{number}, user: {value}}}\n");
        format!("users:\n{}", lines(count, line))
    };
    let args = |count| format!("[{}]", lines(count, |_| "--a,".into()));
    let exec = |args: &str| format!("{{command: kubelogin, args: {args}}}");
    let shapes: &[Shape] = &[
        ("each user has the same exec", &|n| {
            format!("x: &x {}\n{}", exec(&args(n)), users(n, "{exec: *x}"))
        }),
        ("each exec has the same arguments", &|n| {
            let user = format!("{{exec: {}}}", exec("*x"));
            format!("x: &x {}\n{}", args(n), users(n, &user))
        }),
        ("each exec has the same huge argument", &|n| {
            let user = format!("{{exec: {}}}", exec("[*x]"));
            format!("x: &x '{}'\n{}", "a".repeat(16 * n), users(n, &user))
        }),
        ("each user is the same", &|n| {
            let user = format!("{{exec: {}}}", exec(&args(n)));
            format!("x: &x {user}\n{}", users(n, "*x"))
        }),
        ("aliases of aliases", &|n| {
            let depth = n.ilog2() * 2 - 1; // half of n * n values
            let line = |level| format!("x{}: &x{} [*x{level}, *x{level}]\n", level + 1, level + 1);
            format!("x0: &x0 a\n{}", (0..depth).map(line).collect::<String>())
        }),
    ];
    for (shape, text) in shapes {
        let steps_of = |count| steps(&text(count));
        let most = steps_of(256).unwrap_or_else(|| panic!("{shape}: refused"));
        assert!(most < 400_000, "{shape}: {most} steps");
        assert_eq!(steps_of(1000), None, "{shape}");
    }
}

/// Each of many users may be invalid, and each error gives its line.
#[test]
fn an_error_at_every_user_costs_as_many_steps_as_the_file_is_long() {
    let steps = |text: &str| {
        let kubeconfig = Kubeconfig::parse("config", text).expect("parsed");
        let users = kubeconfig.users().expect("users");
        let before = kubeconfig.tree.steps();
        for user in &users {
            kubeconfig.error_at_user(user, "wrong");
        }
        kubeconfig.tree.steps() - before
    };
    let shapes: &[(&str, &dyn Fn(usize) -> String)] = &[
        ("a line for each user", &|n| {
            let line = |number| format!("- {{name: u{number}, user: {{token: t}}}}\n");
            format!("users:\n{}", lines(n, line))
        }),
        ("one line", &|n| {
            let item = |number| format!("{{\"name\": \"u{number}\", \"user\": {{}}}},");
            format!("{{\"users\": [{}]}}", lines(n, item).trim_end_matches(','))
        }),
    ];
    for (shape, text) in shapes {
        let (small, large) = (steps(&text(200)), steps(&text(2000)));
        assert!(
            large < small * 12,
            "{shape}: {small} steps for 200, {large} for 2000"
        );
    }
}

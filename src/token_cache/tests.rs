//! The cache in the test's own folder, with the key on disk.

use std::fs;

use chrono::TimeDelta;
use tempfile::TempDir;

use super::*;

use crate::error::ErrorKind;
use crate::secret::Secret;
use crate::system::Uptime;
use crate::system::fake::FakeSystem;
use crate::token::{Scope, Token};

/// With the key on disk, so that unit tests leave the developer's keyring alone.
fn cache<'a>(scratch: &TempDir, system: &'a FakeSystem) -> TokenCache<'a> {
    let settings = CacheSettings {
        folder: Some(scratch.path().join("cache")),
        storage: Storage::Disk,
    };
    TokenCache::new(&settings, system).expect("a cache")
}

fn key(client: &str) -> CacheKey {
    CacheKey::new("spn", &Scope::of_server("srv")).with("client", client)
}

fn token() -> Token {
    Token {
        access_token: Secret::new("at"),
        expires_on: FakeSystem::EPOCH + TimeDelta::hours(1),
        refresh_token: Some(Secret::new("rt")),
    }
}

fn wait(slot: &Slot, patience: Duration) -> Turn {
    let turn = slot.wait_for_turn(patience, Waiter::Asking);
    turn.expect("the client is there")
}

fn save(slot: &Slot) {
    let turn = wait(slot, Duration::ZERO);
    slot.save(&token(), &turn);
}

/// A file of this login, for the one key in the folder.
fn path_of(slot: &Slot, kind: &str) -> PathBuf {
    let cache = slot.cache;
    let (_, key) = cache.vault.key(&cache.folder).expect("a key");
    cache.path().join(slot.file(kind).name(&key.id()))
}

fn no_secret() -> Fingerprint {
    Fingerprint::of(&[])
}

#[test]
fn a_saved_token_is_loaded_and_cannot_be_read_on_disk() {
    let (scratch, system) = (TempDir::new().expect("a folder"), FakeSystem::new([]));
    let cache = cache(&scratch, &system);
    let slot = cache.slot(&key("app"), no_secret());
    assert_eq!(slot.load(), None);
    save(&slot);
    assert_eq!(slot.load().map(|entry| entry.token), Some(token()));
    let content = fs::read(path_of(&slot, TOKEN)).expect("a file");
    assert!(!content.windows(6).any(|bytes| bytes == b"access"));
    assert_eq!(system.told(), [""; 0]);
}

#[test]
fn another_secret_is_a_miss_until_its_own_token_is_saved() {
    let (scratch, system) = (TempDir::new().expect("a folder"), FakeSystem::new([]));
    let cache = cache(&scratch, &system);
    let slot = |secret: &[u8]| cache.slot(&key("app"), Fingerprint::of(&[secret]));
    save(&slot(b"one"));
    assert!(slot(b"one").load().is_some());
    assert_eq!(slot(b"two").load(), None);
    save(&slot(b"two"));
    assert_eq!(slot(b"one").load(), None);
}

#[test]
fn an_entry_with_a_flipped_byte_or_a_cut_is_a_miss() {
    let (scratch, system) = (TempDir::new().expect("a folder"), FakeSystem::new([]));
    let cache = cache(&scratch, &system);
    let slot = cache.slot(&key("app"), no_secret());
    save(&slot);
    let path = path_of(&slot, TOKEN);
    let content = fs::read(&path).expect("an entry");
    for position in 0..content.len() {
        let mut damaged = content.clone();
        damaged[position] ^= 0xff;
        fs::write(&path, damaged).expect("written");
        assert_eq!(slot.load(), None, "byte {position}");
        fs::write(&path, &content[..position]).expect("written");
        assert_eq!(slot.load(), None, "cut at {position}");
    }
    fs::write(&path, [content.as_slice(), b"x"].concat()).expect("written");
    assert_eq!(slot.load(), None, "a byte too many");
    fs::write(&path, content).expect("written");
    assert!(slot.load().is_some());
}

#[test]
fn an_entry_under_another_name_is_a_miss() {
    let (scratch, system) = (TempDir::new().expect("a folder"), FakeSystem::new([]));
    let cache = cache(&scratch, &system);
    let (mine, other) = (
        cache.slot(&key("app"), no_secret()),
        cache.slot(&key("other"), no_secret()),
    );
    save(&mine);
    let at = path_of;
    fs::copy(at(&mine, TOKEN), at(&other, TOKEN)).expect("copied");
    assert_eq!(other.load(), None);
    fs::copy(at(&mine, TOKEN), at(&mine, FAILURE)).expect("copied");
    assert_eq!(mine.failure(FakeSystem::EPOCH, true), None);
}

#[test]
fn an_entry_that_lost_its_refresh_token_keeps_its_age() {
    let (scratch, system) = (TempDir::new().expect("a folder"), FakeSystem::new([]));
    let cache = cache(&scratch, &system);
    let slot = cache.slot(&key("app"), no_secret());
    save(&slot);
    let mut entry = slot.load().expect("an entry");
    let obtained = entry.obtained.clone();
    system.sleep(Duration::from_secs(60));
    slot.drop_refresh_token(&mut entry, &wait(&slot, Duration::ZERO));
    let left = slot.load().expect("an entry");
    assert_eq!(left.obtained, obtained);
    assert_eq!(left.token.refresh_token, None);
}

#[test]
fn an_entry_notices_that_the_clock_was_set_back() {
    let (scratch, system) = (TempDir::new().expect("a folder"), FakeSystem::new([]));
    let cache = cache(&scratch, &system);
    let slot = cache.slot(&key("app"), no_secret());
    let up = |seconds| {
        let machine = "here".to_owned();
        system.set_uptime(Some(Uptime { machine, seconds }));
    };
    up(1000);
    save(&slot);
    let entry = slot.load().expect("an entry");
    let is_fresh = || entry.is_fresh(&Moment::now(&system), Renewal::Silent);
    system.sleep(Duration::from_secs(600));
    up(1600);
    assert!(is_fresh());
    up(3000);
    assert!(!is_fresh(), "40 minutes have passed, the clock says 10");
}

#[test]
fn a_failure_counts_for_those_who_waited_and_for_a_client_that_tries_again() {
    let (scratch, system) = (TempDir::new().expect("a folder"), FakeSystem::new([]));
    let cache = cache(&scratch, &system);
    let slot = cache.slot(&key("app"), Fingerprint::of(&[b"secret"]));
    let error = Error::refused("authorization_declined", "no").remedy("ask");
    let began = system.now();
    system.sleep(Duration::from_secs(60));
    let turn = wait(&slot, Duration::ZERO);
    slot.save_failure(&error, &turn);
    assert_eq!(slot.failure(began, false), Some(error.clone()), "waited");
    system.sleep(Duration::from_secs(9));
    let now = system.now();
    assert_eq!(slot.failure(now, false), None, "a person, later");
    assert_eq!(slot.failure(now, true), Some(error), "the same client");
    let other = cache.slot(&key("app"), Fingerprint::of(&[b"other"]));
    assert_eq!(other.failure(now, true), None, "another secret");
    system.sleep(Duration::from_secs(1));
    assert_eq!(slot.failure(system.now(), true), None, "too late");
    slot.save(&token(), &turn);
    assert_eq!(slot.failure(began, false), None, "it went well since");
}

/// The user may be there by now, and may not have seen the first prompt.
#[test]
fn that_nobody_came_in_time_is_no_answer_to_those_who_waited() {
    let (scratch, system) = (TempDir::new().expect("a folder"), FakeSystem::new([]));
    let cache = cache(&scratch, &system);
    let slot = cache.slot(&key("app"), no_secret());
    let error = Error::unanswered("nobody came");
    let began = system.now();
    slot.save_failure(&error, &wait(&slot, Duration::ZERO));
    assert_eq!(slot.failure(began, false), None);
    let again = slot.failure(system.now(), true);
    assert_eq!(again, Some(error), "kubectl tries again at once");
}

#[test]
fn a_waiter_shows_what_the_other_process_asks_and_shows_a_new_prompt_again() {
    let scratch = TempDir::new().expect("a folder");
    let holding = FakeSystem::new([]);
    let held = cache(&scratch, &holding);
    let slot = held.slot(&key("app"), no_secret());
    let turn = wait(&slot, Duration::ZERO);
    let shown = slot.show_prompt("Enter ABC.", Duration::from_secs(60), &turn);
    assert!(shown.is_some());

    let waiting = FakeSystem::new([]);
    let its = cache(&scratch, &waiting);
    let its = its.slot(&key("app"), no_secret());
    assert!(!wait(&its, Duration::from_secs(10)).may_write());
    let process = std::process::id();
    assert_eq!(
        waiting.prompts(),
        [format!(
            "Enter ABC.\nAnother kubelogin (process {process}) is waiting for this sign-in; this process will use its token."
        )]
    );
    assert_eq!(waiting.told(), [""; 0], "the prompt says it all");

    drop(shown);
    let _shown = slot.show_prompt("Enter DEF.", Duration::from_secs(60), &turn);
    wait(&its, Duration::from_secs(10));
    assert_eq!(waiting.prompts().len(), 2);
    assert!(waiting.prompts()[1].starts_with("Enter DEF."));
    let silent = its.wait_for_turn(Duration::from_secs(10), Waiter::Silent);
    assert!(silent.is_ok());
    assert_eq!((waiting.prompts().len(), waiting.told().len()), (2, 1));
}

/// However many wait there: `helm` and Terraform start many of us, and swallow stderr.
#[test]
fn a_terminal_that_shows_a_prompt_does_not_get_it_again_from_those_who_wait() {
    for (id, shows_stderr, prompts, told) in [
        (
            "1",
            true,
            0,
            "Waiting for the sign-in above (kubelogin process",
        ),
        ("1", false, 0, "Enter ABC."),
        ("2", true, 1, ""),
    ] {
        let scratch = TempDir::new().expect("a folder");
        let holding = FakeSystem::new([]);
        holding.set_terminal("1", true);
        let held = cache(&scratch, &holding);
        let slot = held.slot(&key("app"), no_secret());
        let turn = wait(&slot, Duration::ZERO);
        let _shown = slot.show_prompt("Enter ABC.", Duration::from_secs(60), &turn);

        let waiting = FakeSystem::new([]);
        waiting.set_terminal(id, shows_stderr);
        let its = cache(&scratch, &waiting);
        wait(&its.slot(&key("app"), no_secret()), Duration::from_secs(10));
        assert_eq!(waiting.prompts().len(), prompts, "{id} {shows_stderr}");
        let lines = waiting.told();
        assert_eq!(lines.len(), 1 - prompts, "{lines:?}");
        assert!(lines.iter().all(|line| line.starts_with(told)), "{lines:?}");
    }
}

#[test]
fn a_prompt_is_sealed_and_private_and_gone_with_the_sign_in_or_its_time_or_the_next_turn() {
    let (scratch, system) = (TempDir::new().expect("a folder"), FakeSystem::new([]));
    let cache = cache(&scratch, &system);
    let slot = cache.slot(&key("app"), no_secret());
    let life = Duration::from_secs(60);
    let turn = wait(&slot, Duration::ZERO);
    let shown = slot.show_prompt("Enter ABC.", life, &turn);
    let path = path_of(&slot, PROMPT);
    let content = fs::read(&path).expect("a file");
    assert!(!content.windows(3).any(|bytes| bytes == b"ABC"));
    let metadata = path.metadata().expect("a file");
    assert!(crate::system::platform::is_private(&metadata));
    drop(shown);
    assert!(!path.exists(), "the sign-in is over");

    let shown = slot.show_prompt("Enter ABC.", life, &turn);
    system.sleep(life);
    wait(&slot, Duration::from_secs(10));
    assert_eq!(system.prompts(), [""; 0], "it is too old");
    shown.expect("shown").keep(); // as a killed process leaves it
    assert!(path.exists());
    drop(turn);
    wait(&slot, Duration::ZERO);
    assert!(!path.exists(), "the next one removes it");
}

#[test]
fn a_waiter_whose_client_is_gone_ends_within_seconds() {
    let (scratch, system) = (TempDir::new().expect("a folder"), FakeSystem::new([]));
    let cache = cache(&scratch, &system);
    let slot = cache.slot(&key("app"), no_secret());
    let _turn = wait(&slot, Duration::ZERO);
    system.lose_client_at(Duration::from_secs(5));
    for waiter in [Waiter::Asking, Waiter::Silent] {
        let error = slot.wait_for_turn(Duration::from_secs(900), waiter);
        let error = error.map(|_| ()).expect_err("nobody waits for it");
        assert_eq!(*error.kind(), ErrorKind::Unanswered);
        assert!(system.elapsed() <= Duration::from_secs(7));
    }
}

#[test]
fn a_waiter_says_why_it_waits_and_gives_up_in_the_end() {
    let (scratch, system) = (TempDir::new().expect("a folder"), FakeSystem::new([]));
    let cache = cache(&scratch, &system);
    let slot = cache.slot(&key("app"), no_secret());
    let holder = wait(&slot, Duration::ZERO);
    assert!(holder.may_write());
    let waiter = wait(&slot, Duration::from_secs(30));
    assert!(!waiter.may_write());
    assert_eq!(system.told().len(), 1);
    assert_eq!(system.elapsed().as_secs(), 30);
    drop(holder);
    assert!(wait(&slot, Duration::ZERO).may_write());
}

#[test]
fn an_entry_that_was_not_written_for_long_is_removed_and_a_note_stays() {
    let (scratch, system) = (TempDir::new().expect("a folder"), FakeSystem::new([]));
    let cache = cache(&scratch, &system);
    let old = cache.slot(&key("old"), no_secret());
    save(&old);
    cache.keep_note(&key("old"), "azurecli");
    let written = SystemTime::from(FakeSystem::EPOCH) - LONGEST_LIFE - Duration::from_secs(1);
    for name in cache.folder.names() {
        let path = cache.path().join(name);
        let file = fs::File::options().write(true).open(path).expect("ours");
        file.set_modified(written).expect("its time is set");
    }
    save(&cache.slot(&key("new"), no_secret()));
    assert_eq!(old.load(), None);
    assert_eq!(cache.note(&key("old")).as_deref(), Some("azurecli"));
}

#[test]
fn a_note_that_another_process_is_writing_is_left_to_it() {
    let (scratch, system) = (TempDir::new().expect("a folder"), FakeSystem::new([]));
    let cache = cache(&scratch, &system);
    let note = || cache.note(&key("app"));
    let slot = cache.slot(&key("app"), no_secret());
    let other = wait(&slot, Duration::ZERO);
    cache.keep_note(&key("app"), "mine");
    assert_eq!(note(), None);
    drop(other);
    cache.keep_note(&key("app"), "mine");
    assert_eq!(note().as_deref(), Some("mine"));
}

#[test]
fn only_our_own_file_names_are_ours() {
    let digest = "0123456789abcdef".repeat(4);
    for name in [
        format!("kubelogin-{digest}.0123456789abcdef.token"),
        format!("kubelogin-{digest}.0123456789abcdef.token.tmp"),
        format!("kubelogin-{digest}.token"),
        format!("kubelogin-{digest}.lock"),
        format!("kubelogin-{digest}.0123456789abcdef.failure"),
        "kubelogin-pop.0123456789abcdef.key".into(),
        "kubelogin.key".into(),
        "kubelogin.key.tmp".into(),
        "kubelogin.key.lock".into(),
    ] {
        assert!(is_ours(&name), "{name}");
    }
    for name in [
        "auth.json",
        "kubelogin",
        "kubelogin-notes.token",
        "pop_rsa_key.cache",
        &format!("kubelogin-{digest}.json"),
        &format!("kubelogin-{digest}.0123.token"),
        &format!("kubelogin-{digest}"),
        &format!("{digest}.token"),
    ] {
        assert!(!is_ours(name), "{name}");
    }
}

/// The lock of another process that creates a key.
fn hold(cache: &TokenCache, lock_file: &str) -> fs::File {
    cache.folder.prepare().expect("made");
    let lock = cache.folder.lock_file(lock_file).expect("a lock file");
    lock.lock().expect("it is free");
    lock
}

#[test]
fn a_pop_key_that_another_process_creates_is_waited_for() {
    let (scratch, system) = (TempDir::new().expect("a folder"), FakeSystem::new([]));
    let cache = cache(&scratch, &system);
    let _lock = hold(&cache, pop_key::LOCK_FILE);
    let patience = Duration::from_secs(60);
    cache.pop_key(patience).expect("a key for this run");
    assert!(system.elapsed() >= patience);
    assert!(!cache.has_pop_key(), "the other process's key counts");

    system.lose_client_at(system.elapsed());
    let error = cache.pop_key(patience).err().expect("the client is gone");
    assert_eq!(*error.kind(), ErrorKind::Unanswered);
}

#[test]
fn no_second_sealing_key_is_created_while_another_process_creates_one() {
    let (scratch, system) = (TempDir::new().expect("a folder"), FakeSystem::new([]));
    let cache = cache(&scratch, &system);
    let lock = hold(&cache, vault::LOCK_FILE);
    let slot = cache.slot(&key("app"), no_secret());
    save(&slot);
    assert!(!cache.folder.has(vault::KEY_FILE));
    let told = system.told();
    assert!(
        told.len() == 1 && told[0].contains("another kubelogin is still creating"),
        "{told:?}"
    );
    drop(lock);
    save(&slot);
    assert!(slot.load().is_some());
}

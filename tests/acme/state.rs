//! The state directory: full, read-only, shared, damaged, and left by a process that was killed.

use crate::scene::{NAME, OTHER, Scene};
use narrows_kit::acme::{Endpoint, Event, Fault, Rules};
use narrows_kit::relay::Relay;
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The files of certificates that are stored.
fn stored(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(stored(&path));
        } else if path.extension().is_some_and(|it| it == "pem") {
            found.push(path);
        }
    }
    found
}

fn certificates(scene: &Scene) -> Vec<PathBuf> {
    stored(&scene.state().join("certificates"))
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_written_is_said_before_anything_is_ordered() {
    for is_full in [true, false] {
        let scene = Scene::kit(Rules::default()).await;
        fs::create_dir(scene.state()).unwrap();
        let mode = if is_full { 0o700 } else { 0o500 };
        fs::set_permissions(scene.state(), fs::Permissions::from_mode(mode)).unwrap();
        let setup = scene.setup(&[NAME]);
        let setup = if is_full { setup.full_disk() } else { setup.no_override() };
        let relay = scene.found(setup.await);
        let line = relay.wait_for_log("no certificate can be ordered: ").await;
        let reason = if is_full { "File too large" } else { "Permission denied" };
        assert!(line.contains(" ERROR ") && line.contains(reason), "{line}");
        assert!(line.contains("it is tried again within 30 s"), "{line}");
        scene.expect_refused(&relay, NAME).await;
        assert_eq!(scene.ca().requests(Endpoint::NewOrder), 0);
        let (status, log) = relay.stop().await;
        assert!(status.success(), "{log:#?}");
    }
}

#[tokio::test]
async fn of_two_processes_one_orders_and_both_serve() {
    let scene = Scene::kit(Rules::default()).await;
    let first = scene.setup(&[NAME]).await;
    first.wait_for_log("a certificate is being ordered").await;
    let second = scene.setup(&[NAME]).await;
    let line = second.wait_for_log("another process orders certificates").await;
    assert!(line.contains(" INFO "), "{line}");
    let first = scene.found(first);
    first.wait_for_log("a certificate was issued").await;
    drop(scene.connected(&first, NAME).await);
    drop(scene.connected(&second, NAME).await);
    scene.expect_ok(&second, NAME).await;
    assert_eq!(scene.ca().requests(Endpoint::NewOrder), 1);
    // The lock is free with the first one's end.
    drop(first.stop().await);
    let second = scene.found(second);
    second.reload(&scene.toml(&[NAME, "b.example.net"])).await;
    second.wait_for_log("a certificate was issued").await;
    assert_eq!(scene.ca().issued(), 2);
}

#[tokio::test]
async fn a_process_that_waits_for_another_says_which_names_that_one_does_not_order() {
    let scene = Scene::kit(Rules::default()).await;
    let first = scene.served(&[NAME]).await;
    let second = scene.setup(&[NAME, OTHER]).await;
    let line = second.wait_for_log("but none for these names").await;
    assert!(line.contains(" WARN ") && line.contains("state directory of its own"), "{line}");
    let (names, awaited) = (format!("names=\"{NAME} {OTHER}\""), format!("awaited=\"{OTHER}\""));
    assert!(line.contains(&names) && line.contains(&awaited), "{line}");
    // The first one stops, and the second one takes its place.
    drop(first.stop().await);
    let second = scene.found(second);
    second.wait_for_log("a certificate was issued").await;
    drop(scene.connected(&second, OTHER).await);
}

#[tokio::test]
async fn a_hand_over_during_an_order_leaves_the_order_to_the_new_process() {
    let scene = Scene::kit(Rules::default()).await;
    scene.ca().change(|rules| rules.plan(Endpoint::NewOrder, Fault::Hang, usize::MAX));
    let mut relay = scene.start(&[NAME]).await;
    relay.wait_for_log("a certificate is being ordered").await;
    relay.hand_over().await.ended().await;
    scene.ca().change(|rules| rules.faults.clear());
    relay.wait_for_log("a certificate was issued").await;
    drop(scene.connected(&relay, NAME).await);
    scene.expect_ok(&relay, NAME).await;
    // The one that was cut may have been made at the authority, but was not paid for.
    assert_eq!(scene.ca().issued(), 1);
}

#[tokio::test]
async fn a_process_that_is_killed_at_any_request_leaves_a_state_that_serves() {
    let scene = Scene::kit(Rules { nonce_rejection: 0, ..Rules::default() }).await;
    for number in 1.. {
        let mut relay = scene.setup(&[NAME]).await;
        let before = requests(&scene);
        scene.lead_to(&relay);
        let is_request = |it: &Event| matches!(it, Event::Request(_));
        let asked = scene.ca().wait_for("its next request", before + number, is_request);
        tokio::select! {
            () = asked => {}
            _line = relay.wait_for_log("a certificate was issued") => break,
        }
        relay.signal(Signal::KILL);
        relay.ended().await;
    }
    let relay = scene.start(&[NAME]).await;
    drop(scene.connected(&relay, NAME).await);
    scene.expect_ok(&relay, NAME).await;
    assert_eq!(certificates(&scene).len(), 1);
    let log = relay.log_lines();
    assert!(!log.iter().any(|it| it.contains("set aside")), "{log:#?}");
    assert_eq!(accounts(&scene), 1, "one key, whatever happened");
}

fn requests(scene: &Scene) -> usize {
    scene.ca().history().iter().filter(|it| matches!(it, Event::Request(_))).count()
}

fn accounts(scene: &Scene) -> usize {
    stored(&scene.state().join("accounts")).len()
}

/// A file of another version, or half of one.
#[tokio::test]
async fn a_file_that_cannot_be_used_is_set_aside_and_never_deleted() {
    let scene = Scene::kit(Rules::default()).await;
    drop(scene.served(&[NAME]).await.stop().await);
    let [file] = &certificates(&scene)[..] else { panic!("one certificate") };
    let whole = fs::read(file).unwrap();
    let half = &whole[..whole.len() / 2];
    fs::write(file, half).unwrap();
    let relay = scene.start(&[NAME]).await;
    let line = relay.wait_for_log("set aside").await;
    assert!(line.contains(" WARN ") && line.contains(".unusable-1"), "{line}");
    relay.wait_for_log("a certificate was issued").await;
    drop(scene.connected(&relay, NAME).await);
    let aside = PathBuf::from(format!("{}.unusable-1", file.display()));
    assert_eq!(fs::read(aside).unwrap(), half);
}

#[tokio::test]
async fn a_file_that_is_removed_or_damaged_is_ordered_again_without_a_restart() {
    for content in [None, Some("damaged")] {
        let scene = Scene::kit(Rules::default()).await;
        let relay = scene.served(&[NAME]).await;
        let [file] = &certificates(&scene)[..] else { panic!("one certificate") };
        match content {
            None => fs::remove_file(file).unwrap(),
            Some(content) => fs::write(file, content).unwrap(),
        }
        // It looks now, and from time to time.
        relay.reload(&scene.toml(&[NAME])).await;
        relay.wait_for_log_lines("a certificate was issued", 2).await;
        drop(scene.connected(&relay, NAME).await);
        assert_eq!(scene.ca().issued(), 2);
    }
}

/// From a backup, or by an operator: what is there counts.
#[tokio::test]
async fn a_certificate_that_someone_puts_into_the_directory_is_served() {
    let scene = Scene::kit(Rules::default()).await;
    drop(scene.served(&[NAME]).await.stop().await);
    let [file] = &certificates(&scene)[..] else { panic!("one certificate") };
    let content = fs::read(file).unwrap();
    fs::remove_file(file).unwrap();
    scene.ca().change(|rules| rules.is_down = true);
    let relay: Relay = scene.start(&[NAME]).await;
    scene.expect_refused(&relay, NAME).await;
    fs::write(file, content).unwrap();
    drop(scene.connected(&relay, NAME).await);
    scene.expect_ok(&relay, NAME).await;
}

//! Reloads from files: good ones, bad ones, and the watch.

use std::path::Path;

use super::*;
use crate::config;
use crate::model::Weight;

/// Replaces a file as editors and deployments do: whole, by a rename.
fn write(path: &Path, text: &str) {
    let draft = path.with_extension("draft");
    std::fs::write(&draft, text).unwrap();
    std::fs::rename(&draft, path).unwrap();
}

async fn start_file(path: &Path, registry: &Arc<Registry>) -> Handle {
    let loaded = config::load(path, &|_| None).unwrap_or_else(|report| panic!("{report}"));
    start(loaded, Some(path.to_owned()), Arc::clone(registry), Box::new(NoStage)).await
}

fn serves(snapshot: &Snapshot, label: &str) -> bool {
    api(snapshot).backends.iter().any(|backend| backend.label == label)
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_explains_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plimsoll.toml");
    let registry = Registry::new(1);
    write(&path, &text(&["10.0.0.1:80"], ""));
    let handle = start_file(&path, &registry).await;
    let mut reader = handle.reader();
    let first = Arc::clone(reader.current());

    write(&path, &text(&["10.0.0.2:80"], "wieght = 7\n"));
    let refused = handle.reload(Origin::Signal).await;
    let Err(ReloadError::Invalid(report)) = refused else { panic!("{refused:?}") };
    assert!(report.render(false).contains("wieght"), "{report}");
    assert!(Arc::ptr_eq(&first, reader.current()));
    assert_eq!(registry.process().reloads(), (1, 1, false));

    write(&path, &text(&["10.0.0.2:80"], ""));
    assert_eq!(handle.reload(Origin::Signal).await.unwrap(), Generation(2));
    assert!(serves(reader.current(), "10.0.0.2:80"));
    assert_eq!(registry.process().reloads(), (2, 1, true));
    let journal = handle.journal();
    assert_eq!((journal.len(), journal[1].origin), (2, Origin::Signal));
}

#[tokio::test]
async fn a_bad_file_is_told_of_until_a_good_one_is_read_whatever_changes_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let (path, more) = (folder.path().join("plimsoll.toml"), folder.path().join("more.toml"));
    let registry = Registry::new(1);
    let head = "watch_interval = \"100ms\"\n";
    let good = format!("{head}{}", text(&["10.0.0.1:80"], ""));
    write(&path, &good);
    let handle = start_file(&path, &registry).await;
    // The fault lies in a file that is new to it.
    write(&more, "nonsense");
    write(&path, &format!("include = [\"more.toml\"]\n{good}"));
    handle.reload(Origin::Signal).await.unwrap_err();
    assert_eq!(registry.process().reloads(), (1, 1, false));

    let wish = |what, backend: &str| Wish {
        upstream: "api".to_owned(),
        backend: backend.to_owned(),
        what,
        by: By::of(Origin::Api),
        bypass: Vec::new(),
        dry_run: false,
    };
    let joins = What::Join { weight: Weight::ONE, tier: 0, max_connections: 0 };
    handle.wish(wish(joins, "10.0.0.9:80")).await.unwrap();
    handle.wish(wish(What::Leave, "10.0.0.9:80")).await.unwrap();
    assert_eq!(registry.process().reloads(), (1, 1, false), "the file is bad still");

    // That file is watched still.
    write(&more, "[[upstream.more.backend]]\naddress = \"10.3.0.1:80\"\n");
    until(&handle, |now| now.upstream_by_name("more").is_some()).await;
    assert_eq!(registry.process().reloads(), (2, 1, true));
}

/// Written so in one of the three forms, and a mistake in each.
const LISTS: [(&str, &str, &str, &str); 3] = [
    (
        "backends",
        "10.0.0.1:80\n",
        "# two\n10.0.0.2:80\n\n  10.0.0.1:80  # the old one\n",
        "10.0.0.1:80\n10.0.0.2:x\n",
    ),
    (
        "backends.json",
        "[\"10.0.0.1:80\"]",
        "[{ \"address\": \"10.0.0.2:80\", \"weight\": 2 }, \"10.0.0.1:80\"]",
        "[\"10.0.0.1:80\", { \"address\": \"10.0.0.2:80\", \"wieght\": 2 }]",
    ),
    (
        "backends.toml",
        "[[backend]]\naddress = \"10.0.0.1:80\"\n",
        "[[backend]]\naddress = \"10.0.0.2:80\"\nweight = 2\n[[backend]]\naddress = \"10.0.0.1:80\"\n",
        "[[backend]]\naddress = 10.0.0.1\n",
    ),
];

#[tokio::test]
async fn backends_come_from_a_file_of_their_own_and_who_stays_keeps_what_it_has() {
    for (name, one, two, bad) in LISTS {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plimsoll.toml");
        let list = folder.path().join(name);
        let registry = Registry::new(1);
        write(&list, one);
        write(&path, &format!("{HEAD}[upstream.api]\nbackends_file = \"{name}\"\n"));
        let handle = start_file(&path, &registry).await;
        let first = until(&handle, |_| true).await;
        assert_eq!(api(&first).backends.len(), 1, "{name}");
        handle.events().send(crossed(api(&first).backends[0].id)).await.unwrap();

        write(&list, two);
        handle.reload(Origin::Signal).await.unwrap();
        let second = until(&handle, |now| serves(now, "10.0.0.2:80")).await;
        let kept = &api(&second).backends[1];
        assert_eq!((kept.label.as_str(), kept.id), ("10.0.0.1:80", api(&first).backends[0].id));
        assert!(Arc::ptr_eq(&api(&first).live[0], &api(&second).live[1]), "{name}");
        let weight = api(&second).backends[0].weight.value();
        assert_eq!(weight, if name == "backends" { 1 } else { 2 });

        for (text, says) in [(bad, name), ("", name)] {
            write(&list, text);
            let refused = handle.reload(Origin::Signal).await;
            let Err(ReloadError::Invalid(report)) = refused else { panic!("{name}: {refused:?}") };
            assert!(report.render(false).contains(says), "{report}");
            assert!(report.watched().any(|path| path == list), "{name}");
        }
        assert_eq!(api(&*until(&handle, |_| true).await).backends.len(), 2);
    }
}

#[tokio::test]
async fn what_came_from_no_file_cannot_be_loaded_again() {
    let handle = start_text(&text(&["10.0.0.1:80"], "")).await;
    assert!(matches!(handle.reload(Origin::Signal).await, Err(ReloadError::NoFile)));
}

#[tokio::test]
async fn a_reload_leaves_untouched_upstreams_untouched() {
    let other = |weight: u8| {
        format!("[[upstream.other.backend]]\naddress = \"10.2.0.1:80\"\nweight = {weight}\n")
    };
    let handle = start_text(&text(&["10.0.0.1:80"], &other(1))).await;
    let first = until(&handle, |_| true).await;
    let loaded = load(&text(&["10.0.0.1:80"], &other(2)));
    let generation = handle.apply(loaded, Origin::Embedder).await.unwrap();
    let second = until(&handle, |now| now.generation == generation).await;
    assert!(Arc::ptr_eq(api(&first), api(&second)));
    let other = |snapshot: &Snapshot| Arc::clone(snapshot.upstream_by_name("other").unwrap());
    assert!(!Arc::ptr_eq(&other(&first), &other(&second)));
    assert!(Arc::ptr_eq(&other(&first).live[0], &other(&second).live[0]));
}

#[tokio::test]
async fn a_changed_file_is_noticed_also_after_a_bad_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plimsoll.toml");
    let parts = folder.path().join("conf.d");
    std::fs::create_dir(&parts).unwrap();
    let head = "watch_interval = \"100ms\"\ninclude = [\"conf.d/*.toml\"]\n";
    let registry = Registry::new(1);
    write(&path, &format!("{head}{}", text(&["10.0.0.1:80"], "")));
    let handle = start_file(&path, &registry).await;

    write(&path, &format!("{head}{}", text(&["10.0.0.2:80"], "")));
    let second = until(&handle, |now| serves(now, "10.0.0.2:80")).await;
    let by_watch = |entry: &Entry| entry.origin == Origin::FileWatch;
    assert!(handle.journal().iter().all(|entry| entry.generation.0 == 1 || by_watch(entry)));

    // A new file in a directory that `include` names.
    let extra = "[[upstream.extra.backend]]\naddress = \"10.3.0.1:80\"\n";
    write(&parts.join("extra.toml"), extra);
    let third = until(&handle, |now| now.upstream_by_name("extra").is_some()).await;
    assert!(Arc::ptr_eq(api(&second), api(&third)));

    write(&parts.join("extra.toml"), "nonsense");
    let refused = async {
        while registry.process().reloads().1 == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), refused).await.expect("it is refused");
    let mut reader = handle.reader();
    assert!(Arc::ptr_eq(&third, reader.current()));

    // The very text that is in force: nothing in it is new, but the fault is mended.
    write(&parts.join("extra.toml"), extra);
    until(&handle, |now| now.generation > third.generation).await;
    write(&parts.join("extra.toml"), &extra.replace("10.3.0.1", "10.3.0.2"));
    let last = until(&handle, |now| {
        now.upstream_by_name("extra").is_some_and(|it| it.backends[0].label == "10.3.0.2:80")
    })
    .await;
    assert!(Arc::ptr_eq(api(&second), api(&last)));
}

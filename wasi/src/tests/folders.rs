//! Folders, files and what the guest may do with them.

use super::*;
use std::time::{Duration, UNIX_EPOCH};

const CREATE: i32 = 1;
const TRUNCATE: i32 = 8;
const APPEND: i32 = 1;
const READ: i64 = 1 << 1;
const WRITE: i64 = 1 << 6;

fn folder_with_file() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("scratch folder");
    std::fs::write(folder.path().join("file"), "text").expect("scratch file");
    folder
}

#[test]
fn a_read_only_folder_can_be_read_and_nothing_else() {
    let folder = folder_with_file();
    let mut guest = Guest::in_folder(folder.path(), DirPerms::READ, FilePerms::READ);
    let file = guest.open("file", 0, READ, 0).expect("readable");
    assert_eq!(guest.read(file, 10).as_deref(), Ok("text"));
    assert_eq!(guest.open("file", 0, READ | WRITE, 0), Err(errno::PERM));
    assert_eq!(guest.open("file", TRUNCATE, READ, 0), Err(errno::PERM));
    assert_eq!(guest.open("new", CREATE, READ, 0), Err(errno::PERM));

    let (path, length) = (TEXT, guest.put(TEXT, "file"));
    let to_length = guest.put(OTHER_TEXT, "to");
    let (ctx, memory) = (&mut guest.ctx, &mut guest.memory[..]);
    let refused = [
        preview1::path_unlink_file(ctx, GuestMemory::Unshared(memory), 3, path, length),
        preview1::path_remove_directory(ctx, GuestMemory::Unshared(memory), 3, path, length),
        preview1::path_create_directory(ctx, GuestMemory::Unshared(memory), 3, OTHER_TEXT, to_length),
        preview1::path_rename(ctx, GuestMemory::Unshared(memory), 3, path, length, 3, OTHER_TEXT, to_length),
        preview1::path_link(ctx, GuestMemory::Unshared(memory), 3, 0, path, length, 3, OTHER_TEXT, to_length),
        preview1::path_symlink(ctx, GuestMemory::Unshared(memory), path, length, 3, OTHER_TEXT, to_length),
        preview1::path_filestat_set_times(ctx, GuestMemory::Unshared(memory), 3, 0, path, length, 0, 0, 0b1010),
        preview1::fd_filestat_set_size(ctx, GuestMemory::Unshared(memory), file, 0),
        preview1::fd_filestat_set_times(ctx, GuestMemory::Unshared(memory), file, 0, 0, 0b1010),
    ];
    for (index, refused) in refused.into_iter().enumerate() {
        assert_eq!(refused.ok(), Some(errno::PERM), "call {index}");
    }
    assert_eq!(std::fs::read_to_string(folder.path().join("file")).ok().as_deref(), Some("text"));
    assert_eq!(std::fs::read_dir(folder.path()).expect("folder").count(), 1);
}

#[test]
fn a_folder_without_permissions_shows_nothing() {
    let folder = folder_with_file();
    let mut guest = Guest::in_folder(folder.path(), DirPerms::empty(), FilePerms::empty());
    assert_eq!(guest.open("file", 0, READ, 0), Err(errno::PERM));
    let length = guest.put(TEXT, "file");
    let (ctx, memory) = (&mut guest.ctx, &mut guest.memory[..]);
    assert_eq!(
        preview1::path_filestat_get(ctx, GuestMemory::Unshared(memory), 3, 0, TEXT, length, RESULT).ok(),
        Some(errno::PERM)
    );
    assert_eq!(
        preview1::fd_readdir(ctx, GuestMemory::Unshared(memory), 3, OTHER_TEXT, 100, 0, RESULT).ok(),
        Some(errno::PERM)
    );
}

#[test]
fn permissions_are_inherited_by_folders_below() {
    let folder = tempfile::tempdir().expect("scratch folder");
    std::fs::create_dir(folder.path().join("below")).expect("scratch folder");
    let mut guest = Guest::in_folder(folder.path(), DirPerms::READ, FilePerms::READ);
    let below = guest.open("below", 0, READ, 0).expect("a folder");
    let length = guest.put(TEXT, "new");
    let made =
        preview1::path_create_directory(&mut guest.ctx, GuestMemory::Unshared(&mut guest.memory), below, TEXT, length);
    assert_eq!(made.ok(), Some(errno::PERM));
}

#[test]
fn moving_or_linking_cannot_widen_permissions() {
    let folder = folder_with_file();
    let wide = tempfile::tempdir().expect("scratch folder");
    let ctx = WasiCtxBuilder::new()
        .preopened_dir(folder.path(), "/narrow", DirPerms::all(), FilePerms::READ)
        .and_then(|ctx| ctx.preopened_dir(wide.path(), "/wide", DirPerms::all(), FilePerms::all()))
        .expect("folders exist")
        .build();
    let mut guest = Guest::new(ctx);
    let length = guest.put(TEXT, "file");
    let (ctx, memory) = (&mut guest.ctx, &mut guest.memory[..]);
    assert_eq!(
        preview1::path_rename(ctx, GuestMemory::Unshared(memory), 3, TEXT, length, 4, TEXT, length).ok(),
        Some(errno::PERM)
    );
    assert_eq!(
        preview1::path_link(ctx, GuestMemory::Unshared(memory), 3, 0, TEXT, length, 4, TEXT, length).ok(),
        Some(errno::PERM)
    );
    assert!(folder.path().join("file").exists());
}

#[test]
fn a_guest_cannot_leave_its_folder() {
    let folder = folder_with_file();
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).expect("scratch folder");
    std::os::unix::fs::symlink("../file", inner.join("link")).expect("scratch link");
    let mut guest = Guest::in_folder(&inner, DirPerms::all(), FilePerms::all());
    assert_eq!(guest.open("../file", 0, READ, 0), Err(errno::PERM));
    assert_eq!(guest.open("/etc/passwd", 0, READ, 0), Err(errno::PERM));
    let length = guest.put(TEXT, "link");
    let (ctx, memory) = (&mut guest.ctx, &mut guest.memory[..]);
    let followed = preview1::path_open(ctx, GuestMemory::Unshared(memory), 3, 1, TEXT, length, 0, READ, 0, 0, RESULT);
    assert_eq!(followed.ok(), Some(errno::PERM));
}

#[test]
fn opening_for_appending_can_truncate() {
    let folder = folder_with_file();
    let mut guest = Guest::in_folder(folder.path(), DirPerms::all(), FilePerms::all());
    let file = guest.open("file", CREATE | TRUNCATE, WRITE, APPEND).expect("opens");
    assert_eq!(guest.write(file, "ab"), Ok(2));
    assert_eq!(guest.write(file, "cd"), Ok(2));
    assert_eq!(std::fs::read_to_string(folder.path().join("file")).ok().as_deref(), Some("abcd"));
}

#[test]
fn files_older_than_1970_are_shown_as_from_1970() {
    let folder = folder_with_file();
    let old = UNIX_EPOCH - Duration::from_secs(1000);
    let host_file = std::fs::File::options().write(true).open(folder.path().join("file")).expect("scratch file");
    host_file.set_modified(old).expect("old time");
    let mut guest = Guest::in_folder(folder.path(), DirPerms::all(), FilePerms::all());
    let length = guest.put(TEXT, "file");
    let (ctx, memory) = (&mut guest.ctx, &mut guest.memory[..]);
    assert_eq!(
        preview1::path_filestat_get(ctx, GuestMemory::Unshared(memory), 3, 0, TEXT, length, RESULT).ok(),
        Some(errno::SUCCESS)
    );
    assert_eq!(guest.u64_at(RESULT + 48), 0, "modification time");
    let file = guest.open("file", 0, READ, 0).expect("opens");
    let stat = preview1::fd_filestat_get(&mut guest.ctx, GuestMemory::Unshared(&mut guest.memory), file, RESULT);
    assert_eq!(stat.ok(), Some(errno::SUCCESS));
    assert_eq!(guest.u64_at(RESULT + 48), 0, "modification time");
}

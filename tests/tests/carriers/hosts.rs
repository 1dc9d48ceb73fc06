//! Real programs that carry artifacts, linked in several ways, and what can
//! happen to their files.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use wasmc::{Emit, Options};
use wasmc_tests::copy_program;

const GUEST: &str = r#"(module $guest
    (memory (export "memory") 4) (data (i32.const 0) "beginning") (data (i32.const 262141) "end")
    (func $fib (export "fib") (param i32) (result i32)
        (if (result i32) (i32.lt_s (local.get 0) (i32.const 2)) (then (local.get 0))
            (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
    (func (export "count") (result i32)
        (i32.store (i32.const 65536) (i32.add (i32.load (i32.const 65536)) (i32.const 1)))
        (i32.load (i32.const 65536)))
    (func $inner (result i32) (i32.load (i32.const -4)))
    (func $outer (export "fail") (result i32) (i32.add (call $inner) (i32.const 1))))"#;

/// It has a function of the same name as the other guest.
const OTHER: &str = r#"(module $other
    (memory 1) (data (i32.const 65532) "\2a\00\00\00")
    (func $fib (result i32) (i32.load (i32.const 65532)))
    (func (export "answer") (result i32) (call $fib)))"#;

/// What a host prints for one strategy.
const WORKS: &str = "beginningend 6765
counts [1, 2] 1
out of bounds memory access [Some(\"inner\"), Some(\"outer\")]
other 42
";

/// A crate in a folder with a space in its name, which stays there so that
/// what was built before is built no more.
struct Crate {
    folder: PathBuf,
    target: PathBuf,
}

impl Crate {
    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let (path, content) = (self.folder.join(name), content.as_ref());
        if std::fs::read(&path).is_ok_and(|found| found == content) {
            return;
        }
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn new() -> Crate {
        let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let this = Crate { folder: temporary.join("carrier host"), target: temporary.join("carriers") };
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let loader = workspace.join("loader");
        this.write(
            "Cargo.toml",
            format!(
                "[package]\nname = \"host\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
                 [lib]\ncrate-type = [\"rlib\", \"cdylib\"]\n\n\
                 [dependencies]\nwasmc-loader = {{ path = {loader:?}, features = [\"async\"] }}\n\n\
                 [profile.dev]\ndebug = false\n\n\
                 [profile.release]\nopt-level = \"s\"\nlto = \"fat\"\ncodegen-units = 1\npanic = \"abort\"\n\
                 strip = true\n\n[workspace]\n"
            ),
        );
        this.write("Cargo.lock", std::fs::read(workspace.join("Cargo.lock")).unwrap());
        this.write("src/lib.rs", include_str!("host/lib.rs"));
        this.write("src/main.rs", include_str!("host/main.rs"));
        let object = |name: &str| this.folder.join(name).display().to_string();
        let objects = ["guest.o", "other.o", "unused.o"].map(|name| format!("cargo:rustc-link-arg={}", object(name)));
        let lines: String = objects.iter().map(|line| format!("    println!({line:?});\n")).collect();
        this.write("build.rs", format!("fn main() {{\n{lines}}}\n"));
        for (name, text, symbol) in
            [("guest", GUEST, "guest"), ("other", OTHER, "other_guest"), ("unused", GUEST, "unused_guest")]
        {
            let options = Options { debug: true, symbol: Some(symbol.to_owned()), ..Options::new() };
            let emit = |what| wasmc::emit(text.as_bytes(), what, &options).unwrap();
            this.write(&format!("{name}.cwasm"), emit(Emit::Cwasm));
            this.write(&format!("{name}.o"), emit(Emit::Obj));
        }
        this
    }

    /// Builds the program, and copies it (or the library) to `name`.
    fn build(&self, name: &str, made: &str, cargo: impl FnOnce(&mut Command)) -> PathBuf {
        let mut command = Command::new(env!("CARGO"));
        command.current_dir(&self.folder).env_remove("RUSTFLAGS").env("CARGO_TARGET_DIR", &self.target);
        cargo(&mut command);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        let to = self.target.join(name);
        // Never into a file that may be running.
        let _ = std::fs::remove_file(&to);
        copy_program(&self.target.join(made), &to);
        to
    }
}

/// The programs, by how they were made.
struct Hosts {
    folder: PathBuf,
    debug: PathBuf,
    gnu: PathBuf,
    release: PathBuf,
    /// Without shared libraries.
    alone: PathBuf,
    library: PathBuf,
    release_library: PathBuf,
}

fn hosts() -> &'static Hosts {
    static HOSTS: OnceLock<Hosts> = OnceLock::new();
    HOSTS.get_or_init(|| {
        let made = Crate::new();
        let plain = ["build", "--offline", "--quiet"];
        // GNU's linker in place of LLVM's, which rustc comes with.
        let gnu = made.build("host-gnu", "debug/host", |cargo| {
            cargo.args(["rustc", "--offline", "--quiet", "--bin", "host", "--", "-Clinker-features=-lld"]);
        });
        let debug = made.build("host-debug", "debug/host", |cargo| {
            cargo.args(plain);
        });
        let library = made.build("libhost.so", "debug/libhost.so", |cargo| {
            cargo.args(plain);
        });
        let release = made.build("host-release", "release/host", |cargo| {
            cargo.args(plain).arg("--release");
        });
        let release_library = made.build("libhost-release.so", "release/libhost.so", |cargo| {
            cargo.args(plain).arg("--release");
        });
        let triple = "x86_64-unknown-linux-gnu";
        let alone = made.build("host-static", &format!("{triple}/debug/host"), |cargo| {
            cargo.args(plain).args(["--bin", "host", "--target", triple]);
            cargo.env("RUSTFLAGS", "-Ctarget-feature=+crt-static");
        });
        Hosts { folder: made.folder, debug, gnu, release, alone, library, release_library }
    })
}

fn print(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {} {complaints}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// What a host prints whose guests work under every strategy.
fn all_works() -> String {
    let strategies = wasmc_loader::InstantiationStrategy::ALL;
    strategies.iter().map(|strategy| format!("{strategy}\n{WORKS}{WORKS}")).collect()
}

#[test]
fn every_linker_and_profile_makes_a_host_that_carries_its_guests() {
    let hosts = hosts();
    for host in [&hosts.debug, &hosts.gnu, &hosts.release, &hosts.alone] {
        for carrier in ["embedded", "linked", &hosts.folder.to_string_lossy()] {
            assert_eq!(print(Command::new(host).arg(carrier)), all_works(), "{} {carrier}", host.display());
        }
    }
}

#[test]
fn a_library_carries_guests_into_a_program_that_knows_nothing_of_them() {
    let hosts = hosts();
    let printed = print(Command::new(&hosts.debug).arg("library").arg(&hosts.library));
    assert_eq!(printed, all_works() + &all_works());
}

/// In optimised libraries, where the address of a thread-local value is the
/// result of a call, which the compiler would rather not repeat.
#[test]
fn async_functions_of_a_library_find_the_values_of_the_thread_that_they_are_on() {
    let hosts = hosts();
    for library in [&hosts.library, &hosts.release_library] {
        let printed = print(Command::new(&hosts.debug).arg("threads").arg(library));
        assert_eq!(printed, "begun on thread 1, dropped on thread 2\n", "{}", library.display());
    }
}

#[test]
fn a_linked_guest_has_names_and_unwind_information_in_the_host() {
    let hosts = hosts();
    let symbols = print(Command::new("nm").arg(&hosts.debug));
    let local = |name: &str| symbols.lines().filter(|line| line.ends_with(&format!(" t {name}"))).count();
    assert_eq!((local("fib"), local("outer")), (2, 1), "functions of both guests, visible to debuggers only");
    assert!(!symbols.contains("unused_guest"), "what nothing refers to is not kept");
    let address = |name: &str| {
        let row = symbols.lines().find(|line| line.ends_with(name)).unwrap_or_else(|| panic!("no {name}"));
        u64::from_str_radix(row.split(' ').next().unwrap(), 16).unwrap()
    };
    assert_eq!(address(" guest") % 4096, 0);
    let frames = print(Command::new("readelf").arg("--debug-dump=frames").arg(&hosts.debug));
    let inside = |line: &&str| {
        let start = line.split("pc=").nth(1).and_then(|rest| rest.split("..").next());
        let start = start.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        start.is_some_and(|start| (address(" guest")..address(" guest_end")).contains(&start))
    };
    assert!(frames.lines().filter(inside).count() >= 4, "every function of the guest has unwind information");
    let headers = print(Command::new("readelf").arg("-lW").arg(&hosts.debug));
    assert!(!headers.lines().any(|line| line.contains("LOAD") && line.contains("RWE")), "{headers}");
}

/// A copy of a host in a folder of its own.
fn copy(host: &Path) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host");
    copy_program(host, &path);
    (folder, path)
}

#[test]
fn a_stripped_host_still_carries_its_guests() {
    let hosts = hosts();
    for host in [&hosts.debug, &hosts.library] {
        let (_folder, path) = copy(host);
        print(Command::new("strip").arg("--strip-all").arg(&path));
        if host == &hosts.library {
            let printed = print(Command::new(&hosts.debug).arg("library").arg(&path));
            assert_eq!(printed, all_works() + &all_works());
        } else {
            for carrier in ["embedded", "linked"] {
                assert_eq!(print(Command::new(&path).arg(carrier)), all_works(), "{carrier}");
            }
        }
    }
}

#[test]
fn a_host_is_found_however_it_was_started() {
    let hosts = hosts();
    let (folder, path) = copy(&hosts.debug);
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for carrier in ["embedded", "linked"] {
        assert_eq!(print(Command::new(&link).arg0("something else").arg(carrier)), all_works());
        let mut by_loader = Command::new("/lib64/ld-linux-x86-64.so.2");
        assert_eq!(print(by_loader.current_dir(folder.path()).args(["./host", carrier])), all_works());
    }
}

/// Starts a host, does something to its file, and lets it load its guests.
fn meanwhile(carrier: &str, change: impl FnOnce(&Path)) -> String {
    let (_folder, path) = copy(&hosts().debug);
    let mut command = Command::new(&path);
    let mut child = command.args(["wait", carrier]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "waiting\n");
    change(&path);
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let printed = std::io::read_to_string(output).unwrap();
    assert!(child.wait().unwrap().success(), "{printed}");
    printed
}

#[test]
fn a_host_that_is_moved_deleted_or_replaced_while_it_runs_goes_on() {
    for carrier in ["embedded", "linked"] {
        let moved = meanwhile(carrier, |path| std::fs::rename(path, path.with_extension("moved")).unwrap());
        assert_eq!(moved, all_works(), "moved");
        let deleted = meanwhile(carrier, |path| std::fs::remove_file(path).unwrap());
        assert_eq!(deleted, all_works(), "deleted");
        let replaced = meanwhile(carrier, |path| {
            let new = path.with_extension("new");
            std::fs::write(&new, "a newer version").unwrap();
            std::fs::rename(new, path).unwrap();
        });
        assert_eq!(replaced, all_works(), "replaced");
    }
}

#[test]
fn a_host_that_cannot_read_its_own_file_says_so_unless_its_guests_are_linked() {
    // SAFETY: has no preconditions.
    let root = unsafe { libc::geteuid() } == 0;
    let (folder, path) = copy(&hosts().debug);
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o111)).unwrap();
    let run = |carrier: &str| {
        let mut command = Command::new(&path);
        if root {
            // Root can read everything; somebody else cannot.
            command.uid(65534).gid(65534);
        }
        print(command.arg(carrier))
    };
    assert_eq!(run("linked"), all_works());
    let printed = run("embedded");
    let errors: Vec<_> = printed.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), wasmc_loader::InstantiationStrategy::ALL.len(), "{printed}");
    for error in errors {
        assert!(error.contains(&path.display().to_string()) && error.contains("ermission denied"), "{error}");
        assert!(error.contains("make the file readable"), "{error}");
    }
}

/// Lets the system refuse to map anything as executable from now on.
fn forbid_executable_mappings() -> std::io::Result<()> {
    let operation = |code: u32, yes: u8, no: u8, k: u32| libc::sock_filter { code: code as u16, jt: yes, jf: no, k };
    let load = |at: u32| operation(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, at);
    let answer = |answer: u32| operation(libc::BPF_RET | libc::BPF_K, 0, 0, answer);
    let equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let has_bits = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
    // The third argument of both calls is the access that is wanted.
    let mut filter = [
        load(0),
        operation(equal, 1, 0, libc::SYS_mmap as u32),
        operation(equal, 0, 3, libc::SYS_mprotect as u32),
        load(32),
        operation(has_bits, 0, 1, libc::PROT_EXEC as u32),
        answer(libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        answer(libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the filter is a valid program, which the kernel copies.
    let failed = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) != 0
    };
    if failed { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

#[test]
fn linked_guests_work_where_only_the_system_may_map_code() {
    let hosts = hosts();
    let run = |carrier: &str| {
        let mut command = Command::new(&hosts.alone);
        // SAFETY: only system calls.
        unsafe { command.pre_exec(forbid_executable_mappings) };
        print(command.arg(carrier))
    };
    assert_eq!(run("linked"), all_works());
    for carrier in ["embedded", &hosts.folder.to_string_lossy()] {
        let printed = run(carrier);
        assert!(!printed.contains("beginningend"), "{printed}");
        assert!(printed.contains("cannot map the code as executable") && printed.contains("--emit obj"), "{printed}");
    }
}

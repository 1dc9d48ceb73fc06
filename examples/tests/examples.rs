//! Every example runs and prints what it did.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// What an example prints that runs in `folder`.
fn output_in(folder: &Path, program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{program} failed: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn output(program: &str, args: &[&str]) -> String {
    output_in(Path::new(env!("CARGO_TARGET_TMPDIR")), program, args)
}

#[test]
fn hello_calls_the_guest() {
    let printed = output(env!("CARGO_BIN_EXE_hello"), &[]);
    assert_eq!(printed, "the greatest common divisor of 1071 and 462 is 21\n");
}

#[test]
fn quickstart_counts_words() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("text"), "one two two three three three").unwrap();
    let printed = output_in(folder.path(), env!("CARGO_BIN_EXE_quickstart"), &["text"]);
    for step in ["compiled ", "wrote ", "mapped ", "made ", "running "] {
        assert!(printed.lines().any(|line| line.starts_with(step)), "{step} is not in {printed}");
    }
    let words: Vec<_> = printed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    for expected in [["3", "three"], ["2", "two"], ["1", "one"]] {
        assert!(words.iter().any(|line| *line == expected), "{expected:?} is not in {printed}");
    }
}

#[test]
fn plugin_gets_text_from_the_guest_and_its_log() {
    let printed = output(env!("CARGO_BIN_EXE_plugin"), &["Hello, World!", "--", "Twenty-two characters."]);
    let expected = "\"Hello, World!\" -> \"hello-world\"\n\
        \"--\" -> \"\"\n\
        \"Twenty-two characters.\" -> \"twenty-two-character\"\n    the plug-in says: the title was cut\n";
    assert_eq!(printed, expected);
    let long = "x".repeat(5000);
    let refused = Command::new(env!("CARGO_BIN_EXE_plugin")).arg(long).output().unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no room for 5000 bytes"));
}

#[test]
fn externref_reads_files_through_references_and_closes_them() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| folder.path().join(name).display().to_string());
    std::fs::write(&a, "one\nthree\n\nfive and a bit").unwrap();
    std::fs::write(&b, "").unwrap();
    let printed = output(env!("CARGO_BIN_EXE_externref"), &[&a, &b]);
    let mut lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines.pop(), Some("done"));
    lines[2..].sort_unstable();
    let expected = [
        format!("{a} has 4 lines; the longest has 14 bytes"),
        format!("{b} has 0 lines; the longest has 0 bytes"),
        format!("{a} is closed"),
        format!("{b} is closed"),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn parallel_counts_the_same_on_any_number_of_threads() {
    for threads in ["1", "3", "8"] {
        let printed = output(env!("CARGO_BIN_EXE_parallel"), &[threads]);
        let expected = format!("295947 primes below 4194304, counted in 64 instances on {threads} threads\n");
        assert_eq!(printed, expected);
    }
}

#[test]
fn interpreter_begins_with_its_dictionary_and_executes_forth() {
    let lines = [": quad square square ; 3 quad .", "20 fib . 1071 462 gcd .", "nonsense", "drop", "5 stars"];
    let printed = output(env!("CARGO_BIN_EXE_interpreter"), &lines);
    let expected = "compiled as it is, it begins with 0 words\ninitialised, it begins with 43 words\n\
        > : quad square square ; 3 quad .\n81 \n\
        > 20 fib . 1071 462 gcd .\n6765 21 \n\
        > nonsense\nnonsense means nothing here\n\
        > drop\nthe stack is empty\n\
        > 5 stars\n*****\n";
    assert_eq!(printed, expected);
}

/// The server example on a free port, stopped when this is dropped.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start() -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_server"));
        let mut process = command.arg("127.0.0.1:0").stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").and_then(|rest| rest.strip_suffix('/'));
        let address = address.unwrap_or_else(|| panic!("unexpected: {line}")).to_owned();
        Server { process, address }
    }

    /// The status and the body of the answer to a request.
    fn get(&self, path: &str) -> (String, String) {
        let mut connection = TcpStream::connect(&self.address).unwrap();
        write!(connection, "GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[test]
fn server_answers_each_request_in_a_fresh_instance_and_ends_those_that_do_not() {
    let server = Server::start();
    let fine = ("HTTP/1.1 200".to_owned(), "this instance has seen 1 request(s)\n".to_owned());
    for _ in 0..5 {
        assert_eq!(server.get("/"), fine);
    }
    assert_eq!(server.get("/nowhere").0, "HTTP/1.1 404");
    assert_eq!(server.get("/crash").0, "HTTP/1.1 500");
    assert_eq!(server.get("/spin").0, "HTTP/1.1 504");
    assert_eq!(server.get("/"), fine);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(server.get("/"), fine));
        }
    });
}

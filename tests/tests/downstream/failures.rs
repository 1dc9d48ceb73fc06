//! What cargo shows when a guest cannot be built.

use crate::package::Program;

fn fails(program: &Program) -> String {
    let text = program.fail(&["check", "-p", "plugins"]);
    assert!(!text.contains("panicked") && !text.contains("RUST_BACKTRACE"), "{text}");
    text
}

#[test]
fn a_guest_that_does_not_compile_is_named_with_place_and_reason() {
    let program = Program::new("invalid");
    program.replace("plugins/guest/plugin.wat", "i32.div_s", "i32.div");
    let text = fails(&program);
    assert!(text.contains("error: plugins@0.1.0: cannot compile the guest `guest/plugin.wat`"), "{text}");
    assert!(text.contains("guest/plugin.wat:10:6") && text.contains("unknown operator"), "{text}");
    drop(program);

    let program = Program::new("invalid");
    program.replace("plugins/guest/plugin.wat", "i32.div_s", "i64.div_s");
    let text = fails(&program);
    assert!(text.contains("`guest/plugin.wat` (line 10, column 6)"), "{text}");
    assert!(text.contains("byte offset 0x") && text.contains("type mismatch"), "{text}");
    assert!(text.contains("Error: cannot compile the guest"), "{text}");
}

#[test]
fn names_that_clash_are_named_with_the_way_out() {
    let program = Program::new("clash");
    program.replace("plugins/build.rs", ".rename_export(\"get-value\", \"value\")", "");
    let text = fails(&program);
    assert!(text.contains("`get-value` and `getValue` would both be called `get_value`"), "{text}");
    assert!(text.contains(".rename_export("), "{text}");
}

#[test]
fn a_missing_guest_is_named() {
    let program = Program::new("missing");
    std::fs::remove_file(program.file("plugins/guest/plugin.wat")).expect("the guest can be removed");
    let text = fails(&program);
    assert!(text.contains("error: plugins@0.1.0: cannot read `guest/plugin.wat`"), "{text}");
}

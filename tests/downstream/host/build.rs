fn main() -> wasmc::build::Result<()> {
    // A guest that is no file, and whose name another package uses too.
    let text = "(module (func (export \"twice\") (param $value i32) (result i32)
        (i32.mul (local.get $value) (i32.const 2))))";
    let carrier = match std::env::var("CARRIER").as_deref() {
        Ok("file") => wasmc::build::Carrier::File,
        Ok("linked") => wasmc::build::Carrier::Linked,
        _ => wasmc::build::Carrier::Embedded,
    };
    println!("cargo:rerun-if-env-changed=CARRIER");
    wasmc::build::Module::new(text.as_bytes()).name("own").carrier(carrier).compile()
}

use wasmc::build::{Carrier, Module};

fn main() -> wasmc::build::Result<()> {
    Module::new("guest/collatz.wat").carrier(Carrier::Linked).compile()
}

fn main() -> wasmc::build::Result<()> {
    wasmc::build::Module::new("guest/pricing.wat").compile()
}

fn main() -> wasmc::build::Result<()> {
    let carrier = wasmc::build::Carrier::File;
    wasmc::build::Module::new("guest/plugin.wat").carrier(carrier).compile()?;
    wasmc::build::Module::new("guest/everything.wat")
        .name("everything")
        .carrier(carrier)
        .opt_level(wasmc::OptLevel::Speed)
        .rename_export("get-value", "value")
        .compile()
}

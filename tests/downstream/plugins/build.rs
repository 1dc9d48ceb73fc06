fn main() -> wasmc::build::Result<()> {
    let carrier = match std::env::var("CARRIER").as_deref() {
        Ok("file") => wasmc::build::Carrier::File,
        Ok("linked") => wasmc::build::Carrier::Linked,
        _ => wasmc::build::Carrier::Embedded,
    };
    println!("cargo:rerun-if-env-changed=CARRIER");
    wasmc::build::Module::new("guest/plugin.wat").carrier(carrier).compile()?;
    wasmc::build::Module::new("guest/everything.wat")
        .name("everything")
        .carrier(carrier)
        .opt_level(wasmc::OptLevel::Speed)
        .rename_export("get-value", "value")
        .compile()?;
    wasmc::build::Module::new("guest/names.wat")
        .carrier(carrier)
        .rename_export("found_", "found_as_well")
        .compile()
}

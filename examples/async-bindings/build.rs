fn main() -> wasmc::build::Result<()> {
    wasmc::build::Module::new("guest/orders.wat")
        .asynchronous(true)
        // The host answers this at once, so it need not be a future.
        .synchronous_import("shop", "note")
        .compile()
}
